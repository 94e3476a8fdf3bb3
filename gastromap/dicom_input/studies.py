"""Step 4 of the gate: is there a CT study at all, and which of two is the baseline.

Roles follow the acquisition times, never the names of folders.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from gastromap.dicom_input.folder import DicomFolder
from gastromap.dicom_input.image import CtImage, acquisition_moment
from gastromap.dicom_input.labels import quiet_pydicom
from gastromap.dicom_input.parse import ParsedFile
from gastromap.errors import Refusal

__all__ = ["Role", "check_any_ct", "enhanced_refusal", "study_roles", "unreadable_refusal"]

#: Time point of a study.
Role = Literal["baseline", "followup"]


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


def check_any_ct(folder: DicomFolder) -> None:
    """Refuse a folder without a classic CT image, or with one above the limit on file size.

    Parameters
    ----------
    folder : DicomFolder

    Raises
    ------
    Refusal
        ``LIMIT_EXCEEDED``, ``ENHANCED_UNSUPPORTED``, ``FILE_UNREADABLE``, ``NO_CT``.
    """
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
        raise enhanced_refusal("input")
    if folder.damaged:
        raise unreadable_refusal(folder, "input", folder.damaged)
    raise Refusal(
        "NO_CT",
        where="input",
        expected="CT images",
        got=f"modalities {', '.join(folder.modalities) or 'none'}",
        remedy="Send the CT study.",
    )


def enhanced_refusal(where: str) -> Refusal:
    """Make the refusal of Enhanced CT."""
    return Refusal(
        "ENHANCED_UNSUPPORTED",
        where=where,
        expected="single-frame CT",
        got="Enhanced CT",
        remedy="Convert to classic CT (for example emf2sf).",
    )


def unreadable_refusal(folder: DicomFolder, where: str, damaged: Sequence[ParsedFile]) -> Refusal:
    """Make the refusal of damaged files; the first is named by index and hash."""
    first = damaged[0]
    return Refusal(
        "FILE_UNREADABLE",
        where=where,
        expected="every DICOM file to be readable",
        got=f"{len(damaged)} damaged ({folder.file_label(first)}: {first.reason})",
        remedy="Send the series again or remove the file.",
    )
