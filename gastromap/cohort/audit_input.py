"""The sides of a split as an audit takes them: a datalist, or one table of file names a side."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from gastromap.cohort.spreadsheet import Table, identifier, read_table
from gastromap.errors import UsageError
from gastromap.evaluation.splits import entries_by_side
from gastromap.evaluation.stages import stage_index

__all__ = ["AuditColumns", "Entry", "patient_of_name", "read_datalist_entries", "read_table_entries"]

_IMAGE_NAMES = ("image", "image_path", "SlicePath", "image_name", "path", "file", "file_name", "filename")
_PATIENT_NAMES = ("patient_id", "PatientID", "patient")
_LABEL_NAMES = ("label", "true_label", "stage", "PathT", "pT")


@dataclass(frozen=True)
class Entry:
    """One image of a split.

    Attributes
    ----------
    side : str
    position : int
        In its side, from 1; findings name entries by it.
    patient : str
        Patient data.
    label : int or None
        Stage index, of a pair whether a node has a metastasis; None where the source has none or something else.
    image : Path or None
    scan : {0, 1, 2}
        Of a pair: before or after treatment; both scans have one position.
    followed : bool
        Whether death and time are known.
    """

    side: str
    position: int
    patient: str
    label: int | None
    image: Path | None
    scan: int = 0
    followed: bool = False

    @property
    def name(self) -> str:
        """Side and position, and which scan of a pair."""
        return f"{self.side} {self.position}" + (f" scan {self.scan}" if self.scan else "")


@dataclass(frozen=True)
class AuditColumns:
    """Columns of the tables; None takes the usual names, which may differ between the tables."""

    image: str | None = None
    patient: str | None = None
    label: str | None = None
    patient_before: str = ".nii"  #: a patient is what stands before this in a file name


def patient_of_name(name: str, before: str) -> str:
    """Patient in a file name.

    Parameters
    ----------
    name : str
        With or without folders, of either kind of slash.
    before : str
        The patient is what stands before it; names without it are taken whole.
    """
    last = re.split(r"[\\/]", name.strip())[-1]
    return identifier(last.split(before, 1)[0] if before else last)


def _invalid(got: str) -> NoReturn:
    raise UsageError(
        "DATALIST_INVALID",
        where="datalist",
        expected="JSON with lists of {image, label, patient_id}, or of pairs {image1, image2, patient_id}",
        got=got,
        remedy="Name a datalist, its folder, or tables with --split.",
    )


def read_datalist_entries(path: Path) -> tuple[Entry, ...]:
    """Read the entries of a datalist as it stands, leaking or not.

    Parameters
    ----------
    path : Path
        A folder with ``datalist.json``, or the file. Paths in it are relative to its folder.

    Raises
    ------
    UsageError
        ``DATALIST_INVALID``, ``PATIENT_UNKNOWN``.
    """
    file = path / "datalist.json" if path.is_dir() else path
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        _invalid("no such file")
    except (OSError, ValueError) as error:
        _invalid(type(error).__name__)
    sides = entries_by_side(content) if isinstance(content, Mapping) else {}
    if not sides:
        _invalid("none")
    return tuple(
        scan
        for side, entries in sides.items()
        for position, entry in enumerate(entries, start=1)
        for scan in _scans(side, position, entry, file.parent)
    )


def _scans(side: str, position: int, entry: Any, folder: Path) -> list[Entry]:
    if not isinstance(entry, Mapping) or "image1" not in entry:
        return [_entry(side, position, entry, folder)]
    # In a pair the label of the stage is another key.
    both = [
        _entry(side, position, {**entry, "image": entry[key]}, folder) for key in ("image1", "image2") if key in entry
    ]
    lnm = entry.get("lnm")
    label = int(lnm) if lnm in (0, 1) else None
    followed = "death" in entry and "os_months" in entry
    return [replace(one, label=label, scan=number, followed=followed) for number, one in enumerate(both, start=1)]


def _entry(side: str, position: int, entry: Any, folder: Path) -> Entry:
    if not isinstance(entry, Mapping):
        _invalid("entries of another kind")
    patient = next((str(entry[key]).strip() for key in ("patient_id", "PatientID") if entry.get(key) is not None), "")
    label, image = entry.get("label"), entry.get("image")
    # A datalist counts stages from 0; a bare 3 in it is T4.
    index = label if isinstance(label, int) and label in range(4) else None
    return Entry(side, position, patient, index, folder / image if isinstance(image, str) else None)


def read_table_entries(
    tables: Mapping[str, Path], columns: AuditColumns, *, images: Path | None = None
) -> tuple[Entry, ...]:
    """Read the entries of one table a side.

    Parameters
    ----------
    tables : mapping of str to Path
        Side to CSV or xlsx file.
    columns : AuditColumns
    images : Path, optional
        Folder of the images: paths of the tables are tried below it, then their last parts. The folder of the table
        by default.

    Raises
    ------
    UsageError
        ``TABLE_INVALID``, ``TABLE_COLUMN``, ``AUDIT_COLUMNS``.
    """
    return tuple(
        entry
        for side, path in tables.items()
        for entry in _table_entries(side, read_table(path), columns, images or path.parent)
    )


def _table_entries(side: str, table: Table, columns: AuditColumns, images: Path) -> list[Entry]:
    image = table.column(columns.image) if columns.image else table.usual(_IMAGE_NAMES)
    patient = table.column(columns.patient) if columns.patient else table.usual(_PATIENT_NAMES)
    label = table.column(columns.label) if columns.label else table.usual(_LABEL_NAMES)
    if image is None and patient is None:
        raise UsageError(
            "AUDIT_COLUMNS",
            where=f"table of {side}",
            expected="a column with file names or patients",
            got="none of the usual names",
            remedy=f"Name one with --image-column or --patient-column. Columns are: {', '.join(table.columns)}.",
        )
    return [
        Entry(
            side=side,
            position=position,
            patient=patient_of_name(cells[patient or image or ""], columns.patient_before),
            label=None if label is None else stage_index(cells[label]),
            image=None if image is None else _path(cells[image], images),
        )
        for position, (_, cells) in enumerate(table.rows, start=1)
    ]


def _path(cell: str, folder: Path) -> Path:
    name = cell.replace("\\", "/")
    path = folder / name
    return path if path.exists() else folder / name.rsplit("/", 1)[-1]
