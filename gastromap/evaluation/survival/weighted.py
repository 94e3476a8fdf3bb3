"""Concordance, AUC(t) and Brier score of weighted patients, for many resamples at once; numpy only.

scikit-survival takes no weights, and a loop over its functions takes some hundred times as long. With weights of 1 the
values are those of scikit-survival: the probability G(t) of being uncensored is read at the time itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["RiskPairs", "WeightedFollowUp", "brier", "brier_of_kaplan_meier", "harrell_c"]

_Array = NDArray[np.float64]

#: Risks nearer than this are tied, as in scikit-survival.
_TIE = 1e-8
#: Pairs held at once: some tens of MB.
_PAIRS = 4_000_000


def _ratio(top: _Array, bottom: _Array) -> _Array:
    return np.divide(top, bottom, out=np.full(np.broadcast(top, bottom).shape, np.nan), where=bottom > 0)


class WeightedFollowUp:
    """Kaplan–Meier curves of weighted patients.

    Parameters
    ----------
    time : array, shape (n,)
    death : array of bool, shape (n,)
    weights : array, shape (m, n)
        How often each patient counts in each of m resamples.
    """

    def __init__(self, time: _Array, death: NDArray[np.bool_], weights: _Array) -> None:
        self.time, self.death, self.weights = time, death, weights
        self.times, self.place = np.unique(time, return_inverse=True)
        order = np.argsort(self.place, kind="stable")
        starts = np.searchsorted(self.place[order], np.arange(len(self.times)))

        def by_time(values: _Array) -> _Array:
            return np.add.reduceat(values[:, order], starts, axis=1)

        counts, self.deaths = by_time(weights), by_time(weights * death)
        self.at_risk = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]
        self.leaving = counts - self.deaths

    @cached_property
    def survival(self) -> _Array:
        """S at the distinct times, shape (m, k)."""
        return np.asarray(np.cumprod(1 - np.nan_to_num(_ratio(self.deaths, self.at_risk)), axis=1))

    @cached_property
    def uncensored(self) -> _Array:
        """G at the distinct times, shape (m, k); at one time deaths come before censoring."""
        share = np.nan_to_num(_ratio(self.leaving, self.at_risk - self.deaths))
        return np.asarray(np.cumprod(1 - share, axis=1))

    def read(self, curve: _Array, months: ArrayLike) -> _Array:
        """Value of a curve at some months, shape (m, t); 1 before the first time."""
        place = np.searchsorted(self.times, np.asarray(months, dtype=float), side="right") - 1
        return np.where(place < 0, 1.0, curve[:, np.clip(place, 0, None)])

    @cached_property
    def inverse_uncensored(self) -> _Array:
        """1/G at the time of each death, else 0; shape (m, n); infinite where G is 0."""
        g = self.uncensored[:, self.place]
        return np.where(self.death, np.divide(1.0, g, out=np.full(g.shape, np.inf), where=g > 0), 0.0)


@dataclass(frozen=True)
class RiskPairs:
    """Weighted pairs of a death and a patient who outlived it, with the higher risk on the right side or not."""

    follow_up: WeightedFollowUp
    risk: _Array  #: shape (n,)

    @cached_property
    def _outlived(self) -> tuple[_Array, _Array]:
        """Of each death the weight of those who outlived it, all and those of lower risk; shape (m, deaths)."""
        data, weights = self.follow_up, self.follow_up.weights
        rows = np.flatnonzero(data.death)
        step = max(1, _PAIRS // len(data.time))
        lower = [np.empty((len(weights), 0))]
        lower += [self._lower(rows[start : start + step], weights) for start in range(0, len(rows), step)]
        later = data.at_risk - data.deaths  # censored at the very time of a death: outlived it
        return later[:, data.place[rows]], np.concatenate(lower, axis=1)

    def _lower(self, rows: NDArray[np.int64], weights: _Array) -> _Array:
        data = self.follow_up
        after = (data.time > data.time[rows, np.newaxis]) | ((data.time == data.time[rows, np.newaxis]) & ~data.death)
        return weights @ (after * self._wins(rows)).T

    def _wins(self, rows: NDArray[np.int64]) -> _Array:
        gap = self.risk[rows, np.newaxis] - self.risk
        return np.where(np.abs(gap) <= _TIE, 0.5, (gap > 0).astype(float))

    def concordance(self, *, uno: bool, before: float = np.inf) -> _Array:
        """Concordance index over deaths before a month, shape (m,); Harrell's, or Uno's with weights 1/G².

        NaN where there is no pair or, for Uno's, where G is 0 at a death.
        """
        data, rows = self.follow_up, np.flatnonzero(self.follow_up.death)
        every, lower = self._outlived
        weight = data.weights[:, rows] * (data.time[rows] < before)
        if uno:
            inverse = data.inverse_uncensored[:, rows]
            # A patient who was not drawn may lie beyond the last censoring of the draw.
            weight = np.where(weight > 0, weight * np.where(np.isinf(inverse), np.nan, inverse) ** 2, 0.0)
        return _ratio((weight * lower).sum(axis=1), (weight * every).sum(axis=1))

    def auc(self, month: float) -> _Array:
        """Cumulative/dynamic AUC at a month, shape (m,); NaN without deaths by then or survivors beyond."""
        data = self.follow_up
        cases, controls = np.flatnonzero(data.death & (data.time <= month)), data.time > month
        if not len(cases) or not controls.any():
            return np.full(len(data.weights), np.nan)
        inverse = data.inverse_uncensored[:, cases]
        drawn = data.weights[:, cases]
        # A patient who was not drawn may lie beyond the last censoring of the draw, where the inverse is infinite.
        weight = np.multiply(drawn, inverse, where=drawn > 0, out=np.zeros_like(inverse))
        survivors = data.weights[:, controls]
        top = np.zeros(len(weight))
        step = max(1, _PAIRS // max(1, int(controls.sum())))
        for start in range(0, len(cases), step):
            part = slice(start, start + step)
            lower = survivors @ self._wins(cases[part])[:, controls].T
            top += np.where(weight[:, part] > 0, weight[:, part] * lower, 0.0).sum(axis=1)
        found = _ratio(top, weight.sum(axis=1) * survivors.sum(axis=1))
        return np.where(np.isfinite(found), found, np.nan)


def harrell_c(time: ArrayLike, death: ArrayLike, risk: ArrayLike) -> float:
    """Harrell's C of patients who count alike; NaN without a comparable pair.

    Parameters
    ----------
    time, death, risk : array, shape (n,)
        A higher risk means an earlier death; a tie counts one half.
    """
    months = np.asarray(time, float)
    follow_up = WeightedFollowUp(months, np.asarray(death, bool), np.ones((1, len(months))))
    return float(RiskPairs(follow_up, np.asarray(risk, float)).concordance(uno=False)[0])


def brier(follow_up: WeightedFollowUp, survival: _Array, months: ArrayLike) -> _Array:
    """Brier score at some months with weights 1/G (Graf 1999), shape (m, t).

    Parameters
    ----------
    follow_up : WeightedFollowUp
    survival : array, shape (n, t)
        S(t) of each patient.
    months : array, shape (t,)
    """
    dead, alive = _states(follow_up, months)
    died, weight = _weights(follow_up, months)
    lost, kept = died @ (dead * survival**2), follow_up.weights @ (alive * (1 - survival) ** 2)
    return (lost + weight * kept) / follow_up.weights.sum(axis=1, keepdims=True)


def brier_of_kaplan_meier(follow_up: WeightedFollowUp, months: ArrayLike) -> _Array:
    """Brier score of the cohort's own Kaplan–Meier curve as everybody's prediction, shape (m, t)."""
    dead, alive = _states(follow_up, months)
    died, weight = _weights(follow_up, months)
    survival = follow_up.read(follow_up.survival, months)
    lost, kept = died @ dead * survival**2, follow_up.weights @ alive * (1 - survival) ** 2
    return (lost + weight * kept) / follow_up.weights.sum(axis=1, keepdims=True)


def _states(follow_up: WeightedFollowUp, months: ArrayLike) -> tuple[_Array, _Array]:
    when, time = np.asarray(months, dtype=float), follow_up.time[:, np.newaxis]
    dead = (time <= when) & follow_up.death[:, np.newaxis]
    return dead.astype(float), (time > when).astype(float)


def _weights(follow_up: WeightedFollowUp, months: ArrayLike) -> tuple[_Array, _Array]:
    """Weight of each death, shape (m, n), and of the survivors of each month, shape (m, t)."""
    inverse = follow_up.inverse_uncensored
    g = follow_up.read(follow_up.uncensored, months)
    died = follow_up.weights * np.where(np.isinf(inverse), 0.0, inverse)
    return died, np.divide(1.0, g, out=np.zeros_like(g), where=g > 0)
