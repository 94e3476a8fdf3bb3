"""Metrics of stage predictions; numpy only. Those of ranks are in :mod:`gastromap.evaluation.ranking`.

Functions of a confusion matrix take leading axes, so that 1,000 resampled matrices cost one call. An undefined value
(nobody in the denominator) is NaN, never 0.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "FIRST_ADVANCED_STAGE",
    "accuracy",
    "brier_score",
    "calibration_error",
    "class_rates",
    "confidence_places",
    "confusion_matrix",
    "dice",
    "number_needed_to_treat",
    "ordinal_mae",
    "over_and_under_treatment",
    "treatment_counts",
    "weighted_kappa",
]

#: T3; T3 and T4 count as positive where treatment is judged (doi 10.1038/s41746-025-02002-5).
FIRST_ADVANCED_STAGE = 2

_Array = NDArray[np.float64]


def _ratio(numerator: ArrayLike, denominator: ArrayLike) -> _Array:
    """Quotient, NaN where the denominator is 0."""
    top, bottom = np.broadcast_arrays(np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float))
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0)


def confusion_matrix(
    labels: ArrayLike, predicted: ArrayLike, *, stages: int = 4, weights: ArrayLike | None = None
) -> _Array:
    """Count cases by true stage (row) and predicted stage (column).

    Parameters
    ----------
    labels, predicted : array of int, shape (n,)
        0 to `stages` - 1.
    weights : array, shape (…, n), optional

    Returns
    -------
    array, shape (…, stages, stages)

    Raises
    ------
    ValueError
        If a label is outside its range.
    """
    true, called = np.asarray(labels, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    if np.any((true < 0) | (true >= stages)) or np.any((called < 0) | (called >= stages)):
        # Unchecked, stage 5 of row 1 would be counted in row 2.
        msg = f"expected stages 0 to {stages - 1}, got others. Number the stages from 0."
        raise ValueError(msg)
    cell = true * stages + called
    member = (cell[:, np.newaxis] == np.arange(stages**2)).astype(float)
    counts = member.sum(axis=0) if weights is None else np.asarray(weights, dtype=float) @ member
    return np.asarray(counts.reshape(*counts.shape[:-1], stages, stages))


def accuracy(confusion: _Array) -> _Array:
    """Share of cases on the diagonal; shape (…, k, k) to (…)."""
    return _ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1)))


def weighted_kappa(confusion: _Array, *, weights: Literal["linear", "quadratic"]) -> _Array:
    """Cohen's kappa with disagreement weighted by the distance of the stages; shape (…, k, k) to (…).

    Notes
    -----
    Cohen 1968, doi 10.1037/h0026256. NaN where both sides know only one and the same stage.
    """
    confusion = np.asarray(confusion, dtype=float)
    index = np.arange(confusion.shape[-1])
    distance = np.abs(index[:, np.newaxis] - index).astype(float)
    if weights == "quadratic":
        distance = distance**2
    total = confusion.sum(axis=(-2, -1))
    by_chance = confusion.sum(axis=-1)[..., :, np.newaxis] * confusion.sum(axis=-2)[..., np.newaxis, :]
    return 1 - _ratio((distance * confusion).sum(axis=(-2, -1)) * total, (distance * by_chance).sum(axis=(-2, -1)))


def ordinal_mae(confusion: _Array) -> _Array:
    """Mean distance of predicted from true stage in stages; shape (…, k, k) to (…)."""
    confusion = np.asarray(confusion, dtype=float)
    index = np.arange(confusion.shape[-1])
    distance = np.abs(index[:, np.newaxis] - index)
    return _ratio((distance * confusion).sum(axis=(-2, -1)), confusion.sum(axis=(-2, -1)))


def class_rates(confusion: _Array) -> dict[str, _Array]:
    """Sensitivity, specificity, PPV and NPV of each stage against all others.

    Parameters
    ----------
    confusion : array, shape (…, k, k)
        True stage in rows.

    Returns
    -------
    dict of array, shape (…, k)
        Keys ``sensitivity``, ``specificity``, ``ppv``, ``npv``; 0 to 1 or NaN.
    """
    confusion = np.asarray(confusion, dtype=float)
    hit = np.diagonal(confusion, axis1=-2, axis2=-1)
    true, called = confusion.sum(axis=-1), confusion.sum(axis=-2)
    total = confusion.sum(axis=(-2, -1))[..., np.newaxis]
    rejected = total - true - called + hit
    return {
        "sensitivity": _ratio(hit, true),
        "specificity": _ratio(rejected, total - true),
        "ppv": _ratio(hit, called),
        "npv": _ratio(rejected, total - called),
    }


def brier_score(probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> _Array:
    """Mean squared distance of the probabilities from the truth, summed over the stages.

    Parameters
    ----------
    probabilities : array, shape (n, n_stages)
    labels : array of int, shape (n,)
    weights : array, shape (…, n), optional

    Returns
    -------
    array, shape (…)
        0 (sure and right) to 2 (sure and wrong); Brier 1950, the form for several classes.
    """
    probabilities, labels = np.asarray(probabilities, dtype=float), np.asarray(labels)
    truth = labels[:, np.newaxis] == np.arange(probabilities.shape[1])
    squares = ((probabilities - truth) ** 2).sum(axis=1)
    drawn = np.ones(len(squares)) if weights is None else np.asarray(weights, dtype=float)
    return _ratio(drawn @ squares, drawn.sum(axis=-1))


def confidence_places(
    probabilities: ArrayLike, labels: ArrayLike, *, bins: int
) -> tuple[_Array, NDArray[np.bool_], NDArray[np.intp]]:
    """Confidence of each case, and the bin of equal width over 0 to 1, closed on the right, in which it lies.

    Parameters
    ----------
    probabilities : array, shape (n, n_stages)
    labels : array of int, shape (n,)
    bins : int

    Returns
    -------
    highest : array, shape (n,)
        Highest probability.
    right : array of bool, shape (n,)
        Whether it is that of the label.
    place : array of int, shape (n,)
        0 to ``bins`` - 1.
    """
    probabilities = np.asarray(probabilities, dtype=float)
    highest, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == np.asarray(labels)
    return highest, right, np.clip(np.ceil(highest * bins).astype(int) - 1, 0, bins - 1)


def calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, bins: int = 15
) -> _Array:
    """Mean distance of the highest probability from the share that is right, over equal-width bins (ECE).

    Parameters
    ----------
    probabilities : array, shape (n, n_stages)
    labels : array of int, shape (n,)
    weights : array, shape (…, n), optional
    bins : int
        Of equal width over 0 to 1, closed on the right.

    Returns
    -------
    array, shape (…)
        0 to 1. It rises with the number of bins and falls with that of cases, so compare it at equal numbers only.
    """
    highest, right, place = confidence_places(probabilities, labels, bins=bins)
    gaps = (highest - right)[:, np.newaxis] * (place[:, np.newaxis] == np.arange(bins))
    drawn = np.ones(len(highest)) if weights is None else np.asarray(weights, dtype=float)
    return _ratio(np.abs(drawn @ gaps).sum(axis=-1), drawn.sum(axis=-1))


def treatment_counts(confusion: _Array) -> dict[str, _Array]:
    """Count with T3 or T4 as positive: ``n``, ``positives``, ``false_positives``, ``false_negatives``; each (…)."""
    first, confusion = FIRST_ADVANCED_STAGE, np.asarray(confusion, dtype=float)
    return {
        "n": confusion.sum(axis=(-2, -1)),
        "positives": confusion[..., first:, :].sum(axis=(-2, -1)),
        "false_positives": confusion[..., :first, first:].sum(axis=(-2, -1)),
        "false_negatives": confusion[..., first:, :first].sum(axis=(-2, -1)),
    }


def over_and_under_treatment(
    *, n: ArrayLike, false_positives: ArrayLike, false_negatives: ArrayLike
) -> tuple[_Array, _Array]:
    """Give the shares of all patients treated too much (FP/N) and too little (FN/N); 0 to 1 or NaN."""
    return _ratio(false_positives, n), _ratio(false_negatives, n)


def number_needed_to_treat(
    *, n: ArrayLike, positives: ArrayLike, false_positives: ArrayLike, false_negatives: ArrayLike
) -> _Array:
    """Patients to be treated by the prediction for one net benefit, at threshold probability 0.5.

    Returns
    -------
    array
        1 / (TP/N - FP/N), at least 1; infinite where there is no net benefit.

    Notes
    -----
    Definition found by recalculating doi 10.1038/s41746-025-02002-5; T-stage design, section 1.
    """
    true_positives = np.asarray(positives, dtype=float) - false_negatives
    benefit = _ratio(true_positives - np.asarray(false_positives, dtype=float), n)
    return np.asarray(np.where(benefit <= 0, np.inf, _ratio(1.0, np.where(benefit <= 0, 1.0, benefit))))


def dice(first: ArrayLike, second: ArrayLike) -> float:
    """Overlap of two masks of equal shape, 0 to 1; NaN where both are empty."""
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape != b.shape:
        msg = f"expected masks of equal shape, got {a.shape} and {b.shape}. Bring both to the same grid."
        raise ValueError(msg)
    return float(_ratio(2.0 * np.count_nonzero(a & b), np.count_nonzero(a) + np.count_nonzero(b)))
