"""All metrics of one set of predictions, with confidence intervals from resampling whole patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gastromap.evaluation.metrics import (
    accuracy,
    brier_score,
    calibration_error,
    class_rates,
    confusion_matrix,
    number_needed_to_treat,
    ordinal_mae,
    over_and_under_treatment,
    treatment_counts,
    weighted_kappa,
)
from gastromap.evaluation.ranking import expected_stage, one_vs_rest_auc, ordinal_c_index
from gastromap.evaluation.stages import STAGES

__all__ = ["bootstrap_intervals", "patient_weights", "percentile_interval", "resample", "stage_metrics"]

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
        Names as in ``accuracy``, ``auc.T1``, ``auc.macro``, ``kappa.linear``, ``sensitivity.T3``, ``ordinal_mae``,
        ``ordinal_c_index``, ``brier``, ``calibration_error``, ``over_treatment``, ``under_treatment``,
        ``number_needed_to_treat``.
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
    values["ordinal_mae"] = ordinal_mae(confusion)
    values["ordinal_c_index"] = ordinal_c_index(expected_stage(probabilities), labels, weights)
    values["calibration_error"] = calibration_error(probabilities, labels, weights)
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


def resample(
    statistic: Callable[[_Array], Mapping[str, _Array]], patients: Sequence[str], *, resamples: int, seed: int
) -> dict[str, _Array]:
    """Values of a statistic over resamples of whole patients.

    Parameters
    ----------
    statistic : callable
        Takes weights, shape (m, n), and gives arrays of shape (m, …) by name.
    patients : sequence of str, length n
        All rows of a patient are drawn together: slices of one patient are not independent.
    resamples : int
    seed : int
        Equal seeds and patients draw equal resamples, so that two statistics can be subtracted.

    Returns
    -------
    dict of array, shape (resamples, …)
    """
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // len(patients))
    sizes = [min(step, resamples - start) for start in range(0, resamples, step)]
    parts = [statistic(patient_weights(patients, resamples=size, rng=rng)) for size in sizes]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def percentile_interval(values: _Array, *, level: float = 0.95) -> tuple[_Array, _Array]:
    """Ends of the percentile interval over the first axis.

    Parameters
    ----------
    values : array, shape (resamples, …)
        Of :func:`resample`.
    level : float
        0 to 1.

    Returns
    -------
    low, high : array, shape (…)
        NaN where the value is undefined in more than half of the resamples (a stage with very few patients);
        otherwise undefined resamples are left out.
    """
    values = np.asarray(values, dtype=float)
    tail = (1 - level) / 2
    count = np.count_nonzero(~np.isnan(values), axis=0)
    # Order statistics, not interpolation: the number needed to treat can be infinite. NaN sorts last.
    ranked = np.sort(values, axis=0)
    rare = 2 * count < len(values)
    ends = []
    for share in (tail, 1 - tail):
        place = np.clip(np.ceil(np.round(share * count, 9)).astype(int) - 1, 0, len(values) - 1)
        end = np.take_along_axis(ranked, np.asarray(place)[np.newaxis], axis=0)[0]
        ends.append(np.where(rare, np.nan, end))
    return ends[0], ends[1]


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
    patients, resamples, seed
        As in :func:`resample`.
    level : float
        0 to 1.

    Returns
    -------
    dict of (low, high)
        NaN as in :func:`percentile_interval`.
    """
    drawn = resample(
        lambda weights: stage_metrics(labels, predicted, probabilities, weights),
        patients,
        resamples=resamples,
        seed=seed,
    )
    ends = {name: percentile_interval(values, level=level) for name, values in drawn.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}
