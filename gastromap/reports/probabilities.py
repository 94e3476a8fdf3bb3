"""Stage probabilities and prediction sets in words and bars."""

from __future__ import annotations

from dataclasses import dataclass

from gastromap.reports.phrases import percent, stage_label
from gastromap.results import StageResult
from gastromap.text import Text, alternatives

__all__ = ["NOT_STAGED", "STAGED", "Bar", "agreement", "set_in_words", "shares_of", "stage_bars"]

STAGED = Text("Confidently staged")
NOT_STAGED = Text("Not confidently staged")


@dataclass(frozen=True)
class Bar:
    """Probability of one stage."""

    label: str
    probability: float
    in_set: bool
    is_stage: bool

    @property
    def percent(self) -> str:
        """Probability in words of the reader."""
        return percent(self.probability)


def stage_bars(stage: StageResult, role: str) -> tuple[Bar, ...]:
    """Return one bar a stage, named by the role of the volume."""
    members = stage.confidence.prediction_set
    return tuple(
        Bar(stage_label(role, name), probability, name in members, name == stage.stage)
        for name, probability in stage.probabilities.items()
    )


def shares_of(name: str, share: str) -> str:
    """Return a name and its share: ``cT3 63 %``."""
    return Text("{name} {share}", name=name, share=share)


def agreement(stage: StageResult, role: str) -> str:
    """Return how many slices vote for the stage."""
    votes, slices = stage.confidence.votes_for_stage, stage.confidence.slices
    label = stage_label(role, stage.stage)
    if slices == 1:
        return Text("One slice was read, for {label}", label=label)
    if votes == slices:
        return Text("All {slices} slices vote for {label}", slices=slices, label=label)
    return Text("{votes} of {slices} slices vote for {label}", votes=votes, slices=slices, label=label)


def set_in_words(members: tuple[str, ...], coverage: float, *, prefix: str = "") -> str:
    """Put a conformal prediction set in words: ``T2–T3 at 90 %``.

    Parameters
    ----------
    members : tuple of str
        Stages, lowest first.
    coverage : float
        Nominal coverage, 0 to 1.
    prefix : str
        Before each stage, ``yc`` after treatment.
    """
    level = percent(coverage)
    numbers = [int(member[1:]) for member in members]
    names = [f"{prefix}{member}" for member in members]
    if not names:
        return Text("no stage at {level}", level=level)
    if len(names) == 1:
        return Text("{stage} only at {level}", stage=names[0], level=level)
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return Text("{stages} at {level}", stages=f"{names[0]}–{names[-1]}", level=level)
    return Text("{stages} at {level}", stages=alternatives(names), level=level)
