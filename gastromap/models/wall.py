"""Networks that tell tumour from normal wall by the depth profile of the stomach's wall."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gastromap.models.longitudinal.segmentation import without_meta
from gastromap.preprocessing.wall import WALL_CHANNELS

__all__ = ["NO_WALL_LOGIT", "WallContextNet", "WallNet"]

#: Of cells without wall.
NO_WALL_LOGIT = -6.0
#: Side of the cube of cells that are neighbours.
_SIDE = 3
_NEIGHBOURS = _SIDE**3


class WallNet(nn.Module):
    """Judge each cell of a :class:`gastromap.preprocessing.wall.WallProfile` by itself.

    Parameters
    ----------
    channels : int
        Of three hidden layers.
    in_channels : int

    Notes
    -----
    Input (batch, in_channels, D, H, W), in training drawn cells in any order; output (batch, 1, D, H, W), one tumour
    logit a cell, and -6 where the profile is 0 throughout: no wall. What lies around a cell is in its averages:
    convolutions over neighbours learnt far more slowly from random weights (of 46 synthetic T1, the highest cell lay in
    9 after five minutes, and in 31 after five minutes of this one). :class:`WallContextNet` adds them to a trained one.
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
        profile = without_meta(profile)
        if self.training:  # of drawn cells, all of which count
            out: Tensor = self.out(self._described(profile))
            return out
        return _of_walls(profile, lambda cells, _: self.out(self._described(cells)))

    def _described(self, cells: Tensor) -> Tensor:
        described: Tensor = self.hidden(self.scale(cells))
        return described


class WallContextNet(WallNet):
    """Correct what a :class:`WallNet` says of a cell by what is seen in the cells around it.

    A tumour is a patch without layers in a wall that has them; a fold, or a piece of wall that runs aslant, looks like
    one cell by cell.

    Parameters
    ----------
    channels, in_channels : int
        As of :class:`WallNet`, whose weights are those of the same names, and stay as they are.
    width, hidden : int
        Values of a cell that its neighbours read, and those made of them.

    Notes
    -----
    Input and output as of :class:`WallNet`, always whole walls: two rounds in which each cell of the wall reads the
    3 x 3 x 3 around it, which reach 5 x 5 x 5 cells (20 x 14 x 14 mm). One cell in ten holds wall, so that their
    neighbours are looked up instead of convolving the grid. Untrained, it says what the WallNet says.
    """

    def __init__(
        self, channels: int = 128, in_channels: int = WALL_CHANNELS, *, width: int = 24, hidden: int = 64
    ) -> None:
        super().__init__(channels, in_channels)
        read = _NEIGHBOURS * (width + 1)
        self.context = nn.ModuleDict(
            {
                "narrow_1": nn.Linear(channels, width),
                "read_1": nn.Linear(read, hidden),
                "narrow_2": nn.Linear(hidden, width),
                "read_2": nn.Linear(read, hidden),
                "drop": nn.Dropout(0.1),
                "out": nn.Linear(hidden, 1),
            }
        )
        for parameter in self.context["out"].parameters():
            nn.init.zeros_(parameter)

    def train(self, mode: bool = True) -> WallContextNet:  # noqa: FBT001, FBT002 -- as of nn.Module
        """Training mode; the norms of the cells keep their statistics, which come from drawn cells."""
        super().train(mode)
        self.scale.eval()
        self.hidden.eval()
        return self

    def forward(self, profile: Tensor) -> Tensor:
        """Tumour logits of the cells."""
        # A stomach without wall has a gradient as well, of nothing.
        return _of_walls(without_meta(profile), self._in_context) + 0 * next(self.context.parameters()).sum()

    def _in_context(self, cells: Tensor, wall: Tensor) -> Tensor:
        described = self._described(cells)
        own: Tensor = self.out(described)
        part, numbers = self.context, _neighbours(wall)
        values = described.flatten(2)[0].T
        for turn in ("1", "2"):
            seen = _looked_up(torch.relu(part[f"narrow_{turn}"](values)), numbers)
            values = part["drop"](torch.relu(part[f"read_{turn}"](seen)))
        return own + part["out"](values).reshape(own.shape)


def _of_walls(profile: Tensor, judge: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Logits of those cells that hold wall, stomach by stomach.

    ``judge`` gets these cells, (1, channels, n, 1, 1), and where they lie, (D, H, W).
    """
    out = []
    for values in profile:
        wall = (values != 0).any(dim=0)
        logits = values.new_full(wall.shape, NO_WALL_LOGIT, dtype=torch.float32)
        if wall.any():
            cells = values[:, wall][None, :, :, None, None]
            logits[wall] = judge(cells, wall).flatten().float()
        out.append(logits)
    return torch.stack(out)[:, None]


def _neighbours(wall: Tensor) -> Tensor:
    """Of each cell of the wall, the numbers of those in the cube around it; their count where there is none."""
    count = int(wall.sum())
    numbers = torch.full([side + 2 for side in wall.shape], count, dtype=torch.long, device=wall.device)
    numbers[1:-1, 1:-1, 1:-1][wall] = torch.arange(count, device=wall.device)
    cubes = numbers.unfold(0, _SIDE, 1).unfold(1, _SIDE, 1).unfold(2, _SIDE, 1)
    return cubes[wall].flatten(1)


def _looked_up(values: Tensor, numbers: Tensor) -> Tensor:
    """What each cell reads: the values of its neighbours, and which of them are there; (n, 27 * (width + 1))."""
    there = torch.cat([values, values.new_ones(len(values), 1)], dim=1)
    return torch.cat([there, there.new_zeros(1, there.shape[1])])[numbers].flatten(1)
