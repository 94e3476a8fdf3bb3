"""What a table of scan pairs says of a patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from gastromap.cohort.findings import Finding
from gastromap.cohort.rows import BadCell

__all__ = ["FILES", "PairCase", "PairRoster", "Point"]

#: Keys of the files of a patient, in the table and in the datalist.
FILES = ("image1", "mask1", "image2", "mask2")
Point = tuple[float, float, float]


@dataclass(frozen=True)
class PairCase:
    """One patient of the table.

    Attributes
    ----------
    patient_id : str
        As the table has it. Patient data.
    row : int
    files : mapping
        Keys of :data:`FILES`, or ``study``, to cells; absent where the table is silent.
    series, centres, dates : mapping of int to value
        By date, 1 or 2: Series Instance UID, middle of the tumour in LPS mm, day.
    lnm, death : int or None
    os_months : float or None
        With ``death`` or not at all.
    clinical : mapping
    cohort : str
    part : str
        Of the split, where the table gives it.
    fold : int or None
    """

    patient_id: str
    row: int
    files: Mapping[str, str]
    series: Mapping[int, str] = field(default_factory=dict)
    centres: Mapping[int, Point] = field(default_factory=dict)
    dates: Mapping[int, date] = field(default_factory=dict)
    lnm: int | None = None
    death: int | None = None
    os_months: float | None = None
    clinical: Mapping[str, Any] = field(default_factory=dict)
    cohort: str = ""
    part: str = ""
    fold: int | None = None


@dataclass(frozen=True)
class PairRoster:
    """What the table says.

    Attributes
    ----------
    cases : tuple of PairCase
        Those whose row can be used.
    rows : mapping of str to tuple of int
        Rows of every patient.
    cells : frozenset of str
        What the rows name as files or folders, whether they can be used or not.
    """

    cases: tuple[PairCase, ...]
    rows: Mapping[str, tuple[int, ...]]
    cells: frozenset[str]
    findings: tuple[Finding, ...]
    bad_cells: tuple[BadCell, ...]
