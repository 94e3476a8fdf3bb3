"""Selective scan on the CPU by the compiled ``scan.cpp``."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gastromap.models.selective_scan.build import BuildError, library

__all__ = ["native_scan", "why_not"]

#: Steps between two states that are kept: their memory is 1 / 16 of that of all states, the scratch fits the cache.
_STEPS_KEPT = 16
#: The scratch of the backward pass grows with them, 4 kB a step and thread at 16 states.
_MOST_STEPS = 1024


def native_scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, *, chunk: int) -> Tensor:
    """Scan on CPU tensors of one type, float32 or float64; shapes as in ``selective_scan``.

    Parameters
    ----------
    chunk : int
        Steps between two states that are kept for the backward pass; 0 chooses.
    """
    keep = torch.is_grad_enabled() and any(x.requires_grad for x in (u, dt, A, B, C))
    every = min(chunk or _STEPS_KEPT, _MOST_STEPS)
    return cast(Tensor, _NativeScan.apply(u, dt, A, B, C, every, keep))


def why_not(u: Tensor) -> str | None:
    """Why ``u`` cannot be taken, or None; the first call on a CPU tensor may compile for some seconds."""
    if u.device.type != "cpu":
        return "the tensors are not on the CPU"
    return _loaded().reason


class _Loaded(NamedTuple):
    functions: ctypes.CDLL | None
    reason: str | None


@cache
def _loaded() -> _Loaded:
    # Kept for the whole process, failure too: training calls this thousands of times.
    try:
        functions = library()
    except BuildError as error:
        return _Loaded(None, str(error))
    for direction in ("forward", "backward"):
        for kind in ("float32", "float64"):
            getattr(functions, f"gastromap_scan_{direction}_{kind}").restype = None
    return _Loaded(functions, None)


def _call(direction: str, shape: tuple[int, ...], *tensors: Tensor | None) -> None:
    """Call the compiled function for contiguous tensors; it releases the interpreter's lock."""
    kind = "float64" if tensors[0] is not None and tensors[0].dtype == torch.float64 else "float32"
    function = getattr(_loaded().functions, f"gastromap_scan_{direction}_{kind}")
    pointers = [ctypes.c_void_p(None if x is None else x.data_ptr()) for x in tensors]
    function((ctypes.c_int64 * len(shape))(*shape), *pointers)


class _NativeScan(torch.autograd.Function):
    @staticmethod
    def forward(  # apply() takes no keywords
        ctx: Any,
        u: Tensor,
        dt: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        every: int,
        keep: bool,  # noqa: FBT001
    ) -> Tensor:
        inputs = [x.contiguous() for x in (u, dt, A, B, C)]
        batch, length, channels = u.shape
        states = A.size(1)
        lanes = 64 // u.element_size()  # the widest block of scan.cpp; several narrower ones need no more room
        blocks = -(-channels // lanes)
        # Every thread gets batch entries, or groups of blocks of channels where there are fewer entries than threads.
        groups = min(blocks, -(-torch.get_num_threads() // batch))
        shape = (batch, length, channels, states, min(every, length), groups)
        y = torch.empty_like(inputs[0])
        kept = None
        if keep:
            kept = u.new_empty(batch, -(-length // shape[4]), blocks, states, lanes)
        _call("forward", shape, *inputs, y, kept)
        ctx.shape = shape
        ctx.save_for_backward(*inputs, kept)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, kept = ctx.saved_tensors
        u, dt, A, B, C = inputs
        batch, groups = ctx.shape[0], ctx.shape[5]
        d_u, d_dt = torch.empty_like(u), torch.empty_like(dt)
        d_A = A.new_empty(batch, *A.shape)
        d_B, d_C = (x.new_empty(groups, *x.shape) for x in (B, C))
        _call("backward", ctx.shape, grad.contiguous(), *inputs, kept, d_u, d_dt, d_A, d_B, d_C)
        return d_u, d_dt, d_A.sum(0), _sum_first(d_B), _sum_first(d_C), None, None


def _sum_first(x: Tensor) -> Tensor:
    return x[0] if len(x) == 1 else x.sum(0)
