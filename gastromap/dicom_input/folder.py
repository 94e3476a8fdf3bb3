"""Steps 1 to 3 of the gate: scan, parse and patient check, up to a folder whose content is known.

No pixel is read here. What is wrong with one file is kept with it; whether it refuses the run is decided when the
series is chosen, because a damaged file of another series is only worth a warning.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gastromap.dicom_input.guarded_parse import parse_files
from gastromap.dicom_input.image import CtImage, ct_image
from gastromap.dicom_input.labels import Labels, quiet_pydicom
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.parse import CT_IMAGE, ParsedFile
from gastromap.dicom_input.patient import check_one_patient
from gastromap.dicom_input.scan import ScannedFolder, scan_folder
from gastromap.dicom_input.values import text_of
from gastromap.errors import Refusal

__all__ = [
    "DicomFolder",
    "ParsedFolder",
    "SeriesEntry",
    "check_folder",
    "folder_content",
    "load_folder",
    "parse_folder",
]

_log = logging.getLogger(__name__)
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_KEYWORDS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
#: Printed in messages, hence only known words: the attribute could hold anything.
_MODALITIES = frozenset(
    ("CR", "CT", "DX", "ES", "MG", "MR", "NM", "OT", "PR", "PT", "RF", "SC", "SEG", "SR", "US", "XA", "KO", "RTSTRUCT")
)


@dataclass(frozen=True)
class SeriesEntry:
    """One CT series of the folder, for a caller who wants to name it."""

    uid: str
    study_uid: str
    number: int | None
    label: str
    images: int


@dataclass(frozen=True)
class DicomFolder:
    """A scanned folder of one patient: CT images and the objects that can name a key slice.

    Attributes
    ----------
    images : tuple of CtImage
        Classic CT images, sorted by SOP Instance UID.
    objects : tuple of ParsedFile
        SEG, RTSTRUCT and Key Object Selection, sorted by SOP Instance UID.
    enhanced : tuple of ParsedFile
        Enhanced CT objects, which are refused if nothing else can be used.
    damaged : tuple of ParsedFile
        Files that should be DICOM and cannot be read.
    too_big : tuple of ParsedFile
        CT images above the limit on file size.
    other_series : frozenset of str
        Series Instance UIDs of DICOM objects of other kinds.
    modalities : tuple of str
        Modalities of all objects read; unknown ones as ``other``.
    warnings : tuple of str
        Warning codes so far.
    labels : Labels
        Names of series and files for messages of this run.
    """

    images: tuple[CtImage, ...] = field(repr=False)
    objects: tuple[ParsedFile, ...] = field(repr=False)
    enhanced: tuple[ParsedFile, ...] = field(repr=False)
    damaged: tuple[ParsedFile, ...] = field(repr=False)
    too_big: tuple[ParsedFile, ...] = field(repr=False)
    other_series: frozenset[str] = field(repr=False)
    modalities: tuple[str, ...]
    patient_id_known: bool
    foreign_files: int
    skipped_links: int
    warnings: tuple[str, ...]
    labels: Labels = field(repr=False)

    @property
    def series(self) -> tuple[SeriesEntry, ...]:
        """The CT series, sorted by UID."""
        counts = Counter(image.series_uid for image in self.images)
        first = {image.series_uid: image for image in reversed(self.images)}
        return tuple(
            SeriesEntry(
                uid=uid,
                study_uid=first[uid].study_uid,
                number=first[uid].series_number,
                label=self.labels.series(first[uid].series_number, uid),
                images=counts[uid],
            )
            for uid in sorted(counts)
        )

    def file_label(self, parsed: ParsedFile) -> str:
        """Name a file for a message."""
        return self.labels.file(parsed.file.index, parsed.file.content)


def _check_uids(files: Sequence[ParsedFile], labels: Labels) -> None:
    for parsed in files:
        if parsed.header is None:
            continue
        for keyword in _UID_KEYWORDS:
            value = text_of(parsed.header, keyword)
            if value and (len(value) > 64 or not _UID.fullmatch(value)):
                raise Refusal(
                    "UID_INVALID",
                    where=labels.file(parsed.file.index, parsed.file.content),
                    expected=f"a valid UID in {keyword}",
                    got="illegal characters or length",
                    remedy="Correct the sender.",
                )


def _refuse_deflated(files: Sequence[ParsedFile], labels: Labels) -> None:
    for parsed in files:
        if parsed.kind == "deflated":
            # A deflated data set of a megabyte can inflate to gigabytes, so it is not even opened.
            raise Refusal(
                "TRANSFER_SYNTAX",
                where=labels.file(parsed.file.index, parsed.file.content),
                expected="a supported transfer syntax",
                got="a deflated one",
                remedy="Recode it (dcmconv, gdcmconv).",
            )


def _derived_uid(*parts: object) -> str:
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "replace")).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def _with_derived_uids(files: Sequence[ParsedFile]) -> list[CtImage]:
    """Give images whose UIDs an anonymiser has blanked derived ones, the same in every run."""
    images = []
    for parsed in files:
        header = parsed.header
        if parsed.reason != "identifiers missing" or header is None or parsed.sop_class != CT_IMAGE:
            return []
        if not parsed.sop_uid:
            return []
        frame = text_of(header, "FrameOfReferenceUID")
        study = text_of(header, "StudyInstanceUID") or _derived_uid("study", frame, text_of(header, "StudyDate"))
        series = parsed.series_uid or _derived_uid("series", study, frame, text_of(header, "SeriesTime"))
        header.SOPClassUID = CT_IMAGE
        sound = replace(parsed, kind="ct", series_uid=series, reason="")
        images.append(ct_image(sound).with_uids(sop_uid=parsed.sop_uid, series_uid=series, study_uid=study))
    return images


def _modality(parsed: ParsedFile) -> str:
    value = "" if parsed.header is None else text_of(parsed.header, "Modality").upper()
    return value if value in _MODALITIES else "other"


def _file_refusal(code: str, where: str, expected: str, got: str, remedy: str) -> Refusal:
    return Refusal(code, where=where, expected=expected, got=got, remedy=remedy)


def _check_any_dicom(files: Sequence[ParsedFile], scanned: ScannedFolder) -> None:
    dicom = [parsed for parsed in files if parsed.kind not in ("foreign", "directory")]
    if not dicom:
        raise _file_refusal(
            "NO_DICOM",
            "input",
            "DICOM files",
            f"{len(files)} other files ({scanned.skipped_links} links skipped)",
            "Check the input folder.",
        )


@dataclass(frozen=True)
class ParsedFolder:
    """All files of a folder, read up to their pixels and sorted by kind, not yet checked against each other."""

    scanned: ScannedFolder
    files: tuple[ParsedFile, ...]
    labels: Labels


def parse_folder(folder: Path, *, settings: GateSettings, label_key: bytes | None = None) -> ParsedFolder:
    """Scan a folder and read all headers.

    Parameters
    ----------
    folder : Path
        Searched with its sub-folders; names and order of the files do not matter.
    settings : GateSettings
    label_key : bytes, optional
        Fixes the hashes in messages, for tests; random by default.

    Returns
    -------
    parsed : ParsedFolder

    Raises
    ------
    Refusal
        ``NO_DICOM``, ``LIMIT_EXCEEDED``.
    UsageError
        ``INPUT_NOT_FOUND``.
    """
    scanned = scan_folder(folder, settings=settings)
    labels = Labels(label_key)
    with quiet_pydicom():
        files = tuple(parse_files(scanned.files, settings=settings, labels=labels))
        _check_any_dicom(files, scanned)
    counts = sorted(Counter(file.kind for file in files).items())
    _log.info("%s; %d links skipped", ", ".join(f"{kind} {count}" for kind, count in counts), scanned.skipped_links)
    return ParsedFolder(scanned, files, labels)


def folder_content(parsed: ParsedFolder, *, settings: GateSettings, warnings: Sequence[str] = ()) -> DicomFolder:
    """Describe a parsed folder without judging whether its files belong together.

    Parameters
    ----------
    parsed : ParsedFolder
    settings : GateSettings
    warnings : sequence of str
        Codes of earlier checks, to go first.

    Returns
    -------
    content : DicomFolder
    """
    files = parsed.files
    with quiet_pydicom():
        images = [ct_image(file) for file in files if file.kind == "ct"]
        damaged = [file for file in files if file.kind == "damaged"]
        codes = list(warnings)
        if settings.derive_blanked_uids and not images:
            images = _with_derived_uids(damaged)
            if images:
                damaged = []
                codes.append("UIDS_DERIVED")
        modalities = tuple(sorted({_modality(file) for file in files if file.header is not None}))
    foreign = sum(file.kind == "foreign" for file in files)
    if foreign:
        codes.append("FOREIGN_FILES")
    if parsed.scanned.skipped_links:
        codes.append("LINKS_SKIPPED")
    codes.extend(sorted({image.text_warning for image in images if image.text_warning}))
    objects = [file for file in files if file.kind in ("seg", "rtstruct", "kos")]
    return DicomFolder(
        images=tuple(sorted(images, key=lambda image: (image.sop_uid, image.parsed.file.index))),
        objects=tuple(sorted(objects, key=lambda file: (file.sop_uid, file.file.index))),
        enhanced=tuple(file for file in files if file.kind == "enhanced"),
        damaged=tuple(damaged),
        too_big=tuple(file for file in files if file.kind == "too_big" and file.sop_class == CT_IMAGE),
        other_series=frozenset(file.series_uid for file in files if file.kind == "other"),
        modalities=modalities,
        patient_id_known="PATIENT_ID_EMPTY" not in codes,
        foreign_files=foreign,
        skipped_links=parsed.scanned.skipped_links,
        warnings=tuple(codes),
        labels=parsed.labels,
    )


def check_folder(parsed: ParsedFolder, *, settings: GateSettings) -> DicomFolder:
    """Make sure that a parsed folder holds one patient with valid identifiers.

    Parameters
    ----------
    parsed : ParsedFolder
    settings : GateSettings

    Returns
    -------
    content : DicomFolder

    Raises
    ------
    Refusal
        ``TRANSFER_SYNTAX`` (deflated), ``UID_INVALID``, ``PATIENT_MISMATCH``.
    """
    with quiet_pydicom():
        _refuse_deflated(parsed.files, parsed.labels)
        _check_uids(parsed.files, parsed.labels)
        warnings = check_one_patient(file.header for file in parsed.files if file.header is not None)
    return folder_content(parsed, settings=settings, warnings=warnings)


def load_folder(folder: Path, *, settings: GateSettings, label_key: bytes | None = None) -> DicomFolder:
    """Scan a folder, read all headers and make sure that it holds one patient.

    Parameters
    ----------
    folder : Path
    settings : GateSettings
    label_key : bytes, optional
        As in :func:`parse_folder`.

    Returns
    -------
    content : DicomFolder

    Raises
    ------
    Refusal, UsageError
        Codes of :func:`parse_folder` and :func:`check_folder`.
    """
    return check_folder(parse_folder(folder, settings=settings, label_key=label_key), settings=settings)
