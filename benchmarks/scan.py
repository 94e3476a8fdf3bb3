"""``python -m benchmarks.scan``: the selective scan beside three other forms, and whether it is accepted.

Forward and backward on one thread, batch 1, 16 states. Each case runs in a process of its own and is timed in
processor seconds, the least disturbed run counts; memory is the peak above the inputs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from benchmarks.fresh import in_fresh_process
from benchmarks.machine import load_average, machine
from benchmarks.scan_case import Measured, measure, relative_errors
from benchmarks.table import render
from gastromap.models.selective_scan.native import why_not

__all__ = ["CASES", "Case", "Verdict", "judge", "main"]

_PEERS = ("reference", "repaired", "mambapy")
#: Output within this of the largest value, each gradient within this of its norm.
_LARGEST_ERROR = 1e-5


@dataclass(frozen=True)
class Case:
    """One row, and what is asked of ``block`` there.

    Parameters
    ----------
    faster : dict of str to float
        Least ratio of processor time, by peer; peers that are not named are not run.
    memory : float
        Largest ratio of peak memory to mambapy.
    memory_mb : float, optional
        Largest peak.
    native : float, optional
        Least ratio of mambapy's time to that of the compiled backend; what it is kept for.
    exact : bool
        Whether the errors are measured too.
    """

    length: int
    channels: int
    faster: dict[str, float]
    memory: float
    memory_mb: float | None = None
    native: float | None = None
    exact: bool = True

    @property
    def name(self) -> str:
        """As in the first column."""
        return f"L {self.length:,}, D {self.channels}"


CASES = (
    Case(1024, 96, {"reference": 20, "repaired": 2, "mambapy": 0.8}, 0.8),
    Case(2048, 96, {"reference": 80, "repaired": 2.5, "mambapy": 1.2}, 0.6),
    Case(4096, 96, {"repaired": 4, "mambapy": 1.2}, 0.45),
    Case(4096, 384, {"mambapy": 2.5}, 0.4),
    Case(16384, 96, {"repaired": 6, "mambapy": 2}, 0.45, memory_mb=320, native=10, exact=False),
)


@dataclass(frozen=True)
class Verdict:
    """One demand and what was found."""

    what: str
    found: float
    limit: float
    at_least: bool

    @property
    def passed(self) -> bool:
        """Whether the demand is met."""
        return self.found >= self.limit if self.at_least else self.found <= self.limit

    def __str__(self) -> str:
        """For example ``pass  block L 1,024, D 96, time of mambapy: 1.7 (>= 0.8)``."""
        sign = ">=" if self.at_least else "<="
        return f"{'pass' if self.passed else 'FAIL'}  {self.what}: {self.found:.3g} ({sign} {self.limit:g})"


def judge(case: Case, found: dict[str, Measured], errors: dict[str, float]) -> list[Verdict]:
    """Compare one row with what is asked of it.

    Parameters
    ----------
    found : dict of str to Measured
        By form; without ``native`` where it is not available.
    errors : dict of str to float
        Largest relative error by form; empty where it was not measured.
    """
    block, peer = found["block"], found["mambapy"]
    row = [
        Verdict(f"block {case.name}, time of {name}", found[name].seconds / block.seconds, least, at_least=True)
        for name, least in case.faster.items()
    ]
    for form in ("block", "native"):
        if form in found:
            ratio = found[form].peak_mb / peer.peak_mb
            row.append(Verdict(f"{form} {case.name}, memory to mambapy", ratio, case.memory, at_least=False))
    if case.memory_mb is not None:
        row.append(Verdict(f"block {case.name}, memory in MB", block.peak_mb, case.memory_mb, at_least=False))
    if case.native is not None and "native" in found:
        ratio = peer.seconds / found["native"].seconds
        row.append(Verdict(f"native {case.name}, time of mambapy", ratio, case.native, at_least=True))
    row += [
        Verdict(f"{form} {case.name}, largest error", error, _LARGEST_ERROR, at_least=False)
        for form, error in errors.items()
    ]
    return row


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON; return 1 if a demand is not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scan", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    parser.add_argument("--rounds", type=int, default=3, help="processes a case (default: %(default)s)")
    parser.add_argument("--longest", type=int, default=CASES[-1].length, help="leave out longer ones")
    given = parser.parse_args(argv)
    facts = {**machine(torch.device("cpu")), "mambapy": metadata.version("mambapy"), "load_average": load_average()}
    print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items()), end="\n\n", flush=True)
    reason = why_not(torch.zeros(1))
    ours = ("block",) if reason is not None else ("block", "native")
    cases = [case for case in CASES if case.length <= given.longest]
    found = [_row(case, ours, rounds=max(given.rounds, 1)) for case in cases]
    errors = [
        in_fresh_process(relative_errors, case.length, case.channels, ours) if case.exact else {} for case in cases
    ]
    verdicts = [verdict for row in zip(cases, found, errors, strict=True) for verdict in judge(*row)]
    _print(cases, found, verdicts, without_native=reason)
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if given.json is not None:
        given.json.write_text(json.dumps(_report(facts, cases, found, errors, verdicts), indent=2) + "\n", "utf-8")
    return 1 if failed else 0


def _row(case: Case, ours: Sequence[str], *, rounds: int) -> dict[str, Measured]:
    """Forms take turns, so that a busy minute hits all of them."""
    runs: dict[str, list[Measured]] = {}
    for number in range(rounds):
        for form in (*(name for name in _PEERS if name in case.faster), *ours):
            # The reference takes longest by far and wobbles least.
            if form != "reference" or number == 0:
                runs.setdefault(form, []).append(in_fresh_process(measure, form, case.length, case.channels))
    return {
        form: Measured(min(run.seconds for run in found), min(run.peak_mb for run in found))
        for form, found in runs.items()
    }


def _print(
    cases: list[Case], found: list[dict[str, Measured]], verdicts: list[Verdict], *, without_native: str | None
) -> None:
    columns = (*_PEERS, "block", "native")
    rows = []
    for case, row in zip(cases, found, strict=True):
        cells = [f"{row[name].seconds:.3f}/{row[name].peak_mb:.0f}" if name in row else "-" for name in columns]
        for name in ("block", "native"):
            own = row.get(name)
            against = [row[peer].seconds / own.seconds if own and peer in row else None for peer in _PEERS]
            cells += ["-" if ratio is None else f"{ratio:.1f}" for ratio in against]
            cells.append(f"{own.peak_mb / row['mambapy'].peak_mb:.2f}" if own else "-")
        rows.append([case.name, *cells])
    ratios = [f"{name} {ratio}" for name in ("b:", "n:") for ratio in ("/ref", "/rep", "/mpy", "MB/mpy")]
    print(render("Forward and backward, processor s / peak MB above the inputs", ["", *columns, *ratios], rows))
    print("  b: how many times block is faster than reference, repaired reference, mambapy; n: the compiled backend.")
    if without_native is not None:
        print(f"  No native: {without_native}.")
    print("\n".join(["", "Acceptance", *(f"  {verdict}" for verdict in verdicts)]), flush=True)


def _report(
    facts: dict[str, object],
    cases: list[Case],
    found: list[dict[str, Measured]],
    errors: list[dict[str, float]],
    verdicts: list[Verdict],
) -> dict[str, object]:
    return {
        "machine": facts,
        "cases": [
            {
                "length": case.length,
                "channels": case.channels,
                "forms": {
                    form: {"cpu_s": round(m.seconds, 5), "peak_mb": round(m.peak_mb, 1)} for form, m in row.items()
                },
                "largest_relative_error": worst,
            }
            for case, row, worst in zip(cases, found, errors, strict=True)
        ],
        "acceptance": [
            {"what": v.what, "found": round(v.found, 8), "limit": v.limit, "at_least": v.at_least, "passed": v.passed}
            for v in verdicts
        ],
        "passed": all(v.passed for v in verdicts),
    }


if __name__ == "__main__":
    sys.exit(main())
