"""Whether a tumour is found where the network is surest of one."""

from __future__ import annotations

from typing import Any

import torch
from monai.metrics import CumulativeIterationMetric
from monai.metrics.utils import do_metric_reduction
from monai.utils import MetricReduction
from torch import Tensor, nn

from gastromap.training.segmentation_loss import target_and_counts

__all__ = ["HighestCellHit"]


class HighestCellHit(CumulativeIterationMetric):
    """Share of volumes whose highest cell lies in the tumour, or touches it.

    Notes
    -----
    Called with scores (channels, D, H, W) or a batch of them, and a label of the same size: 1 tumour, 0 none; a further
    channel says in which cells to look. Volumes without tumour do not count.
    """

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **_: Any) -> Tensor:
        assert y is not None  # noqa: S101 -- the handler gives both
        scores = y_pred[:, 0].float()
        label, counts = target_and_counts(y, 1)
        near = nn.functional.max_pool3d(label, 3, 1, 1)[:, 0].flatten(1)
        highest = scores.masked_fill(counts[:, 0] == 0, -torch.inf).flatten(1).argmax(dim=1, keepdim=True)
        hits = near.gather(1, highest)
        return torch.where(label.flatten(1).amax(dim=1, keepdim=True) > 0, hits, torch.nan)

    def aggregate(self, *_: Any, **__: Any) -> Tensor:
        """Mean over volumes with tumour."""
        data = self.get_buffer()
        assert isinstance(data, Tensor)  # noqa: S101 -- what _compute_tensor gave
        mean, _ = do_metric_reduction(data, MetricReduction.MEAN)
        out: Tensor = mean
        return out
