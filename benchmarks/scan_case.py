"""One case of the scan benchmark, run in a process of its own: a form of the scan at one length and width."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.usage import memory_bytes, reset_peak
from gastromap.models.selective_scan import selective_scan

__all__ = ["FORMS", "STATES", "Measured", "measure", "relative_errors"]

STATES = 16
_SEED = 7
#: Processor seconds after which a case is not repeated any more.
_ENOUGH_S = 2.0
_MOST_RUNS = 60
_Form = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Measured:
    """Least disturbed run of a case."""

    seconds: float  #: processor, forward and backward
    peak_mb: float  #: above the inputs, in the first run


def measure(form: str, length: int, channels: int) -> Measured:
    """Time forward and backward of one form; call it in a fresh process, or the peak is that of an earlier case."""
    torch.set_num_threads(1)
    scan = FORMS[form]
    _run(scan, _inputs(32, 8))  # loads code, compiles where needed
    inputs = _inputs(length, channels)
    reset_peak()
    before, _ = memory_bytes()
    seconds = [_run(scan, inputs)]
    _, peak = memory_bytes()
    while sum(seconds) < _ENOUGH_S and len(seconds) < _MOST_RUNS:
        seconds.append(_run(scan, inputs))
    return Measured(min(seconds), (peak - before) / 2**20)


def relative_errors(length: int, channels: int, forms: Sequence[str]) -> dict[str, float]:
    """Largest error of the output and of any gradient, against the recurrence in float64.

    The output's is the largest difference over the largest value, a gradient's the norm of the difference over its
    norm.
    """
    torch.set_num_threads(1)
    inputs = _inputs(length, channels)
    truth = _output_and_gradients(FORMS["sequential"], [x.detach().double() for x in inputs])
    worst: dict[str, float] = {}
    for form in forms:
        y, *gradients = _output_and_gradients(FORMS[form], inputs)
        errors = [(y - truth[0]).abs().max() / truth[0].abs().max()]
        errors += [(ours - true).norm() / true.norm() for ours, true in zip(gradients, truth[1:], strict=True)]
        worst[form] = max(error.item() for error in errors)
    return worst


def _inputs(length: int, channels: int) -> list[Tensor]:
    """Steps as at the start of training and beyond: log-uniform between 0.001 and 1."""
    draw = torch.Generator().manual_seed(_SEED)
    u = torch.randn(1, length, channels, generator=draw)
    dt = 10 ** (-3 * torch.rand(1, length, channels, generator=draw))
    A = -torch.arange(1.0, STATES + 1).repeat(channels, 1)
    B, C = (torch.randn(1, length, STATES, generator=draw) for _ in range(2))
    return [x.requires_grad_() for x in (u, dt, A, B, C)]


def _run(scan: _Form, inputs: list[Tensor]) -> float:
    start = time.process_time()
    y = scan(*inputs)
    torch.autograd.grad(y, inputs, torch.ones_like(y))
    return time.process_time() - start


def _output_and_gradients(scan: _Form, inputs: list[Tensor]) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in inputs]
    y = scan(*leaves)
    weights = torch.sin(torch.arange(y.numel(), dtype=torch.float64)).reshape(y.shape).to(y.dtype)
    return [y.detach(), *torch.autograd.grad(y, leaves, weights)]


def _published(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Step by step over slices by index, as the published reference does: quadratic backward."""
    decay, drive = _whole(u, dt, A, B)
    state, outputs = torch.zeros_like(decay[:, 0]), []
    for t in range(u.size(1)):
        state = decay[:, t] * state + drive[:, t]
        outputs.append((state * C[:, t, None]).sum(2))
    return torch.stack(outputs, 1)


def _repaired(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """The same with ``unbind``: linear backward."""
    decay, drive = _whole(u, dt, A, B)
    state, outputs = torch.zeros_like(decay[:, 0]), []
    for a, x, c in zip(decay.unbind(1), drive.unbind(1), C.unbind(1), strict=True):
        state = a * state + x
        outputs.append((state * c[:, None]).sum(2))
    return torch.stack(outputs, 1)


def _mambapy(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """mambapy's parallel scan, prepared and read out as its Mamba block does."""
    from mambapy.pscan import pscan

    states: Tensor = pscan(*_whole(u, dt, A, B))
    return (states @ C.unsqueeze(3)).squeeze(3)


def _whole(u: Tensor, dt: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    return torch.exp(dt.unsqueeze(3) * A), (dt * u).unsqueeze(3) * B.unsqueeze(2)


def _ours(backend: str) -> _Form:
    return lambda *inputs: selective_scan(*inputs, backend=backend)


FORMS: dict[str, _Form] = {
    "reference": _published,
    "repaired": _repaired,
    "mambapy": _mambapy,
    "block": _ours("block"),
    "native": _ours("native"),
    "sequential": _ours("sequential"),
}
