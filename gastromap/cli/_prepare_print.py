"""What both kinds of ``gastromap prepare`` print, and their progress bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from gastromap.cohort.findings import Finding

__all__ = ["print_findings", "with_bar"]

Summary = TypeVar("Summary")


def with_bar(prepare: Callable[[Callable[[int, int, int], None]], Summary], *, unit: str, quiet: bool) -> Summary:
    """Run something that reports its progress."""
    from tqdm import tqdm

    with tqdm(unit=unit, disable=quiet or None) as bar:

        def show(done: int, total: int, bad: int) -> None:
            if bar.total is None:
                bar.reset(total)
            bar.set_postfix(refused=bad, refresh=False)
            bar.update(done - bar.n)

        return prepare(show)


def print_findings(findings: Sequence[Finding], *, with_cells: bool = False) -> None:
    """Print findings by code; with the first cells behind those that cost patients, if asked for."""
    from gastromap.cohort.findings import CODES
    from gastromap.cohort.reconciliation import details, grouped

    if not findings:
        return
    print("\nfound")
    for code, found in grouped(findings):
        more = details(found)
        print(f"{len(found):7d}  {CODES[code].title} ({found[0].effect})" + (f": {more}" if more else ""))
        for finding in found[:3] if with_cells and found[0].effect == "left out" else ():
            rows = f"row {' '.join(map(str, finding.rows))}" if finding.rows else finding.study
            column = f", column {finding.column}" if finding.column else ""
            print(f"{'':9}{rows}{column}: {finding.message}")
