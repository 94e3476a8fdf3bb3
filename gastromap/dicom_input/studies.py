"""Step 4 of the gate: is there a CT study at all, and which of two is the baseline.

Roles follow the acquisition times or the caller, never the names of folders.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gastromap.dicom_input.folder import DicomFolder
from gastromap.dicom_input.image import CtImage, acquisition_moment
from gastromap.dicom_input.labels import quiet_pydicom
from gastromap.dicom_input.parse import ParsedFile
from gastromap.errors import Refusal, UsageError

__all__ = ["NamedStudies", "Role", "check_any_ct", "enhanced_refusal", "study_roles", "unreadable_refusal"]

#: Time point of a study.
Role = Literal["baseline", "followup"]


@dataclass(frozen=True)
class NamedStudies:
    """Study Instance UIDs that the caller has given a role; ``None`` leaves it to the dates."""

    baseline: str | None = None
    followup: str | None = None

    def __bool__(self) -> bool:
        return self.baseline is not None or self.followup is not None


def study_roles(folder: DicomFolder, named: NamedStudies = NamedStudies()) -> dict[str, Role]:
    """Say which study is the baseline.

    Parameters
    ----------
    folder : DicomFolder
    named : NamedStudies, optional
        The other one of two studies gets the other role; of three and more, those without a role are left aside.

    Returns
    -------
    roles : dict
        Study Instance UID to role; without names, the earlier acquisition is the baseline.

    Raises
    ------
    Refusal
        ``TOO_MANY_STUDIES``, ``PATIENT_ID_MISSING``, ``STUDY_ROLE_AMBIGUOUS`` (also where the names contradict the
        acquisition times).
    UsageError
        ``STUDY_UNKNOWN``: a named study is not there, or one study got both roles.
    """
    studies: dict[str, list[CtImage]] = defaultdict(list)
    for image in folder.images:
        studies[image.study_uid].append(image)
    roles = _named_roles(studies.keys(), named)
    if len(studies) == 1:
        return roles or {next(iter(studies)): "baseline"}
    if not folder.patient_id_known:
        raise Refusal(
            "PATIENT_ID_MISSING",
            where="input",
            expected="a PatientID to join two studies",
            got="an empty one",
            remedy="Send the studies one by one or fill the ID.",
        )
    if len(studies) > 2 and not roles:
        raise Refusal(
            "TOO_MANY_STUDIES",
            where="input",
            expected="1 or 2 CT studies",
            got=str(len(studies)),
            remedy="Name baseline and follow-up.",
        )
    if len(studies) == 2 and len(roles) == 1:
        (role,) = roles.values()
        other: Role = "followup" if role == "baseline" else "baseline"
        roles.update({uid: other for uid in studies if uid not in roles})
    starts = {uid: _start(images) for uid, images in studies.items()}
    return _checked_by_date(roles, starts) if roles else _by_date(starts)


def _start(images: Sequence[CtImage]) -> str:
    """First acquisition as sortable digits; empty if no image has a date."""
    with quiet_pydicom():
        return min(filter(None, (acquisition_moment(image.header) for image in images)), default="")


def _named_roles(studies: Collection[str], named: NamedStudies) -> dict[str, Role]:
    given: list[tuple[str, Role]] = []
    if named.baseline is not None:
        given.append((named.baseline, "baseline"))
    if named.followup is not None:
        given.append((named.followup, "followup"))
    roles = dict(given)
    if any(uid not in studies for uid in roles) or len(roles) < len(given):
        raise UsageError(
            "STUDY_UNKNOWN",
            where="input",
            expected="Study Instance UIDs of different CT studies in the folder",
            got="one that is not there" if len(roles) == len(given) else "the same one twice",
            remedy="List the studies and name them.",
        )
    return roles


def _by_date(starts: Mapping[str, str]) -> dict[str, Role]:
    first, second = sorted(starts, key=lambda uid: starts[uid])
    if not starts[first] or starts[first] == starts[second]:
        raise _ambiguous("equal ones" if starts[first] else "a missing one")
    return {first: "baseline", second: "followup"}


def _checked_by_date(named: dict[str, Role], starts: Mapping[str, str]) -> dict[str, Role]:
    """Refuse names that say the opposite of the dates; where dates are missing or equal, the names decide."""
    times = {role: starts[uid] for uid, role in named.items()}
    before, after = times.get("baseline", ""), times.get("followup", "")
    if before and after and before > after:
        raise _ambiguous("roles against dates")
    return named


def _ambiguous(got: str) -> Refusal:
    return Refusal(
        "STUDY_ROLE_AMBIGUOUS",
        where="input",
        expected="two studies with different acquisition times",
        got=got,
        remedy="Name the roles.",
    )


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
