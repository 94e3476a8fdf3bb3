"""Which column of a table of scan pairs holds what."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NoReturn, cast, get_args

from gastromap.cohort.labels import NO_WORDS, Words
from gastromap.cohort.spreadsheet import Table, plain
from gastromap.errors import UsageError

__all__ = [
    "COLUMN_KEYS",
    "ClinicalColumn",
    "PairColumns",
    "TimeUnit",
    "VariableType",
    "checked_clinical",
    "columns_invalid",
    "is_pattern",
    "parse_clinical",
    "resolve_columns",
]

TimeUnit = Literal["months", "days"]
VariableType = Literal["numeric", "ordinal", "categorical"]

#: Keys of the column map, and names that are found without being named.
COLUMN_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "patient_id": ("patient_id", "PatientID", "patient", "ID"),
    "image1": ("image1",),
    "mask1": ("mask1",),
    "image2": ("image2",),
    "mask2": ("mask2",),
    "study": (),
    "series1": (),
    "series2": (),
    "center1": (),
    "center2": (),
    "date1": ("date1",),
    "date2": ("date2",),
    "lnm": ("lnm",),
    "death": ("death",),
    "os_time": ("os_months", "os_days"),
    "cohort": (),
    "split": (),
    "fold": (),
}
_WITH_PATTERN: Final = frozenset(("image1", "mask1", "image2", "mask2"))
_UNITS: Final[Mapping[TimeUnit, str]] = {
    "months": r"(?<![a-z])(?:months?|mo|monate?|mois)(?![a-z])|月",
    "days": r"(?<![a-z])(?:days?|d|tage?|jours?)(?![a-z])|天|日",
}


@dataclass(frozen=True)
class ClinicalColumn:
    """A clinical variable.

    Attributes
    ----------
    name : str
        In the datalist.
    column : str
    type : {"numeric", "ordinal", "categorical"}
    levels : tuple of str or int
        Allowed values in their order; of a categorical variable without them, those that occur.
    missing : tuple of str
        Cells that mean "unknown", beside those of the table.
    words : mapping of str to str or int
        Cell to level.
    """

    name: str
    column: str
    type: VariableType = "numeric"
    levels: tuple[str | int, ...] = ()
    missing: tuple[str, ...] = ()
    words: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class PairColumns:
    """Columns as the table spells them, and how their cells are read; ``None`` where there is no such column.

    Attributes
    ----------
    patient_id, date1, date2, lnm, death, os_time, cohort, split, fold : str or None
    image1, mask1, image2, mask2 : str or None
        A column, or the name of the files with ``{}`` for the patient; then a scan or mask that is not there is none.
    study : str or None
        Instead of images: folder with the DICOM studies of both dates.
    series1, series2 : str or None
        Series Instance UID of a DICOM study.
    center1, center2 : str or None
        Middle of the tumour: ``x, y, z`` in mm of the patient (LPS, as in DICOM).
    os_unit : {"months", "days"} or None
    clinical : tuple of ClinicalColumn
    missing : tuple of str
        Cells that mean "unknown" in any column.
    words : Words
        For ``lnm``, ``death`` and ``split``.
    """

    patient_id: str
    image1: str | None = None
    mask1: str | None = None
    image2: str | None = None
    mask2: str | None = None
    study: str | None = None
    series1: str | None = None
    series2: str | None = None
    center1: str | None = None
    center2: str | None = None
    date1: str | None = None
    date2: str | None = None
    lnm: str | None = None
    death: str | None = None
    os_time: str | None = None
    cohort: str | None = None
    split: str | None = None
    fold: str | None = None
    os_unit: TimeUnit | None = None
    clinical: tuple[ClinicalColumn, ...] = ()
    missing: tuple[str, ...] = ()
    words: Words = field(default_factory=Words)

    @property
    def named(self) -> tuple[str, ...]:
        """Columns that are read, beside that of the patient."""
        names = [getattr(self, key) for key in COLUMN_KEYS if key != "patient_id"]
        found = (name for name in (*names, *(one.column for one in self.clinical)) if name is not None)
        return tuple(name for name in found if not is_pattern(name))


def columns_invalid(where: str, expected: str, got: str) -> NoReturn:
    """Raise UsageError ``COLUMNS_INVALID``."""
    raise UsageError("COLUMNS_INVALID", where=where, expected=expected, got=got, remedy="See docs/cohort.md.")


def checked_clinical(one: ClinicalColumn) -> ClinicalColumn:
    """Give a variable back, or raise ``COLUMNS_INVALID`` where type and levels do not belong together."""
    where = f"clinical {one.name}"
    if one.type not in get_args(VariableType):
        columns_invalid(where, "type numeric, ordinal or categorical", "another")
    if one.type == "ordinal" and len(one.levels) < 2:
        columns_invalid(where, "levels of an ordinal variable in their order", f"{len(one.levels)}")
    if one.type == "numeric" and one.levels:
        columns_invalid(where, "no levels of a numeric variable", "levels")
    if one.levels and not set(one.words.values()) <= set(one.levels):
        columns_invalid(where, "words for its levels", "another level")
    return one


def parse_clinical(text: str) -> ClinicalColumn:
    """Read ``NAME=COLUMN``, ``NAME=COLUMN:TYPE`` or ``NAME=COLUMN:TYPE:LEVEL,LEVEL``; numeric without a type.

    Raises
    ------
    UsageError
        ``COLUMNS_INVALID``.
    """
    name, sign, rest = plain(text).partition("=")
    match = re.fullmatch(rf"(.+?)(?::({'|'.join(get_args(VariableType))})(?::(.+))?)?", rest.strip())
    if not (name.strip() and sign and match):
        columns_invalid("--clinical", "NAME=COLUMN:TYPE, for example age=年龄:numeric", "another form")
    levels = tuple(level.strip() for level in (match[3] or "").split(",") if level.strip())
    kind = cast(VariableType, match[2] or "numeric")
    return checked_clinical(ClinicalColumn(name.strip(), match[1].strip(), kind, levels))


def resolve_columns(
    table: Table,
    named: Mapping[str, str],
    *,
    os_unit: TimeUnit | None = None,
    clinical: Sequence[ClinicalColumn] = (),
    missing: Sequence[str] = (),
    words: Words = NO_WORDS,
) -> PairColumns:
    """Find the columns in a table.

    Parameters
    ----------
    table : Table
    named : mapping
        Keys of ``COLUMN_KEYS`` to names; width, case and blanks round them do not matter.
    os_unit : {"months", "days"}, optional
        May be left out where the name of the column states it.
    clinical : sequence of ClinicalColumn
    missing : sequence of str
    words : Words

    Raises
    ------
    UsageError
        ``TABLE_COLUMN``, ``TIME_UNIT``, ``COLUMNS_INVALID``.
    """
    found = {
        key: _named(table, key, named[key]) if key in named else table.usual(usual)
        for key, usual in COLUMN_KEYS.items()
    }
    if found["patient_id"] is None:
        columns_invalid(
            "--patient", "a column of patients", f"none of the usual names among {', '.join(table.columns)}"
        )
    if found["study"] is not None:
        both = [key for key in ("image1", "image2", "series1", "series2") if found[key] is not None]
        if both:
            columns_invalid("--study", "a folder with both studies, or images one by one", "both")
    if found["lnm"] is None and (found["death"] is None or found["os_time"] is None):
        columns_invalid(
            "--lnm, --death, --os-time", "a column of node metastasis, or those of death and time", "neither"
        )
    columns = PairColumns(
        **cast(Any, found),
        os_unit=_unit(found["os_time"], os_unit),
        clinical=tuple(
            ClinicalColumn(one.name, table.column(one.column), one.type, one.levels, one.missing, one.words)
            for one in clinical
        ),
        missing=tuple(missing),
        words=words,
    )
    twice = {name for name in columns.named if columns.named.count(name) > 1 and name != columns.study}
    labels = {columns.lnm, columns.death, columns.os_time, columns.image1, columns.image2} - {None}
    if twice & labels:
        columns_invalid("columns", "another column for each thing", f"{sorted(twice & labels)[0]} twice")
    return columns


def _named(table: Table, key: str, name: str) -> str:
    return plain(name) if key in _WITH_PATTERN and is_pattern(name) else table.column(name)


def is_pattern(name: str | None) -> bool:
    """Whether it is not a column but the name of files, with ``{}`` for the patient."""
    return name is not None and "{}" in name


def _unit(column: str | None, given: TimeUnit | None) -> TimeUnit | None:
    if column is None:
        return None
    stated = [unit for unit, pattern in _UNITS.items() if re.search(pattern, column.casefold().replace("_", " "))]
    if given is not None and len(stated) == 1 and stated[0] != given:
        _refuse_unit(column, f"{stated[0]}, as its name says", given)
    if given is None and len(stated) != 1:
        _refuse_unit(column, "months or days", "no unit")
    return given or stated[0]


def _refuse_unit(column: str, expected: str, got: str) -> NoReturn:
    remedy = "Give --os-unit months or --os-unit days; it is never guessed from the numbers."
    raise UsageError("TIME_UNIT", where=f"column {column}", expected=expected, got=got, remedy=remedy)
