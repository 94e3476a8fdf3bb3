"""Tri-oriented Mamba layer: every voxel reads the volume along three scan orders.

Blocks as in Mamba (arXiv 2312.00752); three orders as in SegMamba (arXiv 2401.13560). Written for GastroMAP.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from gastromap.models.selective_scan import selective_scan

__all__ = ["ScanDirection", "TriMamba", "TriMambaLayer", "keeps_float32"]

_KERNEL = 4
_STEP_RANGE = (1e-3, 1e-1)
_STEP_FLOOR = 1e-4
_STATE_SPACE = ("A_log", "D", "step_bias")


def keeps_float32(name: str) -> bool:
    """Whether the parameter of this name shapes the state space: A_log, D, step bias.

    They stay float32 under autocast and get no weight decay.
    """
    return name.rpartition(".")[2] in _STATE_SPACE


class ScanDirection(nn.Module):
    """Selective state space of one scan order, with weights of its own.

    Parameters
    ----------
    inner : int
        Channels of the sequence.
    rank : int
        Of the step projection.
    state : int
        Numbers remembered a channel.
    """

    def __init__(self, inner: int, rank: int, state: int) -> None:
        super().__init__()
        self.rank, self.state = rank, state
        self.conv = nn.Conv1d(inner, inner, _KERNEL, groups=inner, padding=_KERNEL - 1)
        self.select = nn.Linear(inner, rank + 2 * state, bias=False)
        self.step = nn.Linear(rank, inner, bias=False)
        nn.init.uniform_(self.step.weight, -(rank**-0.5), rank**-0.5)
        low, high = (math.log(value) for value in _STEP_RANGE)
        step = torch.exp(torch.rand(inner) * (high - low) + low).clamp_min(_STEP_FLOOR)
        # Inverse of softplus, so that the first steps are those drawn.
        self.step_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))
        self.A_log = nn.Parameter(torch.log(torch.arange(1.0, state + 1).repeat(inner, 1)))
        self.D = nn.Parameter(torch.ones(inner))

    def forward(self, u: Tensor) -> Tensor:
        """Read a sequence (batch, length, inner) in its order; same shape."""
        v = functional.silu(self.conv(u.transpose(1, 2))[..., : u.shape[1]].transpose(1, 2))
        low_rank, b, c = torch.split(self.select(v), [self.rank, self.state, self.state], dim=-1)
        # float32 from here on: decays near 1 are lost in sixteen bits.
        dt = functional.softplus(self.step(low_rank).float() + self.step_bias)
        return selective_scan(v.float(), dt, -torch.exp(self.A_log), b.float(), c.float(), self.D)


class TriMamba(nn.Module):
    """Three scans of a token grid (slices in order; reversed; depth fastest), summed and gated.

    Parameters
    ----------
    width : int
    state : int

    Notes
    -----
    Input (batch, D, H, W, width), normalised tokens; output the same shape, without a residual. The depth is that of
    the tensor. Gating the sum equals gating each direction in its own order.
    """

    def __init__(self, width: int, state: int) -> None:
        super().__init__()
        inner, rank = 2 * width, math.ceil(width / 16)
        self.enter = nn.Linear(width, 2 * inner, bias=False)
        self.onward = ScanDirection(inner, rank, state)
        self.backward_ = ScanDirection(inner, rank, state)
        self.across = ScanDirection(inner, rank, state)
        self.leave = nn.Linear(inner, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Message of each token."""
        batch, depth, height, width, _ = tokens.shape
        u, z = self.enter(tokens).flatten(1, 3).chunk(2, dim=-1)
        inner = u.shape[-1]
        total = self.onward(u) + self.backward_(u.flip(1)).flip(1)
        columns = u.view(batch, depth, height * width, inner).transpose(1, 2).reshape(batch, -1, inner)
        across = self.across(columns).view(batch, height * width, depth, inner).transpose(1, 2)
        total = total + across.reshape(batch, -1, inner)
        out: Tensor = self.leave(total * functional.silu(z)).view(tokens.shape)
        return out


class TriMambaLayer(nn.Module):
    """TriMamba with norm and residual; ``default`` adds an MLP with norm and residual.

    Parameters
    ----------
    width, state : int
    style : {"default", "paper"}

    Notes
    -----
    Input and output maps (batch, width, D, H, W).
    """

    def __init__(self, width: int, state: int, style: Literal["default", "paper"]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mixer = TriMamba(width, state)
        self.mlp: nn.Module | None = None
        if style == "default":
            self.mlp = nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the same shape."""
        tokens = x.permute(0, 2, 3, 4, 1)
        tokens = tokens + self.mixer(self.norm(tokens))
        if self.mlp is not None:
            tokens = tokens + self.mlp(tokens)
        return tokens.permute(0, 4, 1, 2, 3).contiguous()
