"""A check's report as a table for a person."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from gastromap.packaging.check_findings import CheckReport, Finding

__all__ = ["report_table"]

_HEAD = ("level", "where", "expected", "found", "rule")


def report_table(report: CheckReport, *, width: int = 120) -> str:
    """Give the report as text: parts checked, findings as a table, a verdict.

    Parameters
    ----------
    report : CheckReport
    width : int
        Columns of the terminal; 80 at least are used.
    """
    lines = [f"{report.subject}, rules: {report.profile}", ""]
    longest = max((len(part.name) for part in report.parts), default=0)
    lines += [f"  {part.name:{longest}}  {_state(part.skipped, part.findings)}" for part in report.parts]
    if report.findings:
        lines += ["", *_table([_row(finding) for finding in report.findings], max(width, 80))]
    counts = report.counts
    summary = ", ".join(f"{count} {level}{'' if count == 1 else 's'}" for level, count in counts.items())
    verdict = "does not conform" if counts["error"] else "conforms"
    if not counts["error"] and any(part.skipped for part in report.parts):
        checked = any(not part.skipped for part in report.parts)
        verdict = "conforms as far as it was checked" if checked else "not checked"
    lines += ["", f"{verdict}: {summary}"]
    # Last, and alone on a line: programs and readers of a log must not take a part for the whole.
    lines += [f"SKIPPED: {part.skipped}" for part in report.parts if part.skipped]
    return "\n".join(lines)


def _state(skipped: str, findings: Sequence[Finding]) -> str:
    if skipped:
        return "skipped"
    return f"{len(findings)} finding{'' if len(findings) == 1 else 's'}" if findings else "ok"


def _row(finding: Finding) -> tuple[str, ...]:
    where = f"{finding.file}: {finding.field}" if finding.field else finding.file
    return finding.level, where, finding.expected, finding.found, f"{finding.rule} ({finding.source})"


def _table(rows: Sequence[tuple[str, ...]], width: int) -> list[str]:
    columns = list(zip(_HEAD, *rows, strict=True))
    widest = [max(map(len, column)) for column in columns]
    # The level is never broken; the others share what is left, narrow ones keep their width.
    free = width - widest[0] - 2 * (len(_HEAD) - 1)
    widths = [widest[0], *_shares(widest[1:], free)]
    lines = []
    for row in (_HEAD, *rows):
        cells = [textwrap.wrap(cell, size) or [""] for cell, size in zip(row, widths, strict=True)]
        for index in range(max(map(len, cells))):
            parts = [
                (cell[index] if index < len(cell) else "").ljust(size) for cell, size in zip(cells, widths, strict=True)
            ]
            lines.append("  ".join(parts).rstrip())
    return lines


def _shares(wanted: Sequence[int], free: int) -> list[int]:
    given = [0] * len(wanted)
    left, open_columns = free, set(range(len(wanted)))
    while open_columns:
        share = left // len(open_columns)
        fitting = {index for index in open_columns if wanted[index] <= share}
        for index in fitting or open_columns:
            given[index] = wanted[index] if fitting else max(share, 1)
        left -= sum(given[index] for index in fitting)
        open_columns -= fitting or open_columns
    return given
