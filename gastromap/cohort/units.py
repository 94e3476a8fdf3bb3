"""What lies in the image folder, and which case of the table each piece belongs to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gastromap.cohort.matching import Case
from gastromap.cohort.spreadsheet import identifier
from gastromap.cohort.study import InputKind
from gastromap.errors import UsageError

__all__ = ["MatchRule", "Matcher", "Unit", "find_units"]

#: ``patient-id``: PatientID in the images. ``name``: name of the folder or file. ``image``: a column names it.
MatchRule = Literal["patient-id", "name", "image"]

_SUFFIXES: dict[InputKind, tuple[str, ...]] = {"nifti": (".nii.gz", ".nii"), "png": (".png",)}


@dataclass(frozen=True)
class Unit:
    """A study folder or an image file.

    Attributes
    ----------
    name : str
        Path below the image folder, with slashes. May hold patient data.
    path : Path
    state : str
        Changes when a file is added, removed or written.
    """

    name: str
    path: Path
    state: str

    @property
    def stem(self) -> str:
        """Last part of the name, without the suffix of an image file."""
        return _stem(self.name)


def _stem(name: str) -> str:
    last = name.rsplit("/", 1)[-1]
    suffix = next((s for ends in _SUFFIXES.values() for s in ends if last.lower().endswith(s)), "")
    return last[: len(last) - len(suffix)]


def find_units(root: Path, kind: InputKind, *, depth: int = 1) -> tuple[tuple[Unit, ...], int]:
    """List the studies.

    Parameters
    ----------
    root : Path
    kind : {"dicom", "nifti", "png"}
    depth : int
        Of DICOM: study folders lie so many levels below ``root``.

    Returns
    -------
    units : tuple of Unit
        Sorted by name.
    loose : int
        DICOM: files above the study folders, which are not looked at.

    Raises
    ------
    UsageError
        ``INPUT_NOT_FOUND``: no such folder, or nothing in it.
    """
    if not root.is_dir():
        raise _not_found("a readable folder", "none of that name")
    if kind != "dicom":
        found = [path for path in _files(root) if path.lower().endswith(_SUFFIXES[kind])]
        units, loose = [_unit(root, Path(path), [path]) for path in found], 0
    else:
        folders, loose = [root], 0
        for _ in range(depth):
            entries = [entry for folder in folders for entry in folder.iterdir()]
            folders = [entry for entry in entries if entry.is_dir()]
            loose += sum(not entry.is_dir() for entry in entries)
        units = [_unit(root, folder, _files(folder)) for folder in folders]
    if not units:
        raise _not_found(f"{kind} studies", "none")
    return tuple(sorted(units, key=lambda unit: unit.name)), loose


def _files(folder: Path) -> Iterable[str]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield os.path.join(parent, name)


def _unit(root: Path, path: Path, files: Iterable[str]) -> Unit:
    count = size = latest = 0
    for file in files:
        state = os.lstat(file)
        count, size, latest = count + 1, size + state.st_size, max(latest, state.st_mtime_ns)
    return Unit(path.relative_to(root).as_posix(), path, f"{count} {size} {latest}")


def _not_found(expected: str, got: str) -> UsageError:
    remedy = "Check --images, --format and --depth."
    return UsageError("INPUT_NOT_FOUND", where="image folder", expected=expected, got=got, remedy=remedy)


class Matcher:
    """Find the case of a unit.

    Parameters
    ----------
    cases : sequence of Case
    rule : {"patient-id", "name", "image"}
    """

    def __init__(self, cases: Sequence[Case], rule: MatchRule) -> None:
        self.rule = rule
        keyed = [(case, _image_name(case.image) if rule == "image" else case.patient_id) for case in cases]
        self._exact = {key: case for case, key in keyed}
        self._stems = _unique((case, _stem(key)) for case, key in keyed)
        self._stripped = _unique((case, key.lstrip("0")) for case, key in keyed if key.isdigit())

    def find(self, unit: Unit, patient_id: str) -> tuple[Case | None, bool]:
        """Find a case.

        Parameters
        ----------
        unit : Unit
        patient_id : str
            Of the images; used by the rule ``patient-id`` only.

        Returns
        -------
        case : Case or None
        zeros : bool
            Whether the identifiers differ by leading zeros, which spreadsheets drop.
        """
        if self.rule == "image":
            name = _image_name(unit.name)
            return self._exact.get(name) or self._stems.get(unit.stem), False
        key = identifier(patient_id if self.rule == "patient-id" else unit.stem)
        if not key:
            return None, False
        if key in self._exact:
            return self._exact[key], False
        found = self._stripped.get(key.lstrip("0")) if key.isdigit() else None
        return found, found is not None


def _image_name(cell: str) -> str:
    return cell.replace("\\", "/").strip("/ ")


def _unique(pairs: Iterable[tuple[Case, str]]) -> dict[str, Case]:
    found: dict[str, Case | None] = {}
    for case, key in pairs:
        found[key] = None if key in found else case
    return {key: case for key, case in found.items() if case is not None}
