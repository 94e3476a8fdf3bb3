"""Pseudonyms, and the one file that ties them to patients.

A pseudonym is a keyed hash of the identifier: without the key nobody can look it up in a list of known identifiers. The
key, the identifiers, the folders, the UIDs and the cells that could not be read stand in one CSV file that only its
owner may read (mode 0600) and that lies outside the prepared folder.
"""

from __future__ import annotations

import csv
import hashlib
import os
import secrets
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from gastromap.cohort.rows import BadCell
from gastromap.errors import UsageError
from gastromap.files import unwritable

__all__ = ["Identities"]

_FIELDS: Final = (
    *("kind", "patient", "study", "patient_id", "folder", "series_uid", "key_slice_uid", "row", "column", "cell"),
)
_DIGITS: Final = 12


class Identities:
    """The file of identities.

    Parameters
    ----------
    path : Path
        Made with a new key where it is absent.

    Raises
    ------
    UsageError
        ``IDENTITIES_INVALID`` for a file of another kind.
    OutputError
        ``OUTPUT_UNWRITABLE``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.studies: dict[str, Mapping[str, str]] = {}
        try:
            self._key = self._read() if path.exists() else secrets.token_bytes(32)
            self._write([])
        except OSError as error:
            raise unwritable(
                error,
                where="file of identities",
                expected="a file that can be written",
                remedy="Name another one with --identities.",
            ) from error

    def _read(self) -> bytes:
        key = b""
        try:
            with self.path.open(encoding="utf-8", newline="") as stream:
                for line in csv.DictReader(stream):
                    if line["kind"] == "key":
                        key = bytes.fromhex(line["cell"])
                    elif line["kind"] == "study":
                        self.studies[line["study"]] = {name: line[name] or "" for name in _FIELDS}
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise self._invalid() from error
        if len(key) != 32:
            raise self._invalid()
        return key

    @staticmethod
    def _invalid() -> UsageError:
        return UsageError(
            "IDENTITIES_INVALID",
            where="file of identities",
            expected="the file that an earlier run wrote",
            got="another or a damaged one",
            remedy="Name the right file with --identities, or another one for a new cohort.",
        )

    def _digest(self, domain: str, text: str, digits: int = _DIGITS) -> str:
        data = f"{domain}\0{text}".encode("utf-8", "surrogateescape")
        return hashlib.blake2b(data, key=self._key).hexdigest()[:digits]

    def patient(self, patient_id: str) -> str:
        """Pseudonym of a patient, ``P-`` and 12 hex digits; equal identifiers have equal ones."""
        return f"P-{self._digest('patient', patient_id)}"

    def study(self, folder: str) -> str:
        """Name of a study folder or image file, ``S-`` and 12 hex digits."""
        return f"S-{self._digest('study', folder)}"

    def digest(self, text: str) -> str:
        """Keyed hash for comparing texts that must not be stored."""
        return self._digest("text", text)

    def label_key(self) -> bytes:
        """Key of the short hashes in messages of the gate, so that they are the same in every run."""
        return bytes.fromhex(self._digest("labels", "", 32))

    def moment(self, patient: str, seconds: float) -> float:
        """Shift a time by a secret amount, the same for all studies of a patient: order and distance remain."""
        return seconds - int(self._digest("moment", patient, 8), 16)

    def day(self, patient: str, day: date) -> date:
        """Shift a date by a secret number of days, the same for all dates of a patient."""
        return day - timedelta(days=int(self._digest("moment", patient, 8), 16) // 86_400)

    @property
    def check(self) -> str:
        """Tells two files of identities apart."""
        return self._digest("check", "")

    def add_study(self, study: str, **fields: str) -> None:
        """Append a study at once, so that a run that is killed loses nothing."""
        line = {"kind": "study", "study": study, **fields}
        if self.studies.get(study) == {name: line.get(name, "") for name in _FIELDS}:
            return
        self.studies[study] = {name: line.get(name, "") for name in _FIELDS}
        with self.path.open("a", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            csv.DictWriter(stream, _FIELDS, restval="", lineterminator="\n").writerow(line)

    def write(self, patients: Iterable[tuple[str, str]], cells: Iterable[BadCell]) -> None:
        """Write the whole file anew.

        Parameters
        ----------
        patients : iterable of (identifier, rows as text)
            Of the table.
        cells : iterable of BadCell
        """
        lines: list[dict[str, Any]] = [
            {"kind": "patient", "patient": self.patient(patient_id), "patient_id": patient_id, "row": rows}
            for patient_id, rows in patients
        ]
        lines += [
            {
                "kind": "cell", "patient": self.patient(bad.patient_id), "patient_id": bad.patient_id,
                "row": bad.row, "column": bad.column, "cell": bad.cell,
            }
            for bad in cells
        ]  # fmt: skip
        self._write(lines)

    def _write(self, lines: list[dict[str, Any]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}.partial")
        partial.unlink(missing_ok=True)
        # Made with its mode: a file that is open to all for a moment can be read in that moment.
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            writer = csv.DictWriter(stream, _FIELDS, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerow({"kind": "key", "cell": self._key.hex()})
            writer.writerows(lines)
            writer.writerows(self.studies[study] for study in sorted(self.studies))
        os.replace(partial, self.path)
