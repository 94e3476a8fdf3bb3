"""Prediction sets for ordered stages by split conformal prediction; numpy only."""

from __future__ import annotations

import math
from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gastromap.errors import UsageError

__all__ = ["check_outputs", "conformal_rank", "fit_conformal", "prediction_set"]

#: Scores that went through JSON or another machine may differ in the last digit.
_ROUNDING = 1e-9


def _refuse(expected: str, got: str) -> NoReturn:
    raise UsageError(
        "CALIBRATION_FIT", where="validation outputs", expected=expected, got=got, remedy="Correct the validation data."
    )


def check_outputs(outputs: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Give outputs (n, n_stages) as float and labels as integers, or raise UsageError ``CALIBRATION_FIT``."""
    values, truth = np.asarray(outputs, dtype=float), np.asarray(labels)
    if values.ndim != 2 or truth.shape != values.shape[:1] or len(truth) == 0:
        _refuse("one row of outputs a label", f"shapes {values.shape} and {truth.shape}")
    if not np.all(np.isfinite(values)):
        _refuse("finite outputs", "others")
    if not np.all(np.isin(truth, np.arange(values.shape[1]))):
        _refuse(f"labels 0 to {values.shape[1] - 1}", "others")
    return values, truth.astype(np.int64)


def conformal_rank(cases: int, coverage: float) -> int:
    """Which of the sorted scores is the threshold, from 1; more than ``cases`` where they are too few."""
    # Rounding first: (n + 1) * 0.9 must not become 9.000000000000002 and then 10.
    return math.ceil(round((cases + 1) * coverage, 9))


def _growth_scores(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Score of each stage, shape (n, n_stages): how late it joins a set that grows from the likeliest stage.

    The set takes in the likelier of its two neighbours at each step, so it is contiguous. The score is the mass of the
    set before the step plus half the mass of the stage: without the half, a network that is right more often than the
    coverage would get single-stage sets even for cases it cannot tell apart.
    """
    # Outputs in single precision add up to 1 only nearly.
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    n, k = probabilities.shape
    rows = np.arange(n)
    low = high = probabilities.argmax(axis=1)
    scores = np.empty((n, k))
    mass = probabilities[rows, low]
    scores[rows, low] = mass / 2
    # A border of -1 makes the missing neighbour at either end lose.
    padded = np.pad(probabilities, ((0, 0), (1, 1)), constant_values=-1.0)
    for _ in range(k - 1):
        down = padded[rows, low] > padded[rows, high + 2]
        low, high = np.where(down, low - 1, low), np.where(down, high, high + 1)
        joined = np.where(down, low, high)
        step = probabilities[rows, joined]
        scores[rows, joined] = mass + step / 2
        mass = mass + step
    return np.minimum(scores, 1.0)


def fit_conformal(probabilities: ArrayLike, labels: ArrayLike, *, coverage: float = 0.9) -> float:
    """Threshold of the prediction sets by split conformal prediction.

    Parameters
    ----------
    probabilities : array, shape (n, n_stages)
        One row a patient, calibrated and averaged over slices exactly as in use.
    labels : array of int, shape (n,)
    coverage : float
        Share of patients whose set shall hold the true stage, above 0 and below 1.

    Returns
    -------
    float
        0 to 1; 1 (all stages, always) where the patients are too few for the coverage.

    Raises
    ------
    UsageError
        ``CALIBRATION_FIT``.

    Notes
    -----
    The guarantee is an average over patients like those of the validation data, and needs patients that played no
    part in training. Using the same patients for the one-parameter temperature hardly matters.
    """
    values, truth = check_outputs(probabilities, labels)
    if not 0 < coverage < 1:
        _refuse("a coverage between 0 and 1", f"{coverage:g}")
    scores = np.sort(_growth_scores(values)[np.arange(len(truth)), truth])
    rank = conformal_rank(len(truth), coverage)
    return float(scores[rank - 1]) if rank <= len(truth) else 1.0


def prediction_set(probabilities: ArrayLike, threshold: float) -> tuple[int, ...]:
    """Contiguous stages of one case, lowest first; always holds the likeliest one.

    Parameters
    ----------
    probabilities : array, shape (n_stages,)
    threshold : float
        Of :func:`fit_conformal`.
    """
    values = np.asarray(probabilities, dtype=float)
    inside = _growth_scores(values[np.newaxis])[0] <= threshold + _ROUNDING
    inside[values.argmax()] = True
    return tuple(np.flatnonzero(inside).tolist())
