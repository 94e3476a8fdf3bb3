"""Rows of a table by patient, and what is noted while they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gastromap.cohort.findings import Effect, Finding
from gastromap.cohort.labels import Reading
from gastromap.cohort.spreadsheet import Table, identifier

__all__ = ["BadCell", "Row", "RowReader"]

#: Number of a row as the spreadsheet shows it, and its cells by column.
Row = tuple[int, Mapping[str, str]]


@dataclass(frozen=True)
class BadCell:
    """A cell that could not be read. Patient data: goes to the file of identities only."""

    patient_id: str
    row: int
    column: str
    cell: str


class RowReader:
    """Collects findings; names patients by pseudonym.

    Parameters
    ----------
    pseudonym : callable
        From identifier to the name that findings may show.
    """

    def __init__(self, pseudonym: Callable[[str], str]) -> None:
        self.pseudonym = pseudonym
        self.findings: list[Finding] = []
        self.bad_cells: list[BadCell] = []

    def by_patient(self, table: Table, column: str) -> dict[str, list[Row]]:
        """Rows of each patient, in the order of the table; rows without one are noted and left out."""
        found: dict[str, list[Row]] = {}
        for number, cells in table.rows:
            patient = identifier(cells[column])
            if patient:
                found.setdefault(patient, []).append((number, cells))
            else:
                self.find("ROW_WITHOUT_PATIENT", "left out", "no identifier", rows=(number,))
        return found

    def find(self, code: str, effect: Effect, message: str, **fields: Any) -> None:
        """Note something."""
        self.findings.append(Finding(code, effect, message, **fields))

    def without_copies(self, patient: str, rows: Sequence[Row], *, columns: Sequence[str]) -> list[Row]:
        """Rows that differ in these columns; copies are noted."""
        seen: dict[tuple[str, ...], int] = {}
        kept = []
        for number, cells in rows:
            content = tuple(cells[name] for name in columns)
            if content in seen:
                message = f"row {number} repeats row {seen[content]}"
                self.conflict("DUPLICATE_ROWS", "kept", message, patient, (seen[content], number))
            else:
                seen[content] = number
                kept.append((number, cells))
        return kept

    def conflict(
        self, code: str, effect: Effect, message: str, patient: str, rows: tuple[int, ...], column: str = ""
    ) -> None:
        """Note something about rows of a patient."""
        self.find(code, effect, message, patient=self.pseudonym(patient), rows=rows, column=column)

    def bad(self, reading: Reading, effect: Effect, patient: str, number: int, column: str, cell: str) -> None:
        """Note a cell that could not be read."""
        self.conflict(reading.problem, effect, reading.message, patient, (number,), column)
        self.bad_cells.append(BadCell(patient, number, column, cell))
