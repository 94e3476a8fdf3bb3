"""A whole process from start to exit, beside the process that only imports the SDK."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.inputs import REPOSITORY, StudyInput

__all__ = ["BARE", "ProcessTime", "measure_cold", "time_process"]

#: What no application on this SDK can avoid.
BARE = "bare SDK import"
_BARE_COMMAND = (sys.executable, "-c", "import monai.deploy.core")


@dataclass(frozen=True)
class ProcessTime:
    """Seconds of one process, from its start to the end of its exit."""

    wall: float
    cpu: float  #: user and system, all threads
    printed: str = ""


def measure_cold(study: StudyInput, models: dict[str, Path], *, repeats: int) -> dict[str, list[ProcessTime]]:
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
    dict of str to list of ProcessTime
        By name; :data:`BARE` is the import.

    Raises
    ------
    RuntimeError
        If a process fails.
    """
    seconds: dict[str, list[ProcessTime]] = {BARE: [], **{name: [] for name in models}}
    for _ in range(repeats + 1):
        seconds[BARE].append(time_process(_BARE_COMMAND))
        for name, folder in models.items():
            with tempfile.TemporaryDirectory(prefix="gastromap-bench-") as scratch:
                seconds[name].append(time_process(_command(study, folder, Path(scratch) / "result")))
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


def time_process(command: Sequence[str]) -> ProcessTime:
    """Run a command in the folder of the repository and time it.

    Parameters
    ----------
    command : sequence of str

    Returns
    -------
    ProcessTime

    Raises
    ------
    RuntimeError
        If it fails.
    """
    start, before = time.perf_counter(), os.times()
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, os.times()
    if done.returncode != 0:
        line = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        msg = f"expected exit status 0, got {done.returncode}: {line}"
        raise RuntimeError(msg)
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return ProcessTime(wall=wall, cpu=cpu, printed=done.stdout)
