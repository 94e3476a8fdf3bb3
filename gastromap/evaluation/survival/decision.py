"""Decision curve for death by a month, with censoring allowed for by Kaplan–Meier."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gastromap.evaluation.bootstrap import percentile_interval, resample
from gastromap.evaluation.decision_curve import THRESHOLDS, DecisionCurve
from gastromap.evaluation.survival.weighted import WeightedFollowUp

__all__ = ["survival_decision_curve", "survival_net_benefit"]

_Array = NDArray[np.float64]


def survival_net_benefit(
    time: _Array, death: NDArray[np.bool_], risk: ArrayLike, month: float, thresholds: ArrayLike, weights: _Array
) -> _Array:
    """Net benefit of treating those whose risk of death by a month is at or above each threshold.

    Parameters
    ----------
    time : array, shape (n,)
        Months.
    death : array of bool, shape (n,)
    risk : array, shape (n,)
        Predicted risk of death by the month, 0 to 1.
    month : float
    thresholds : array, shape (t,)
        0 to below 1.
    weights : array, shape (m, n)
        How often each patient counts.

    Returns
    -------
    array, shape (m, t)
        Share treated · (risk of death among them − their survival · threshold/(1 − threshold)); 0 where none is
        treated, NaN where follow-up of those treated ends before the month.

    Notes
    -----
    Vickers et al. 2008, doi 10.1186/1472-6947-8-53.
    """
    predicted, limits = np.asarray(risk, dtype=float), np.asarray(thresholds, dtype=float)
    total = weights.sum(axis=1)
    found = np.zeros((len(weights), len(limits)))
    known: dict[bytes, _Array] = {}
    for place, limit in enumerate(limits):
        treated = predicted >= limit
        if not treated.any():
            continue
        key = treated.tobytes()
        if key not in known:
            known[key] = _survival(time[treated], death[treated], weights[:, treated], month)
        drawn, survival = weights[:, treated].sum(axis=1), known[key]
        benefit = drawn / total * (1 - survival - survival * limit / (1 - limit))
        found[:, place] = np.where(drawn > 0, benefit, 0.0)
    return found


def _survival(time: _Array, death: NDArray[np.bool_], weights: _Array, month: float) -> _Array:
    data = WeightedFollowUp(time, death, weights)
    survival = data.read(data.survival, [month])[:, 0]
    beyond = np.where((weights > 0) & (time >= month), 1, 0).any(axis=1)
    return np.where(beyond | (survival <= 0), survival, np.nan)


def survival_decision_curve(
    time: _Array,
    death: NDArray[np.bool_],
    risk: ArrayLike,
    *,
    month: float,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int,
    thresholds: ArrayLike = THRESHOLDS,
) -> DecisionCurve:
    """Decision curve for death by a month, with pointwise intervals from resampling patients.

    Parameters
    ----------
    time, death, risk, month, thresholds
        As in :func:`survival_net_benefit`.
    resamples, seed
        Of the bootstrap.
    level : float
        Of the intervals, 0 to 1.
    """
    limits = np.asarray(thresholds, dtype=float)

    def benefit(weights: _Array, predicted: ArrayLike = risk) -> _Array:
        return survival_net_benefit(time, death, predicted, month, limits, weights)

    units = [str(row) for row in range(len(time))]
    drawn = resample(lambda weights: {"benefit": benefit(weights)}, units, resamples=resamples, seed=seed)
    low, high = percentile_interval(drawn["benefit"], level=level)
    once = np.ones((1, len(time)))
    return DecisionCurve(
        thresholds=limits,
        model=benefit(once)[0],
        low=low,
        high=high,
        treat_all=benefit(once, np.ones(len(time)))[0],
    )
