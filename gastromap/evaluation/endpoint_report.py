"""Everything about one binary endpoint as values ready for JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from gastromap.evaluation.bootstrap import resample
from gastromap.evaluation.decision_curve import decision_curve
from gastromap.evaluation.delong import delong
from gastromap.evaluation.endpoint import Endpoint, endpoint_metrics
from gastromap.evaluation.reliability import calibration_bins, calibration_line, hosmer_lemeshow, smooth_calibration
from gastromap.evaluation.report import json_number, with_intervals

__all__ = ["endpoint_report", "exact_interval", "roc_points"]

#: Points of the smooth calibration curve in the output; the curve has one for each case.
_CURVE_POINTS = 100


def roc_points(score: Any, positive: Any) -> dict[str, list[float]]:
    """Corners of the ROC curve by scikit-learn: ``false_positive_rate`` and ``sensitivity``, empty if undefined."""
    from sklearn.metrics import roc_curve

    truth = np.asarray(positive, dtype=bool)
    if truth.all() or not truth.any():
        return {"false_positive_rate": [], "sensitivity": []}
    false, true, _ = roc_curve(truth, score)
    return {"false_positive_rate": false.tolist(), "sensitivity": true.tolist()}


def endpoint_report(endpoint: Endpoint, *, resamples: int, level: float, seed: int) -> dict[str, Any]:
    """Figures, curves and calibration of an endpoint.

    Parameters
    ----------
    endpoint : Endpoint
    resamples, level, seed
        Of the bootstrap by patient.

    Returns
    -------
    dict
        ``metrics`` as of :func:`gastromap.evaluation.report.stage_report`; rates also have ``exact_low`` and
        ``exact_high`` (Clopper-Pearson, rows taken as independent), the AUC ``delong_low`` and ``delong_high``.
        ``calibration`` and ``decision_curve`` are None where the score is no probability.
    """
    drawn = resample(
        lambda weights: endpoint_metrics(endpoint, weights), endpoint.units, resamples=resamples, seed=seed
    )
    metrics = with_intervals(endpoint_metrics(endpoint), drawn, level=level)
    counts = _counts(endpoint)
    for name, (hits, total) in _denominators(counts).items():
        metrics[name] |= _exact(hits, total, level)
    patients = endpoint.units if endpoint.by_patient else None
    area = delong(endpoint.score, endpoint.positive, patients, level=level)
    metrics["auc"] |= {"delong_low": json_number(area.low), "delong_high": json_number(area.high)}
    report: dict[str, Any] = {
        "name": endpoint.name,
        "called_positive": endpoint.rule,
        "rows": len(endpoint.positive),
        "left_out": endpoint.left_out,
        "patients": len(set(endpoint.units)) if endpoint.by_patient else None,
        "counts": counts,
        "metrics": metrics,
        "roc": roc_points(endpoint.score, endpoint.positive),
        "calibration": None,
        "decision_curve": None,
        "notes": _notes(endpoint, counts),
    }
    if endpoint.is_probability:
        report["calibration"] = _calibration(endpoint, level)
        curve = decision_curve(
            endpoint.score, endpoint.positive, endpoint.units, resamples=resamples, level=level, seed=seed
        )
        fields = ("thresholds", "model", "low", "high", "treat_all")
        report["decision_curve"] = {
            name: [json_number(value) for value in getattr(curve, name).tolist()] for name in fields
        }
    return report


def _counts(endpoint: Endpoint) -> dict[str, int]:
    truth, called = endpoint.positive, endpoint.called
    return {
        "true_positives": int(np.sum(truth & called)),
        "false_positives": int(np.sum(~truth & called)),
        "false_negatives": int(np.sum(truth & ~called)),
        "true_negatives": int(np.sum(~truth & ~called)),
    }


def _denominators(counts: dict[str, int]) -> dict[str, tuple[int, int]]:
    tp, fp, fn, tn = counts.values()
    return {
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn),
        "accuracy": (tp + tn, tp + fp + fn + tn),
        "over_treatment": (fp, tp + fp + fn + tn),
        "under_treatment": (fn, tp + fp + fn + tn),
    }


def exact_interval(hits: int, total: int, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of a rate by Clopper and Pearson; ``total`` is not 0."""
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(hits, total, alpha=1 - level, method="beta")
    return float(low), float(high)


def _exact(hits: int, total: int, level: float) -> dict[str, float | None]:
    if total == 0:
        return {"exact_low": None, "exact_high": None}
    low, high = exact_interval(hits, total, level=level)
    return {"exact_low": low, "exact_high": high}


def _calibration(endpoint: Endpoint, level: float) -> dict[str, Any]:
    p, truth = endpoint.score, endpoint.positive
    test, smooth, bins = (
        hosmer_lemeshow(p, truth),
        smooth_calibration(p, truth),
        calibration_bins(p, truth, level=level),
    )
    line = calibration_line(p, truth, endpoint.units if endpoint.by_patient else None, level=level)
    place = np.unique(np.linspace(0, len(smooth.predicted) - 1, _CURVE_POINTS).round().astype(int))

    def entry(values: tuple[float, float, float]) -> dict[str, float | None]:
        return {key: json_number(value) for key, value in zip(("value", "low", "high"), values, strict=True)}

    return {
        "slope": entry(line.slope),
        "intercept": entry(line.intercept),
        "in_the_large": entry(line.in_the_large),
        "left_out_of_line": line.left_out,
        "hosmer_lemeshow": {
            "chi_squared": json_number(test.chi_squared),
            "groups": test.groups,
            "p_value": json_number(test.p_value),
            "p_value_new_data": json_number(test.p_value_new_data),
        },
        "mean_error": smooth.mean_error,
        "error_90": smooth.error_90,
        "largest_error": smooth.largest_error,
        "equal_mass_error": float(bins.count @ np.abs(bins.observed - bins.predicted) / bins.count.sum()),
        "smooth": {"predicted": smooth.predicted[place].tolist(), "observed": smooth.observed[place].tolist()},
        "bins": {
            "predicted": bins.predicted.tolist(),
            "observed": bins.observed.tolist(),
            "low": bins.low.tolist(),
            "high": bins.high.tolist(),
            "count": bins.count.tolist(),
        },
        "histogram": np.histogram(p, bins=np.linspace(0, 1, 21))[0].tolist(),
    }


def _notes(endpoint: Endpoint, counts: dict[str, int]) -> list[str]:
    notes = []
    if endpoint.left_out:
        notes.append(f"{endpoint.left_out} rows without label or score were left out.")
    if not endpoint.is_probability:
        notes.append("The score is no probability: no calibration and no decision curve.")
    if counts["true_positives"] <= counts["false_positives"]:
        notes.append("No net benefit at a threshold of 0.5: the number needed to treat is infinite.")
    if (
        min(counts["true_positives"] + counts["false_negatives"], counts["true_negatives"] + counts["false_positives"])
        < 10
    ):
        notes.append("Fewer than 10 cases on one side: the intervals are rough.")
    return notes
