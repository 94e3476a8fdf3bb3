"""What tumour masks say of the tumour's size, on a short way to the logits."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

__all__ = ["MASK_CELLS", "TumourBurden", "mask_burden"]

#: Channels that say how a mask fills each cell: share, and whether there is a mask.
MASK_CELLS: Final = 2
#: Numbers of :func:`mask_burden`.
_FEATURES: Final = 6


class TumourBurden(nn.Module):
    """Sizes by the masks, added to the fused vector of the head and, linearly, to its logits.

    Parameters
    ----------
    trunk : int
        Width of the fused vector.
    logits : int

    Notes
    -----
    Hundreds of image features of a few hundred patients drown six numbers that are worth more; hence the direct way,
    which starts at zero, and a learning rate of its own (:func:`gastromap.training.parameter_groups.parameter_groups`).
    """

    def __init__(self, trunk: int, logits: int) -> None:
        super().__init__()
        self.fused = nn.Linear(_FEATURES, trunk, bias=False)
        self.direct = nn.Linear(_FEATURES, logits, bias=False)
        nn.init.zeros_(self.direct.weight)

    def forward(self, cells: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """What is added to the fused vector (batch, trunk) and to the logits (batch, logits).

        Parameters
        ----------
        cells : Tensor, shape (n, 2, d, h, w)
            Of the scans that are present: share of the cell that is tumour, whether a mask was given.
        present : bool Tensor, shape (batch, 2)
        """
        burden = mask_burden(cells, present).to(self.fused.weight.dtype)
        return self.fused(burden), self.direct(burden)


def mask_burden(cells: Tensor, present: Tensor) -> Tensor:
    """Sizes by the masks, shape (batch, 6); arguments as of :class:`TumourBurden`.

    Log of either volume in cells (more of 0.02 cells, 0.08 ml in ``default``, which is less than can be seen) and
    whether there is that mask; then the log ratio of both and whether there are both. Logarithms are centred and scaled
    by what is typical; a value without its mask is 0.
    """
    found = torch.stack([cells[:, 0].float().sum(dim=(1, 2, 3)), cells[:, 1].float().amax(dim=(1, 2, 3))], dim=1)
    where = present.flatten().nonzero().squeeze(1)
    both = found.new_zeros([present.numel(), found.shape[1]]).index_copy(0, where, found).view(-1, 2, found.shape[1])
    volume, given = both.unbind(2)
    size = torch.log(volume + 0.02)
    pair = given[:, 0] * given[:, 1]
    # Typical of tumours before and after chemotherapy: log volume 1, spread 2; log ratio -1.3, spread 1. Written here
    # because TorchScript reads no constants of a module.
    ratio = (size[:, 1] - size[:, 0] + 1.3) * pair
    return torch.cat([(size - 1.0) / 2.0 * given, given, torch.stack([ratio, pair], dim=1)], dim=1)
