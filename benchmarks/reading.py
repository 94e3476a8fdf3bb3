"""Reading one CT series into Hounsfield units: the input gate beside the readers one would otherwise use."""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cold import ProcessTime, time_process
from benchmarks.inputs import StudyInput
from benchmarks.readers import DCM2NIIX, OURS, OURS_VOTE, PHASES, READERS, convert_with_dcm2niix
from benchmarks.table import Sample, render
from benchmarks.usage import cpu_seconds

__all__ = ["READING_NOTES", "WarmRead", "compare_reading", "measure_warm", "ratios"]

_OURS = (OURS, OURS_VOTE)
_AIM_DCM2NIIX = 1.5
_AIM_MEMORY = 2.2
READING_NOTES = """\
  Reading: one series in a folder, files in the disk cache, to float32 Hounsfield units in memory; dcm2niix writes an
  uncompressed NIfTI file and is a fresh process each time, its start in its seconds. The readers take turns.
  Warm: one process, libraries loaded, one uncounted run before. Cold: a fresh process that imports what the reader
  needs, reads and ends. CPU counts all threads and helper processes.
  Memory: peak of a fresh process beyond what it held after the imports, over the bytes of the float32 volume.
  Helpers: whole peak of the processes it starts (ours reads every header in one first), over the same.
  GastroMAP makes all checks of the gate for a series that is named; the others make few or none. The image vote, as
  for a series that is not named, looks at the organs first (in "select")."""


@dataclass(frozen=True)
class WarmRead:
    """One reading in this process."""

    seconds: float
    cpu: float
    phases: dict[str, float]
    volume_bytes: int  #: 0 where nothing stays in memory


def measure_warm(folder: Path, *, rounds: int) -> dict[str, list[WarmRead]]:
    """Read a folder with all readers in turns.

    Parameters
    ----------
    folder : Path
        Files of one CT series.
    rounds : int
        Counted; one more goes before them.

    Returns
    -------
    dict of str to list of WarmRead
        By the names of :data:`benchmarks.readers.READERS`.
    """
    calls: dict[str, Callable[[], WarmRead]] = {}
    for name, load in READERS.items():
        calls[name] = _dcm2niix_call(folder) if name == DCM2NIIX else _call(load(), folder)
    reads: dict[str, list[WarmRead]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            # What one reader leaves behind must not be collected in the time of the next.
            gc.collect()
            reads[name].append(call())
    return {name: values[1:] for name, values in reads.items()}


def _call(read: Callable[[Path], object], folder: Path) -> Callable[[], WarmRead]:
    def call() -> WarmRead:
        before, start = cpu_seconds(), time.perf_counter()
        series = read(folder)
        wall, cpu = time.perf_counter() - start, cpu_seconds() - before
        return WarmRead(wall, cpu, series.phases, series.hu.nbytes)

    return call


def _dcm2niix_call(folder: Path) -> Callable[[], WarmRead]:
    def call() -> WarmRead:
        with tempfile.TemporaryDirectory(prefix="gastromap-bench-") as scratch:
            before, start = cpu_seconds(), time.perf_counter()
            convert_with_dcm2niix(folder, Path(scratch))
            return WarmRead(time.perf_counter() - start, cpu_seconds() - before, {}, 0)

    return call


def _measure_cold(folder: Path, *, rounds: int) -> dict[str, list[ProcessTime]]:
    """Time a fresh process for each reader, in turns; it prints its memory."""
    runs: dict[str, list[ProcessTime]] = {name: [] for name in READERS}
    for _ in range(rounds + 1):
        for name in READERS:
            runs[name].append(time_process([sys.executable, "-m", "benchmarks.reading_child", name, str(folder)]))
    return {name: values[1:] for name, values in runs.items()}


def ratios(
    warm: dict[str, Sample], cold: dict[str, Sample], memory: dict[str, float], *, of: str
) -> dict[str, float | str]:
    """Compare one reader of ours with the others.

    Parameters
    ----------
    warm, cold : dict of str to Sample
        Seconds by reader; dcm2niix is the same process in both.
    memory : dict of str to float
        Peak over the bytes of the volume.
    of : str
        Name of the reader that is compared.

    Returns
    -------
    dict
        ``fastest_python`` names the fastest Python reader, warm; ``to_fastest_python``, ``to_dcm2niix_warm`` and
        ``to_dcm2niix_cold`` are seconds over seconds; ``memory`` is that of ``of``.
    """
    peers = [name for name in warm if name not in (*_OURS, DCM2NIIX)]
    fastest = min(peers, key=lambda name: warm[name].median)
    return {
        "fastest_python": fastest,
        "to_fastest_python": round(warm[of].median / warm[fastest].median, 2),
        "to_fastest_python_cold": round(cold[of].median / min(cold[name].median for name in peers), 2),
        "to_dcm2niix_warm": round(warm[of].median / warm[DCM2NIIX].median, 2),
        "to_dcm2niix_cold": round(cold[of].median / warm[DCM2NIIX].median, 2),
        "memory": round(memory[of], 2),
    }


def compare_reading(series: StudyInput, *, rounds: int, cold_rounds: int) -> dict[str, object]:
    """Measure all readers on one series and print the table.

    Parameters
    ----------
    series : StudyInput
        Its folder holds one CT series.
    rounds, cold_rounds : int
        Counted rounds, warm and cold.

    Returns
    -------
    dict
        Plain values for the JSON.
    """
    reads = measure_warm(series.folder, rounds=rounds)
    runs = _measure_cold(series.folder, rounds=cold_rounds)
    volume_bytes = reads[OURS][0].volume_bytes
    warm = {name: Sample(tuple(read.seconds for read in values)) for name, values in reads.items()}
    warm_cpu = {name: Sample(tuple(read.cpu for read in values)) for name, values in reads.items()}
    # dcm2niix is started by nothing but itself; the Python process around it only weighs its memory.
    cold = {name: Sample(tuple(run.wall for run in values)) for name, values in runs.items() if name != DCM2NIIX}
    cold_cpu = {name: Sample(tuple(run.cpu for run in values)) for name, values in runs.items() if name != DCM2NIIX}
    peaks = {name: _peaks(values, volume_bytes) for name, values in runs.items()}
    rows = [
        [
            name,
            str(warm[name]),
            str(warm_cpu[name]),
            str(cold.get(name, "as warm")),
            str(cold_cpu.get(name, "as warm")),
            f"{peaks[name][0]:.2f}",
            f"{peaks[name][1]:.2f}",
        ]
        for name in reads
    ]
    title = f"Reading, seconds: {series.name}; {rounds} counted runs warm, {cold_rounds} cold"
    print(render(title, ["reader", "warm", "CPU", "cold", "CPU", "memory", "helpers"], rows))
    found = {of: ratios(warm, cold, {name: peak for name, (peak, _) in peaks.items()}, of=of) for of in _OURS}
    phases = {of: {phase: Sample(tuple(read.phases[phase] for read in reads[of])) for phase in PHASES} for of in _OURS}
    for of in _OURS:
        print(f"  {of}: " + ", ".join(f"{phase} {sample}" for phase, sample in phases[of].items()))
        _print_aims(of, found[of])
    print(flush=True)
    return {
        "series": series.name,
        "volume_bytes": volume_bytes,
        "warm_seconds": {name: sample.to_json() for name, sample in warm.items()},
        "warm_cpu_seconds": {name: sample.to_json() for name, sample in warm_cpu.items()},
        "cold_seconds": {name: sample.to_json() for name, sample in cold.items()},
        "cold_cpu_seconds": {name: sample.to_json() for name, sample in cold_cpu.items()},
        "peak_to_volume": {name: round(peak, 3) for name, (peak, _) in peaks.items()},
        "helpers_peak_to_volume": {name: round(helpers, 3) for name, (_, helpers) in peaks.items()},
        "phases": {of: {phase: sample.to_json() for phase, sample in parts.items()} for of, parts in phases.items()},
        "ratios": found,
    }


def _peaks(runs: Sequence[ProcessTime], volume_bytes: int) -> tuple[float, float]:
    """Largest peak of the process and of its helpers, over the bytes of the volume."""
    printed = [json.loads(run.printed.splitlines()[-1]) for run in runs]
    own, helpers = (max(item[key] for item in printed) for key in ("peak_bytes", "helpers_peak_bytes"))
    return own / volume_bytes, helpers / volume_bytes


def _print_aims(of: str, found: dict[str, float | str]) -> None:
    print(
        f"  {of} / {found['fastest_python']} (fastest Python reader): {found['to_fastest_python']} warm"
        f" (aim below 1), {found['to_fastest_python_cold']} cold\n"
        f"  {of} / dcm2niix: {found['to_dcm2niix_warm']} warm (aim at most {_AIM_DCM2NIIX}),"
        f" {found['to_dcm2niix_cold']} cold; memory {found['memory']} (aim at most {_AIM_MEMORY})"
    )
