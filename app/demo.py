"""``./run demo``: make a synthetic CT study and stage it with the application, as a newcomer would."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]

_REPOSITORY = Path(__file__).resolve().parents[1]
#: 5 mm slices: the usual thickness of an abdominal CT, and quick to make.
_THICKNESS_MM = "5"


def main(argv: Sequence[str] | None = None) -> int:
    """Make the study, run the application, return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program name.
    """
    parser = argparse.ArgumentParser(prog="./run demo", description="Stage a synthetic CT study.")
    parser.add_argument("--seed", default="3", help="another seed is another patient (default: %(default)s)")
    parser.add_argument("--stage", choices=("T1", "T2", "T3", "T4"), default="T3", help="true stage of the patient")
    parser.add_argument("--centre", choices=("1", "2", "3"), default="1")
    parser.add_argument("--out", type=Path, default=_REPOSITORY / "demo", help="folder; made anew each time")
    given = parser.parse_args(argv)
    study, result = given.out / "study", given.out / "result"
    for folder in (study, result):
        shutil.rmtree(folder, ignore_errors=True)
    _say(f"1. Making a synthetic portal-venous CT study, true stage {given.stage} (no patient)")
    made = _call(
        "gastromap.cli", "synth", "--patients", "1", "--seed", given.seed, "--centre", given.centre,
        "--stage", given.stage, "--thickness", _THICKNESS_MM, "--with-seg", "--out", str(study),
    )  # fmt: skip
    if made:
        return made
    folder = next((study / "studies").iterdir())
    clinical = next((study / "clinical").iterdir())
    _say("2. Staging it: python -m app -i STUDY -o RESULT --clinical FILE")
    status = _call("app", "-i", str(folder), "-o", str(result), "--clinical", str(clinical))
    if status == 0:
        _say(f"True stage of the synthetic patient: c{given.stage}. Open {result / 'report.html'} in a browser.")
    return status


def _say(line: str) -> None:
    sys.stdout.write(f"== {line}\n")
    sys.stdout.flush()


def _call(module: str, *arguments: str) -> int:
    # Fixed module names and values that argparse has checked.
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", module, *arguments], cwd=_REPOSITORY, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
