"""Convolutional blocks of the encoder."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["GatedSpatialConvolution", "activation", "instance_norm"]


def instance_norm(channels: int, style: Literal["default", "paper"]) -> nn.Module:
    """Instance norm over voxels: with scale and shift in ``default``, plain in ``paper``."""
    return nn.InstanceNorm3d(channels, affine=style == "default")


def activation(style: Literal["default", "paper"]) -> nn.Module:
    """GELU in ``default``, ReLU in ``paper``."""
    return nn.GELU() if style == "default" else nn.ReLU()


class GatedSpatialConvolution(nn.Module):
    """GSC: a residual block whose 3 x 3 x 3 branch is gated, voxel by voxel, by a 1 x 1 x 1 branch.

    Parameters
    ----------
    channels : int
    style : {"default", "paper"}
        ``default`` multiplies the branch with the sigmoid of the gate. The gate has no activation under the sigmoid:
        behind a GELU it could not fall below 0.46. ``paper`` adds the branches.

    Notes
    -----
    Input and output (batch, channels, D, H, W). Idea: SegMamba (arXiv 2401.13560), section 2.3.
    """

    def __init__(self, channels: int, style: Literal["default", "paper"]) -> None:
        super().__init__()
        self.multiplies = style == "default"
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.Conv3d(channels, channels, 3, padding=1), instance_norm(channels, style), activation(style)]
        self.branch = nn.Sequential(*layers)
        self.gate = nn.Sequential(nn.Conv3d(channels, channels, 1), instance_norm(channels, style))
        self.join = nn.Sequential(nn.Conv3d(channels, channels, 1), instance_norm(channels, style), activation(style))
        self.act = activation(style)

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the same shape."""
        branch, gate = self.branch(x), self.gate(x)
        gated = branch * torch.sigmoid(gate) if self.multiplies else branch + self.act(gate)
        out: Tensor = x + self.join(gated)
        return out
