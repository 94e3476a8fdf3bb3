"""From a table of predictions to metrics as JSON. Plots and the page are made elsewhere."""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from gastromap.errors import OutputError, UsageError
from gastromap.evaluation.bootstrap import bootstrap_intervals, stage_metrics
from gastromap.evaluation.metrics import confusion_matrix, treatment_counts
from gastromap.evaluation.stages import STAGES, stage_indices
from gastromap.evaluation.temperature import expected_calibration_error

__all__ = ["evaluate_predictions", "main", "write_metrics"]

_PROBABILITY_NAMES = ([f"prob_{stage}" for stage in STAGES], list(STAGES), [f"prob_{k}" for k in range(len(STAGES))])
_LABEL_NAMES = ("stage", "true_label", "label")
_PREDICTED_NAMES = ("predicted", "predicted_label")
_PATIENT_NAMES = ("PatientID", "patient_id")
#: Tables are often rounded to two digits: four such figures are off by 0.02 at most.
_ROUNDING = 0.025


@dataclass(frozen=True)
class _Predictions:
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    patients: tuple[str, ...] | None


def _refuse(expected: str, got: str, remedy: str) -> NoReturn:
    raise UsageError("PREDICTIONS_INVALID", where="predictions", expected=expected, got=got, remedy=remedy)


def _read_rows(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.DictReader(stream, strict=True))
    except FileNotFoundError:
        _refuse("a CSV file", "no such file", "Check the path.")
    except (UnicodeDecodeError, csv.Error, OSError):
        _refuse("a CSV file in UTF-8", "something else", "Save the table as CSV UTF-8.")


def _first_present(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in row), None)


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def _parse(rows: Sequence[Mapping[str, Any]]) -> _Predictions:
    if not rows:
        _refuse("one row a case", "an empty table", "Give the predictions.")
    columns = next((names for names in _PROBABILITY_NAMES if all(name in rows[0] for name in names)), None)
    label = _first_present(rows[0], _LABEL_NAMES)
    if columns is None or label is None:
        wanted = "stage and prob_T1 … prob_T4"
        _refuse(f"the columns {wanted}", "others", "Rename the columns.")
    values = np.asarray([[_number(row.get(name)) for name in columns] for row in rows])
    good = np.all((values >= 0) & (values <= 1 + _ROUNDING), axis=1) & (np.abs(values.sum(axis=1) - 1) <= _ROUNDING)
    if not good.all():
        first = int(np.flatnonzero(~good)[0]) + 1
        _refuse("probabilities from 0 to 1 with sum 1", f"others in row {first}", "Give softmax outputs.")
    predicted, patient = _first_present(rows[0], _PREDICTED_NAMES), _first_present(rows[0], _PATIENT_NAMES)
    patients = None if patient is None else tuple(str(row.get(patient) or "").strip() for row in rows)
    if patients is not None and "" in patients:
        _refuse("a patient in each row", f"none in row {patients.index('') + 1}", "Fill in the identifier.")
    return _Predictions(
        labels=stage_indices([row.get(label) for row in rows], where="true stage"),
        predicted=values.argmax(axis=1)
        if predicted is None
        else stage_indices([row.get(predicted) for row in rows], where="predicted stage"),
        probabilities=values,
        patients=patients,
    )


def _json_number(value: float) -> float | None:
    # JSON knows neither NaN (undefined) nor infinity (no net benefit).
    return float(value) if math.isfinite(value) else None


def _nested(flat: Mapping[str, object]) -> dict[str, Any]:
    """``{"auc.T1": x}`` to ``{"auc": {"T1": x}}``."""
    result: dict[str, Any] = {}
    for name, value in flat.items():
        group, _, member = name.partition(".")
        if member:
            result.setdefault(group, {})[member] = value
        else:
            result[group] = value
    return result


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
        Ready for JSON. Each metric is ``{"value", "low", "high"}``, by stage where it has stages; null is undefined
        or, for the number needed to treat, infinite. ``notes`` are sentences the reader must see.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID`` or ``STAGE_INVALID``, with the number of the row.
    """
    if resamples < 1 or not 0 < level < 1:
        _refuse("one resample at least and a level between 0 and 1", f"{resamples} and {level:g}", "Correct them.")
    cases = _parse(_read_rows(predictions) if isinstance(predictions, Path) else list(predictions))
    patients = cases.patients or tuple(str(row) for row in range(len(cases.labels)))
    values = stage_metrics(cases.labels, cases.predicted, cases.probabilities)
    intervals = bootstrap_intervals(
        cases.labels, cases.predicted, cases.probabilities, patients, resamples=resamples, level=level, seed=seed
    )
    metrics = {
        name: {
            "value": _json_number(float(value)),
            "low": _json_number(intervals[name][0]),
            "high": _json_number(intervals[name][1]),
        }
        for name, value in values.items()
    }
    confusion = confusion_matrix(cases.labels, cases.predicted, stages=len(STAGES))
    return {
        "rows": len(cases.labels),
        "patients": None if cases.patients is None else len(set(patients)),
        "stages": list(STAGES),
        "resampling": {
            "unit": "row" if cases.patients is None else "patient",
            "resamples": resamples,
            "level": level,
            "seed": seed,
        },
        "confusion_matrix": confusion.astype(int).tolist(),
        "metrics": _nested(metrics),
        "expected_calibration_error": expected_calibration_error(cases.probabilities, cases.labels),
        "treatment_counts": {name: int(count) for name, count in treatment_counts(confusion).items()},
        "notes": _notes(cases),
    }


def _notes(cases: _Predictions) -> list[str]:
    notes = []
    if cases.patients is None:
        notes.append("No patient identifier: each row counted as a patient; the intervals are too narrow for slices.")
    absent = [stage for index, stage in enumerate(STAGES) if index not in cases.labels]
    if absent:
        notes.append(f"No case of {', '.join(absent)}: metrics that need one are undefined, the macro AUC too.")
    return notes


def write_metrics(metrics: Mapping[str, Any], path: Path) -> None:
    """Write the result of :func:`evaluate_predictions` as JSON.

    Raises
    ------
    OutputError
        ``METRICS_NOT_WRITTEN``.
    """
    try:
        path.write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            "METRICS_NOT_WRITTEN",
            where="metrics file",
            expected="a place that can be written",
            got="an error of the file system",
            remedy="Choose another path.",
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m gastromap.evaluation.report PREDICTIONS.csv METRICS.json``; gives the exit code."""
    parser = argparse.ArgumentParser(prog="gastromap.evaluation.report", description="Metrics of stage predictions.")
    parser.add_argument("predictions", type=Path, help="CSV with stage, prob_T1 … prob_T4, PatientID")
    parser.add_argument("metrics", type=Path, help="JSON file to write")
    parser.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the resampling (default 0)")
    options = parser.parse_args(arguments)
    try:
        result = evaluate_predictions(options.predictions, resamples=options.resamples, seed=options.seed)
        write_metrics(result, options.metrics)
    except (UsageError, OutputError) as error:
        parser.exit(int(error.exit_code), f"{error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
