"""One patient a folder: compare the identity of every DICOM object that was read.

Slices of two patients under one series UID pass every geometric check; only this comparison finds them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import pydicom

from gastromap.dicom_input.text import folded, header_text
from gastromap.errors import Refusal

__all__ = ["PatientIdentity", "check_one_patient", "group_identities", "patient_identity"]

_FIELDS = {
    "patient_id": "PatientID",
    "issuer": "IssuerOfPatientID",
    "birth_date": "PatientBirthDate",
    "sex": "PatientSex",
}


@dataclass(frozen=True)
class PatientIdentity:
    """Identity as written in one object; empty strings where it is silent."""

    patient_id: str
    issuer: str
    birth_date: str
    sex: str
    name_groups: tuple[str, ...]  #: alphabetic, ideographic, phonetic; folded
    name_bytes: bytes | None  #: instead of groups, where the name cannot be decoded


def patient_identity(header: pydicom.Dataset) -> PatientIdentity:
    """Take the patient's identity from a header.

    Parameters
    ----------
    header : Dataset

    Returns
    -------
    identity : PatientIdentity
        Hashable, so that a set of them holds each identity once.
    """
    values = {
        name: unicodedata.normalize("NFKC", header_text(header, keyword).text).strip()
        for name, keyword in _FIELDS.items()
    }
    name = header_text(header, "PatientName")
    groups: tuple[str, ...] = ()
    if name.warning is None:
        # Trailing carets only say that a component is empty.
        groups = tuple(folded(group.rstrip("^ ").replace("^", " ")) for group in name.text.split("="))
    return PatientIdentity(
        **values, name_groups=groups, name_bytes=name.raw if name.warning is not None and name.raw else None
    )


def _name_differs(first: PatientIdentity, second: PatientIdentity) -> bool | None:
    """Compare two names; ``None`` if they share no part that could be compared."""
    if first.name_bytes is not None or second.name_bytes is not None:
        if first.name_bytes is None or second.name_bytes is None:
            return None
        return first.name_bytes != second.name_bytes
    shared = [(a, b) for a, b in zip(first.name_groups, second.name_groups, strict=False) if a and b]
    if not shared:
        return None
    return any(a != b for a, b in shared)


def _has_name(identity: PatientIdentity) -> bool:
    return bool(identity.name_bytes or any(identity.name_groups))


def _agree(first: PatientIdentity, second: PatientIdentity) -> bool:
    """Whether two objects may belong to one patient; an empty field agrees with everything."""
    pairs = ((getattr(first, name), getattr(second, name)) for name in _FIELDS)
    return not any(a and b and a != b for a, b in pairs) and not _name_differs(first, second)


def group_identities(identities: Iterable[PatientIdentity]) -> dict[PatientIdentity, int]:
    """Number the patients behind a set of identities, for a person who looks at a mixed folder.

    Parameters
    ----------
    identities : iterable of PatientIdentity

    Returns
    -------
    numbers : dict
        Identity to patient, from 1; an identity without any field is left out, as it says nothing.
    """
    known = {one for one in identities if any(getattr(one, name) for name in _FIELDS) or _has_name(one)}
    groups: list[list[PatientIdentity]] = []
    # The fullest first, so that a sparse one joins a patient instead of founding one.
    for one in sorted(known, key=lambda item: (-sum(bool(getattr(item, name)) for name in _FIELDS), repr(item))):
        for group in groups:
            if all(_agree(one, member) for member in group):
                group.append(one)
                break
        else:
            groups.append([one])
    return {one: number for number, group in enumerate(groups, start=1) for one in group}


def check_one_patient(headers: Iterable[pydicom.Dataset]) -> tuple[str, ...]:
    """Refuse a folder that holds more than one patient.

    Parameters
    ----------
    headers : iterable of Dataset
        Of every DICOM object read, images or not.

    Returns
    -------
    warnings : tuple of str
        ``PATIENT_ID_EMPTY``, ``PATIENT_NAME_UNVERIFIED``.

    Raises
    ------
    Refusal
        ``PATIENT_MISMATCH`` with the names of the differing fields, never their values.

    Notes
    -----
    An empty field agrees with everything: secondary captures often lack the identity.
    """
    identities: Sequence[PatientIdentity] = sorted({patient_identity(header) for header in headers}, key=repr)
    differing: dict[str, int] = {}
    for name, keyword in _FIELDS.items():
        present = {getattr(identity, name) for identity in identities} - {""}
        if len(present) > 1:
            differing[keyword] = len(present)
    unverified = False
    for first, second in combinations([identity for identity in identities if _has_name(identity)], 2):
        differs = _name_differs(first, second)
        unverified |= differs is None
        if differs:
            differing.setdefault("PatientName", 2)
    if differing:
        raise Refusal(
            "PATIENT_MISMATCH",
            where="input",
            expected="one patient",
            got=f"{max(differing.values())}; differing fields: {', '.join(sorted(differing))}",
            remedy="Send one patient a run.",
        )
    warnings = []
    if not any(identity.patient_id for identity in identities):
        warnings.append("PATIENT_ID_EMPTY")
    if unverified:
        warnings.append("PATIENT_NAME_UNVERIFIED")
    return tuple(warnings)
