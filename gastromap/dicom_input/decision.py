"""Step 6 of the gate: count the votes and choose one series, or refuse.

A candidate with both a portal and an other vote is out, however many portal votes it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gastromap.dicom_input.kernels import softness_rank
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.phase import Candidate, ImageVote, Vote, order_votes, text_vote, timing_votes
from gastromap.errors import Refusal

__all__ = ["choose_portal", "loser_reason", "with_votes"]

_SAME_ACQUISITION_S = 5.0


def _rank(item: Candidate, limits: GateSettings) -> tuple[float, ...]:
    thickness = item.thickness_mm
    allowed = thickness is not None and limits.min_thickness_mm <= thickness <= limits.max_thickness_mm
    distance = abs(thickness - limits.target_thickness_mm) if thickness is not None else float("inf")
    return (float(softness_rank(item.first.kernel)), float(not allowed), distance, float(-len(item.images)))


def _best(sound: Sequence[Candidate], settings: GateSettings, role: str) -> Candidate:
    ranked = sorted(sound, key=lambda item: _rank(item, settings))
    starts = [item.start_s for item in sound]
    known = [start for start in starts if start is not None]
    one_acquisition = len(known) == len(starts) and max(known) - min(known) <= _SAME_ACQUISITION_S
    several_parts = len({item.first.series_uid for item in sound}) < len(sound)
    tied = len(ranked) > 1 and _rank(ranked[0], settings) == _rank(ranked[1], settings)
    if len(ranked) > 1 and (tied or not one_acquisition or several_parts):
        raise Refusal(
            "AMBIGUOUS_SERIES",
            where=role,
            expected="one best series",
            got=f"{len(ranked)} equal ({', '.join(item.label.removeprefix(role + ' ') for item in ranked)})",
            remedy="Name the series.",
        )
    return ranked[0]


def with_votes(candidates: Sequence[Candidate], image_vote: ImageVote | None = None) -> list[Candidate]:
    """Let the four sources vote on each candidate.

    Parameters
    ----------
    candidates : sequence of Candidate
        Of one study.
    image_vote : callable, optional
        Plug-in for the fourth vote.

    Returns
    -------
    voted : list of Candidate
    """
    protocols = {candidate.first.protocol for candidate in candidates}
    texts = [
        # A protocol name common to all series names the examination, not the phase.
        f"{candidate.first.description} {candidate.first.protocol if len(protocols) > 1 else ''}".strip()
        for candidate in candidates
    ]
    timing, order = timing_votes(candidates), order_votes(candidates)
    headers = [
        {"text": text_vote(texts[index]), "timing": timing[index], "order": order[index]}
        for index in range(len(candidates))
    ]
    return [
        replace(candidate, votes={**votes, "image": _image_vote(candidate, votes, image_vote)})
        for candidate, votes in zip(candidates, headers, strict=True)
    ]


def _image_vote(candidate: Candidate, votes: Mapping[str, Vote], image_vote: ImageVote | None) -> Vote:
    """Ask the pixels, unless the header has lost the candidate already: then nothing is decoded for it."""
    if image_vote is None or "other" in votes.values():
        return "no evidence"
    return image_vote(candidate.images)


def choose_portal(voted: Sequence[Candidate], *, settings: GateSettings, role: str) -> Candidate:
    """Choose the one portal-venous candidate.

    Parameters
    ----------
    voted : sequence of Candidate
    settings : GateSettings
        Votes needed, and target and allowed thickness.
    role : str
        For messages.

    Returns
    -------
    chosen : Candidate

    Raises
    ------
    Refusal
        ``PHASE_CONFLICT``, ``NO_PORTAL_SERIES``, ``AMBIGUOUS_SERIES``.
    """
    minimum = settings.min_sources
    contradicted = [item for item in voted if item.count("portal") and item.count("other")]
    sound = [item for item in voted if item.count("portal") >= minimum and not item.count("other")]
    if sound:
        return _best(sound, settings, role)
    if contradicted:
        item = contradicted[0]
        votes = " ".join(f"{source}={vote}" for source, vote in item.votes.items())
        raise Refusal(
            "PHASE_CONFLICT",
            where=item.label,
            expected="agreeing phase evidence",
            got=votes,
            remedy="Check, then name the series.",
        )
    most = max(item.count("portal") for item in voted)
    raise Refusal(
        "NO_PORTAL_SERIES",
        where=role,
        expected=f"a portal-venous series backed by {minimum} sources",
        got=f"{len(voted)} axial series with at most {most}",
        remedy="Name the series.",
    )


def loser_reason(item: Candidate, *, settings: GateSettings) -> str:
    """Say why a candidate that was voted on has lost."""
    if item.count("portal") and item.count("other"):
        return "votes disagree"
    if item.count("portal") < settings.min_sources:
        return "too few portal votes"
    return "lower rank"
