"""Cox regression by statsmodels, with Efron's ties, and the test of proportional hazards."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CoxFit", "breslow_hazard", "fit_cox", "proportional_hazards"]

_Array = NDArray[np.float64]
#: A log hazard ratio per SD, or its standard error, beyond this has run away: the groups are separated.
_LARGEST = 15.0


@dataclass(frozen=True)
class CoxFit:
    """Maximum of the partial likelihood; arrays of shape (p,)."""

    coefficients: _Array  #: log hazard ratios per unit
    standard_errors: _Array
    covariance: _Array  #: shape (p, p)
    log_likelihood: float
    null_log_likelihood: float
    patients: int
    deaths: int

    @property
    def p_values(self) -> _Array:
        """Two-sided, Wald."""
        from scipy.stats import norm

        return np.asarray(2 * norm.sf(np.abs(self.coefficients / self.standard_errors)))

    def hazard_ratios(self, level: float = 0.95) -> tuple[_Array, _Array, _Array]:
        """Hazard ratios with their Wald limits."""
        from scipy.stats import norm

        half = norm.ppf((1 + level) / 2) * self.standard_errors
        return np.exp(self.coefficients), np.exp(self.coefficients - half), np.exp(self.coefficients + half)

    def likelihood_ratio(self) -> tuple[float, int, float]:
        """Chi-squared against no predictor, degrees of freedom and p value."""
        from scipy.stats import chi2

        value = max(0.0, 2 * (self.log_likelihood - self.null_log_likelihood))
        degrees = len(self.coefficients)
        return value, degrees, float(chi2.sf(value, degrees))


def fit_cox(time: ArrayLike, death: ArrayLike, predictors: ArrayLike) -> CoxFit | None:
    """Fit a Cox model without penalty.

    Parameters
    ----------
    time : array, shape (n,)
    death : array of bool, shape (n,)
    predictors : array, shape (n, p)

    Returns
    -------
    CoxFit or None
        None where there is no maximum: a constant or doubled column, no deaths, or groups that a column separates.

    Notes
    -----
    Efron's ties, as R ``coxph``; statsmodels ``PHReg``.
    """
    from statsmodels.duration.hazard_regression import PHReg

    t, died = np.asarray(time, dtype=float), np.asarray(death, dtype=bool)
    x = np.asarray(predictors, dtype=float).reshape(len(t), -1)
    spread = x.std(axis=0)
    if not died.any() or np.any(spread == 0) or np.linalg.matrix_rank(x - x.mean(axis=0)) < x.shape[1]:
        return None
    # Columns of one size let Newton's steps end at the digits of R; the estimates are scaled back.
    scaled = (x - x.mean(axis=0)) / spread
    model = PHReg(t, scaled, status=died.astype(int), ties="efron")
    try:
        # What the warnings say is checked below.
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = model.fit(method="newton", disp=0, maxiter=100, tol=1e-10)
            covariance = np.asarray(found.cov_params())
            null = float(model.loglike(np.zeros(x.shape[1])))
    except np.linalg.LinAlgError:
        return None
    parameters = np.asarray(found.params)
    sizes = np.concatenate([np.abs(parameters), np.sqrt(np.clip(np.diag(covariance), 0, None))])
    if not np.all(np.isfinite(covariance)) or np.any(sizes > _LARGEST) or np.any(np.diag(covariance) <= 0):
        return None
    covariance = covariance / np.outer(spread, spread)
    return CoxFit(
        coefficients=parameters / spread,
        standard_errors=np.sqrt(np.diag(covariance)),
        covariance=covariance,
        log_likelihood=float(found.llf),
        null_log_likelihood=null,
        patients=len(t),
        deaths=int(died.sum()),
    )


def breslow_hazard(time: ArrayLike, death: ArrayLike, linear_predictor: ArrayLike) -> tuple[_Array, _Array]:
    """Baseline cumulative hazard (Breslow) at the times of death: months and hazard, each of shape (k,)."""
    from sksurv.linear_model.coxph import BreslowEstimator  # type: ignore[import-untyped]

    died = np.asarray(death, dtype=bool)
    t = np.asarray(time, dtype=float)
    steps = BreslowEstimator().fit(np.asarray(linear_predictor, dtype=float), died, t).cum_baseline_hazard_
    months = np.unique(t[died])
    return months, np.asarray(steps(months))


def proportional_hazards(
    time: ArrayLike, death: ArrayLike, predictors: ArrayLike, fit: CoxFit, terms: Sequence[Sequence[int]]
) -> list[tuple[float, float]]:
    """Test whether hazard ratios stay the same over time.

    Parameters
    ----------
    time, death, predictors
        As in :func:`fit_cox`.
    fit : CoxFit
        Of the same data.
    terms : sequence of sequence of int
        Columns of each term.

    Returns
    -------
    list of (chi_squared, p_value)
        One a term, then one for all; NaN with too few deaths.

    Notes
    -----
    Score test for coefficients that change with 1 − KM(t−), as ``cox.zph`` of R's survival from version 3 on (Grambsch
    and Therneau 1994, doi 10.1093/biomet/81.3.515).
    """
    from scipy.stats import chi2

    t, died = np.asarray(time, dtype=float), np.asarray(death, dtype=bool)
    x = np.asarray(predictors, dtype=float).reshape(len(t), -1)
    score, information = _score(t, died, x - x.mean(axis=0), fit.coefficients)
    p = x.shape[1]
    found = []
    for columns in [*[list(term) for term in terms], list(range(p))]:
        keep = [*range(p), *(p + column for column in columns)]
        inside = information[np.ix_(keep, keep)]
        if np.linalg.matrix_rank(inside) < len(keep):
            found.append((math.nan, math.nan))
            continue
        part = np.linalg.solve(inside, np.concatenate([np.zeros(p), score[columns]]))
        value = float(score[columns] @ part[p:])
        found.append((value, float(chi2.sf(value, len(columns)))))
    return found


def _score(t: _Array, died: NDArray[np.bool_], x: _Array, coefficients: _Array) -> tuple[_Array, _Array]:
    """Score of the products of predictor and transformed time, and the information of both halves."""
    from gastromap.evaluation.survival.kaplan_meier import kaplan_meier

    order = np.argsort(-t, kind="stable")
    t, died, x = t[order], died[order], x[order]
    risk = np.exp(x @ coefficients)
    outer = x[:, :, np.newaxis] * x[:, np.newaxis, :]
    sums = [
        np.cumsum(risk[(..., *[np.newaxis] * (part.ndim - 1))] * part, axis=0) for part in (np.ones(len(t)), x, outer)
    ]
    curve = kaplan_meier(t, died)
    p = x.shape[1]
    score, information = np.zeros(p), np.zeros((2 * p, 2 * p))
    for when in np.unique(t[died]):
        last = np.searchsorted(-t, -when, side="right") - 1
        now = np.flatnonzero((t == when) & died)
        place = np.searchsorted(curve.months, when, side="left") - 1
        g = 0.0 if place < 0 else 1 - curve.survival[place]
        own = [np.tensordot(risk[now], part[now], axes=(0, 0)) for part in (np.ones(len(t)), x, outer)]
        expected, variance = np.zeros(p), np.zeros((p, p))
        for step in range(len(now)):
            s0, s1, s2 = (total[last] - step / len(now) * part for total, part in zip(sums, own, strict=True))
            expected += s1 / s0
            variance += s2 / s0 - np.outer(s1, s1) / s0**2
        score += g * (x[now].sum(axis=0) - expected)
        information += np.block([[variance, g * variance], [g * variance, g * g * variance]])
    return score, information
