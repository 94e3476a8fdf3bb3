"""A whole process from start to exit, beside the process that only imports the SDK."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.inputs import REPOSITORY, StudyInput

__all__ = ["BARE", "measure_cold"]

#: What no application on this SDK can avoid.
BARE = "bare SDK import"
_BARE_COMMAND = (sys.executable, "-c", "import monai.deploy.core")


def measure_cold(study: StudyInput, models: dict[str, Path], *, repeats: int) -> dict[str, list[float]]:
    """Time ``python -m app`` and the bare import in turns.

    Parameters
    ----------
    study : StudyInput
    models : dict of str to Path
        Folders for ``-m`` by the name to be shown.
    repeats : int
        Counted rounds; one more goes before them, which fills the disk cache and the bytecode cache.

    Returns
    -------
    dict of str to list of float
        Wall seconds of each process by name; :data:`BARE` is the import.

    Raises
    ------
    RuntimeError
        If a process fails.
    """
    seconds: dict[str, list[float]] = {BARE: [], **{name: [] for name in models}}
    for _ in range(repeats + 1):
        seconds[BARE].append(_time(_BARE_COMMAND))
        for name, folder in models.items():
            with tempfile.TemporaryDirectory(prefix="gastromap-bench-") as scratch:
                seconds[name].append(_time(_command(study, folder, Path(scratch) / "result")))
    return {name: values[1:] for name, values in seconds.items()}


def _command(study: StudyInput, models: Path, output: Path) -> list[str]:
    command = [sys.executable, "-m", "app", "-i", str(study.folder), "-o", str(output), "-m", str(models)]
    for option, value in (
        ("--clinical", study.clinical),
        ("--series", study.series_uid),
        ("--key-slice", study.key_slice),
    ):
        if value is not None:
            command += [option, str(value)]
    return command


def _time(command: Sequence[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        line = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        msg = f"expected exit status 0, got {done.returncode}: {line}"
        raise RuntimeError(msg)
    return seconds
