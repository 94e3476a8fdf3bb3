"""How well scores rank cases: areas under ROC curves and the ordinal C-index; numpy only.

Weights take leading axes, so that 1,000 resamples cost one call.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["binary_auc", "expected_stage", "one_vs_rest_auc", "ordinal_c_index"]

_Array = NDArray[np.float64]


def _finite(scores: ArrayLike) -> _Array:
    values = np.asarray(scores, dtype=float)
    if not np.all(np.isfinite(values)):
        msg = "expected finite scores, got others. Leave out the cases that failed."
        raise ValueError(msg)
    return values


def _wins_and_pairs(scores: _Array, high: NDArray[np.bool_], low: NDArray[np.bool_], weights: _Array) -> list[_Array]:
    """Weighted pairs in which the case of `high` scores above that of `low` (a tie is half a win), and all pairs."""
    order = np.flatnonzero(low)[np.argsort(scores[low], kind="stable")]
    below = np.zeros((*weights.shape[:-1], len(order) + 1))
    np.cumsum(weights[..., order], axis=-1, out=below[..., 1:])
    drawn = weights[..., high]
    losers = scores[order]
    first, last = (np.searchsorted(losers, scores[high], side=side) for side in ("left", "right"))
    beaten = np.take(below, first, axis=-1)
    if not np.array_equal(first, last):
        beaten = (beaten + np.take(below, last, axis=-1)) / 2
    return [np.einsum("...i,...i->...", drawn, beaten), drawn.sum(axis=-1) * below[..., -1]]


def _share(wins: _Array, pairs: _Array) -> _Array:
    return np.divide(wins, pairs, out=np.full(np.shape(pairs), np.nan), where=pairs > 0)


def _weights(weights: ArrayLike | None, n: int) -> _Array:
    return np.ones(n) if weights is None else np.asarray(weights, dtype=float)


def binary_auc(scores: ArrayLike, positive: ArrayLike, weights: ArrayLike | None = None) -> _Array:
    """Area under the ROC curve; a tie counts one half.

    Parameters
    ----------
    scores : array, shape (n,)
        Higher speaks for positive; finite.
    positive : array of bool, shape (n,)
    weights : array, shape (…, n), optional
        Weight of each case, for example how often it was drawn in each resample.

    Returns
    -------
    array, shape (…)
        0 to 1; NaN where one of the two groups is empty.

    Raises
    ------
    ValueError
        If a score is not finite.

    See Also
    --------
    gastromap.evaluation.bootstrap.bootstrap_intervals : passes the weights of all resamples at once.
    gastromap.evaluation.delong.delong : variance of this area.
    """
    values, high = _finite(scores), np.asarray(positive, dtype=bool)
    return _share(*_wins_and_pairs(values, high, ~high, _weights(weights, len(values))))


def one_vs_rest_auc(probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> _Array:
    """Area under the ROC curve of each stage against all others.

    Parameters
    ----------
    probabilities : array, shape (n, n_stages)
    labels : array of int, shape (n,)
    weights : array, shape (…, n), optional
        As in :func:`binary_auc`.

    Returns
    -------
    array, shape (…, n_stages)
        The macro AUC is its mean over the last axis.
    """
    values, truth = np.asarray(probabilities, dtype=float), np.asarray(labels)
    return np.stack([binary_auc(values[:, k], truth == k, weights) for k in range(values.shape[1])], axis=-1)


def expected_stage(probabilities: ArrayLike) -> _Array:
    """Mean stage index of each case, shape (n, n_stages) to (n,); one number that ranks cases by stage."""
    values = np.asarray(probabilities, dtype=float)
    return np.asarray(values @ np.arange(values.shape[-1]))


def ordinal_c_index(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> _Array:
    """Share of pairs of different stage in which the higher stage has the higher score; a tie counts one half.

    Parameters
    ----------
    scores : array, shape (n,)
        One number a case, for example :func:`expected_stage`; finite.
    labels : array of int, shape (n,)
    weights : array, shape (…, n), optional
        As in :func:`binary_auc`.

    Returns
    -------
    array, shape (…)
        0 to 1, 0.5 without information; NaN where all cases have one stage.

    Notes
    -----
    Harrell's C for an uncensored ordered outcome (R ``Hmisc::rcorr.cens``); with two stages it is the AUC.
    """
    values, truth = _finite(scores), np.asarray(labels)
    drawn = _weights(weights, len(values))
    parts = [_wins_and_pairs(values, truth == stage, truth < stage, drawn) for stage in np.unique(truth)[1:]]
    if not parts:
        return np.full(drawn.shape[:-1], np.nan)
    return _share(*(np.sum([part[column] for part in parts], axis=0) for column in (0, 1)))
