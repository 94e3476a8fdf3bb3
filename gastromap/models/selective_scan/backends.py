"""Which of the implementations takes a call."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from gastromap.errors import UsageError
from gastromap.models.selective_scan import cuda, native
from gastromap.models.selective_scan.block import block_scan, block_scan_plain
from gastromap.models.selective_scan.sequential import sequential_scan

__all__ = ["BACKENDS", "run"]

BACKENDS = ("auto", "block", "native", "cuda", "sequential")

_log = logging.getLogger(__name__)


def run(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, backend: str, chunk: int, budget: int) -> Tensor:
    """Scan tensors of one floating type; shapes as in ``selective_scan``, ``chunk`` 0 for the default."""
    inputs = (u, dt, A, B, C)
    if torch.jit.is_tracing():
        # A trace unrolls a loop; a scripted function stays one and runs at other lengths.
        return _scripted()(*inputs, chunk)
    if torch.compiler.is_exporting():
        return block_scan_plain(*inputs, chunk)
    name = _choose(u, backend)
    # Autocast would compute the products in half precision.
    with torch.autocast(u.device.type, enabled=False):
        if name == "cuda":
            return cuda.cuda_scan(*inputs)
        if name == "sequential":
            return sequential_scan(*inputs)
        if name == "native":
            return native.native_scan(*inputs, chunk=chunk)
        if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
            return block_scan(*inputs, chunk=chunk, budget=budget)
        return block_scan_plain(*inputs, chunk)


def _choose(u: Tensor, backend: str) -> str:
    """Name of the implementation.

    Raises
    ------
    UsageError
        ``SCAN_BACKEND``.
    """
    if backend == "auto":
        fast = "cuda" if u.is_cuda else "native"
        reason = _why_not(fast, u)
        _say(fast if reason is None else "block", "it is the fastest" if reason is None else f"no {fast}: {reason}")
        return fast if reason is None else "block"
    reason = _why_not(backend, u)
    if reason is not None:
        raise UsageError(
            "SCAN_BACKEND",
            where="selective_scan",
            expected=f"backend {backend} to be available",
            got=reason,
            remedy="Use backend auto or block.",
        )
    return backend


def _why_not(backend: str, u: Tensor) -> str | None:
    if backend == "cuda":
        return cuda.why_not(u)
    if backend == "native":
        return native.why_not(u)
    return None


@cache
def _say(name: str, reason: str) -> None:
    _log.info("selective scan: %s, because %s", name, reason)


@cache
def _scripted() -> Callable[..., Tensor]:
    function: Callable[..., Tensor] = torch.jit.script(block_scan_plain)
    return function
