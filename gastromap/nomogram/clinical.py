"""Clinical variables of one patient, from ``clinical.json`` or a row of a table.

A message says what is wrong and never quotes the file: a cell can hold a name.
"""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from gastromap.errors import UsageError
from gastromap.nomogram.json_file import JsonProblemError, finite, parse_object, read_limited
from gastromap.results import ClinicalVariables, Tumour

__all__ = ["DIFFERENTIATION", "LARGEST_SIZE_CM", "LAUREN", "check_clinical", "read_clinical", "with_measured_size"]

#: Levels of the nomogram; the first is the reference.
DIFFERENTIATION = ("well", "moderate", "poor")
LAUREN = ("intestinal", "diffuse", "mixed")

_CATEGORIES = {"differentiation": DIFFERENTIATION, "lauren": LAUREN}
_NAMES = ("tumour_size_cm", *_CATEGORIES)
_PATIENT = "PatientID"
_LIMIT_BYTES = 1_000_000
#: A stomach is shorter than this; a larger figure is nearly always given in millimetres.
LARGEST_SIZE_CM = 40.0
#: What a spreadsheet exports for an empty cell.
_EMPTY_CELLS = frozenset({"", "na", "n/a", "null"})


def _refuse(*, expected: str, got: str, remedy: str = "Correct the clinical file.") -> NoReturn:
    raise UsageError("CLINICAL_INVALID", where="clinical file", expected=expected, got=got, remedy=remedy)


def _check_names(names: list[str]) -> None:
    """Refuse equal names and near misses: a misspelt variable would pass for a missing one."""
    if len(set(names)) != len(names):
        _refuse(expected="each column once", got="the same column twice")
    for name in names:
        word = name.strip().lower()
        close = difflib.get_close_matches(word, _NAMES, n=1, cutoff=0.8)
        # "lauren_type" is taken for the variable unless the variable is there itself.
        close = close or [known for known in _NAMES if known in word and known not in names]
        if close and name != close[0]:
            _refuse(expected=close[0], got="another spelling of it", remedy="Rename the column.")


def _size(value: object) -> float | None:
    if value is None:
        return None
    expected = f"tumour_size_cm above 0 and up to {LARGEST_SIZE_CM:g}"
    try:
        size_cm = finite(value)
    except ValueError:
        _refuse(expected=expected, got="no number", remedy="Give the size in cm as a plain number.")
    if not 0 < size_cm <= LARGEST_SIZE_CM:
        _refuse(expected=expected, got="a number outside", remedy="Give the largest diameter in cm, not mm.")
    return size_cm


def _category(name: str, value: object) -> Any:
    if value is None:
        return None
    levels = _CATEGORIES[name]
    word = value.strip().lower() if isinstance(value, str) else None
    if word not in levels:
        got = "no text" if word is None else "another word"
        _refuse(expected=f"{name} as {', '.join(levels[:-1])} or {levels[-1]}", got=got)
    return word


def _variables(values: Mapping[str, object]) -> ClinicalVariables:
    return ClinicalVariables(
        tumour_size_cm=_size(values.get("tumour_size_cm")),
        differentiation=_category("differentiation", values.get("differentiation")),
        lauren=_category("lauren", values.get("lauren")),
    )


def _from_json(content: bytes, patient_id: str) -> ClinicalVariables:
    try:
        values = parse_object(content)
    except JsonProblemError as problem:
        _refuse(expected="one JSON object", got=str(problem))
    _check_names(list(values))
    owner = values.get(_PATIENT)
    # The file may name its patient; then it must be this one.
    if owner is not None and str(owner).strip() != patient_id.strip():
        _refuse(expected="the patient of the study", got="another PatientID", remedy="Give the file of this patient.")
    return _variables(values)


def _cell(name: str, text: str) -> object:
    """Value of a table cell in the type that JSON would have given it."""
    text = text.strip()
    if text.lower() in _EMPTY_CELLS:
        return None
    if name != "tumour_size_cm":
        return text
    try:
        return float(text)
    except ValueError:
        return text


def _rows_of(content: bytes, patient_id: str) -> tuple[list[str], list[list[str]]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        _refuse(expected="text in UTF-8", got="another encoding", remedy="Save the table as CSV UTF-8.")
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if any(map(str.strip, row))]
    except csv.Error:
        _refuse(expected="a table with commas", got="damaged CSV")
    header = [name.strip() for name in rows[0]] if rows else []
    if header.count(_PATIENT) != 1:
        _refuse(expected=f"one column {_PATIENT}", got="none or several", remedy="Save the table as CSV with commas.")
    column = header.index(_PATIENT)
    return header, [row for row in rows[1:] if len(row) > column and row[column].strip() == patient_id]


def _from_csv(content: bytes, patient_id: str) -> ClinicalVariables:
    header, rows = _rows_of(content, patient_id.strip())
    _check_names([name for name in header if name])
    # An anonymised study without PatientID must not be given the row without one.
    if not patient_id.strip() or not rows:
        return ClinicalVariables()
    if len(rows) > 1:
        raise UsageError(
            "CLINICAL_AMBIGUOUS",
            where="clinical file",
            expected="one row for the patient",
            got=f"{len(rows)} rows",
            remedy="Keep the row that belongs to this study.",
        )
    if len(rows[0]) != len(header):
        _refuse(expected=f"{len(header)} cells in the patient's row", got=f"{len(rows[0])}")
    return _variables({name: _cell(name, text) for name, text in zip(header, rows[0], strict=True) if name in _NAMES})


def check_clinical(clinical: ClinicalVariables) -> ClinicalVariables:
    """Check values that did not come from :func:`read_clinical`.

    Parameters
    ----------
    clinical : ClinicalVariables
        Size in cm, above 0 and up to 40; categories in either case; None is missing.

    Returns
    -------
    ClinicalVariables
        The same values, categories in lower case.

    Raises
    ------
    UsageError
        ``CLINICAL_INVALID``.
    """
    checked = _variables({name: getattr(clinical, name) for name in _NAMES})
    return replace(checked, size_origin=clinical.size_origin)


def with_measured_size(clinical: ClinicalVariables, tumour: Tumour | None) -> ClinicalVariables:
    """Fill in the long axis of a mask as tumour size where nobody has given one; where it is from is kept with it.

    Parameters
    ----------
    clinical : ClinicalVariables
    tumour : Tumour, optional
        Its long axis lies in one axial slice: of a tumour that runs along the body it is too small.
    """
    if tumour is None or clinical.tumour_size_cm is not None:
        return clinical
    size_cm = round(tumour.measures.long_axis_mm / 10, 1)
    if not 0 < size_cm <= LARGEST_SIZE_CM:
        return clinical
    return replace(clinical, tumour_size_cm=size_cm, size_origin=tumour.origin)


def read_clinical(path: Path, *, patient_id: str) -> ClinicalVariables:
    """Read the clinical variables of one patient.

    Parameters
    ----------
    path : Path
        ``.json``: an object with ``tumour_size_cm`` (largest diameter in cm), ``differentiation`` (well, moderate,
        poor) and ``lauren`` (intestinal, diffuse, mixed); null or absent is missing; an optional ``PatientID`` must be
        that of the study. ``.csv``: the same names as columns, rows found by the column ``PatientID``, empty cells or
        NA are missing. UTF-8 with or without byte-order mark, at most 1 MB. Other columns are ignored.
    patient_id : str
        PatientID of the study. Not found in the table: all variables are missing.

    Returns
    -------
    ClinicalVariables

    Raises
    ------
    UsageError
        ``CLINICAL_INVALID`` or ``CLINICAL_AMBIGUOUS`` (several rows of the patient), in one line that quotes no value.

    Notes
    -----
    Only the patient's own row is checked: a fault in another row of a cohort table must not stop this study.
    """
    try:
        content = read_limited(path, limit_bytes=_LIMIT_BYTES)
    except JsonProblemError as problem:
        _refuse(expected="a readable file of at most 1 MB", got=str(problem))
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _from_json(content, patient_id)
    if suffix == ".csv":
        return _from_csv(content, patient_id)
    _refuse(expected="a file ending in .json or .csv", got="another ending", remedy="Save it as one of the two.")
