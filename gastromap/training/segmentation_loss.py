"""Loss of the segmentation: binary cross-entropy and soft Dice, half and half (longitudinal design, section 1)."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn

__all__ = ["DiceBceLoss"]


class DiceBceLoss(nn.Module):
    """Mean of binary cross-entropy and ``1 - Dice``, each channel on its own.

    Parameters
    ----------
    weight : float
        Of the Dice part, 0 to 1; the cross-entropy gets the rest.

    Notes
    -----
    ``forward(logits, label)``: both (batch, channels, D, H, W), label 0 or 1. Dice is taken over the batch, so that a
    crop without tumour does not count as much as one with it.
    """

    def __init__(self, weight: float = 0.5) -> None:
        super().__init__()
        self.weight = weight
        self.dice = DiceLoss(sigmoid=True, batch=True)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Loss, a scalar."""
        target = label.to(torch.float32)
        logits = logits.to(torch.float32)
        entropy = nn.functional.binary_cross_entropy_with_logits(logits, target)
        out: Tensor = self.weight * self.dice(logits, target) + (1 - self.weight) * entropy
        return out
