"""Steps 4 to 7 of the gate: study roles, series candidates, phase decision and geometry of the chosen series.

Order of the refusals, where several apply. A lone candidate has its geometry checked before its phase: a gap is not
cured by naming the series, so it is the more useful answer. A proven gap comes before FILE_UNREADABLE; gaps that the
damaged files could explain do not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median
from typing import Literal

from gastromap.dicom_input.decode import stored_digest
from gastromap.dicom_input.folder import DicomFolder
from gastromap.dicom_input.geometry import Geometry, plan_geometry
from gastromap.dicom_input.image import CtImage, acquisition_moment
from gastromap.dicom_input.kernels import is_sharp_kernel, softness_rank
from gastromap.dicom_input.labels import Labels, quiet_pydicom
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.parse import ParsedFile
from gastromap.dicom_input.phase import (
    Candidate,
    ImageVote,
    Vote,
    dropped_by_text,
    order_votes,
    text_vote,
    timing_votes,
)
from gastromap.dicom_input.subseries import is_axial, split_series
from gastromap.errors import Refusal, UsageError
from gastromap.volume import SeriesRecord

__all__ = ["Role", "SelectedSeries", "select_series", "study_roles"]

Role = Literal["baseline", "followup"]

_NO_VOTES: dict[str, Vote] = dict.fromkeys(("text", "timing", "order", "image"), "no evidence")
#: Faults of geometry that a damaged file of the same series would explain.
_EXPLAINED_BY_DAMAGE = ("SPACING_VARIES", "COVERAGE", "TOO_FEW_SLICES")


@dataclass(frozen=True)
class SelectedSeries:
    """The series the volume is built from, checked on headers.

    Attributes
    ----------
    geometry : Geometry
        Slices in order and affine.
    record : SeriesRecord
        With phase and votes.
    role : str
        ``baseline`` or ``followup``.
    runners_up : tuple of SeriesRecord
        Other axial series; ``phase`` says why each lost.
    warnings : tuple of str
        Codes of scan, parse and selection.
    """

    geometry: Geometry = field(repr=False)
    record: SeriesRecord
    role: Role
    runners_up: tuple[SeriesRecord, ...]
    warnings: tuple[str, ...]
    where: str
    labels: Labels = field(repr=False)

    @property
    def images(self) -> tuple[CtImage, ...]:
        """The slices, rising along the slice normal."""
        return self.geometry.images


def study_roles(folder: DicomFolder) -> dict[str, Role]:
    """Say which study is the baseline.

    Parameters
    ----------
    folder : DicomFolder

    Returns
    -------
    roles : dict
        Study Instance UID to role; the earlier acquisition is the baseline.

    Raises
    ------
    Refusal
        ``TOO_MANY_STUDIES``, ``PATIENT_ID_MISSING``, ``STUDY_ROLE_AMBIGUOUS``.
    """
    studies: dict[str, list[CtImage]] = defaultdict(list)
    for image in folder.images:
        studies[image.study_uid].append(image)
    if len(studies) == 1:
        return {next(iter(studies)): "baseline"}
    if len(studies) > 2:
        raise Refusal(
            "TOO_MANY_STUDIES",
            where="input",
            expected="1 or 2 CT studies",
            got=str(len(studies)),
            remedy="Name baseline and follow-up.",
        )
    if not folder.patient_id_known:
        raise Refusal(
            "PATIENT_ID_MISSING",
            where="input",
            expected="a PatientID to join two studies",
            got="an empty one",
            remedy="Send the studies one by one or fill the ID.",
        )
    with quiet_pydicom():
        moments = {uid: [acquisition_moment(image.header) for image in images] for uid, images in studies.items()}
    starts = {uid: min(filter(None, values), default="") for uid, values in moments.items()}
    first, second = sorted(starts, key=lambda uid: starts[uid])
    if not starts[first] or starts[first] == starts[second]:
        raise Refusal(
            "STUDY_ROLE_AMBIGUOUS",
            where="input",
            expected="two studies with different acquisition times",
            got="equal ones" if starts[first] else "a missing one",
            remedy="Name the roles.",
        )
    return {first: "baseline", second: "followup"}


def _check_any_ct(folder: DicomFolder) -> None:
    if folder.too_big:
        raise Refusal(
            "LIMIT_EXCEEDED",
            where=folder.file_label(folder.too_big[0]),
            expected="a file size within the limit",
            got=f"{folder.too_big[0].file.size} bytes",
            remedy="Split the input or raise the limit in the configuration.",
        )
    if folder.images:
        return
    if folder.enhanced:
        raise _enhanced("input")
    if folder.damaged:
        raise _unreadable(folder, "input", folder.damaged)
    raise Refusal(
        "NO_CT",
        where="input",
        expected="CT images",
        got=f"modalities {', '.join(folder.modalities) or 'none'}",
        remedy="Send the CT study.",
    )


def _enhanced(where: str) -> Refusal:
    return Refusal(
        "ENHANCED_UNSUPPORTED",
        where=where,
        expected="single-frame CT",
        got="Enhanced CT",
        remedy="Convert to classic CT (for example emf2sf).",
    )


def _unreadable(folder: DicomFolder, where: str, damaged: Sequence[ParsedFile]) -> Refusal:
    first = damaged[0]
    return Refusal(
        "FILE_UNREADABLE",
        where=where,
        expected="every DICOM file to be readable",
        got=f"{len(damaged)} damaged ({folder.file_label(first)}: {first.reason})",
        remedy="Send the series again or remove the file.",
    )


class _Selection:
    """One run of the selection in one study."""

    def __init__(self, folder: DicomFolder, settings: GateSettings, role: Role, image_vote: ImageVote | None) -> None:
        self.folder = folder
        self.settings = settings
        self.role: Role = role
        self.image_vote = image_vote
        self.warnings: list[str] = list(folder.warnings)

    def label(self, image: CtImage) -> str:
        return f"{self.role} {self.folder.labels.series(image.series_number, image.series_uid)}"

    def unique(self, images: Sequence[CtImage]) -> list[CtImage]:
        """Keep each SOP Instance UID once; two contents under one are a fault of the sender."""
        groups: dict[str, list[CtImage]] = defaultdict(list)
        for image in images:
            groups[image.sop_uid].append(image)
        conflicts = 0
        for group in groups.values():
            if len(group) > 1:
                self.warnings.append("DUPLICATES_DROPPED")
                contents = {(image.series_uid, str(image.position_mm), stored_digest(image)) for image in group}
                conflicts += len(contents) > 1
        if conflicts:
            raise Refusal(
                "DUPLICATE_CONFLICT",
                where=self.label(images[0]),
                expected="one content a SOP Instance UID",
                got=f"{conflicts} with two",
                remedy="Correct the sender.",
            )
        return [group[0] for group in groups.values()]

    def parts(self, images: Sequence[CtImage]) -> list[Candidate]:
        split = split_series(
            self.unique(images),
            digest=stored_digest,
            where=self.label(images[0]),
            max_axial_degrees=self.settings.max_axial_degrees,
        )
        self.warnings.extend(split.warnings)
        return [Candidate(part, self.label(part[0])) for part in split.parts]

    def rejection(self, candidate: Candidate) -> str:
        first = candidate.first
        if any("LOCALIZER" in word for image in candidate.images for word in image.image_type):
            return "localizer"
        if first.image_type and (first.image_type[0] == "DERIVED" or "SECONDARY" in first.image_type[1:2]):
            return "derived or secondary"
        if not is_axial(first, max_degrees=self.settings.max_axial_degrees):
            return "not axial"
        if is_sharp_kernel(first.kernel):
            return "sharp kernel"
        if dropped_by_text(first.description):
            return "reformat or other purpose"
        return "too few slices" if len(candidate.images) < self.settings.min_slices else ""

    def candidates(self, images: Sequence[CtImage]) -> tuple[list[Candidate], list[Candidate]]:
        """Split the series of the study and sort out what cannot be the axial one."""
        series: dict[str, list[CtImage]] = defaultdict(list)
        for image in images:
            series[image.series_uid].append(image)
        kept: list[Candidate] = []
        rejected: list[Candidate] = []
        for uid in sorted(series):
            for candidate in self._parts_or_whole(series[uid]):
                reason = self.rejection(candidate)
                (rejected if reason else kept).append(replace(candidate, lost_because=reason))
        if not kept:
            # One short series alone: that it is short is the better answer than that there is none.
            kept = [replace(item, lost_because="") for item in rejected if item.lost_because == "too few slices"]
            rejected = [item for item in rejected if item.lost_because != "too few slices"]
        if not kept:
            self._refuse_no_axial(rejected)
        return kept, rejected

    def _parts_or_whole(self, images: Sequence[CtImage]) -> list[Candidate]:
        whole = Candidate(tuple(images), self.label(images[0]))
        # A series rejected as a whole need not be separable.
        if self.rejection(whole) in ("derived or secondary", "sharp kernel", "reformat or other purpose"):
            return [whole]
        return self.parts(images)

    def _refuse_no_axial(self, rejected: Sequence[Candidate]) -> None:
        if self.folder.enhanced:
            raise _enhanced(self.role)
        reasons = Counter(candidate.lost_because for candidate in rejected)
        counts = ", ".join(f"{reason} ({number})" for reason, number in sorted(reasons.items()))
        raise Refusal(
            "NO_AXIAL_SERIES",
            where=self.role,
            expected="an axial soft-kernel series",
            got=f"{len(rejected)} series, rejected as {counts}",
            remedy="Send the axial reconstruction.",
        )

    def vote(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        protocols = {candidate.first.protocol for candidate in candidates}
        texts = [
            # A protocol name common to all series names the examination, not the phase.
            f"{candidate.first.description} {candidate.first.protocol if len(protocols) > 1 else ''}".strip()
            for candidate in candidates
        ]
        timing, order = timing_votes(candidates), order_votes(candidates)
        return [
            replace(
                candidate,
                votes={
                    "text": text_vote(texts[index]),
                    "timing": timing[index],
                    "order": order[index],
                    "image": self.image_vote(candidate.images) if self.image_vote else "no evidence",
                },
            )
            for index, candidate in enumerate(candidates)
        ]

    def decide(self, voted: Sequence[Candidate], minimum: int) -> Candidate:
        contradicted = [item for item in voted if item.count("portal") and item.count("other")]
        sound = [item for item in voted if item.count("portal") >= minimum and not item.count("other")]
        if sound:
            return self._best(sound)
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
            where=self.role,
            expected=f"a portal-venous series backed by {minimum} sources",
            got=f"{len(voted)} axial series with at most {most}",
            remedy="Name the series.",
        )

    def _rank(self, item: Candidate) -> tuple[float, ...]:
        limits, thickness = self.settings, item.thickness_mm
        allowed = thickness is not None and limits.min_thickness_mm <= thickness <= limits.max_thickness_mm
        distance = abs(thickness - limits.target_thickness_mm) if thickness is not None else float("inf")
        return (float(softness_rank(item.first.kernel)), float(not allowed), distance, float(-len(item.images)))

    def _best(self, sound: Sequence[Candidate]) -> Candidate:
        ranked = sorted(sound, key=self._rank)
        starts = [item.start_s for item in sound]
        known = [start for start in starts if start is not None]
        one_acquisition = len(known) == len(starts) and max(known) - min(known) <= 5.0
        several_parts = len({item.first.series_uid for item in sound}) < len(sound)
        tied = len(ranked) > 1 and self._rank(ranked[0]) == self._rank(ranked[1])
        if len(ranked) > 1 and (tied or not one_acquisition or several_parts):
            raise Refusal(
                "AMBIGUOUS_SERIES",
                where=self.role,
                expected="one best series",
                got=f"{len(ranked)} equal ({', '.join(item.label.removeprefix(self.role + ' ') for item in ranked)})",
                remedy="Name the series.",
            )
        return ranked[0]

    def damaged_in(self, candidate: Candidate) -> list[ParsedFile]:
        uid = candidate.first.series_uid
        return [parsed for parsed in self.folder.damaged if parsed.series_uid in ("", uid)]

    def geometry(self, candidate: Candidate) -> Geometry:
        damaged = self.damaged_in(candidate)
        where = candidate.label
        try:
            geometry = plan_geometry(candidate.images, settings=self.settings, where=where, damaged=len(damaged))
        except Refusal as refusal:
            if damaged and refusal.code in _EXPLAINED_BY_DAMAGE:
                raise _unreadable(self.folder, self.role, damaged) from None
            raise
        if damaged:
            raise _unreadable(self.folder, self.role, damaged)
        if len(self.folder.damaged) > len(damaged):
            self.warnings.append("OTHER_SERIES_DAMAGED")
        return geometry

    def record(self, candidate: Candidate, phase: str, geometry: Geometry | None = None) -> SeriesRecord:
        first = candidate.first
        return SeriesRecord(
            series_instance_uid=first.series_uid,
            study_instance_uid=first.study_uid,
            series_number=first.series_number,
            label=candidate.label.removeprefix(f"{self.role} "),
            number_of_slices=len(candidate.images),
            step_mm=geometry.step_mm if geometry else _median_step(candidate),
            thickness_mm=candidate.thickness_mm,
            kernel=first.kernel,
            phase=phase,
            votes=dict(candidate.votes or _NO_VOTES),
        )


def _median_step(candidate: Candidate) -> float:
    """Return the step of a series that was not checked; 0 if it has none."""
    heights = sorted(float(image.position_mm[2]) for image in candidate.images if image.position_mm is not None)
    return median(b - a for a, b in pairwise(heights)) if len(heights) > 1 else 0.0


def _unknown_series() -> UsageError:
    return UsageError(
        "SERIES_UNKNOWN",
        where="input",
        expected="the Series Instance UID of a CT series in the folder",
        got="one that is not there",
        remedy="List the series and name one of them.",
    )


def _loser_reason(item: Candidate, minimum: int) -> str:
    if item.count("portal") and item.count("other"):
        return "votes disagree"
    if item.count("portal") < minimum:
        return "too few portal votes"
    return "lower rank"


def select_series(
    folder: DicomFolder,
    *,
    settings: GateSettings,
    series_uid: str | None = None,
    role: Role = "baseline",
    image_vote: ImageVote | None = None,
) -> SelectedSeries:
    """Choose the one portal-venous axial series of a study, or refuse.

    Parameters
    ----------
    folder : DicomFolder
    settings : GateSettings
    series_uid : str, optional
        A series named by the caller. It replaces the votes, never the patient check, geometry or decoding.
    role : {"baseline", "followup"}
        Which of two studies; with one study there is only the baseline. A named series brings its own role.
    image_vote : callable, optional
        Plug-in for the fourth vote: gets the images of a candidate and returns a vote.

    Returns
    -------
    selected : SelectedSeries

    Raises
    ------
    UsageError
        ``SERIES_UNKNOWN``, ``ROLE_UNKNOWN``.
    Refusal
        Codes of steps 4 to 7.
    """
    with quiet_pydicom():
        _check_any_ct(folder)
        roles = study_roles(folder)
        if series_uid is not None:
            named = [image for image in folder.images if image.series_uid == series_uid]
            if not named:
                raise _unknown_series()
            role = roles[named[0].study_uid]
        elif role not in roles.values():
            raise UsageError(
                "ROLE_UNKNOWN",
                where=role,
                expected="a second CT study",
                got="one study",
                remedy="Send both studies or ask for the baseline.",
            )
        study = [image for image in folder.images if roles[image.study_uid] == role]
        selection = _Selection(folder, settings, role, image_vote)
        if len(roles) > 1:
            selection.warnings.append("ROLE_BY_DATE")
        if series_uid is not None:
            return _named(selection, [image for image in study if image.series_uid == series_uid])
        return _voted(selection, study)


def _named(selection: _Selection, images: Sequence[CtImage]) -> SelectedSeries:
    parts = selection.vote(selection.parts(images))
    minimum = selection.settings.min_sources
    # A name that covers several volumes does not say which one; the votes must.
    chosen = parts[0] if len(parts) == 1 else selection.decide(parts, minimum)
    selection.warnings.append("SERIES_BY_OPERATOR")
    if is_sharp_kernel(chosen.first.kernel):
        selection.warnings.append("KERNEL_SHARP")
    geometry = selection.geometry(chosen)
    others = [item for item in parts if item is not chosen]
    return _selected(selection, chosen, geometry, "named by the caller", others, minimum)


def _voted(selection: _Selection, study: Sequence[CtImage]) -> SelectedSeries:
    kept, rejected = selection.candidates(study)
    lone = selection.geometry(kept[0]) if len(kept) == 1 else None
    voted = selection.vote(kept)
    minimum = selection.settings.min_sources
    chosen = selection.decide(voted, minimum)
    if chosen.count("portal") == 1:
        selection.warnings.append("PHASE_ONE_SOURCE")
    geometry = lone or selection.geometry(chosen)
    others = [item for item in voted if item is not chosen] + rejected
    return _selected(selection, chosen, geometry, "portal-venous", others, minimum)


def _selected(
    selection: _Selection,
    chosen: Candidate,
    geometry: Geometry,
    phase: str,
    others: Sequence[Candidate],
    minimum: int,
) -> SelectedSeries:
    losers = tuple(
        selection.record(item, f"lost: {item.lost_because or _loser_reason(item, minimum)}") for item in others
    )
    return SelectedSeries(
        geometry=geometry,
        record=selection.record(chosen, phase, geometry),
        role=selection.role,
        runners_up=losers,
        warnings=tuple(dict.fromkeys([*selection.warnings, *geometry.warnings])),
        where=chosen.label,
        labels=selection.folder.labels,
    )
