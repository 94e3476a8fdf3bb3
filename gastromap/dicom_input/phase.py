"""The phase decision: up to four independent votes for each candidate, and at least two must say portal.

A wrong phase gives a plausible but false stage, so no single source is trusted: descriptions are typed by hand, bolus
times are protocol defaults. CT TriggerTime is cardiac and never evidence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from gastromap.dicom_input.image import CtImage

__all__ = ["Candidate", "ImageVote", "Vote", "dropped_by_text", "order_votes", "text_vote", "timing_votes"]

Vote = Literal["portal", "other", "no evidence"]
#: Judges the enhancement of the organs in the pixels of a candidate.
ImageVote = Callable[[Sequence[CtImage]], Vote]

_DAY_SECONDS = 86_400.0
_SAME_ACQUISITION_S = 5.0


def _words(*alternatives: str) -> re.Pattern[str]:
    # ``\b`` misses PV5.0, Abd_PV and 门脉期PV: digits, underscores and Chinese count as letters of a word there.
    return re.compile(rf"(?<![a-z])(?:{'|'.join(alternatives)})(?![a-z])")


_PORTAL_LATIN = r"portal|port(?:al)? ven(?:ous)?|pvp?|venous|ven"
_PORTAL = _words(_PORTAL_LATIN)
_PORTAL_CHINESE = re.compile("门静脉期|门脉期|门静脉|门脉|静脉期")
_OTHER = _words(
    "art", "arterial", "delay(?:ed)?", "equilibrium", "excretory", "plain", "native", "non ?contrast", "unenhanced"
)
_OTHER_CHINESE = re.compile("动脉|延迟|平衡期|排泄期|平扫")
_OTHER_VEINS = re.compile("(?:肺|下肢|上肢|颈|髂)静脉期?")
_NEGATED = re.compile(rf"(?<![a-z])(?:non|no|without|w/o) ?(?:{_PORTAL_LATIN})(?![a-z])|[非无](?:门静?脉|静脉期)")
_SEVERAL = re.compile(
    r"(?<![a-z0-9])(?:[2-5] ?phases?|(?:two|three|four|dual|multi|tri) ?phas(?:e|es|ic))(?![a-z])|[双三多两四]期"
)
_DROPPED = _words(
    *("mpr", "mpvr", "mip", "vrt?", "cpr", "(?<![0-9])3d", "cor(?:onal)?", "sag(?:ittal)?", "lung", "bone"),
    *("topogram", "scout", "surview", "locali[sz]er", "dose report", "bolus track(?:ing)?", "test bolus"),
    *("smart ?prep", "monitoring", "vnc", "iodine map", "kev"),
)
_DROPPED_CHINESE = re.compile("冠状|矢状|肺窗|骨窗|定位|剂量报告|监测|虚拟|碘图|减影")


@dataclass(frozen=True)
class Candidate:
    """A sub-series that could be the portal-venous one."""

    images: tuple[CtImage, ...] = field(repr=False)
    label: str
    votes: Mapping[str, Vote] = field(default_factory=dict)
    lost_because: str = ""

    @property
    def first(self) -> CtImage:
        """The image with the lowest SOP Instance UID, for attributes that are equal in all."""
        return self.images[0]

    @property
    def start_s(self) -> float | None:
        """Start of the acquisition in seconds of the day."""
        times = [image.acquisition_s for image in self.images if image.acquisition_s is not None]
        if not times:
            return None
        # Just after midnight the smallest time is the last one.
        late = [time for time in times if time > _DAY_SECONDS / 2]
        return min(late) if late and max(times) - min(times) > _DAY_SECONDS / 2 else min(times)

    @property
    def delay_s(self) -> float | None:
        """Seconds from the start of the bolus to the start of the acquisition."""
        bolus = [image.bolus_s for image in self.images if image.bolus_s is not None]
        if self.start_s is None or not bolus:
            return None
        return (self.start_s - min(bolus)) % _DAY_SECONDS

    @property
    def extent_mm(self) -> tuple[float, float] | None:
        """Lowest and highest z."""
        heights = [float(image.position_mm[2]) for image in self.images if image.position_mm is not None]
        return (min(heights), max(heights)) if heights else None

    @property
    def step_mm(self) -> float | None:
        """Median distance of neighbouring slices along z, unchecked; ``None`` for less than two."""
        heights = sorted(float(image.position_mm[2]) for image in self.images if image.position_mm is not None)
        return float(np.median(np.diff(heights))) if len(heights) > 1 else None

    @property
    def thickness_mm(self) -> float | None:
        """Median SliceThickness."""
        values = [image.thickness_mm for image in self.images if image.thickness_mm is not None]
        return float(np.median(values)) if values else None

    def count(self, vote: Vote) -> int:
        """Return the number of votes of one kind."""
        return sum(value == vote for value in self.votes.values())


def dropped_by_text(text: str) -> bool:
    """Whether a description names a reformat, a localizer or a map instead of an axial series.

    Parameters
    ----------
    text : str
        Folded as by ``gastromap.dicom_input.text.folded``.
    """
    return bool(_DROPPED.search(text) or _DROPPED_CHINESE.search(text))


def text_vote(text: str) -> Vote:
    """Read the phase from a description.

    Parameters
    ----------
    text : str
        Folded as by ``gastromap.dicom_input.text.folded``.

    Returns
    -------
    vote : str
        No evidence where several phases are named.
    """
    if _SEVERAL.search(text):
        return "no evidence"
    if _NEGATED.search(text):
        return "other"
    rest, other_veins = _OTHER_VEINS.subn(" ", text)
    portal = bool(_PORTAL.search(rest) or _PORTAL_CHINESE.search(rest))
    other = bool(other_veins or _OTHER.search(rest) or _OTHER_CHINESE.search(rest))
    if portal == other:
        return "no evidence"
    return "portal" if portal else "other"


def timing_votes(candidates: Sequence[Candidate]) -> list[Vote]:
    """Judge the delay after the start of the contrast bolus.

    Parameters
    ----------
    candidates : sequence of Candidate
        Of one study.

    Returns
    -------
    votes : list of str
        In the order of the candidates.

    Notes
    -----
    Equal delays at different acquisition times show that the bolus time is filled in by the protocol. Equal delays of
    reconstructions of one acquisition show nothing and are kept.
    """
    delays = [candidate.delay_s for candidate in candidates]
    known = {round(delay) for delay in delays if delay is not None}
    starts = {round(candidate.start_s) for candidate in candidates if candidate.start_s is not None}
    if len(known) == 1 and len(starts) > 1 and delays.count(None) == 0:
        return ["no evidence"] * len(candidates)
    return [_timing_vote(delay) for delay in delays]


def _timing_vote(delay: float | None) -> Vote:
    if delay is None or delay < 5 or delay > 900:
        return "no evidence"
    if 55 <= delay <= 90:
        return "portal"
    return "other" if delay < 50 or delay > 110 else "no evidence"


def _same_region(first: Candidate, second: Candidate) -> bool:
    a, b = first.extent_mm, second.extent_mm
    if a is None or b is None:
        return False
    overlap = min(a[1], b[1]) - max(a[0], b[0])
    return overlap >= 0.5 * min(a[1] - a[0], b[1] - b[0])


def order_votes(candidates: Sequence[Candidate]) -> list[Vote]:
    """Judge the place of each acquisition among the contrast acquisitions of its region.

    Parameters
    ----------
    candidates : sequence of Candidate
        With their text votes, so that a plain scan with a contrast tag is left out.

    Returns
    -------
    votes : list of str
        In the order of the candidates.
    """
    votes: list[Vote] = []
    for candidate in candidates:
        starts = _contrast_starts(candidate, candidates)
        votes.append(_order_vote(candidate.start_s, starts))
    return votes


def _contrast_starts(candidate: Candidate, candidates: Sequence[Candidate]) -> list[float]:
    """Return the start of each contrast acquisition of the region, in time order, reconstructions once."""
    times = sorted(
        other.start_s
        for other in candidates
        if other.start_s is not None and _with_contrast(other) and _same_region(candidate, other)
    )
    starts: list[float] = []
    for time in times:
        if not starts or time - starts[-1] > _SAME_ACQUISITION_S:
            starts.append(time)
    return starts


def _with_contrast(candidate: Candidate) -> bool:
    plain = _words("plain", "native", "non ?contrast", "unenhanced")
    named_plain = plain.search(candidate.first.description) or "平扫" in candidate.first.description
    return candidate.first.contrast and not named_plain


def _order_vote(start: float | None, starts: Sequence[float]) -> Vote:
    position = next(
        (index for index, time in enumerate(starts) if start is not None and abs(start - time) <= _SAME_ACQUISITION_S),
        None,
    )
    if position is None:
        return "no evidence"
    if len(starts) == 3:
        return "portal" if position == 1 else "other"
    if len(starts) == 2 and 20 <= starts[1] - starts[0] <= 60:
        return "portal" if position == 1 else "other"
    return "no evidence"
