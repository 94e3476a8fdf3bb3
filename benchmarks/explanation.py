"""``python -m benchmarks.explanation``: what the heat maps of three slices cost on top of the forward pass.

One case of three slices, random weights, CPU. In turns: the forward pass alone (inference mode); the same with the maps
of all three slices by Grad-CAM on the last stage, from the maps that the forward pass has made; the same with the
application's maps (see ``gastromap.explain``), for all three slices and for the key slice, which is what the
application does; and pytorch-grad-cam called the plain way, which runs the whole network again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor

from benchmarks.machine import load_average, machine
from benchmarks.table import Sample, render
from benchmarks.usage import cpu_seconds
from gastromap.explain import LAYER, METHOD, explanation, grad_cam
from gastromap.models import GTRNet

__all__ = ["main", "measure"]

_SLICES, _KEY, _TARGET = 3, 1, 2
_FORWARD = "forward pass alone"
_LAST = "forward + Grad-CAM, last stage, 3 slices"
_AIM = 1.1


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write the JSON; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explanation", description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    parser.add_argument("--depths", type=int, nargs="+", default=[18, 50, 152])
    parser.add_argument("--rounds", type=int, default=15, help="counted rounds (default: %(default)s)")
    given = parser.parse_args(argv)
    report: dict[str, Any] = {**machine(torch.device("cpu")), "load_average_at_start": load_average()}
    for depth in given.depths:
        report[f"depth_{depth}"] = measure(depth=depth, rounds=given.rounds)
    report["load_average_at_end"] = load_average()
    print(f"  Load average at the start {report['load_average_at_start']}, at the end {report['load_average_at_end']}.")
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def measure(*, depth: int, rounds: int) -> dict[str, Any]:
    """Time all in turns; ratios are medians over the rounds, each round against its own forward pass."""
    torch.manual_seed(0)
    network = GTRNet(depth=depth).eval()
    batch = torch.randn(_SLICES, 1, 224, 224)
    library = GradCAM(model=network, target_layers=[network.layer4[-1]])
    targets = [ClassifierOutputTarget(_TARGET)] * _SLICES

    @torch.inference_mode()
    def forward() -> tuple[Tensor, Tensor]:
        early = network.early_maps(batch)
        late = network.late_maps(early)
        network.head(late)
        return early, late

    ways: dict[str, Callable[[], object]] = {
        _FORWARD: forward,
        _LAST: lambda: grad_cam(forward()[1].clone(), network.head, target=_TARGET),
        f"forward + {METHOD}, {LAYER}, 3 slices": lambda: explanation(forward()[0].clone(), network, target=_TARGET),
        f"forward + {METHOD}, {LAYER}, key slice": lambda: explanation(
            forward()[0][_KEY : _KEY + 1].clone(), network, target=_TARGET
        ),
        "forward + pytorch-grad-cam, last stage, 3 slices": lambda: (
            forward(),
            library(input_tensor=batch, targets=targets),
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, run in ways.items():
            start, used = time.perf_counter(), cpu_seconds()
            run()
            if number:
                seconds[name].append(time.perf_counter() - start)
                processor[name].append(cpu_seconds() - used)
    wall = {name: _ratio(values, seconds[_FORWARD]) for name, values in seconds.items()}
    cpu = {name: _ratio(values, processor[_FORWARD]) for name, values in processor.items()}
    rows = [
        [name, str(Sample(tuple(values))), f"{wall[name]:.2f}", f"{cpu[name]:.2f}"] for name, values in seconds.items()
    ]
    title = f"GTRNet-{depth}, {_SLICES} slices, {rounds} counted rounds, seconds"
    print(render(title, ["", "seconds", "to forward", "by CPU time"], rows))
    print(
        f"  Grad-CAM of three slices from kept maps: {wall[_LAST]:.2f} times the forward pass (aim {_AIM} or less).\n"
    )
    return {
        "seconds": {name: Sample(tuple(values)).to_json() for name, values in seconds.items()},
        "to_forward": wall,
        "to_forward_cpu": cpu,
    }


def _ratio(values: Sequence[float], reference: Sequence[float]) -> float:
    return round(float(np.median(np.divide(values, reference))), 3)


if __name__ == "__main__":
    sys.exit(main())
