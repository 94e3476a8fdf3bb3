"""From hazard logits to survival: S(t), mean survival time, risk.

An interval's hazard is the probability of dying in it once it is reached: h = sigmoid(logit). Gensheimer and
Narasimhan 2019 (doi 10.7717/peerj.6257).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gastromap.errors import UsageError

__all__ = ["check_breaks", "mean_survival_months", "os_risk", "survival_at", "survival_at_breaks"]


def check_breaks(breaks_months: Sequence[float]) -> Tensor:
    """Breaks as float64 Tensor, shape (K + 1,).

    Raises
    ------
    UsageError
        ``BREAKS``: not finite, not from 0, not increasing, or fewer than two.
    """
    values = torch.as_tensor(np.asarray(breaks_months, dtype=np.float64))
    if (
        values.ndim != 1
        or len(values) < 2
        or not bool(torch.isfinite(values).all())
        or float(values[0]) != 0
        or not bool((values.diff() > 0).all())
    ):
        raise UsageError(
            "BREAKS",
            where="survival intervals",
            expected="two or more months, from 0, increasing",
            got="others",
            remedy="Take the breaks that were stored with the weights.",
        )
    return values


def survival_at_breaks(hazard_logits: Tensor) -> Tensor:
    """Survival at every break.

    Parameters
    ----------
    hazard_logits : Tensor, shape (..., K)

    Returns
    -------
    Tensor, shape (..., K + 1), 1 to 0, never increasing
    """
    return torch.exp(_log_survival(hazard_logits))


def survival_at(hazard_logits: Tensor, breaks_months: Sequence[float], months: Sequence[float]) -> Tensor:
    """Survival at any time up to the last break.

    Parameters
    ----------
    hazard_logits : Tensor, shape (..., K)
    breaks_months : sequence of K + 1 numbers
    months : sequence of M numbers, 0 to the last break

    Returns
    -------
    Tensor, shape (..., M)
        Within an interval the hazard is constant: S(t) = S(b_(k-1)) (1 - h_k)^((t - b_(k-1)) / (b_k - b_(k-1))).

    Raises
    ------
    UsageError
        ``BREAKS``; ``MONTHS`` beyond the last break, where the network says nothing.
    """
    breaks = _breaks_for(hazard_logits, breaks_months)
    times = torch.as_tensor(np.asarray(months, dtype=np.float64))
    if times.ndim != 1 or not bool(((times >= 0) & (times <= breaks[-1])).all()):
        raise UsageError(
            "MONTHS",
            where="survival curve",
            expected=f"times from 0 to {float(breaks[-1]):g} months",
            got="others",
            remedy="Leave out times that were not followed in the training.",
        )
    # Rightmost interval whose start is not after t; the last break belongs to the last interval.
    k = (torch.searchsorted(breaks, times, right=True) - 1).clamp(max=len(breaks) - 2)
    share = ((times - breaks[k]) / (breaks[k + 1] - breaks[k])).to(hazard_logits)
    log_s = _log_survival(hazard_logits)
    k = k.to(hazard_logits.device)
    return torch.exp(log_s[..., k] + share * (log_s[..., k + 1] - log_s[..., k]))


def mean_survival_months(
    hazard_logits: Tensor, breaks_months: Sequence[float], *, rule: Literal["trapezoid", "right"] = "trapezoid"
) -> Tensor:
    """Restricted mean survival time (RMST): area under S(t) up to the last break.

    Parameters
    ----------
    hazard_logits : Tensor, shape (..., K)
    breaks_months : sequence of K + 1 numbers
    rule : {"trapezoid", "right"}
        ``right`` is the sum over right-hand ends of the published score.

    Returns
    -------
    Tensor, shape (...), months; higher is better

    Raises
    ------
    UsageError
        ``BREAKS``.
    """
    widths = _breaks_for(hazard_logits, breaks_months).diff().to(hazard_logits)
    survival = survival_at_breaks(hazard_logits)
    heights = survival[..., 1:] if rule == "right" else (survival[..., 1:] + survival[..., :-1]) / 2
    return (heights * widths).sum(dim=-1)


def os_risk(
    hazard_logits: Tensor, breaks_months: Sequence[float], *, rule: Literal["trapezoid", "right"] = "trapezoid"
) -> Tensor:
    """Risk of death: minus :func:`mean_survival_months`. Higher means an earlier death."""
    return -mean_survival_months(hazard_logits, breaks_months, rule=rule)


def _log_survival(hazard_logits: Tensor) -> Tensor:
    # log(1 - sigmoid(z)) = logsigmoid(-z): no cancellation where a hazard is close to 1.
    return functional.pad(functional.logsigmoid(-hazard_logits).cumsum(dim=-1), (1, 0))


def _breaks_for(hazard_logits: Tensor, breaks_months: Sequence[float]) -> Tensor:
    breaks = check_breaks(breaks_months)
    if hazard_logits.shape[-1] != len(breaks) - 1:
        raise UsageError(
            "BREAKS",
            where="survival intervals",
            expected=f"{hazard_logits.shape[-1] + 1} breaks for {hazard_logits.shape[-1]} hazards",
            got=str(len(breaks)),
            remedy="Take the breaks that were stored with the weights.",
        )
    return breaks
