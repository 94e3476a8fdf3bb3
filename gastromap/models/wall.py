"""Network that tells tumour from normal wall by the depth profile of the stomach's wall."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from gastromap.models.longitudinal.segmentation import without_meta
from gastromap.preprocessing.wall import WALL_CHANNELS

__all__ = ["WallNet"]


class WallNet(nn.Module):
    """Judge each cell of a :class:`gastromap.preprocessing.wall.WallProfile` by itself.

    Parameters
    ----------
    channels : int
        Of three hidden layers.
    in_channels : int

    Notes
    -----
    Input (batch, in_channels, D, H, W), in training cells in any order; output (batch, 1, D, H, W), one tumour logit a
    cell. What lies around a cell is in its averages already: convolutions over neighbours learnt far more slowly (of 46
    synthetic T1, the highest cell lay in 9 after five minutes, and in 31 after five minutes of this one).
    """

    def __init__(self, channels: int = 128, in_channels: int = WALL_CHANNELS) -> None:
        super().__init__()
        self.scale = nn.BatchNorm3d(in_channels, affine=False)
        widths = [in_channels, channels, channels, channels]
        self.hidden = nn.Sequential(
            *[
                nn.Sequential(nn.Conv3d(before, width, 1, bias=False), nn.BatchNorm3d(width), nn.ReLU())
                for before, width in itertools.pairwise(widths)
            ]
        )
        self.out = nn.Conv3d(channels, 1, 1)

    def forward(self, profile: Tensor) -> Tensor:
        """Tumour logits of the cells."""
        out: Tensor = self.out(self.hidden(self.scale(without_meta(profile))))
        return out
