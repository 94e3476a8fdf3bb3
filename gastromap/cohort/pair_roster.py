"""From rows of a table to patients with one or two scans: labels, dates, clinical variables, and the scans asked for.

A row is used whole or not at all: where a label, a date or a path cannot be read, the patient is left out and the
finding names row and column. Only a clinical variable is emptied instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any

from gastromap.cohort.labels import Reading
from gastromap.cohort.pair_case import FILES, PairCase, PairRoster, Point
from gastromap.cohort.pair_columns import PairColumns, is_pattern
from gastromap.cohort.pair_labels import (
    check_binary_codes,
    read_centre,
    read_clinical,
    read_date,
    read_death,
    read_months,
    read_node_metastasis,
    read_part,
)
from gastromap.cohort.rows import Row, RowReader
from gastromap.cohort.spreadsheet import Table, identifier, is_empty, plain

__all__ = ["read_pair_roster"]

#: Columns whose bare numbers are N categories.
_SAYS_N = re.compile(r"(?:^|[^a-z])(?:yp|p|y)?n(?:$|[^a-z])|n分期|n stage", re.I)


def read_pair_roster(table: Table, columns: PairColumns, *, pseudonym: Callable[[str], str]) -> PairRoster:
    """Read all rows.

    Parameters
    ----------
    table : Table
        Read with ``keep_words``.
    columns : PairColumns
    pseudonym : callable
        From identifier to the name that findings may show.

    Raises
    ------
    UsageError
        ``LABEL_CODES``.
    """
    reader = _PairReader(table, columns, pseudonym)
    by_patient = reader.by_patient(table, columns.patient_id)
    cases = [reader.case(patient, rows) for patient, rows in by_patient.items()]
    found = tuple(case for case in cases if case is not None)
    reader.check_times(found)
    return PairRoster(
        cases=found,
        rows={patient: tuple(number for number, _ in rows) for patient, rows in by_patient.items()},
        cells=frozenset(
            cell for patient, rows in by_patient.items() for row in rows for cell in reader.files(patient, row).values()
        ),
        findings=tuple(reader.findings),
        bad_cells=tuple(reader.bad_cells),
    )


class _PairReader(RowReader):
    def __init__(self, table: Table, columns: PairColumns, pseudonym: Callable[[str], str]) -> None:
        super().__init__(pseudonym)
        self.columns = columns
        self._missing = frozenset(plain(cell).casefold() for cell in columns.missing)
        lnm = self._all(table, columns.lnm)
        self._counts = columns.lnm is not None and _SAYS_N.search(columns.lnm) is not None
        self._signs = any(cell.startswith(("+", "(+")) for cell in lnm)
        if columns.lnm is not None and not self._counts:
            check_binary_codes(lnm, column=columns.lnm, variable="lnm", words=columns.words)
        if columns.death is not None:
            death = self._all(table, columns.death)
            check_binary_codes(death, column=columns.death, variable="death", words=columns.words)

    def _all(self, table: Table, column: str | None) -> list[str]:
        cells = [] if column is None else [cells[column] for _, cells in table.rows]
        return [cell for cell in cells if cell.casefold() not in self._missing and cell]

    def _cell(self, row: Row, column: str | None) -> str:
        """Text of a cell; empty where it says "unknown" in the words of the user."""
        text = "" if column is None else row[1][column]
        return "" if text.casefold() in self._missing else text

    def _text(self, row: Row, column: str | None) -> str:
        text = self._cell(row, column)
        return "" if is_empty(text) else text

    def case(self, patient: str, rows: list[Row]) -> PairCase | None:
        """Read the row of a patient; None where it cannot be used."""
        rows = self.without_copies(patient, rows, columns=self.columns.named)
        numbers = tuple(number for number, _ in rows)
        if len(rows) > 1:
            self.conflict("SEVERAL_ROWS", "left out", f"{len(rows)} rows that differ", patient, numbers)
            return None
        row = rows[0]
        before = len(self.findings)
        case = self._read(patient, row)
        found = self.findings[before:]
        if not any(finding.effect == "left out" for finding in found):
            return case
        # What would be worth a look in a patient who is used only hides the reason why this one is not.
        self.findings[before:] = [finding for finding in found if finding.effect != "kept"]
        return None

    def _read(self, patient: str, row: Row) -> PairCase:
        columns, words = self.columns, self.columns.words
        lnm = self._label(
            patient, row, columns.lnm,
            lambda cell: read_node_metastasis(cell, counts=self._counts, signs=self._signs, words=words),
        )  # fmt: skip
        death, months = self._survival(patient, row)
        if lnm is None and death is None:
            self.conflict("LABEL_MISSING", "left out", "neither node metastasis nor survival", patient, (row[0],))
        elif columns.lnm is not None and lnm is None:
            self.conflict("LNM_MISSING", "kept", "unlabelled for LNM", patient, (row[0],), columns.lnm)
        dates = self._dates(patient, row)
        part, fold = self._part(patient, row)
        return PairCase(
            patient_id=patient,
            row=row[0],
            files=self._files(patient, row),
            series={
                number: identifier(text)
                for number, column in ((1, columns.series1), (2, columns.series2))
                if (text := self._text(row, column))
            },
            centres=self._centres(patient, row),
            dates=dates,
            lnm=lnm,
            death=death,
            os_months=months,
            clinical=self._clinical(patient, row),
            cohort=identifier(self._text(row, columns.cohort)),
            part=part,
            fold=fold,
        )

    def _label(self, patient: str, row: Row, column: str | None, read: Callable[[str], Reading]) -> int | None:
        if column is None:
            return None
        cell = self._cell(row, column)
        reading = read(cell)
        if reading.problem:
            self.bad(reading, "left out", patient, row[0], column, cell)
        return None if reading.value is None else int(reading.value)

    def _survival(self, patient: str, row: Row) -> tuple[int | None, float | None]:
        columns = self.columns
        if columns.death is None or columns.os_time is None or columns.os_unit is None:
            return None, None
        unit = columns.os_unit
        death = self._label(patient, row, columns.death, lambda cell: read_death(cell, words=columns.words))
        cell = self._cell(row, columns.os_time)
        time = read_months(cell, unit=unit)
        if time.problem:
            self.bad(time, "left out", patient, row[0], columns.os_time, cell)
            return None, None
        if (death is None) != (time.value is None):
            message = "time without status" if death is None else "status without time"
            column = columns.death if death is None else columns.os_time
            self.conflict("OS_INCOMPLETE", "kept", f"{message}: unlabelled for OS", patient, (row[0],), column)
            return None, None
        if time.value == 0:
            self.conflict(
                "TIME_ZERO", "kept", "time 0, counted to the first interval", patient, (row[0],), columns.os_time
            )
        elif time.value is None:
            self.conflict("OS_MISSING", "kept", "unlabelled for OS", patient, (row[0],), columns.os_time)
        return death, None if time.value is None else float(time.value)

    def _dates(self, patient: str, row: Row) -> dict[int, date]:
        found = {}
        for number, column in ((1, self.columns.date1), (2, self.columns.date2)):
            if column is None:
                continue
            cell = self._cell(row, column)
            day, problem = read_date(cell)
            if problem:
                self.bad(Reading(problem="DATE_UNREADABLE", message=problem), "left out", patient, row[0], column, cell)
            elif day is not None:
                found[number] = day
        if len(found) == 2 and found[2] <= found[1]:
            message = "the second scan is not after the first"
            self.conflict("DATES_REVERSED", "left out", message, patient, (row[0],), self.columns.date2 or "")
        return found

    def _part(self, patient: str, row: Row) -> tuple[str, int | None]:
        columns = self.columns
        part, fold = "", None
        if columns.split is not None:
            cell = self._cell(row, columns.split)
            reading = read_part(cell, words=columns.words)
            if reading.problem:
                self.bad(reading, "left out", patient, row[0], columns.split, cell)
            elif reading.value is None:
                self.conflict("SPLIT_UNREADABLE", "left out", "no part", patient, (row[0],), columns.split)
            part = str(reading.value or "")
        if columns.fold is not None:
            cell = identifier(self._text(row, columns.fold))
            if cell.isdigit():
                fold, part = int(cell), part or "training"
            elif cell or not part:
                problem = Reading(problem="SPLIT_UNREADABLE", message="no number of a fold")
                self.bad(problem, "left out", patient, row[0], columns.fold, cell)
        return part, fold

    def files(self, patient: str, row: Row) -> dict[str, str]:
        """Cells of a row that name files or folders."""
        columns = self.columns
        if columns.study is not None or columns.image1 is None:
            # Without any column the folder of a patient has his name.
            cell = patient if columns.study is None else self._text(row, columns.study)
            masks = {key: self._named(patient, row, getattr(columns, key)) for key in ("mask1", "mask2")}
            found = {"study": cell, **masks}
        else:
            found = {key: self._named(patient, row, getattr(columns, key)) for key in FILES}
        return {key: text for key, text in found.items() if text}

    def _named(self, patient: str, row: Row, column: str | None) -> str:
        return str(column).replace("{}", patient) if is_pattern(column) else self._text(row, column)

    def _files(self, patient: str, row: Row) -> dict[str, str]:
        columns, found = self.columns, self.files(patient, row)
        needed = "study" if columns.study is not None or columns.image1 is None else "image1"
        if needed not in found:
            column = getattr(columns, needed) or ""
            self.conflict("ROW_WITHOUT_IMAGES", "left out", "no first scan", patient, (row[0],), column)
        if "image2" not in found and "mask2" in found and needed == "image1":
            message = "a second mask without a second scan"
            self.conflict("MASK_ALONE", "left out", message, patient, (row[0],), columns.mask2 or "")
        return found

    def _centres(self, patient: str, row: Row) -> dict[int, Point]:
        found = {}
        for number, column in ((1, self.columns.center1), (2, self.columns.center2)):
            if column is None:
                continue
            cell = self._cell(row, column)
            point, problem = read_centre(cell)
            if problem:
                reading = Reading(problem="CENTRE_UNREADABLE", message=problem)
                self.bad(reading, "left out", patient, row[0], column, cell)
            elif point is not None:
                found[number] = point
        return found

    def _clinical(self, patient: str, row: Row) -> dict[str, Any]:
        found = {}
        for variable in self.columns.clinical:
            cell = row[1][variable.column]
            reading = read_clinical(cell, variable, missing=self.columns.missing)
            if reading.problem:
                self.bad(reading, "emptied", patient, row[0], variable.column, cell)
            elif reading.value is not None:
                found[variable.name] = reading.value
        return found

    def check_times(self, cases: tuple[PairCase, ...]) -> None:
        """Note a column of times that another unit would suit better."""
        times = [case.os_months for case in cases if case.os_months is not None]
        if len(times) >= 10 and self.columns.os_unit == "days" and max(times) < 12:
            message = f"no time is longer than {max(times):.1f} months: are they days?"
            self.find("TIME_SCALE", "kept", message, column=self.columns.os_time or "")
        if len(times) >= 10 and self.columns.os_unit == "months" and sorted(times)[len(times) // 2] > 240:
            message = "half of the times are longer than 20 years: are they months?"
            self.find("TIME_SCALE", "kept", message, column=self.columns.os_time or "")
