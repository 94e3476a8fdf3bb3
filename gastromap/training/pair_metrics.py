"""Validation figures of the longitudinal model: AUC of node metastasis, concordance of survival, their mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from monai.handlers import IgniteMetricHandler, from_engine
from monai.metrics import CumulativeIterationMetric
from torch import Tensor

from gastromap.evaluation.ranking import binary_auc
from gastromap.evaluation.survival.weighted import harrell_c
from gastromap.models.longitudinal.survival import os_risk
from gastromap.training.multitask_loss import LABELS

__all__ = ["PairMetric", "lnm_auc", "os_concordance", "pair_metrics", "pair_score"]


def lnm_auc(logits: Tensor, target: Tensor) -> float:
    """AUC of the LNM logit; NaN unless both outcomes are there.

    Parameters
    ----------
    logits : Tensor, shape (n_patients, 1 + K)
    target : Tensor, shape (n_patients, 3)
        LNM, death, months; NaN where missing.
    """
    known = torch.isfinite(target[:, 0])
    return float(binary_auc(logits[known, 0].double().cpu().numpy(), (target[known, 0] > 0).cpu().numpy()))


def os_concordance(logits: Tensor, target: Tensor, breaks_months: Sequence[float]) -> float:
    """Harrell's C of the risk of death; NaN without a comparable pair. Arguments as of :func:`lnm_auc`."""
    known = torch.isfinite(target[:, 1:]).all(dim=1)
    if not bool(known.any()):
        return float("nan")
    risk = os_risk(logits[known, 1:].double(), breaks_months).cpu().numpy()
    death, months = (column.double().cpu().numpy() for column in target[known, 1:].unbind(1))
    return harrell_c(months, death > 0, risk)


def pair_score(logits: Tensor, target: Tensor, breaks_months: Sequence[float]) -> float:
    """Mean of LNM AUC and OS C, or the one that is defined; NaN if neither is.

    A handful of validation patients may hold neither both node statuses nor a death and somebody who lived longer.
    """
    values = [lnm_auc(logits, target), os_concordance(logits, target, breaks_months)]
    defined = [value for value in values if np.isfinite(value)]
    return float(np.mean(defined)) if defined else float("nan")


class PairMetric(CumulativeIterationMetric):
    """Figure of all validation patients, gathered over processes.

    Parameters
    ----------
    compute : callable
        Of logits (n_patients, 1 + K) and targets (n_patients, 3).
    """

    def __init__(self, compute: Callable[[Tensor, Tensor], float]) -> None:
        super().__init__()
        self._compute = compute

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **_: Any) -> Tensor:
        if y is None:
            raise TypeError("expected targets")
        return torch.cat([torch.as_tensor(y_pred).float(), torch.as_tensor(y).float()], dim=1)

    def aggregate(self) -> float:
        """Value over all patients since the last reset."""
        table: Any = self.get_buffer()
        return self._compute(table[:, : -len(LABELS)], table[:, -len(LABELS) :])


def pair_metrics(breaks_months: Sequence[float]) -> dict[str, IgniteMetricHandler]:
    """Metrics ``val_score`` (the key), ``val_lnm_auc`` and ``val_os_c`` of an evaluator with decollated outputs."""

    def metric(compute: Callable[[Tensor, Tensor], float]) -> IgniteMetricHandler:
        return IgniteMetricHandler(PairMetric(compute), output_transform=from_engine(["pred", "label"]))

    return {
        "val_score": metric(lambda logits, target: pair_score(logits, target, breaks_months)),
        "val_lnm_auc": metric(lnm_auc),
        "val_os_c": metric(lambda logits, target: os_concordance(logits, target, breaks_months)),
    }
