"""What a folder holds and what the gate would do with it, for a person who wonders why.

Inspection runs the same steps as the gate but does not stop at the first fault: each series is judged alone, and the
answer of the real gate stands at the end. No pixel is decoded unless the image vote asks for it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gastromap.dicom_input.candidates import CandidateFinder
from gastromap.dicom_input.decision import with_votes
from gastromap.dicom_input.folder import DicomFolder, ParsedFolder, check_folder, folder_content, parse_folder
from gastromap.dicom_input.geometry import plan_geometry
from gastromap.dicom_input.image import CtImage
from gastromap.dicom_input.image_vote import voter_of
from gastromap.dicom_input.labels import quiet_pydicom
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.patient import group_identities, patient_identity
from gastromap.dicom_input.phase import Candidate, ImageVote, Vote
from gastromap.dicom_input.select import SelectedSeries, select_series
from gastromap.dicom_input.studies import NamedStudies, Role, study_roles
from gastromap.errors import GastromapError, Refusal

__all__ = ["FORMAT", "Decision", "FolderInspection", "VolumeFinding", "inspect_folder"]

FORMAT = "gastromap-inspection/1"
_PLANES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True)
class VolumeFinding:
    """One volume of a series: a series holds several where phases or reconstructions share its UID."""

    study: int  #: 1 is the first by acquisition time where times are known
    patients: tuple[int, ...]  #: numbers of the patients whose files are in it; more than one is a fault
    series: str  #: ``series N #h8``, as in messages
    series_instance_uid: str
    study_instance_uid: str
    number_of_images: int
    plane: str  #: axial, coronal, sagittal, oblique or unknown
    matrix: str  #: columns x rows
    step_mm: float | None  #: median distance of neighbouring slices
    thickness_mm: float | None
    z_range_mm: tuple[float, float] | None
    kernel: str | None
    votes: Mapping[str, str]  #: text, timing, order, image; empty where the volume is no candidate
    rejected: str  #: why it is no candidate; empty if it is one
    problem: str  #: line of the refusal if this volume were chosen; empty if it is sound
    chosen: bool = False


@dataclass(frozen=True)
class Decision:
    """Answer of the gate: a chosen series, or the refusal."""

    code: str  #: ``CHOSEN`` or the code of the refusal
    message: str
    exit_code: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class FolderInspection:
    """Everything found; holds no patient data except the UIDs of studies and series."""

    files: Mapping[str, int]  #: number of files by kind
    patients: int
    studies: Mapping[int, str]  #: number to role, ``no role`` if the gate could not give one
    volumes: tuple[VolumeFinding, ...]
    damaged: Mapping[str, int] = field(default_factory=dict)  #: reason to number of files
    decision: Decision = Decision("", "", 0)

    def to_mapping(self) -> dict[str, Any]:
        """Return the inspection as JSON-ready values."""
        return {"format": FORMAT, **asdict(self)}


def inspect_folder(
    folder: Path,
    *,
    settings: GateSettings,
    series_uid: str | None = None,
    named_studies: NamedStudies = NamedStudies(),  # noqa: B008 - frozen
    image_vote: ImageVote | None = None,
) -> FolderInspection:
    """Look at a folder of DICOM and say what the gate would do with it.

    Parameters
    ----------
    folder : Path
    settings : GateSettings
    series_uid, named_studies : optional
        As in :func:`gastromap.dicom_input.select_series`.
    image_vote : callable, optional
        Fourth vote on the phase.

    Returns
    -------
    inspection : FolderInspection

    Raises
    ------
    Refusal
        ``NO_DICOM``, ``LIMIT_EXCEEDED``: there is nothing to look at.
    UsageError
        ``INPUT_NOT_FOUND``.
    """
    parsed = parse_folder(folder, settings=settings)
    # The gate and the table below ask about the same candidates; their pixels are decoded once.
    image_vote = _asked_once(voter_of(settings, image_vote))
    content, fault = _checked(parsed, settings)
    if fault:
        selected, decision = None, _refused(fault)
    else:
        selected, decision = _decide(content, settings, series_uid, named_studies, image_vote)
    patients = _patients(parsed)
    studies, roles = _studies(content, named_studies)
    chosen = set() if selected is None else {image.sop_uid for image in selected.images}
    volumes: list[VolumeFinding] = []
    with quiet_pydicom():
        for number, images in enumerate(studies, start=1):
            volumes += _volumes(content, settings, images, number, patients, image_vote, chosen)
    return FolderInspection(
        files=_kinds(parsed, content),
        patients=len(set(patients.values())),
        studies={n: roles.get(images[0].study_uid, "no role") for n, images in enumerate(studies, start=1)},
        volumes=tuple(volumes),
        damaged=dict(sorted(Counter(file.reason for file in content.damaged).items())),
        decision=decision,
    )


def _asked_once(vote: ImageVote | None) -> ImageVote | None:
    if vote is None:
        return None
    answers: dict[tuple[str, ...], Vote] = {}

    def ask(images: Sequence[CtImage]) -> Vote:
        key = tuple(image.sop_uid for image in images)
        if key not in answers:
            answers[key] = vote(images)
        return answers[key]

    return ask


def _checked(parsed: ParsedFolder, settings: GateSettings) -> tuple[DicomFolder, GastromapError | None]:
    """Content of the folder, and the refusal if its files do not belong together."""
    try:
        return check_folder(parsed, settings=settings), None
    except GastromapError as error:
        return folder_content(parsed, settings=settings), error


def _refused(error: GastromapError) -> Decision:
    return Decision(error.code, str(error), int(error.exit_code))


def _decide(
    folder: DicomFolder,
    settings: GateSettings,
    series_uid: str | None,
    named: NamedStudies,
    image_vote: ImageVote | None,
) -> tuple[SelectedSeries | None, Decision]:
    try:
        selected = select_series(
            folder, settings=settings, series_uid=series_uid, named_studies=named, image_vote=image_vote
        )
    except GastromapError as error:
        return None, _refused(error)
    message = f"{selected.role} {selected.record.label} would be used ({selected.record.phase})."
    return selected, Decision("CHOSEN", message, 0, selected.warnings)


def _patients(parsed: ParsedFolder) -> dict[int, int]:
    """Number the patients; file index to patient number. Files without identity are left out."""
    with quiet_pydicom():
        known = {file.file.index: patient_identity(file.header) for file in parsed.files if file.header is not None}
    numbers = group_identities(known.values())
    return {index: numbers[one] for index, one in known.items() if one in numbers}


def _kinds(parsed: ParsedFolder, content: DicomFolder) -> dict[str, int]:
    """Count the files by kind; images whose blanked UIDs were replaced are images."""
    used = {image.parsed.file.index for image in content.images}
    return dict(sorted(Counter("ct" if file.file.index in used else file.kind for file in parsed.files).items()))


def _studies(content: DicomFolder, named: NamedStudies) -> tuple[list[list[CtImage]], dict[str, Role]]:
    studies: dict[str, list[CtImage]] = defaultdict(list)
    for image in content.images:
        studies[image.study_uid].append(image)
    try:
        roles = study_roles(content, named) if studies else {}
    except GastromapError:
        roles = {}
    order = sorted(studies, key=lambda uid: (roles.get(uid, ""), uid))
    return [studies[uid] for uid in order], roles


def _volumes(
    content: DicomFolder,
    settings: GateSettings,
    images: Sequence[CtImage],
    study: int,
    patients: Mapping[int, int],
    image_vote: ImageVote | None,
    chosen: set[str],
) -> list[VolumeFinding]:
    finder = CandidateFinder(content, settings, "baseline")
    series: dict[str, list[CtImage]] = defaultdict(list)
    for image in images:
        series[image.series_uid].append(image)
    kept: list[Candidate] = []
    others: list[tuple[Candidate, str, str]] = []
    for uid in sorted(series, key=lambda uid: (series[uid][0].series_number or 0, uid)):
        try:
            parts = finder.volumes(series[uid])
        except Refusal as refusal:
            whole = Candidate(tuple(series[uid]), content.labels.series(series[uid][0].series_number, uid))
            others.append((whole, "not separable", str(refusal)))
            continue
        for part in parts:
            reason = finder.rejection(part)
            if reason:
                others.append((part, reason, ""))
            else:
                kept.append(part)
    found = []
    for candidate, rejected, problem in [*((c, "", "") for c in with_votes(kept, image_vote)), *others]:
        if not rejected:
            try:
                plan_geometry(candidate.images, settings=settings, where=_label(candidate))
            except Refusal as refusal:
                problem = str(refusal)
        found.append(_finding(candidate, settings, study, rejected, problem, patients, chosen))
    return sorted(found, key=lambda item: (item.series.split(" #")[0], item.series))


def _label(candidate: Candidate) -> str:
    return candidate.label.removeprefix("baseline ")


def _finding(
    candidate: Candidate,
    settings: GateSettings,
    study: int,
    rejected: str,
    problem: str,
    patients: Mapping[int, int],
    chosen: set[str],
) -> VolumeFinding:
    first = candidate.first
    extent, step = candidate.extent_mm, candidate.step_mm
    sizes = {(image.columns, image.rows) for image in candidate.images}
    return VolumeFinding(
        study=study,
        patients=tuple(
            sorted({patients[i.parsed.file.index] for i in candidate.images if i.parsed.file.index in patients})
        ),
        series=_label(candidate),
        series_instance_uid=first.series_uid,
        study_instance_uid=first.study_uid,
        number_of_images=len(candidate.images),
        plane=_plane(first, settings.max_axial_degrees),
        matrix=f"{first.columns}x{first.rows}" if len(sizes) == 1 else f"{len(sizes)} sizes",
        step_mm=None if step is None else round(step, 3),
        thickness_mm=candidate.thickness_mm,
        z_range_mm=None if extent is None else (round(extent[0], 2), round(extent[1], 2)),
        kernel=first.kernel,
        votes=dict(candidate.votes),
        rejected=rejected,
        problem=problem,
        chosen=bool(chosen) and {image.sop_uid for image in candidate.images} <= chosen,
    )


def _plane(image: CtImage, max_degrees: float) -> str:
    normal = image.normal
    if normal is None:
        return "unknown"
    axis = int(np.argmax(np.abs(normal)))
    return _PLANES[axis] if abs(float(normal[axis])) >= np.cos(np.radians(max_degrees)) else "oblique"
