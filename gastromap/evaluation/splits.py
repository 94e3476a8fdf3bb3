"""Check that no patient stands on both sides of a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from gastromap.errors import UsageError

__all__ = ["SharedPatients", "check_patient_split", "entries_by_side", "shared_patients"]

_PATIENT_KEYS = ("patient_id", "PatientID")


@dataclass(frozen=True)
class SharedPatients:
    """Patients that stand on two sides."""

    first: str
    second: str
    shared: int
    patients: int  #: of the second side

    def __str__(self) -> str:
        return f"{self.shared} of {self.patients} patients of {self.second} also in {self.first}"


def entries_by_side(datalist: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Entries by side: each list of the datalist, each fold of a list on its own."""
    sides: dict[str, list[Any]] = {}
    for name, entries in datalist.items():
        # A decathlon datalist also holds text, numbers and label tables.
        if isinstance(entries, str) or not isinstance(entries, Sequence):
            continue
        for entry in entries:
            fold = entry.get("fold") if isinstance(entry, Mapping) else None
            sides.setdefault(name if fold is None else f"{name} fold {fold}", []).append(entry)
    return sides


def _patient_of(entry: object, side: str, position: int) -> str:
    fields = entry if isinstance(entry, Mapping) else {}
    value = next((fields[key] for key in _PATIENT_KEYS if fields.get(key) is not None), "")
    patient = str(value).strip()
    if not patient:
        raise UsageError(
            "PATIENT_UNKNOWN",
            where=f"datalist, {side}, entry {position}",
            expected="patient_id in each entry",
            got="none",
            remedy="Add the identifier: without it the split cannot be checked.",
        )
    return patient


def shared_patients(datalist: Mapping[str, Any]) -> tuple[SharedPatients, ...]:
    """Count the patients that stand on two sides of a datalist.

    Parameters
    ----------
    datalist : mapping
        As in :func:`check_patient_split`.

    Raises
    ------
    UsageError
        ``PATIENT_UNKNOWN`` or ``DATALIST_EMPTY``.
    """
    patients = {
        side: {_patient_of(entry, side, position) for position, entry in enumerate(entries, start=1)}
        for side, entries in entries_by_side(datalist).items()
    }
    if not patients:
        raise UsageError(
            "DATALIST_EMPTY",
            where="datalist",
            expected="lists of entries",
            got="none",
            remedy="Give at least one side with entries.",
        )
    pairs = [
        SharedPatients(first, second, len(patients[first] & patients[second]), len(patients[second]))
        for first, second in combinations(patients, 2)
    ]
    return tuple(pair for pair in pairs if pair.shared)


def check_patient_split(datalist: Mapping[str, Any]) -> None:
    """Refuse a datalist in which a patient stands on two sides.

    Parameters
    ----------
    datalist : mapping
        MONAI datalist: ``{"training": [{"image": …, "patient_id": …}, …], "validation": […], "test": […]}``.
        ``PatientID`` is accepted as name; entries with ``fold`` count as one side a fold. Values that are not lists
        are passed over.

    Raises
    ------
    UsageError
        ``PATIENT_ON_BOTH_SIDES`` with the number of patients (never their names), ``PATIENT_UNKNOWN`` for an entry
        without patient, ``DATALIST_EMPTY`` where there is nothing to check.

    Notes
    -----
    Identifiers are compared as text without surrounding blanks, because tables turn 7 into "7" and "7 ".
    """
    shared = shared_patients(datalist)
    if shared:
        raise UsageError(
            "PATIENT_ON_BOTH_SIDES",
            where="datalist",
            expected="each patient on one side",
            got=str(shared[0]),
            remedy="Split by patient, not by slice or study.",
        )
