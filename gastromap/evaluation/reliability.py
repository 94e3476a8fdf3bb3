"""Calibration of the probability of a binary endpoint: test, line, curve; statsmodels is imported when called."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gastromap.evaluation.metrics import confidence_places

__all__ = [
    "CalibrationBins",
    "CalibrationLine",
    "HosmerLemeshow",
    "SmoothCalibration",
    "calibration_bins",
    "calibration_line",
    "confidence_bins",
    "equal_groups",
    "hosmer_lemeshow",
    "smooth_calibration",
]

_Array = NDArray[np.float64]

#: Share of the cases that shape the smooth curve at each place.
_SPAN = 2 / 3


@dataclass(frozen=True)
class HosmerLemeshow:
    """Chi-squared over groups of risk, with its p value under two assumptions."""

    chi_squared: float
    groups: int
    p_value: float  #: `groups` - 2 degrees of freedom: probabilities of a model fitted on these cases; the usual print
    p_value_new_data: float  #: `groups` degrees of freedom: probabilities of a model that has not seen these cases


@dataclass(frozen=True)
class CalibrationLine:
    """Logistic regression of the outcome on the log-odds of the probability; (estimate, low, high) each."""

    slope: tuple[float, float, float]  #: below 1: probabilities too extreme
    intercept: tuple[float, float, float]  #: of the line with that slope
    in_the_large: tuple[float, float, float]  #: intercept with the slope held at 1; below 0: probabilities too high
    left_out: int  #: cases with probability 0 or 1, which have no log-odds


@dataclass(frozen=True)
class CalibrationBins:
    """Groups of equal size by probability; arrays of shape (groups,)."""

    predicted: _Array  #: mean probability
    observed: _Array  #: share of positives
    low: _Array  #: Wilson interval of the share; rows taken as independent
    high: _Array
    count: NDArray[np.int64]


@dataclass(frozen=True)
class SmoothCalibration:
    """Lowess curve of outcome on probability and its mean, 90th percentile and largest distance from the diagonal."""

    predicted: _Array
    observed: _Array
    mean_error: float  #: integrated calibration index
    error_90: float
    largest_error: float


def equal_groups(probabilities: _Array, groups: int) -> NDArray[np.int64]:
    """Group of each case: between quantiles, closed on the right; few distinct probabilities are a group each."""
    values, where = np.unique(probabilities, return_inverse=True)
    if len(values) <= groups:
        return np.asarray(where, dtype=np.int64)
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, groups + 1)))
    place = np.searchsorted(edges[1:-1], probabilities, side="left")
    # With few cases nothing may lie between two interpolated quantiles.
    return np.asarray(np.unique(place, return_inverse=True)[1], dtype=np.int64)


def hosmer_lemeshow(probabilities: ArrayLike, positive: ArrayLike, *, groups: int = 10) -> HosmerLemeshow:
    """Compare observed and expected numbers in groups of equal size.

    Parameters
    ----------
    probabilities : array, shape (n,)
        0 to 1.
    positive : array of bool, shape (n,)
    groups : int
        Before equal quantiles are joined.

    Returns
    -------
    HosmerLemeshow
        p values are NaN with fewer than three groups.

    Notes
    -----
    Grouped as ``hoslem.test`` of R's ResourceSelection where there are more distinct probabilities than groups.
    Nearly every model fails it in a large cohort and none in a small one: read the curve.
    """
    from scipy.stats import chi2

    p, truth = np.asarray(probabilities, dtype=float), np.asarray(positive, dtype=float)
    place = equal_groups(p, groups)
    count = np.bincount(place)
    expected, observed = np.bincount(place, p), np.bincount(place, truth)
    expected = np.concatenate([expected, count - expected])
    observed = np.concatenate([observed, count - observed])
    squares = (observed - expected) ** 2
    # Where nothing is expected, nothing observed adds nothing and anything observed is impossible.
    parts = np.divide(squares, expected, out=np.where(squares > 0, np.inf, 0.0), where=expected > 0)
    used = len(count)
    total = float(parts.sum())
    if used < 3:
        return HosmerLemeshow(total, used, math.nan, math.nan)
    return HosmerLemeshow(total, used, float(chi2.sf(total, used - 2)), float(chi2.sf(total, used)))


def calibration_line(
    probabilities: ArrayLike, positive: ArrayLike, patients: Sequence[str] | None = None, *, level: float = 0.95
) -> CalibrationLine:
    """Calibration slope and intercepts (Cox 1958; R ``rms::val.prob``).

    Parameters
    ----------
    probabilities : array, shape (n,)
        0 to 1; exactly 0 or 1 is left out and counted.
    positive : array of bool, shape (n,)
    patients : sequence of str, length n, optional
        Where a patient has several rows the intervals allow for it (cluster-robust).
    level : float
        Of the intervals, 0 to 1.

    Returns
    -------
    CalibrationLine
        NaN where the maximum does not exist: one outcome only, or outcomes separated by the probability. No interval
        with fewer than three patients.
    """
    import statsmodels.api as sm

    p, truth = np.asarray(probabilities, dtype=float), np.asarray(positive, dtype=float)
    use = (p > 0) & (p < 1)
    left_out = int(np.count_nonzero(~use))
    undefined = (math.nan,) * 3
    if not 0 < truth[use].sum() < use.sum() or _separated(p[use], truth[use]):
        return CalibrationLine(undefined, undefined, undefined, left_out)
    log_odds = np.log(p[use] / (1 - p[use]))
    number = np.arange(len(p))[use]
    if patients is not None:
        number = np.unique(np.asarray(patients)[use], return_inverse=True)[1]
    independent = len(np.unique(number))
    repeated = 2 < independent < len(number)
    options = {"cov_type": "cluster", "cov_kwds": {"groups": number}} if repeated else {}
    with warnings.catch_warnings():
        # Fitted probabilities of 0 or 1 are usual here; that a maximum exists was checked above.
        warnings.simplefilter("ignore")
        family = sm.families.Binomial()
        line = sm.GLM(truth[use], sm.add_constant(log_odds), family=family).fit(tol=1e-12, **options)
        constant = sm.GLM(truth[use], np.ones(use.sum()), family=family, offset=log_odds).fit(tol=1e-12, **options)
    ends, large = line.conf_int(1 - level), constant.conf_int(1 - level)
    if independent <= 2:
        ends, large = np.full((2, 2), np.nan), np.full((1, 2), np.nan)
    return CalibrationLine(
        slope=(float(line.params[1]), float(ends[1][0]), float(ends[1][1])),
        intercept=(float(line.params[0]), float(ends[0][0]), float(ends[0][1])),
        in_the_large=(float(constant.params[0]), float(large[0][0]), float(large[0][1])),
        left_out=left_out,
    )


def _separated(p: _Array, truth: _Array) -> bool:
    high, low = p[truth > 0], p[truth == 0]
    return bool(high.min() >= low.max() or high.max() <= low.min())


def calibration_bins(
    probabilities: ArrayLike, positive: ArrayLike, *, groups: int = 10, level: float = 0.95
) -> CalibrationBins:
    """Observed share of positives in groups of equal size.

    Parameters
    ----------
    probabilities, positive, groups
        As in :func:`hosmer_lemeshow`.
    level : float
        Of the Wilson intervals, 0 to 1.
    """
    from statsmodels.stats.proportion import proportion_confint

    p, truth = np.asarray(probabilities, dtype=float), np.asarray(positive, dtype=float)
    place = equal_groups(p, groups)
    count, positives = np.bincount(place), np.bincount(place, truth)
    low, high = proportion_confint(positives, count, alpha=1 - level, method="wilson")
    return CalibrationBins(
        np.bincount(place, p) / count, positives / count, np.asarray(low), np.asarray(high), count.astype(np.int64)
    )


def smooth_calibration(probabilities: ArrayLike, positive: ArrayLike) -> SmoothCalibration:
    """Lowess calibration curve and the distances from it (R ``rms::val.prob``: Eavg, E90, Emax).

    Parameters
    ----------
    probabilities, positive
        As in :func:`hosmer_lemeshow`.

    Notes
    -----
    Austin and Steyerberg 2019, doi 10.1002/sim.8281. Span 2/3 and no robustness iterations, which would take the
    rarer outcome for outliers.
    """
    from statsmodels.nonparametric.smoothers_lowess import lowess

    p, truth = np.asarray(probabilities, dtype=float), np.asarray(positive, dtype=float)
    x, where = np.unique(p, return_inverse=True)
    count = np.bincount(where)
    same = np.bincount(where, truth) / count
    # Where all neighbours have one probability there is no local line and their mean is the fit, as in R;
    # statsmodels gives one of the outcomes, and interpolates from it.
    crowded = count >= int(_SPAN * len(p))
    delta = 0.0 if crowded.any() else 0.01 * float(np.ptp(p))
    with np.errstate(invalid="ignore", divide="ignore"):
        fitted = lowess(truth, p, frac=_SPAN, it=0, delta=delta, return_sorted=False)
    y = np.bincount(where, fitted) / count
    y = np.where(crowded | ~np.isfinite(y), same, y)
    error = np.abs(np.interp(p, x, y) - p)
    return SmoothCalibration(x, y, float(error.mean()), float(np.quantile(error, 0.9)), float(error.max()))


def confidence_bins(
    probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15
) -> list[dict[str, float | int | None]]:
    """Bins behind :func:`gastromap.evaluation.metrics.calibration_error`: where the highest probability lies.

    Parameters
    ----------
    probabilities : array, shape (n, n_stages)
    labels : array of int, shape (n,)
    bins : int
        Of equal width over 0 to 1, closed on the right.

    Returns
    -------
    list of dict
        ``low``, ``high``, ``count``, ``confidence`` (mean highest probability) and ``right`` (share); the last two
        are None in an empty bin.
    """
    highest, right, place = confidence_places(probabilities, labels, bins=bins)
    result: list[dict[str, float | int | None]] = []
    for k in range(bins):
        inside = place == k
        count = int(inside.sum())
        result.append(
            {
                "low": k / bins,
                "high": (k + 1) / bins,
                "count": count,
                "confidence": float(highest[inside].mean()) if count else None,
                "right": float(right[inside].mean()) if count else None,
            }
        )
    return result
