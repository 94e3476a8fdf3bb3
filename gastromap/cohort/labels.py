"""What the cells of a clinical table mean: T stage, tumour size, differentiation, Lauren type.

Each reader gives a value or a problem, never an exception: one bad cell must not end a run. The built-in words are
those of English and Chinese pathology reports; everything else the user names with ``--word``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from gastromap.cohort.spreadsheet import plain
from gastromap.errors import UsageError
from gastromap.nomogram.clinical import DIFFERENTIATION, LARGEST_SIZE_CM, LAUREN

__all__ = [
    "NO_WORDS",
    "Reading",
    "StageCodes",
    "Words",
    "parse_words",
    "read_level",
    "read_size_cm",
    "read_stage",
]

#: Meaning of a bare number: ``1``: 1 is T1. ``0``: 0 is T1, as in a datalist.
StageCodes = Literal[0, 1]
_STAGE = re.compile(
    r"(?P<kind>[cpyrau]{0,3})\s*T\s*(?P<digit>[0-9xX]|is)\s*(?P<letter>[a-d]?)"
    r"\s*(?:N\s*[0-9x][a-c]?)?\s*(?:[,/]?\s*M\s*[0-9x][a-c]?)?\s*期?",
    re.IGNORECASE,
)
_BARE = re.compile(r"(?P<digit>[0-9]+)(?:\.0+)?(?P<letter>[a-d]?)", re.IGNORECASE)
_NUMBER = r"\d+(?:[.,]\d+)?"
_SIZE = re.compile(
    rf"({_NUMBER}(?:\s*(?:cm|mm|厘米|毫米)?\s*[x×*]\s*{_NUMBER}){{0,2}})\s*(cm|mm|厘米|毫米)?", re.IGNORECASE
)
_UNITS = {"cm": "cm", "厘米": "cm", "mm": "mm", "毫米": "mm"}

_LEVELS: Final[dict[str, dict[str, str]]] = {
    "differentiation": {
        **dict.fromkeys(("well", "well differentiated", "high", "g1", "高", "高分化"), "well"),
        **dict.fromkeys(
            ("moderate", "moderately", "moderately differentiated", "g2", "中", "中分化", "中等分化"), "moderate"
        ),
        **dict.fromkeys(("poor", "poorly", "poorly differentiated", "low", "g3", "低", "低分化"), "poor"),
    },
    "lauren": {
        **dict.fromkeys(("intestinal", "intestinal type", "肠", "肠型", "肠型胃癌"), "intestinal"),
        **dict.fromkeys(("diffuse", "diffuse type", "弥漫", "弥漫型", "弥漫型胃癌"), "diffuse"),
        **dict.fromkeys(("mixed", "mixed type", "混合", "混合型", "混合型胃癌"), "mixed"),
    },
}
_ALLOWED = {
    "stage": ("T1", "T2", "T3", "T4"),
    "differentiation": DIFFERENTIATION,
    "lauren": LAUREN,
    "lnm": ("0", "1"),
    "death": ("0", "1"),
    "split": ("training", "validation", "test"),
}


@dataclass(frozen=True)
class Reading:
    """Value of a cell, or the code of what is wrong with it; both empty for an empty cell.

    Attributes
    ----------
    value : int, float, str or None
        Stage index (0 is T1), size in cm, or level.
    problem : str
        Code of ``findings``.
    message : str
        What is wrong, without the cell.
    kind : str
        Prefix of a stage: ``c``, ``p``, ``yp`` …
    """

    value: int | float | str | None = None
    problem: str = ""
    message: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Words:
    """The user's meanings of cells: variable to folded cell to level."""

    meanings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def of(self, variable: str, cell: str) -> str | None:
        """Level that the user gave to a cell."""
        return self.meanings.get(variable, {}).get(_folded(cell))


#: Nothing beside the built-in words.
NO_WORDS: Final = Words()


def _folded(cell: str) -> str:
    return re.sub(r"[\s_\-]+", " ", plain(cell).casefold()).strip()


def parse_words(texts: Iterable[str]) -> Words:
    """Read ``VARIABLE:CELL=LEVEL``.

    Parameters
    ----------
    texts : iterable of str
        Variable ``stage``, ``differentiation`` or ``lauren``; level ``T1`` … ``T4``, ``well`` … or ``intestinal`` …
        Of pairs also ``lnm`` and ``death`` (0 or 1) and ``split`` (``training`` …).

    Raises
    ------
    UsageError
        ``WORD_INVALID``.
    """
    meanings: dict[str, dict[str, str]] = {}
    for text in texts:
        variable, _, rest = plain(text).partition(":")
        cell, _, level = rest.rpartition("=")
        allowed = _ALLOWED.get(variable.strip().lower(), ())
        match = next((known for known in allowed if known.lower() == level.strip().lower()), None)
        if match is None or not cell.strip():
            raise UsageError(
                "WORD_INVALID",
                where="--word",
                expected="VARIABLE:CELL=LEVEL, for example lauren:肠型=intestinal or stage:early=T1",
                got="another form" if not allowed else f"another level than {', '.join(allowed)}",
                remedy="Correct the argument.",
            )
        meanings.setdefault(variable.strip().lower(), {})[_folded(cell)] = match
    return Words(meanings)


def read_stage(cell: str, *, codes: StageCodes = 1, words: Words = Words()) -> Reading:
    """Read a T stage.

    Parameters
    ----------
    cell : str
        ``T3``, ``pT3``, ``cT4a``, ``ypT2``, ``T3N1M0``, ``T3期``, ``3``; letter case and width do not matter.
    codes : {1, 0}
        What a bare number means.
    words : Words

    Returns
    -------
    reading : Reading
        Index of the stage, 0 is T1.
    """
    cell = plain(cell)
    if not cell:
        return Reading()
    named = words.of("stage", cell)
    match = _STAGE.fullmatch(named or cell)
    if match is not None:
        return _stage(match["digit"].lower(), match["letter"].lower(), match["kind"].lower())
    bare = _BARE.fullmatch(cell)
    if bare is None or len(bare["digit"]) > 1:
        return Reading(problem="STAGE_IMPOSSIBLE", message="the cell is no T stage")
    if codes == 1:
        return _stage(bare["digit"], bare["letter"].lower(), "")
    number = int(bare["digit"])
    if number > 3 or bare["letter"]:
        return Reading(problem="STAGE_IMPOSSIBLE", message="the cell is no code from 0 (T1) to 3 (T4)")
    return Reading(number)


def _stage(digit: str, letter: str, kind: str) -> Reading:
    if digit in ("x", "0", "is"):
        name = {"x": "TX", "0": "T0", "is": "Tis"}[digit]
        return Reading(problem="STAGE_NOT_STAGED", message=f"{name} is none of T1 to T4", kind=kind)
    if digit not in "1234":
        return Reading(problem="STAGE_IMPOSSIBLE", message=f"T{digit} does not exist", kind=kind)
    # AJCC 8 divides T1 and T4 into a and b only; the 6th edition had T2a and T2b.
    if letter and digit in "23" and letter in "ab":
        return Reading(problem="STAGE_OLD_EDITION", message=f"T{digit}{letter} is not in AJCC 8", kind=kind)
    if letter and (digit in "23" or letter not in "ab"):
        return Reading(problem="STAGE_IMPOSSIBLE", message=f"T{digit}{letter} does not exist", kind=kind)
    return Reading(int(digit) - 1, kind=kind)


def read_size_cm(cell: str, *, unit: Literal["cm", "mm"] | None) -> Reading:
    """Read the largest diameter of the tumour in cm.

    Parameters
    ----------
    cell : str
        ``3.5``, ``35mm``, ``3.5×2×1 cm`` (the largest counts), ``3,5``.
    unit : {"cm", "mm"} or None
        Where the cell names none; ``None`` makes such a cell unreadable.
    """
    cell = plain(cell)
    if not cell:
        return Reading()
    match = _SIZE.fullmatch(cell)
    if match is None:
        return Reading(problem="VALUE_UNREADABLE", message="the size is no number with cm or mm")
    units: set[str | None] = {_UNITS[word.lower()] for word in re.findall("cm|mm|厘米|毫米", cell, re.IGNORECASE)}
    units = units or {unit}
    if len(units) > 1 or None in units:
        return Reading(problem="VALUE_UNREADABLE", message="the size has no unit, or two")
    size = max(float(number.replace(",", ".")) for number in re.findall(_NUMBER, match[1]))
    size_cm = size / 10 if units == {"mm"} else size
    if not 0 < size_cm <= LARGEST_SIZE_CM:
        hint = "; millimetres?" if size_cm > LARGEST_SIZE_CM and units == {"cm"} else ""
        message = f"the size is not above 0 and up to {LARGEST_SIZE_CM:g} cm{hint}"
        return Reading(problem="VALUE_IMPOSSIBLE", message=message)
    # 35 mm are 3.5 cm, not 3.5000000000000004.
    return Reading(round(size_cm, 4))


def read_level(variable: Literal["differentiation", "lauren"], cell: str, *, words: Words = Words()) -> Reading:
    """Read differentiation or Lauren type.

    Parameters
    ----------
    variable : {"differentiation", "lauren"}
    cell : str
        English or Chinese word, G1 to G3, or a word of the user.
    words : Words
    """
    cell = plain(cell)
    if not cell:
        return Reading()
    level = words.of(variable, cell) or _LEVELS[variable].get(_folded(cell))
    if level is None:
        return Reading(problem="VALUE_UNREADABLE", message=f"no known word for {variable}")
    return Reading(level)
