"""From rows of a table to cases: one stage, one set of clinical values and one request for images each.

Rows of one patient are laid together. Where they disagree nothing is guessed: another stage leaves the patient out,
another clinical value leaves the value empty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from gastromap.cohort.findings import Finding
from gastromap.cohort.labels import Reading, StageCodes, Words, read_level, read_size_cm, read_stage
from gastromap.cohort.rows import BadCell, Row, RowReader
from gastromap.cohort.spreadsheet import Table, identifier
from gastromap.errors import UsageError
from gastromap.results import ClinicalVariables

__all__ = ["Case", "Columns", "Roster", "read_roster"]

PATIENT_NAMES = ("PatientID", "patient_id", "patient", "ID")
STAGE_NAMES = ("pT", "T stage", "T_stage", "stage", "pT stage")


@dataclass(frozen=True)
class Columns:
    """Columns of the table and how their cells are read; ``None`` where there is no such column."""

    patient: str
    stage: str
    centre: str | None = None
    size: str | None = None
    size_unit: Literal["cm", "mm"] | None = None
    differentiation: str | None = None
    lauren: str | None = None
    series: str | None = None
    key_slice: str | None = None
    image: str | None = None
    stage_codes: StageCodes = 1
    words: Words = field(default_factory=Words)

    @property
    def named(self) -> tuple[str, ...]:
        """Columns that are read, beside that of the patient."""
        names = (self.stage, self.centre, self.size, self.differentiation, self.lauren)
        return tuple(name for name in (*names, self.series, self.key_slice, self.image) if name is not None)


@dataclass(frozen=True)
class Case:
    """One image that is asked for, with its label.

    Attributes
    ----------
    patient_id : str
        As the table has it. Patient data.
    rows : tuple of int
    label : int or None
        0 is T1; None leaves the case out.
    clinical : ClinicalVariables
    centre, series, key_slice, image : str
        Empty where the table is silent.
    """

    patient_id: str
    rows: tuple[int, ...]
    label: int | None
    clinical: ClinicalVariables
    centre: str = ""
    series: str = ""
    key_slice: str = ""
    image: str = ""

    @property
    def request(self) -> dict[str, str]:
        """What decides how the images are read."""
        return {"series": self.series, "key_slice": self.key_slice}


@dataclass(frozen=True)
class Roster:
    """What the table says."""

    cases: tuple[Case, ...]
    findings: tuple[Finding, ...]
    bad_cells: tuple[BadCell, ...]


def _check_codes(table: Table, columns: Columns) -> None:
    """Refuse bare numbers that may count from 0 or from 1."""
    cells = {cells[columns.stage] for _, cells in table.rows} - {""}
    bare = {int(float(cell)) for cell in cells if cell.replace(".0", "", 1).isdecimal()}
    if columns.stage_codes == 1 and 0 in bare and 4 not in bare:
        raise UsageError(
            "STAGE_CODES",
            where=f"column {columns.stage}",
            expected="numbers from 1 (T1) to 4 (T4)",
            got="0 and no 4",
            remedy="Give --stage-codes 0 if 0 is T1; otherwise write T0 for no tumour.",
        )


def _check_unit(table: Table, columns: Columns) -> None:
    if columns.size is None or columns.size_unit is not None:
        return
    if any(read_size_cm(cells[columns.size], unit=None).message.endswith("or two") for _, cells in table.rows):
        raise UsageError(
            "SIZE_UNIT",
            where=f"column {columns.size}",
            expected="cm or mm in each cell or in the name of the column",
            got="numbers without a unit",
            remedy="Give --size-unit cm or --size-unit mm.",
        )


def read_roster(table: Table, columns: Columns, *, pseudonym: Callable[[str], str]) -> Roster:
    """Read all rows.

    Parameters
    ----------
    table : Table
    columns : Columns
        Names as in ``table.columns``.
    pseudonym : callable
        From identifier to the name that findings may show.

    Returns
    -------
    roster : Roster
        Cases in the order of the table.

    Raises
    ------
    UsageError
        ``STAGE_CODES`` or ``SIZE_UNIT``, where the whole column can be read in two ways.
    """
    _check_codes(table, columns)
    _check_unit(table, columns)
    reader = _Reader(columns, pseudonym)
    by_patient = reader.by_patient(table, columns.patient)
    cases = [case for patient, rows in by_patient.items() for case in reader.cases(patient, rows)]
    cases = _without_shared_images(cases, reader)
    kinds = {kind[-1] for kind in reader.kinds if kind}
    if {"c", "p"} <= kinds:
        clinical = sum(kind.endswith("c") for kind in reader.kinds)
        reader.find("STAGE_KINDS_MIXED", "kept", f"{clinical} clinical stages (c) beside pathological ones (p)")
    return Roster(tuple(cases), tuple(reader.findings), tuple(reader.bad_cells))


def _without_shared_images(cases: list[Case], reader: _Reader) -> list[Case]:
    """Leave out images that rows of different patients name."""
    owners: dict[str, list[Case]] = {}
    for case in cases:
        if case.image:
            owners.setdefault(case.image, []).append(case)
    for mine in owners.values():
        if len(mine) > 1:
            rows = tuple(row for case in mine for row in case.rows)
            reader.find("CONFLICTING_REQUEST", "left out", "rows of different patients name one image", rows=rows)
    return [case for case in cases if len(owners.get(case.image, ())) < 2]


class _Reader(RowReader):
    def __init__(self, columns: Columns, pseudonym: Callable[[str], str]) -> None:
        super().__init__(pseudonym)
        self.columns = columns
        self.kinds: list[str] = []

    def cases(self, patient: str, rows: Sequence[Row]) -> list[Case]:
        rows = self.without_copies(patient, rows, columns=self.columns.named)
        numbers = tuple(number for number, _ in rows)
        columns = self.columns
        label = self._stage(patient, rows)
        clinical = ClinicalVariables(
            tumour_size_cm=cast(float | None, self._value(patient, rows, columns.size, self._size)),
            differentiation=cast(Any, self._value(patient, rows, columns.differentiation, self._differentiation)),
            lauren=cast(Any, self._value(patient, rows, columns.lauren, self._lauren)),
        )
        centre = cast(str | None, self._value(patient, rows, columns.centre, Reading)) or ""
        by_image: dict[str, list[Row]] = {}
        for number, cells in rows:
            by_image.setdefault("" if columns.image is None else cells[columns.image], []).append((number, cells))
        cases = []
        for image, mine in by_image.items():
            series, key_slice = self._asked(mine, columns.series), self._asked(mine, columns.key_slice)
            wanted = tuple(number for number, _ in mine)
            if len(series) > 1 or len(key_slice) > 1:
                message = "rows name different series or key slices"
                self.conflict("CONFLICTING_REQUEST", "left out", message, patient, wanted)
            single = len(series) < 2 and len(key_slice) < 2
            cases.append(
                Case(
                    patient,
                    wanted if columns.image else numbers,
                    label if single else None,
                    clinical,
                    centre,
                    series[0] if series else "",
                    key_slice[0] if key_slice else "",
                    image,
                )
            )
        return cases

    @staticmethod
    def _asked(rows: Sequence[Row], column: str | None) -> list[str]:
        """Different requests of rows, in their order; spreadsheets turn the index 12 into 12.0."""
        cells = [] if column is None else [identifier(cells[column]) for _, cells in rows]
        return list(dict.fromkeys(cell for cell in cells if cell))

    def _stage(self, patient: str, rows: Sequence[Row]) -> int | None:
        column = self.columns.stage
        found: dict[int, int] = {}
        bad = False
        for number, cells in rows:
            reading = read_stage(cells[column], codes=self.columns.stage_codes, words=self.columns.words)
            self.kinds.append(reading.kind)
            if reading.problem:
                bad = True
                self.bad(reading, "left out", patient, number, column, cells[column])
            elif reading.value is not None:
                found.setdefault(int(reading.value), number)
                if "y" in reading.kind:
                    self.conflict("STAGE_AFTER_THERAPY", "kept", "stage after treatment", patient, (number,), column)
        numbers = tuple(number for number, _ in rows)
        if len(found) > 1:
            stages = ", ".join(f"T{index + 1}" for index in sorted(found))
            self.conflict("CONFLICTING_STAGE", "left out", f"rows say {stages}", patient, numbers, column)
            return None
        if not found and not bad:
            self.conflict("STAGE_MISSING", "left out", "no stage", patient, numbers, column)
        return next(iter(found)) if found and not bad else None

    def _size(self, cell: str) -> Reading:
        return read_size_cm(cell, unit=self.columns.size_unit)

    def _differentiation(self, cell: str) -> Reading:
        return read_level("differentiation", cell, words=self.columns.words)

    def _lauren(self, cell: str) -> Reading:
        return read_level("lauren", cell, words=self.columns.words)

    def _value(
        self,
        patient: str,
        rows: Sequence[Row],
        column: str | None,
        read: Callable[[str], Reading],
    ) -> int | float | str | None:
        if column is None:
            return None
        values = []
        for number, cells in rows:
            reading = read(cells[column])
            if reading.problem:
                self.bad(reading, "emptied", patient, number, column, cells[column])
            elif reading.value not in (None, ""):
                values.append(reading.value)
        if len(set(values)) > 1:
            numbers = tuple(number for number, _ in rows)
            self.conflict("CONFLICTING_VALUES", "emptied", "rows differ", patient, numbers, column)
            return None
        return values[0] if values else None
