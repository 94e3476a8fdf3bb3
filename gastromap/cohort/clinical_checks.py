"""Clinical values that cannot be, in a table of patients or images."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final

from gastromap.cohort.audit_input import patient_of_name
from gastromap.cohort.spreadsheet import Table
from gastromap.evaluation.stages import stage_index
from gastromap.nomogram.clinical import DIFFERENTIATION, LARGEST_SIZE_CM, LAUREN

__all__ = ["clinical_problems", "impossible_value"]

#: Code, number, message and examples of a finding.
Problem = tuple[str, int, str, tuple[str, ...]]

_PATIENT_NAMES = ("patient_id", "PatientID", "patient", "image_name", "image")
_STAGE_NAMES = ("stage", "label")
#: Columns that tell rows of one patient apart by nature.
_OF_THE_ROW = frozenset({"image_name", "image", "image_path", "split", "slice"})
_EXAMPLES = 10


def _range(low: float, high: float, *, open_low: bool = False) -> Callable[[str], bool]:
    def good(cell: str) -> bool:
        try:
            value = float(cell)
        except ValueError:
            return False
        return math.isfinite(value) and (low < value if open_low else low <= value) and value <= high

    return good


def _one_of(*levels: str) -> Callable[[str], bool]:
    return lambda cell: cell.casefold() in levels


#: Column (folded) to what it may hold. Upper ends are far beyond what is reported, to catch units and typing slips.
_RULES: Final[dict[str, tuple[str, Callable[[str], bool]]]] = {
    "tumour_size_cm": (f"above 0 and up to {LARGEST_SIZE_CM:g} cm", _range(0, LARGEST_SIZE_CM, open_low=True)),
    "tumor_size": (f"above 0 and up to {LARGEST_SIZE_CM:g} cm", _range(0, LARGEST_SIZE_CM, open_low=True)),
    "differentiation": ("well, moderate or poor", _one_of(*DIFFERENTIATION)),
    "lauren": ("intestinal, diffuse or mixed", _one_of(*LAUREN)),
    "age_years": ("0 to 120 years", _range(0, 120)),
    "age": ("0 to 120 years", _range(0, 120)),
    "cea_ng_ml": ("0 to 100,000", _range(0, 1e5)),
    "cea": ("0 to 100,000", _range(0, 1e5)),
    "ca199_u_ml": ("0 to 10,000,000", _range(0, 1e7)),
    "ca19_9": ("0 to 10,000,000", _range(0, 1e7)),
    "lnm": ("0 or 1", _one_of("0", "1")),
    "death": ("0 or 1", _one_of("0", "1")),
    "os_months": ("0 to 600 months", _range(0, 600)),
    "interval_days": ("above 0", _range(0, 36_525, open_low=True)),
    "node_positive": ("0 or 1", _one_of("0", "1")),
    "positive_nodes": ("0 to 200", _range(0, 200)),
}


def impossible_value(column: str, cell: str) -> str:
    """What a known column may hold, if the cell is something else; empty otherwise."""
    expected, good = _RULES.get(column.casefold(), ("", None))
    return "" if good is None or good(cell) else expected


def clinical_problems(table: Table, labels: Mapping[str, int]) -> list[Problem]:
    """Check a clinical table.

    Parameters
    ----------
    table : Table
        Known columns are checked for possible values; empty cells are missing, not wrong. Rows belong to the patient in
        ``patient_id``, ``PatientID``, or the file name before ``.nii`` in ``image_name``.
    labels : mapping of str to int
        Stage index of the patients of the split.

    Returns
    -------
    problems : list of (code, number, message, examples)
    """
    problems: list[Problem] = []
    for column in table.columns:
        if column.casefold() not in _RULES:
            continue
        expected, good = _RULES[column.casefold()]
        bad = [number for number, cells in table.rows if cells[column] and not good(cells[column])]
        if bad:
            problems.append(("CLINICAL_IMPOSSIBLE", len(bad), f"{column} is not {expected}", _rows(bad)))
    nodes, positive = table.usual(["positive_nodes"]), table.usual(["node_positive"])
    if nodes and positive:
        bad = [
            number
            for number, cells in table.rows
            if cells[nodes].isdigit()
            and cells[positive] in ("0", "1")
            and (int(cells[nodes]) > 0) != (cells[positive] == "1")
        ]
        if bad:
            message = "positive_nodes and node_positive contradict each other"
            problems.append(("CLINICAL_IMPOSSIBLE", len(bad), message, _rows(bad)))
    patient = table.usual(_PATIENT_NAMES)
    if patient is not None:
        problems += _by_patient(table, patient, labels)
    return problems


def _rows(numbers: list[int]) -> tuple[str, ...]:
    return tuple(f"row {number}" for number in numbers[:_EXAMPLES])


def _by_patient(table: Table, patient: str, labels: Mapping[str, int]) -> list[Problem]:
    problems: list[Problem] = []
    rows: dict[str, list[tuple[int, tuple[str, ...]]]] = defaultdict(list)
    compared = [name for name in table.columns if name != patient and name.casefold() not in _OF_THE_ROW]
    stage = table.usual(_STAGE_NAMES)
    other = []
    for number, cells in table.rows:
        name = patient_of_name(cells[patient], ".nii")
        rows[name].append((number, tuple(cells[column] for column in compared)))
        index = None if stage is None or not cells[stage] else stage_index(cells[stage])
        if index is not None and labels.get(name, index) != index:
            other.append(number)
    if other:
        message = "the stage of the clinical table is not the label of the split"
        problems.append(("CLINICAL_LABEL_CONFLICT", len(other), message, _rows(other)))
    differing = [found[0][0] for found in rows.values() if len({values for _, values in found}) > 1]
    if differing:
        message = "patients whose rows differ in their clinical values"
        problems.append(("CLINICAL_ROWS_DIFFER", len(differing), message, _rows(differing)))
    return problems
