"""Selective scan by the CUDA operator of the package mamba-ssm, where that is installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache

from torch import Tensor

__all__ = ["cuda_scan", "why_not"]


def cuda_scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Same values from the operator, which wants time last; shapes as in ``selective_scan``."""
    by_channel = (x.transpose(1, 2).contiguous() for x in (u, dt))
    by_state = (x.transpose(1, 2).contiguous() for x in (B, C))
    y: Tensor = _operator()(*by_channel, A.contiguous(), *by_state, delta_softplus=False)
    return y.transpose(1, 2)


def why_not(u: Tensor) -> str | None:
    """Why the operator cannot take ``u``, or None."""
    if not u.is_cuda:
        return "the tensors are not on a GPU"
    try:
        _operator()
    except (ImportError, OSError, AttributeError) as error:
        return f"mamba_ssm cannot be imported ({type(error).__name__})"
    return None


@cache
def _operator() -> Callable[..., Tensor]:
    module = importlib.import_module("mamba_ssm.ops.selective_scan_interface")
    operator: Callable[..., Tensor] = module.selective_scan_fn
    return operator
