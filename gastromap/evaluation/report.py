"""Stage metrics of one table with intervals, as values ready for JSON; figures and page are made elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gastromap.evaluation.bootstrap import percentile_interval, resample, stage_metrics
from gastromap.evaluation.metrics import confusion_matrix, treatment_counts
from gastromap.evaluation.stages import STAGES
from gastromap.evaluation.table import StagePredictions, parse_predictions, read_rows, refuse

__all__ = ["check_resampling", "evaluate_predictions", "json_number", "nested", "stage_report", "with_intervals"]


def json_number(value: float) -> float | None:
    """Value for JSON, which knows neither NaN (undefined) nor infinity (no net benefit): both become None."""
    return float(value) if math.isfinite(value) else None


def with_intervals(
    values: Mapping[str, Any], drawn: Mapping[str, Any], *, level: float
) -> dict[str, dict[str, float | None]]:
    """Entries ``{"value", "low", "high"}`` by name, from estimates and their resamples."""
    entries = {}
    for name, value in values.items():
        low, high = percentile_interval(drawn[name], level=level)
        ends = {"value": value, "low": low, "high": high}
        entries[name] = {key: json_number(float(end)) for key, end in ends.items()}
    return entries


def nested(flat: Mapping[str, object]) -> dict[str, Any]:
    """``{"auc.T1": x}`` to ``{"auc": {"T1": x}}``."""
    result: dict[str, Any] = {}
    for name, value in flat.items():
        group, _, member = name.partition(".")
        if member:
            result.setdefault(group, {})[member] = value
        else:
            result[group] = value
    return result


def check_resampling(resamples: int, level: float) -> None:
    """Refuse what is no number of resamples or no level.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID``.
    """
    if resamples < 1 or not 0 < level < 1:
        refuse("one resample at least and a level between 0 and 1", f"{resamples} and {level:g}", "Correct them.")


def evaluate_predictions(
    predictions: Path | Iterable[Mapping[str, Any]], *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Any]:
    """Metrics of stage predictions with confidence intervals.

    Parameters
    ----------
    predictions : Path or rows
        CSV file, or mappings of the same names: ``stage`` (truth; also ``true_label``, ``label``), ``prob_T1`` …
        ``prob_T4`` (also ``T1`` … or ``prob_0`` …), optionally ``predicted`` (also ``predicted_label``; by majority
        vote, for example; without it the likeliest stage) and ``PatientID`` (also ``patient_id``).
    resamples : int
        Of the bootstrap.
    level : float
        Of the intervals, 0 to 1.
    seed : int

    Returns
    -------
    dict
        As of :func:`stage_report`.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID`` or ``STAGE_INVALID``, with the number of the row.
    """
    check_resampling(resamples, level)
    rows = read_rows(predictions) if isinstance(predictions, Path) else list(predictions)
    return stage_report(parse_predictions(rows), resamples=resamples, level=level, seed=seed)


def stage_report(cases: StagePredictions, *, resamples: int, level: float, seed: int) -> dict[str, Any]:
    """Metrics of checked stage predictions.

    Returns
    -------
    dict
        Ready for JSON. Each metric is ``{"value", "low", "high"}``, by stage where it has stages; null is undefined
        or, for the number needed to treat, infinite. ``notes`` are sentences the reader must see.
    """
    values = stage_metrics(cases.labels, cases.predicted, cases.probabilities)
    drawn = resample(
        lambda weights: stage_metrics(cases.labels, cases.predicted, cases.probabilities, weights),
        cases.units,
        resamples=resamples,
        seed=seed,
    )
    metrics = nested(with_intervals(values, drawn, level=level))
    confusion = confusion_matrix(cases.labels, cases.predicted, stages=len(STAGES))
    return {
        "rows": len(cases.labels),
        "patients": None if cases.patients is None else len(set(cases.patients)),
        "stages": list(STAGES),
        "resampling": {
            "unit": "row" if cases.patients is None else "patient",
            "resamples": resamples,
            "level": level,
            "seed": seed,
        },
        "confusion_matrix": confusion.astype(int).tolist(),
        "metrics": metrics,
        "expected_calibration_error": metrics["calibration_error"]["value"],
        "treatment_counts": {name: int(count) for name, count in treatment_counts(confusion).items()},
        "notes": _notes(cases),
    }


def _notes(cases: StagePredictions) -> list[str]:
    notes = []
    if cases.patients is None:
        notes.append("No patient identifier: each row counted as a patient; the intervals are too narrow for slices.")
    absent = [stage for index, stage in enumerate(STAGES) if index not in cases.labels]
    if absent:
        notes.append(f"No case of {', '.join(absent)}: metrics that need one are undefined, the macro AUC too.")
    return notes
