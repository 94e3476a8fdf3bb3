"""The predictions table: CSV or xlsx with columns named by the user, checked at the door.

A message names a column or the number of a row and never quotes a cell: a cell can hold a name.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from gastromap.errors import UsageError
from gastromap.evaluation.stages import STAGES, stage_index, stage_indices

__all__ = [
    "Columns",
    "StagePredictions",
    "column",
    "is_empty",
    "match_rows",
    "numbers",
    "parse_predictions",
    "patients_of",
    "read_rows",
    "refuse",
    "stage_reads",
]

_PROBABILITY_NAMES = (
    tuple(f"prob_{stage}" for stage in STAGES),
    STAGES,
    tuple(f"prob_{k}" for k in range(len(STAGES))),
)
_LABEL_NAMES = ("stage", "true_label", "label")
_PREDICTED_NAMES = ("predicted", "predicted_label")
_PATIENT_NAMES = ("PatientID", "patient_id")
_EMPTY = frozenset({"", "na", "n/a", "nan", "none", "null"})
#: Tables are often rounded to two digits: four such figures are off by 0.02 at most.
_ROUNDING = 0.025
_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Columns:
    """Names of columns; None takes the usual name where it is there."""

    truth: str | None = None  #: true stage; usual: ``stage``, ``true_label``, ``label``
    probabilities: tuple[str, ...] | None = None  #: T1 to T4; usual: ``prob_T1`` …, ``T1`` …, ``prob_0`` …
    predicted: str | None = None  #: usual: ``predicted``, ``predicted_label``; else the likeliest stage
    patient: str | None = None  #: usual: ``PatientID``, ``patient_id``; else each row is a patient
    case: str | None = None  #: of a row, to match two tables; without it the patient


@dataclass(frozen=True)
class StagePredictions:
    """Stage predictions, one row a case."""

    labels: NDArray[np.int64]  #: shape (n,), 0 is T1
    predicted: NDArray[np.int64]  #: shape (n,)
    probabilities: NDArray[np.float64]  #: shape (n, 4), sums within 0.025 of 1
    patients: tuple[str, ...] | None  #: None where the table has no such column
    cases: tuple[str, ...] | None = None  #: unique, where a column was named

    @property
    def units(self) -> tuple[str, ...]:
        """What is resampled: the patient of each row, or its number where patients are unknown."""
        return self.patients or tuple(str(row) for row in range(len(self.labels)))


def refuse(expected: str, got: str, remedy: str) -> NoReturn:
    """Raise UsageError ``PREDICTIONS_INVALID``."""
    raise UsageError("PREDICTIONS_INVALID", where="predictions", expected=expected, got=got, remedy=remedy)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a CSV file (comma, semicolon or tab; UTF-8) or of the first sheet of an xlsx file.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID``: no such file, another format, two columns of one name, rows of unequal length.
    """
    try:
        if path.suffix.lower() == ".xlsx":
            return _read_xlsx(path)
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return _read_csv(stream.read())
    except FileNotFoundError:
        refuse("a CSV file", "no such file", "Check the path.")
    except (UnicodeDecodeError, csv.Error, OSError):
        refuse("a CSV file in UTF-8", "something else", "Save the table as CSV UTF-8.")


def _read_csv(text: str) -> list[dict[str, Any]]:
    head = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=head.count)
    lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if line]
    if not lines:
        return []
    names = [name.strip() for name in lines[0]]
    _check_names(names)
    for number, line in enumerate(lines[1:], start=1):
        if len(line) != len(names):
            refuse(f"{len(names)} cells a row", f"{len(line)} in row {number}", "Correct the row.")
    # Spreadsheets that separate by semicolon write the decimal point as a comma.
    cells = ([_point(cell) for cell in line] for line in lines[1:]) if delimiter == ";" else iter(lines[1:])
    return [dict(zip(names, line, strict=True)) for line in cells]


def _point(cell: str) -> str:
    plain = cell.strip().replace(",", ".", 1)
    return plain if math.isfinite(_number(plain)) else cell


def _read_xlsx(path: Path) -> list[dict[str, Any]]:
    import pandas as pd

    try:
        frame = pd.read_excel(path, dtype=str, keep_default_na=False, header=None)
    except ImportError:
        refuse("a CSV file", "xlsx without the package that reads it", "Install openpyxl or save the table as CSV.")
    except (ValueError, zipfile.BadZipFile):
        refuse("an xlsx file", "something else", "Save the table as CSV UTF-8.")
    lines = frame.to_numpy().tolist()
    if not lines:
        return []
    names = [str(name).strip() for name in lines[0]]
    _check_names(names)
    return [dict(zip(names, line, strict=True)) for line in lines[1:]]


def _check_names(names: Sequence[str]) -> None:
    named = [name for name in names if name]
    if len(set(named)) != len(named):
        refuse("each column once", "two columns of one name", "Rename one of them.")


def column(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """Cells of a column that must be there; blanks around text are cut.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID``, with the nearest column name where one is near.
    """
    if not rows or name not in rows[0]:
        close = difflib.get_close_matches(name, [str(known) for known in (rows[0] if rows else ())], n=1, cutoff=0.6)
        refuse(f"a column {name}", "none", f"Did you mean {close[0]}?" if close else "Name a column of the table.")
    return [value.strip() if isinstance(value, str) else value for value in (row.get(name) for row in rows)]


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def is_empty(value: object) -> bool:
    """Whether a cell is blank or says so in the manner of spreadsheets."""
    return value is None or str(value).strip().lower() in _EMPTY


def numbers(rows: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    """Numbers of a column, shape (n,); NaN where a cell is empty.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID`` with the first row that holds text or an infinite number.
    """
    cells = column(rows, name)
    values = np.asarray([_number(cell) for cell in cells])
    for place in np.flatnonzero(~np.isfinite(values)):
        if not is_empty(cells[place]):
            refuse(f"numbers in column {name}", f"something else in row {place + 1}", "Correct the cell or empty it.")
    return np.where(np.isfinite(values), values, np.nan)


def stage_reads(rows: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.int64]:
    """Stages of a reader's column, shape (n,); -1 where the reader gave none.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID`` with the first row that holds no stage.
    """
    cells = column(rows, name)
    found = [-1 if is_empty(cell) else stage_index(cell) for cell in cells]
    if None in found:
        refuse(f"stages in column {name}", f"something else in row {found.index(None) + 1}", "Give T1 to T4 or 0 to 3.")
    return np.asarray(found, dtype=np.int64)


def _chosen(rows: Sequence[Mapping[str, Any]], given: str | None, usual: Sequence[str]) -> str | None:
    if given is not None:
        column(rows, given)
        return given
    return next((name for name in usual if name in rows[0]), None)


def _identifiers(rows: Sequence[Mapping[str, Any]], name: str, what: str) -> tuple[str, ...]:
    values = tuple("" if cell is None else str(cell).strip() for cell in column(rows, name))
    if "" in values:
        refuse(f"a {what} in each row", f"none in row {values.index('') + 1}", "Fill in the identifier.")
    return values


def patients_of(rows: Sequence[Mapping[str, Any]], name: str | None) -> tuple[str, ...] | None:
    """Patient of each row, from the named or the usual column; None where there is none.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID``: no such column, or a row without patient.
    """
    chosen = _chosen(rows, name, _PATIENT_NAMES)
    return None if chosen is None else _identifiers(rows, chosen, "patient")


def match_rows(
    rows: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]], patient: str | None, name: str
) -> list[Mapping[str, Any]]:
    """Rows of a further table of the same patients, one row each, in the order of the first.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID``: no patient column, a patient missing or with several rows.
    """
    first, second = patients_of(rows, patient), patients_of(other, patient)
    if first is None or second is None:
        refuse(f"a patient column, to match the table of {name}", "none", "Name it with --patient.")
    place = dict(zip(second, other, strict=True))
    if len(place) != len(other) or len(set(first)) != len(first) or set(first) != set(place):
        refuse(f"the same patients, once each, in the table of {name}", "others", "Give one row for each patient.")
    return [place[patient_id] for patient_id in first]


def parse_predictions(rows: Sequence[Mapping[str, Any]], columns: Columns = Columns()) -> StagePredictions:
    """Check the stage predictions of a table.

    Parameters
    ----------
    rows : sequence of mapping
        Cells as text or numbers, one row a case.
    columns : Columns

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID`` or ``STAGE_INVALID``, with the number of the row (1 is the first below the names).
    """
    if not rows:
        refuse("one row a case", "an empty table", "Give the predictions.")
    names = columns.probabilities or next(
        (names for names in _PROBABILITY_NAMES if all(name in rows[0] for name in names)), None
    )
    truth = _chosen(rows, columns.truth, _LABEL_NAMES)
    if names is None or truth is None:
        refuse("the columns stage and prob_T1 … prob_T4", "others", "Rename the columns or name yours.")
    if len(names) != len(STAGES):
        refuse(f"{len(STAGES)} probability columns", f"{len(names)}", "Name one for each of T1 to T4.")
    values = np.asarray([[_number(cell) for cell in column(rows, name)] for name in names]).T
    good = np.all((values >= 0) & (values <= 1 + _ROUNDING), axis=1) & (np.abs(values.sum(axis=1) - 1) <= _ROUNDING)
    if not good.all():
        first = int(np.flatnonzero(~good)[0]) + 1
        refuse("probabilities from 0 to 1 with sum 1", f"others in row {first}", "Give softmax outputs.")
    predicted = _chosen(rows, columns.predicted, _PREDICTED_NAMES)
    patient = _chosen(rows, columns.patient, _PATIENT_NAMES)
    cases = None if columns.case is None else _identifiers(rows, columns.case, "case")
    if cases is not None and len(set(cases)) != len(cases):
        refuse("each case once", "a case in several rows", "Name a column that tells the rows apart.")
    return StagePredictions(
        labels=stage_indices(column(rows, truth), where="true stage"),
        predicted=values.argmax(axis=1)
        if predicted is None
        else stage_indices(column(rows, predicted), where="predicted stage"),
        probabilities=values,
        patients=None if patient is None else _identifiers(rows, patient, "patient"),
        cases=cases,
    )
