"""What the cells of a table of scan pairs mean: node metastasis, death, time, dates, clinical variables.

Each reader gives a value or a problem, never an exception: one bad cell must not end a run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any, Final, cast

from gastromap.cohort.clinical_checks import impossible_value
from gastromap.cohort.labels import NO_WORDS, Reading, Words, read_level
from gastromap.cohort.pair_columns import ClinicalColumn, TimeUnit
from gastromap.cohort.pair_words import LABEL_WORDS, PART_WORDS
from gastromap.cohort.splitting import SPLITS
from gastromap.cohort.spreadsheet import identifier, is_empty, plain
from gastromap.errors import UsageError

__all__ = [
    "DAYS_A_MONTH",
    "check_binary_codes",
    "read_centre",
    "read_clinical",
    "read_date",
    "read_death",
    "read_months",
    "read_node_metastasis",
    "read_part",
]

#: Of the mean Gregorian year, 365.25 days.
DAYS_A_MONTH: Final = 30.4375
_LONGEST_MONTHS: Final = 600.0

#: ``无`` and ``-`` say "negative" in these columns, while other columns say "missing" with them.
_NEGATIVE_SIGNS: Final = frozenset(("无", "-", "—"))
_N_STAGE = re.compile(
    r"(?P<kind>yp|p|y|c)?(?:T[0-4x](?:[a-d]|is)?)?N(?P<digit>[0-3x])[a-c]?(?:\(.*\))?(?:M[0-1x])?期?", re.I
)
_NUMBER = r"-?\d+(?:[.,]\d+)?(?:e-?\d+)?"
_TIME = re.compile(rf"({_NUMBER})\s*(months?|mo|个?月|days?|d|天|日)?", re.I)
_DAY_NUMBERS: Final = (20_000, 70_000)  # 1954 to 2091 as Excel counts
_DATES: Final = (
    (re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?"), (1, 2, 3)),
    (re.compile(r"(\d{4})(\d{2})(\d{2})"), (1, 2, 3)),
    (re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})"), (3, 2, 1)),
)
_SLASHED = re.compile(r"(\d{1,2})[-/](\d{1,2})[-/](\d{4})")


def _folded(cell: str) -> str:
    return re.sub(r"[\s_]+", " ", plain(cell).casefold()).strip()


def _problem(code: str, message: str) -> Reading:
    return Reading(problem=code, message=message)


def check_binary_codes(cells: Iterable[str], *, column: str, variable: str, words: Words) -> None:
    """Refuse a column of 1 and 2, as some statistics programs code it: 1 would be read as "yes".

    Raises
    ------
    UsageError
        ``LABEL_CODES``.
    """
    bare = {identifier(cell) for cell in cells if words.of(variable, cell) is None}
    codes = {cell for cell in bare if cell.isdigit()}
    if codes == {"1", "2"}:
        raise UsageError(
            "LABEL_CODES",
            where=f"column {column}",
            expected="0 and 1",
            got="1 and 2",
            remedy=f"Say what they mean: --word {variable}:1=0 --word {variable}:2=1, or the other way round.",
        )


def read_node_metastasis(cell: str, *, counts: bool, signs: bool, words: Words = NO_WORDS) -> Reading:
    """Read whether a lymph node has a metastasis.

    Parameters
    ----------
    cell : str
        ``0``, ``1``, ``true``, ``N0``, ``N+``, ``ypN1``, ``ypT2N1M0``, ``阳性`` …
    counts : bool
        Whether the column says N: then bare numbers up to 3 are its categories.
    signs : bool
        Whether ``-`` means "negative", because the column has ``+`` too.
    words : Words

    Returns
    -------
    reading : Reading
        1 or 0; empty for an empty cell and for NX.
    """
    named = words.of("lnm", cell)
    text = _folded(named or identifier(cell))
    if not text or (is_empty(text) and text != "无" and not (signs and text in _NEGATIVE_SIGNS)):
        return Reading()
    if text in LABEL_WORDS["lnm"]:
        return Reading(LABEL_WORDS["lnm"][text])
    match = _N_STAGE.fullmatch(text.replace(" ", ""))
    if match is not None and (match["kind"] or "").lower() == "c":
        return _problem("LABEL_UNREADABLE", "cN is a reading of images, not what was found in the nodes")
    if match is not None:
        return Reading() if match["digit"] in "xX" else Reading(int(match["digit"] != "0"))
    if counts and text in ("2", "3", "3a", "3b", "1a", "1b"):
        return Reading(1)
    return _problem("LABEL_UNREADABLE", "neither 0 or 1, true or false, N0 or N+, nor an N category")


def read_death(cell: str, *, words: Words = NO_WORDS) -> Reading:
    """Read whether a patient died: 1 for such as ``1``, ``dead``, ``死亡``, 0 for ``0``, ``alive``, ``censored``."""
    named = words.of("death", cell)
    text = _folded(named or identifier(cell))
    if not text or (is_empty(text) and text != "无"):
        return Reading()
    # cBioPortal writes 1:DECEASED.
    code, _, meaning = text.partition(":")
    if code in ("0", "1") and LABEL_WORDS["death"].get(meaning.strip(), int(code)) == int(code):
        text = code
    if text in LABEL_WORDS["death"]:
        return Reading(LABEL_WORDS["death"][text])
    return _problem("LABEL_UNREADABLE", "neither 0 or 1, true or false, nor a known word for alive or dead")


def read_months(cell: str, *, unit: TimeUnit) -> Reading:
    """Read a time of follow-up.

    Parameters
    ----------
    cell : str
        A number, with the unit of the column or none.
    unit : {"months", "days"}

    Returns
    -------
    reading : Reading
        Months of 30.4375 days, 0 or more.
    """
    text = _folded(cell)
    if is_empty(text):
        return Reading()
    match = _TIME.fullmatch(text)
    # 1,234 may be one and a bit or more than a thousand.
    if match is None or re.search(r",\d{3}$", match[1]):
        return _problem("TIME_UNREADABLE", f"the time is no number of {unit}")
    stated = match[2] and ("days" if match[2][0] in "d天日" else "months")
    if stated and stated != unit:
        return _problem("TIME_UNREADABLE", f"the time is in {stated}, those of the column in {unit}")
    time = float(match[1].replace(",", "."))
    if time < 0:
        return _problem("TIME_NEGATIVE", "the time is negative")
    months = time / DAYS_A_MONTH if unit == "days" else time
    if not math.isfinite(months) or months > _LONGEST_MONTHS:
        hint = "; days?" if unit == "months" else ""
        return _problem("TIME_IMPOSSIBLE", f"the time is above {_LONGEST_MONTHS:g} months{hint}")
    return Reading(round(months, 4))


def read_date(cell: str) -> tuple[date | None, str]:
    """Read a date.

    Parameters
    ----------
    cell : str
        ``2021-03-04``, with a time or without, ``2021/3/4``, ``2021年3月4日``, ``20210304``, ``4.3.2021``,
        ``25/3/2021`` where only one order is possible, or the number of a day as Excel stores it.

    Returns
    -------
    day : date or None
    problem : str
        What is wrong; empty where nothing is.
    """
    text = plain(cell)
    if is_empty(text):
        return None, ""
    text = re.sub(r"[ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?$", "", text).strip()
    for pattern, (year, month, day) in _DATES:
        match = pattern.fullmatch(text)
        if match is not None:
            return _day(int(match[year]), int(match[month]), int(match[day]))
    match = _SLASHED.fullmatch(text)
    if match is not None:
        first, second, year = int(match[1]), int(match[2]), int(match[3])
        if first <= 12 and second <= 12 and first != second:
            return None, "day and month could be either way round"
        return _day(year, min(first, second), max(first, second))
    number = identifier(text)
    if number.isdigit() and _DAY_NUMBERS[0] <= int(number) <= _DAY_NUMBERS[1]:
        # Excel counts a 29 February 1900 that never was.
        return date(1899, 12, 30) + timedelta(days=int(number)), ""
    return None, "the cell is no date"


def _day(year: int, month: int, day: int) -> tuple[date | None, str]:
    try:
        return date(year, month, day), ""
    except ValueError:
        return None, "there is no such day"


def read_part(cell: str, *, words: Words = NO_WORDS) -> Reading:
    """Read a part of the split: such as ``training``, ``train`` or ``训练集``, or a word of the user."""
    text = _folded(cell)
    if is_empty(text):
        return Reading()
    part = words.of("split", cell) or PART_WORDS.get(text)
    if part not in SPLITS:
        return _problem("SPLIT_UNREADABLE", "no known word for training, validation or test")
    return Reading(part)


def read_centre(cell: str) -> tuple[tuple[float, float, float] | None, str]:
    """Read ``x, y, z`` in mm.

    Returns
    -------
    point : (x, y, z) or None
    problem : str
    """
    text = plain(cell).strip("()[] ")
    if is_empty(text):
        return None, ""
    try:
        point = [float(part) for part in re.split(r"[,;\s]+", text)]
    except ValueError:
        point = []
    if len(point) != 3 or not all(map(math.isfinite, point)):
        return None, "the cell is not three numbers x, y, z"
    return (point[0], point[1], point[2]), ""


def read_clinical(cell: str, variable: ClinicalColumn, *, missing: Sequence[str] = ()) -> Reading:
    """Read a clinical variable.

    Parameters
    ----------
    cell : str
    variable : ClinicalColumn
    missing : sequence of str
        Cells that mean "unknown" in any column.

    Returns
    -------
    reading : Reading
        A number, or a level as it was declared.
    """
    text = identifier(cell)
    folded = _folded(text)
    levels = {_folded(str(level)): level for level in variable.levels}
    words = {_folded(word): level for word, level in variable.words.items()}
    if folded in {_folded(identifier(code)) for code in (*variable.missing, *missing)}:
        return Reading()
    if folded in words:
        return Reading(words[folded])
    if folded in levels:
        return Reading(levels[folded])
    if is_empty(text):
        return Reading()
    if variable.type == "numeric":
        return _number(text, variable.name)
    if variable.name in ("differentiation", "lauren"):
        known = read_level(cast(Any, variable.name), text)
        if not levels or _folded(str(known.value)) in levels:
            return known
    if levels:
        return _problem("VALUE_UNREADABLE", f"none of the levels of {variable.name}")
    return Reading(text)


def _number(text: str, name: str) -> Reading:
    if not re.fullmatch(_NUMBER, text, re.I) or re.search(r",\d{3}$", text):
        return _problem("VALUE_UNREADABLE", f"{name} is no number")
    value = float(text.replace(",", "."))
    wrong = impossible_value(name, str(value))
    if wrong or not math.isfinite(value):
        return _problem("VALUE_IMPOSSIBLE", f"{name} is not {wrong or 'finite'}")
    return Reading(int(value) if value.is_integer() else value)
