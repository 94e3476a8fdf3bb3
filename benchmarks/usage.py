"""Processor time and peak memory of this process and of the processes it has started.

Standard library only: the processes that are measured import it.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

__all__ = ["children_peak_bytes", "cpu_seconds", "memory_bytes", "reset_peak"]


def cpu_seconds() -> float:
    """Processor seconds so far, all threads; processes that were started count, running or ended."""
    # Not os.times(): it counts in steps of 10 ms.
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + sum(_cpu_of(child) for child in _children())


def memory_bytes() -> tuple[int, int]:
    """Resident memory of this process in bytes: now, and its peak."""
    status = _status("self")
    return status["VmRSS"], status["VmHWM"]


def reset_peak() -> None:
    """Forget the peak so far: importing may need more memory than stays in use."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        # Not allowed everywhere; the peak of the imports then counts as ours.
        return


def children_peak_bytes() -> int:
    """Largest resident memory of the processes that were started, summed over those that still run."""
    running = sum(_status(str(child)).get("VmHWM", 0) for child in _children())
    return max(running, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)


def _children() -> list[int]:
    own, found = os.getpid(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The program's name stands in brackets and may hold anything; the parent is the second field after.
                fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == own:
                found.append(int(entry.name))
    return found


def _cpu_of(process: int) -> float:
    try:
        # The clock of another process as clock_getcpuclockid(3) makes its number; /proc has steps of 10 ms only.
        return time.clock_gettime(~process << 3 | 2)
    except OSError:
        return 0.0


def _status(process: str) -> dict[str, int]:
    try:
        lines = Path("/proc", process, "status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    return {
        name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines) if "kB" in rest
    }
