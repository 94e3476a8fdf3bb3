"""Samples, their text table and their JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Sample", "render", "stage_samples"]


@dataclass(frozen=True)
class Sample:
    """Seconds of repeated runs of one thing."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Middle run."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        """Median and range, for example ``1.20 (1.10-1.31)``."""
        return f"{self.median:.2f} ({min(self.seconds):.2f}-{max(self.seconds):.2f})"

    def to_json(self) -> dict[str, float | int]:
        """Plain values."""
        return {
            "runs": len(self.seconds),
            "median_s": round(self.median, 4),
            "min_s": round(min(self.seconds), 4),
            "max_s": round(max(self.seconds), 4),
        }


def stage_samples(runs: Sequence[Mapping[str, float]]) -> dict[str, Sample]:
    """Turn the stopwatch of each run into one sample a stage.

    Parameters
    ----------
    runs : sequence of mapping
        Seconds by stage; the same stages in each.
    """
    return {stage: Sample(tuple(run[stage] for run in runs)) for stage in runs[0]}


def render(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text table: the first column left, the others right."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in cells
    ]
    return "\n".join([title, *(f"  {line}" for line in (lines[0], "-" * len(lines[0]), *lines[1:]))])
