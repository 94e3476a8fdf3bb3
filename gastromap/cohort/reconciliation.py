"""The reconciliation of table and images, as CSV and as one HTML page that needs nothing else."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from gastromap import __version__
from gastromap.cohort.findings import CODES, Finding

__all__ = ["Overview", "details", "findings_csv", "grouped", "render_reconciliation"]

_COLUMNS = ("code", "effect", "patient", "study", "rows", "column", "detail", "message")
_SHOWN = ("rows", "patient", "study", "column")
#: Rows of one table of the page; the CSV file has all.
_MOST_ROWS = 200
_EFFECTS = ("left out", "emptied", "kept")


@dataclass(frozen=True)
class Overview:
    """What the page shows above the findings.

    Attributes
    ----------
    tiles : tuple of (str, int)
        Name and number.
    columns : tuple of str
        Of the table of the split.
    splits : tuple of (str, tuple of int)
        Name of the part, and its numbers; the last line is that of all.
    nothing : str
        Said in place of an empty table.
    """

    tiles: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]
    splits: tuple[tuple[str, tuple[int, ...]], ...]
    nothing: str


def grouped(findings: Sequence[Finding]) -> list[tuple[str, list[Finding]]]:
    """Findings by code: those that cost patients first, then the most frequent ones."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.code, []).append(finding)

    def rank(item: tuple[str, list[Finding]]) -> tuple[int, int, str]:
        code, found = item
        return min(_EFFECTS.index(finding.effect) for finding in found), -len(found), code

    return sorted(groups.items(), key=rank)


def details(findings: Sequence[Finding]) -> str:
    """Codes of the input gate behind findings of one kind, with their numbers; empty where there are none."""
    counts = Counter(finding.detail for finding in findings if finding.detail)
    return ", ".join(f"{number} {code}" for code, number in counts.most_common())


def _cells(finding: Finding) -> dict[str, str]:
    return {
        "code": finding.code,
        "effect": finding.effect,
        "patient": finding.patient,
        "study": finding.study,
        "rows": " ".join(map(str, finding.rows)),
        "column": finding.column,
        "detail": finding.detail,
        "message": finding.message,
    }


def findings_csv(findings: Sequence[Finding]) -> str:
    """Text of ``reconciliation.csv``: one line a finding."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_cells(finding) for _, found in grouped(findings) for finding in found)
    # The mark lets spreadsheets read names of columns in any script.
    return "\ufeff" + text.getvalue()


def render_reconciliation(overview: Overview, findings: Sequence[Finding]) -> str:
    """Make the page; every text in it is escaped.

    Parameters
    ----------
    overview : Overview
    findings : sequence of Finding
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = resources.files("gastromap.cohort").joinpath("reconciliation.html").read_text(encoding="utf-8")
    groups: list[dict[str, Any]] = [
        {
            "code": code,
            "title": CODES[code].title,
            "remedy": CODES[code].remedy,
            "number": len(found),
            "details": details(found),
            "effects": [(name, n) for name in _EFFECTS if (n := sum(finding.effect == name for finding in found))],
            "columns": [name for name in _SHOWN if any(_cells(finding)[name] for finding in found[:_MOST_ROWS])],
            "rows": [_cells(finding) for finding in found[:_MOST_ROWS]],
            "more": max(0, len(found) - _MOST_ROWS),
        }
        for code, found in grouped(findings)
    ]
    return environment.from_string(source).render(overview=overview, groups=groups, version=__version__)
