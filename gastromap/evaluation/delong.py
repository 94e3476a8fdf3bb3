"""Variance of areas under ROC curves, and the comparison of areas on the same cases; scipy is imported when called.

No well-kept library has it: the packages that do are few lines of one author, and none counts rows of one patient
together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["AucComparison", "AucInterval", "auc_covariance", "compare_auc", "delong"]

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class AucInterval:
    """Area under a ROC curve with a normal interval, cut at 0 and 1; NaN where undefined."""

    auc: float
    low: float
    high: float
    standard_error: float


@dataclass(frozen=True)
class AucComparison:
    """Two areas on the same cases; `difference` is first minus second."""

    first: float
    second: float
    difference: float
    low: float
    high: float
    z: float
    p_value: float  #: two-sided


def _placements(scores: _Array, positive: NDArray[np.bool_]) -> tuple[_Array, _Array]:
    """Of each positive the share of negatives below it, of each negative the share of positives above it."""
    from scipy.stats import rankdata

    ranks, negative = rankdata(scores), ~positive
    above = (ranks[positive] - rankdata(scores[positive])) / np.count_nonzero(negative)
    below = 1 - (ranks[negative] - rankdata(scores[negative])) / np.count_nonzero(positive)
    return above, below


def auc_covariance(
    scores: ArrayLike, positive: ArrayLike, patients: Sequence[str] | None = None
) -> tuple[_Array, _Array]:
    """Areas of several scores on the same cases, and their covariance.

    Parameters
    ----------
    scores : array, shape (k, n)
        Higher speaks for positive; finite.
    positive : array of bool, shape (n,)
    patients : sequence of str, length n, optional
        Rows of one patient are dependent; with one row a patient the result is that of DeLong.

    Returns
    -------
    auc : array, shape (k,)
    covariance : array, shape (k, k)
        NaN with fewer than two patients on either side.

    Notes
    -----
    DeLong 1988, doi 10.2307/2531595, by ranks (Sun and Xu 2014, doi 10.1109/LSP.2014.2337313); rows of one patient
    by Obuchowski 1997, doi 10.2307/2533958.
    """
    table, truth = np.atleast_2d(np.asarray(scores, dtype=float)), np.asarray(positive, dtype=bool)
    k, n = table.shape
    m, rest = int(truth.sum()), int(n - truth.sum())
    if m == 0 or rest == 0:
        return np.full(k, np.nan), np.full((k, k), np.nan)
    number = np.arange(n) if patients is None else np.unique(np.asarray(patients), return_inverse=True)[1]
    clusters = int(number.max()) + 1
    auc, high, low = np.empty(k), np.empty((k, clusters)), np.empty((k, clusters))
    for row, score in enumerate(table):
        above, below = _placements(score, truth)
        auc[row] = above.mean()
        high[row] = np.bincount(number[truth], above - auc[row], clusters)
        low[row] = np.bincount(number[~truth], below - auc[row], clusters)
    with_high, with_low = len(np.unique(number[truth])), len(np.unique(number[~truth]))
    if min(with_high, with_low) < 2:
        return auc, np.full((k, k), np.nan)
    cross = high @ low.T
    covariance = (
        with_high / ((with_high - 1) * m**2) * (high @ high.T)
        + with_low / ((with_low - 1) * rest**2) * (low @ low.T)
        + clusters / ((clusters - 1) * m * rest) * (cross + cross.T)
    )
    return auc, np.asarray(covariance)


def _quantile(level: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf((1 + level) / 2))


def delong(
    scores: ArrayLike, positive: ArrayLike, patients: Sequence[str] | None = None, *, level: float = 0.95
) -> AucInterval:
    """Area under one ROC curve with its interval.

    Parameters
    ----------
    scores : array, shape (n,)
    positive, patients
        As in :func:`auc_covariance`.
    level : float
        0 to 1.

    Notes
    -----
    The interval has no width where the groups are fully separated: that is a limit of the method, not certainty.
    """
    auc, covariance = auc_covariance(np.asarray(scores, dtype=float)[np.newaxis], positive, patients)
    error = math.sqrt(max(covariance[0, 0], 0.0)) if math.isfinite(covariance[0, 0]) else math.nan
    half = _quantile(level) * error
    low, high = (float(np.clip(auc[0] + side, 0, 1)) for side in (-half, half))
    return AucInterval(float(auc[0]), low, high, error)


def compare_auc(
    first: ArrayLike,
    second: ArrayLike,
    positive: ArrayLike,
    patients: Sequence[str] | None = None,
    *,
    level: float = 0.95,
) -> AucComparison:
    """Test whether two scores of the same cases have the same area.

    Parameters
    ----------
    first, second : array, shape (n,)
        Two models, or two readers' stages as numbers.
    positive, patients
        As in :func:`auc_covariance`.
    level : float
        Of the interval of the difference.

    Returns
    -------
    AucComparison
        Equal scores have p = 1; NaN where a variance is undefined or zero with unequal areas.
    """
    from scipy.stats import norm

    auc, covariance = auc_covariance(np.stack([np.asarray(first), np.asarray(second)]), positive, patients)
    difference = float(auc[0] - auc[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if math.isnan(variance):
        return AucComparison(float(auc[0]), float(auc[1]), difference, math.nan, math.nan, math.nan, math.nan)
    # Rounding can leave 1e-20 where two scores order all cases alike.
    error = math.sqrt(variance) if variance > 1e-15 else 0.0
    without_error = 0.0 if abs(difference) < 1e-12 else math.nan
    z = difference / error if error > 0 else without_error
    half = _quantile(level) * error
    p_value = float(2 * norm.sf(abs(z)))
    return AucComparison(float(auc[0]), float(auc[1]), difference, difference - half, difference + half, z, p_value)
