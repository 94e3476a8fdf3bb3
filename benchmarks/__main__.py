"""``./run bench``: every benchmark against its named peer, one section after the other."""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from benchmarks.inputs import REPOSITORY, compressed_copy, portal_series, real_study, synthetic_study
from benchmarks.machine import load_average, machine
from benchmarks.reading import READING_NOTES, compare_reading
from benchmarks.studies import compare_studies

__all__ = ["main"]

#: Reading takes a second or less where a study takes many.
_READING_ROUNDS = 3
#: Sections with a module of their own: what they are asked for in a full and in a quick run.
_MODULES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "scan": (("--rounds", "1"), ("--rounds", "1", "--longest", "1024")),
    "pairs": ((), ("--rounds", "1")),
    "bootstrap": ((), ("--rounds", "1", "--resamples", "20")),
    "explanation": ((), ("--rounds", "1", "--depths", "18")),
    "training": ((), ("--rounds", "1", "--depths", "18", "--images", "16", "--batch-size", "8", "--matrix", "128")),
}
_SECTIONS = ("study", "reading", *_MODULES)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write the JSON; return 1 where a section failed."""
    parser = argparse.ArgumentParser(prog="./run bench", description="Measure speed against named peers.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round, small synthetic inputs, one step of N4: shows that it runs, not how fast",
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="counted rounds of study and reading (default: %(default)s)"
    )
    parser.add_argument(
        "--only", nargs="+", choices=_SECTIONS, default=_SECTIONS, metavar="SECTION", help=", ".join(_SECTIONS)
    )
    parser.add_argument(
        "-m", "--model", type=Path, default=REPOSITORY / "bundles", help="shipped bundle (default: bundles)"
    )
    given = parser.parse_args(argv)
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    facts: dict[str, object] = {**machine(torch.device("cpu")), "load_average_at_start": load_average()}
    print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items()), end="\n\n", flush=True)
    report: dict[str, object] = {"machine": facts}
    failed = []
    with tempfile.TemporaryDirectory(prefix="gastromap-bench-") as folder:
        scratch = Path(folder)
        report |= _studies(given, scratch)
        for name in (name for name in _MODULES if name in given.only):
            status, report[name] = _module(name, scratch / f"{name}.json", quick=given.quick)
            failed += [name] * (status != 0)
    facts["load_average_at_end"] = load_average()
    print(f"  Load average at the start {facts['load_average_at_start']}, at the end {facts['load_average_at_end']}.")
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if failed:
        print(f"  Failed or short of their aims: {', '.join(failed)}.")
    return 1 if failed else 0


def _studies(given: argparse.Namespace, scratch: Path) -> dict[str, object]:
    """Sections that need a study: whole studies, and reading a series."""
    report: dict[str, object] = {}
    if not {"study", "reading"} & set(given.only):
        return report
    rounds = 1 if given.quick else max(given.rounds, 1)
    synthetic = synthetic_study(scratch / "study", matrix=128 if given.quick else 512)
    real = None if given.quick else real_study()
    if "study" in given.only:
        studies = [synthetic] if real is None else [synthetic, real]
        report |= compare_studies(studies, given.model.resolve(), scratch, rounds=rounds, quick=given.quick)
    if "reading" in given.only:
        if real is None:
            reason = "is left out" if given.quick else "was not found, see GASTROMAP_DATA"
            print(f"Reading: the public series TCGA-AY-4070 {reason}; a synthetic series stands in for it.\n")
        series = real or portal_series(synthetic, scratch / "series")
        inputs = (series, compressed_copy(series, scratch / "compressed"))
        report["reading"] = [
            compare_reading(item, rounds=rounds * _READING_ROUNDS, cold_rounds=rounds) for item in inputs
        ]
        print(READING_NOTES, flush=True)
    return report


def _module(name: str, figures: Path, *, quick: bool) -> tuple[int, object]:
    """Run a section in a process of its own, as ``python -m benchmarks.NAME`` does."""
    arguments = _MODULES[name][1 if quick else 0]
    command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{name}", *arguments, "--json", str(figures)]
    status = subprocess.run(command, cwd=REPOSITORY, check=False).returncode
    print(flush=True)
    return status, json.loads(figures.read_text()) if figures.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
