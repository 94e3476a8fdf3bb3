"""Two thousand damaged series with a fixed seed: read as the original, warned of, or refused; never anything else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_CASES, _CHUNKS = 2200, 20
_TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("chunk", range(_CHUNKS))
def test_damaged_series_are_read_right_or_refused(chunk: int) -> None:
    # A process of its own: it may use two gigabytes and no more, and a crash of it is a result.
    run = subprocess.run(
        [sys.executable, "-m", "dicom_input.fuzz", "--seed", str(1000 + chunk), "--cases", str(_CASES // _CHUNKS)],
        cwd=_TESTS,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_TESTS), str(_TESTS.parent)])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    *defects, summary = (json.loads(line) for line in run.stdout.splitlines())
    assert not defects
    assert sum(summary["outcomes"].values()) == _CASES // _CHUNKS
    assert summary["peak_bytes"] < 2 * 1024**3
    # The run itself must be worth something: both outcomes are common.
    assert summary["outcomes"]["same"] > 10
    assert sum(count for outcome, count in summary["outcomes"].items() if outcome.isupper()) > 20
