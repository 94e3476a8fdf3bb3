"""Figures of a run of ``gastromap prepare --pairs``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gastromap.cohort.findings import Finding
from gastromap.cohort.pair_case import PairCase
from gastromap.cohort.reconciliation import Overview
from gastromap.cohort.splitting import SPLITS

__all__ = ["COUNTS", "PairSummary", "count_parts", "overview"]

#: What is counted in each part of the split.
COUNTS: Final = ("all", "LNM yes", "LNM no", "LNM ?", "died", "alive", "OS ?", "one scan", "with masks")


@dataclass(frozen=True)
class PairSummary:
    """Figures of a run.

    Attributes
    ----------
    rows, patients : int
        Of the table.
    read : int
        Patients whose scans were read in this run.
    used : int
        Patients in the datalist.
    parts : mapping
        Part of the split to numbers in the order of :data:`COUNTS`.
    findings : tuple of Finding
    """

    rows: int
    patients: int
    read: int
    used: int
    parts: Mapping[str, tuple[int, ...]]
    findings: tuple[Finding, ...]

    @property
    def lines(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Name and numbers of each part, and of all of them; empty without patients."""
        found = [(part, self.parts[part]) for part in SPLITS if part in self.parts]
        if not found:
            return ()
        return (*found, ("all", tuple(map(sum, zip(*(numbers for _, numbers in found), strict=True)))))


def count_parts(used: Iterable[tuple[PairCase, Mapping[str, str], str]]) -> dict[str, tuple[int, ...]]:
    """Count patients by part.

    Parameters
    ----------
    used : iterable of (PairCase, files, part)
    """
    parts: dict[str, list[int]] = {}
    for case, files, part in used:
        masks = {key[-1] for key in files if key.startswith("mask")}
        scans = {key[-1] for key in files if key.startswith("image")}
        flags = (
            True, case.lnm == 1, case.lnm == 0, case.lnm is None,
            case.death == 1, case.death == 0, case.death is None, len(scans) == 1, masks == scans,
        )  # fmt: skip
        counts = parts.setdefault(part, [0] * len(COUNTS))
        for position, flag in enumerate(flags):
            counts[position] += flag
    return {part: tuple(counts) for part, counts in parts.items()}


def overview(summary: PairSummary) -> Overview:
    """What the page of the reconciliation shows above the findings."""
    total = dict(zip(COUNTS, summary.lines[-1][1], strict=True)) if summary.lines else dict.fromkeys(COUNTS, 0)
    return Overview(
        tiles=(
            ("rows in the table", summary.rows),
            ("patients in the table", summary.patients),
            ("patients in the datalist", summary.used),
            ("patients left out", summary.patients - summary.used),
            ("without a second scan", total["one scan"]),
            ("unlabelled for LNM", total["LNM ?"]),
            ("unlabelled for OS", total["OS ?"]),
        ),
        columns=COUNTS,
        splits=summary.lines,
        nothing="No patient has both a label and a usable first scan.",
    )
