"""Temperature scaling and the calibration error; scipy is imported only when fitting."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gastromap.evaluation.conformal import check_outputs
from gastromap.evaluation.metrics import calibration_error

__all__ = ["expected_calibration_error", "fit_temperature", "softmax"]


def softmax(logits: ArrayLike, *, temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax over the last axis after division by the temperature; shape is kept."""
    scaled = np.asarray(logits, dtype=float) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Temperature that minimises the negative log-likelihood of validation cases.

    Parameters
    ----------
    logits : array, shape (n, n_stages)
        Network outputs before the softmax (log-probabilities serve as well).
    labels : array of int, shape (n,)
        0 is T1.

    Returns
    -------
    float
        0.05 to 20; above 1 the network was overconfident.

    Raises
    ------
    UsageError
        ``CALIBRATION_FIT``.

    Notes
    -----
    Guo et al., "On calibration of modern neural networks", ICML 2017. Where every case is right the likelihood has
    no maximum and the lower end is returned.
    """
    values, truth = check_outputs(logits, labels)
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(truth))

    def negative_log_likelihood(inverse: float) -> float:
        scaled = values * inverse
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, truth]))

    # Convex in 1/T, not in T.
    found = minimize_scalar(negative_log_likelihood, bounds=(1 / 20, 20), method="bounded", options={"xatol": 1e-8})
    return float(1 / found.x)


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15) -> float:
    """Mean distance of the highest probability from the share that is right, over equal-width bins.

    Parameters
    ----------
    probabilities : array, shape (n, n_stages)
    labels : array of int, shape (n,)
    bins : int
        Of equal width over 0 to 1, closed on the right.

    Returns
    -------
    float
        0 to 1.
    """
    values, truth = check_outputs(probabilities, labels)
    return float(calibration_error(values, truth, bins=bins))
