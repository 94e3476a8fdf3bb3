"""Decision curves: net benefit over threshold probabilities; numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gastromap.evaluation.bootstrap import percentile_interval, resample

__all__ = ["THRESHOLDS", "DecisionCurve", "decision_curve", "net_benefit"]

#: 0 to 0.8 (doi 10.1038/s41746-025-02002-5), in steps of 0.01.
THRESHOLDS = np.arange(81) / 100

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit by threshold, each array of shape (t,); treating nobody has net benefit 0."""

    thresholds: _Array
    model: _Array
    low: _Array
    high: _Array
    treat_all: _Array


def net_benefit(
    probabilities: ArrayLike, positive: ArrayLike, thresholds: ArrayLike, weights: ArrayLike | None = None
) -> _Array:
    """Net benefit of treating those at or above each threshold.

    Parameters
    ----------
    probabilities : array, shape (n,)
        Of the positive state, 0 to 1.
    positive : array of bool, shape (n,)
    thresholds : array, shape (t,)
        0 to below 1.
    weights : array, shape (…, n), optional

    Returns
    -------
    array, shape (…, t)
        TP/N - FP/N · threshold/(1 - threshold), at most the prevalence; NaN without cases.

    Notes
    -----
    Vickers and Elkin 2006, doi 10.1177/0272989X06295361.
    """
    p, truth, limit = (np.asarray(values, dtype=float) for values in (probabilities, positive, thresholds))
    treated = p[:, np.newaxis] >= limit
    gain = treated * np.where(truth[:, np.newaxis] > 0, 1.0, -limit / (1 - limit))
    drawn = np.ones(len(p)) if weights is None else np.asarray(weights, dtype=float)
    total = drawn.sum(axis=-1, keepdims=True)
    benefit = drawn @ gain
    return np.divide(benefit, total, out=np.full(benefit.shape, np.nan), where=total > 0)


def decision_curve(
    probabilities: ArrayLike,
    positive: ArrayLike,
    patients: Sequence[str],
    *,
    thresholds: ArrayLike = THRESHOLDS,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int,
) -> DecisionCurve:
    """Decision curve with pointwise intervals, resampled by patient.

    Parameters
    ----------
    probabilities, positive, thresholds
        As in :func:`net_benefit`.
    patients, resamples, seed
        As in :func:`gastromap.evaluation.bootstrap.resample`.
    level : float
        Of the intervals, 0 to 1.
    """
    limit = np.asarray(thresholds, dtype=float)
    drawn = resample(
        lambda weights: {"benefit": net_benefit(probabilities, positive, limit, weights)},
        patients,
        resamples=resamples,
        seed=seed,
    )
    low, high = percentile_interval(drawn["benefit"], level=level)
    return DecisionCurve(
        thresholds=limit,
        model=net_benefit(probabilities, positive, limit),
        low=low,
        high=high,
        treat_all=net_benefit(np.ones(len(patients)), positive, limit),
    )
