"""Stage probabilities and prediction sets in words and bars."""

from __future__ import annotations

from dataclasses import dataclass

from gastromap.reports.phrases import percent, stage_label
from gastromap.results import StageResult

__all__ = ["Bar", "agreement", "set_in_words", "stage_bars"]


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


def agreement(stage: StageResult, role: str) -> str:
    """Return how many slices vote for the stage."""
    votes, slices = stage.confidence.votes_for_stage, stage.confidence.slices
    label = stage_label(role, stage.stage)
    if slices == 1:
        return f"One slice was read, for {label}"
    if votes == slices:
        return f"All {slices} slices vote for {label}"
    return f"{votes} of {slices} slices vote for {label}"


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
    level = f"at {coverage * 100:.0f} %"
    numbers = [int(member[1:]) for member in members]
    names = [f"{prefix}{member}" for member in members]
    if not names:
        return f"no stage {level}"
    if len(names) == 1:
        return f"{names[0]} only {level}"
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{names[0]}–{names[-1]} {level}"
    return f"{', '.join(names[:-1])} or {names[-1]} {level}"
