"""``python -m benchmarks.pairs``: what one pair of scans costs the longitudinal network, preset ``default``.

Inference of a pair with masks, and a training step (batch 1, AdamW, bfloat16 where the CPU computes in it), on all
cores; beside them a plain 3D network on the same cubes, MONAI's DenseNet121, which reads both scans one after the other
and joins its features. Each form runs in a process of its own; memory is the peak of that process over what it holds
with the libraries imported, which stands beside it: ``import monai`` loads the SDK of MONAI Deploy and Holoscan too
where they are installed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.fresh import in_fresh_process
from benchmarks.machine import load_average, machine
from benchmarks.table import render
from benchmarks.usage import memory_bytes, reset_peak

__all__ = ["Cost", "main", "measure"]

_INTERVALS = 10
_SHAPE = (64, 128, 128)
#: Aims of the project: seconds a pair, seconds a step, GB of memory.
_INFERENCE_S, _STEP_S, _GB = 2.0, 6.0, 1.5


@dataclass(frozen=True)
class Cost:
    """Of one network; seconds of the least disturbed round."""

    inference_s: float
    step_s: float
    inference_gb: float
    step_gb: float
    libraries_gb: float


class _Plain(nn.Module):
    """The peer: one network for both scans, features side by side."""

    def __init__(self) -> None:
        super().__init__()
        from monai.networks.nets import DenseNet121

        self.features = DenseNet121(spatial_dims=3, in_channels=2, out_channels=128)
        self.head = nn.Linear(256, 1 + _INTERVALS)

    def forward(self, image: Tensor, masks: Tensor) -> Tensor:
        scans = torch.stack([image, masks], dim=2)
        out: Tensor = self.head(torch.cat([self.features(scans[:, k]) for k in range(2)], dim=1))
        return out


def measure(form: str, rounds: int, precision: str) -> Cost:
    """Cost of ``longitudinal`` or ``densenet``; call it in a fresh process."""
    from gastromap.models.longitudinal import LongitudinalNet
    from gastromap.training import AutocastInferer
    from gastromap.training.multitask_loss import MultitaskLoss

    libraries = memory_bytes()[0]
    torch.manual_seed(0)
    image, masks = torch.rand(1, 2, *_SHAPE), (torch.rand(1, 2, *_SHAPE) > 0.9).float()
    target = torch.tensor([[1.0, 1.0, 20.0]])
    present = torch.ones(1, 2, dtype=torch.bool)
    network: nn.Module = LongitudinalNet(mask_channel=True) if form == "longitudinal" else _Plain()
    network = network.to(memory_format=torch.channels_last_3d)
    arguments = (present, masks) if form == "longitudinal" else (masks,)

    def infer() -> None:
        network.eval()
        with torch.inference_mode():
            network(image, *arguments)

    optimiser = torch.optim.AdamW(network.parameters(), fused=True)
    loss = MultitaskLoss([6.0 * k for k in range(_INTERVALS + 1)])
    inferer = AutocastInferer(dtype=precision)

    def step() -> None:
        network.train()
        optimiser.zero_grad()
        loss(inferer(image, network, *arguments), target).backward()
        optimiser.step()

    inference, training = _timed(infer, rounds, libraries), _timed(step, rounds, libraries)
    return Cost(inference[0], training[0], inference[1], training[1], libraries / 2**30)


def _timed(call: Callable[[], None], rounds: int, libraries: int) -> tuple[float, float]:
    reset_peak()
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    _, peak = memory_bytes()
    # The first one compiles and plans.
    return min(seconds[1:]), (peak - libraries) / 2**30


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON; return 1 if an aim is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pairs", description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds (default: %(default)s)")
    given = parser.parse_args(argv)
    from gastromap.training import best_precision

    cpu = torch.device("cpu")
    precision = best_precision(cpu)
    facts = {**machine(cpu), "load_average": load_average(), "training": precision}
    forms = {"longitudinal, default": "longitudinal", "DenseNet121, both scans": "densenet"}
    found = {name: in_fresh_process(measure, form, max(given.rounds, 1), precision) for name, form in forms.items()}
    rows = [[name, *(f"{value:.2f}" for value in asdict(cost).values())] for name, cost in found.items()]
    header = ["one pair, 2 x 64 x 128 x 128", "inference s", "step s", "inference GB", "step GB", "libraries GB"]
    print(render(f"A pair of scans, trained in {precision}", header, rows))
    ours, peer = found.values()
    ratios = [f"{mine / other:.2f}" for mine, other in zip(astuple(ours)[:4], astuple(peer)[:4], strict=True)]
    print(f"  Ours to the peer: inference {ratios[0]}, step {ratios[1]}, memory {ratios[2]} and {ratios[3]}.")
    aims = {
        f"a pair in {_INFERENCE_S:g} s": ours.inference_s <= _INFERENCE_S,
        f"a step in {_STEP_S:g} s": ours.step_s <= _STEP_S,
        f"less than {_GB:g} GB": max(ours.inference_gb, ours.step_gb) < _GB,
    }
    print("\n".join(f"  {'reached' if kept else 'MISSED'}: {name}" for name, kept in aims.items()), flush=True)
    if given.json is not None:
        report = {"machine": facts, "costs": {name: asdict(cost) for name, cost in found.items()}, "aims": aims}
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if all(aims.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
