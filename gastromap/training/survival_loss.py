"""Likelihood of the discrete-time survival model on hazard logits."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional

from gastromap.training.survival_intervals import IntervalTargets

__all__ = ["discrete_time_nll"]


def discrete_time_nll(
    hazard_logits: Tensor, targets: IntervalTargets, *, over_intervals: Literal["sum", "mean"] = "sum"
) -> Tensor:
    """Negative log-likelihood of each patient.

    Parameters
    ----------
    hazard_logits : Tensor, shape (batch, K)
    targets : IntervalTargets
    over_intervals : {"sum", "mean"}
        ``sum`` is the likelihood; ``mean`` divides it by K, as the authors do.

    Returns
    -------
    Tensor, shape (batch,); 0 for a patient without label

    Notes
    -----
    Per interval softplus(z) (s + f) - z f, that is -log(1 - h) where survived and -log h where died; no clamp, so no
    region without gradient. A sum over patients: exact at any batch size. Gensheimer and Narasimhan 2019
    (doi 10.7717/peerj.6257), equation 4.
    """
    z = hazard_logits.float()
    each = functional.softplus(z) * (targets.survived + targets.died) - z * targets.died
    return each.sum(dim=-1) if over_intervals == "sum" else each.mean(dim=-1)
