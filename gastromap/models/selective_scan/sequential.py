"""Selective scan one time step after the other, differentiated by autograd: the reference of the tests."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["sequential_scan"]


def sequential_scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Recurrence as written in the paper (arXiv 2312.00752, equation 2); shapes as in ``selective_scan``."""
    state = u.new_zeros(u.size(0), *A.shape)
    outputs = []
    # unbind: the backward pass of an index fills a whole zero tensor at every step.
    for u_t, dt_t, B_t, C_t in zip(u.unbind(1), dt.unbind(1), B.unbind(1), C.unbind(1), strict=True):
        state = torch.exp(dt_t.unsqueeze(2) * A) * state + (dt_t * u_t).unsqueeze(2) * B_t.unsqueeze(1)
        outputs.append((state * C_t.unsqueeze(1)).sum(2))
    return torch.stack(outputs, 1)
