"""All metrics of one set of predictions, with confidence intervals from resampling whole patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gastromap.evaluation.metrics import (
    accuracy,
    brier_score,
    class_rates,
    confusion_matrix,
    number_needed_to_treat,
    one_vs_rest_auc,
    over_and_under_treatment,
    treatment_counts,
    weighted_kappa,
)
from gastromap.evaluation.stages import STAGES

__all__ = ["bootstrap_intervals", "patient_weights", "stage_metrics"]

#: Numbers held at once; bounds memory to some tens of MB whatever the cohort.
_CHUNK = 2_000_000

_Array = NDArray[np.float64]


def stage_metrics(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], probabilities: _Array, weights: _Array | None = None
) -> dict[str, _Array]:
    """Every metric by name.

    Parameters
    ----------
    labels, predicted : array of int, shape (n,)
        0 is T1.
    probabilities : array, shape (n, 4)
    weights : array, shape (…, n), optional
        How often each case counts.

    Returns
    -------
    dict of array, shape (…)
        Names as in ``accuracy``, ``auc.T1``, ``auc.macro``, ``kappa.linear``, ``sensitivity.T3``, ``brier``,
        ``over_treatment``, ``under_treatment``, ``number_needed_to_treat``.
    """
    confusion = confusion_matrix(labels, predicted, stages=len(STAGES), weights=weights)
    auc = one_vs_rest_auc(probabilities, labels, weights)
    values = {"accuracy": accuracy(confusion)}
    values |= {f"auc.{stage}": auc[..., k] for k, stage in enumerate(STAGES)}
    values["auc.macro"] = auc.mean(axis=-1)
    values["kappa.linear"] = weighted_kappa(confusion, weights="linear")
    values["kappa.quadratic"] = weighted_kappa(confusion, weights="quadratic")
    for name, rate in class_rates(confusion).items():
        values |= {f"{name}.{stage}": rate[..., k] for k, stage in enumerate(STAGES)}
    values["brier"] = brier_score(probabilities, labels, weights)
    counts = treatment_counts(confusion)
    errors = {name: counts[name] for name in ("n", "false_positives", "false_negatives")}
    values["over_treatment"], values["under_treatment"] = over_and_under_treatment(**errors)
    values["number_needed_to_treat"] = number_needed_to_treat(**counts)
    return values


def patient_weights(patients: Sequence[str], *, resamples: int, rng: np.random.Generator) -> _Array:
    """How often each row is drawn when patients are drawn with replacement; shape (resamples, n)."""
    number = np.unique(np.asarray(patients), return_inverse=True)[1]
    count = int(number.max()) + 1
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.asarray(drawn[:, number], dtype=float)


def bootstrap_intervals(
    labels: NDArray[np.int64],
    predicted: NDArray[np.int64],
    probabilities: _Array,
    patients: Sequence[str],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of :func:`stage_metrics`, resampled by patient.

    Parameters
    ----------
    labels, predicted, probabilities
        As in :func:`stage_metrics`.
    patients : sequence of str, length n
        All rows of a patient are drawn together: slices of one patient are not independent.
    resamples : int
    level : float
        0 to 1.
    seed : int

    Returns
    -------
    dict of (low, high)
        NaN where a metric is undefined in more than half of the resamples (a stage with very few patients);
        otherwise undefined resamples are left out.
    """
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // len(labels))
    sizes = [min(step, resamples - start) for start in range(0, resamples, step)]
    parts = [
        stage_metrics(labels, predicted, probabilities, patient_weights(patients, resamples=size, rng=rng))
        for size in sizes
    ]
    drawn = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    tail = (1 - level) / 2
    return {name: _percentiles(values, tail) for name, values in drawn.items()}


def _percentiles(values: _Array, tail: float) -> tuple[float, float]:
    defined = values[~np.isnan(values)]
    if 2 * len(defined) < len(values):
        return np.nan, np.nan
    # Order statistics, not interpolation: the number needed to treat can be infinite.
    low = np.quantile(defined, tail, method="inverted_cdf")
    high = np.quantile(defined, 1 - tail, method="inverted_cdf")
    return float(low), float(high)
