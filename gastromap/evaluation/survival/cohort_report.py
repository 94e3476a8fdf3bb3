"""All survival figures of one cohort as values ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gastromap.evaluation.report import json_number, nested, with_intervals
from gastromap.evaluation.subgroups import Subgroup, split_rows
from gastromap.evaluation.survival.calibration import calibration_at, d_calibration
from gastromap.evaluation.survival.cases import RiskModel, SurvivalCases
from gastromap.evaluation.survival.cox import fit_cox
from gastromap.evaluation.survival.cox_tables import cox_tables
from gastromap.evaluation.survival.decision import survival_decision_curve
from gastromap.evaluation.survival.kaplan_meier import (
    gehan_wilcoxon,
    kaplan_meier,
    log_rank,
    median_follow_up,
    numbers_at_risk,
)
from gastromap.evaluation.survival.metrics import HORIZONS, brier_months, resampled_metrics, survival_metrics
from gastromap.evaluation.survival.training import Covariate, TrainingFit

__all__ = ["cohort_report"]

_Array = NDArray[np.float64]
#: Months of calibration and decision curves.
_FIXED = (36, 60)
_COMPARED = ("harrell_c", "uno_c", "auc.36", "auc.60", "integrated_brier")
_OF_SUBGROUP = ("harrell_c", "uno_c", "auc.36")
#: Points of a smooth curve in the output.
_POINTS = 100


def cohort_report(
    name: str,
    cases: SurvivalCases,
    rows: Sequence[Mapping[str, Any]],
    *,
    training: TrainingFit | None,
    covariates: Sequence[Covariate],
    subgroups: Sequence[Subgroup],
    resamples: int,
    level: float,
    seed: int,
) -> dict[str, Any]:
    """Figures, curves, tests and tables of a cohort.

    Parameters
    ----------
    name : str
    cases : SurvivalCases
        Of the cohort, its models with the cut-offs of training.
    rows : sequence of mapping
        The table of the cases.
    training : TrainingFit, optional
    covariates : sequence of Covariate
        Of the Cox tables.
    subgroups : sequence of Subgroup
    resamples, level, seed
        Of the bootstrap by patient.

    Returns
    -------
    dict
        ``models`` holds ``metrics``, ``groups`` (None without a cut-off), ``calibration``, ``d_calibration`` and
        ``decision_curves`` (empty or None without S(t)); ``comparison`` the differences from the first model.
    """
    drawn = resampled_metrics(cases, cases.models, resamples=resamples, seed=seed)
    found = [survival_metrics(cases, model) for model in cases.models]
    at_risk = [int(month) for month in range(0, int(cases.time.max()) + 1, 12)]
    options: dict[str, Any] = {"resamples": resamples, "level": level, "seed": seed}
    models = [
        {
            "name": model.name,
            "metrics": nested({_nest(key): entry for key, entry in with_intervals(values, draws, level=level).items()}),
            "brier_months": [float(month) for month in brier_months(cases, model)[[0, -1]]]
            if len(brier_months(cases, model))
            else [],
            "groups": _groups(cases, model, at_risk, level),
            **_curves(cases, model, options),
        }
        for model, values, draws in zip(cases.models, found, drawn, strict=True)
    ]
    return {
        "name": name,
        "patients": len(cases.time),
        "deaths": int(cases.death.sum()),
        "median_follow_up": json_number(median_follow_up(cases.time, cases.death)),
        "at_risk_months": at_risk,
        "overall": _curve("all", cases.time, cases.death, at_risk, level),
        "models": models,
        "comparison": _comparison(cases, found, drawn, level),
        "cox": cox_tables(cases, rows, covariates=covariates, training=training, level=level),
        "subgroups": [_subgroup(cases, rows, by, options) for by in subgroups],
        "notes": ["Fewer than 10 deaths: the intervals are rough."] if cases.death.sum() < 10 else [],
    }


def _nest(name: str) -> str:
    """A figure with and without months has one group each: ``harrell_c`` and ``harrell_c_before.12``."""
    return name.replace("_c.", "_c_before.")


def _curve(name: str, time: _Array, death: NDArray[np.bool_], at_risk: Sequence[int], level: float) -> dict[str, Any]:
    curve = kaplan_meier(time, death, level=level)
    at = curve.at(HORIZONS)
    return {
        "name": name,
        "patients": curve.patients,
        "deaths": curve.deaths,
        "median": dict(zip(("value", "low", "high"), map(json_number, curve.median()), strict=True)),
        "at": {
            str(month): {key: json_number(float(at[k][place])) for k, key in enumerate(("value", "low", "high"))}
            for place, month in enumerate(HORIZONS)
        },
        "months": curve.months.tolist(),
        **{
            key: [json_number(value) for value in values.tolist()]
            for key, values in (("survival", curve.survival), ("low", curve.low), ("high", curve.high))
        },
        "at_risk": numbers_at_risk(time, at_risk),
    }


def _hazard_ratio(cases: SurvivalCases, high: NDArray[np.bool_], level: float) -> dict[str, Any] | None:
    fit = fit_cox(cases.time, cases.death, high.astype(float))
    if fit is None:
        return None
    ends = (float(values[0]) for values in fit.hazard_ratios(level))
    return dict(zip(("value", "low", "high"), map(json_number, ends), strict=True)) | {
        "p_value": json_number(float(fit.p_values[0]))
    }


def _groups(cases: SurvivalCases, model: RiskModel, at_risk: Sequence[int], level: float) -> dict[str, Any] | None:
    if model.threshold is None:
        return None
    high = model.risk > model.threshold
    return {
        "threshold": model.threshold,
        "curves": [
            _curve(name, cases.time[use], cases.death[use], at_risk, level)
            for name, use in (("low risk", ~high), ("high risk", high))
            if use.any()
        ],
        **{
            key: {part: json_number(value) for part, value in asdict(test(cases.time, cases.death, high)).items()}
            for key, test in (("log_rank", log_rank), ("gehan_wilcoxon", gehan_wilcoxon))
        },
        "hazard_ratio": _hazard_ratio(cases, high, level),
    }


def _curves(cases: SurvivalCases, model: RiskModel, options: Mapping[str, Any]) -> dict[str, Any]:
    if model.curves is None:
        return {"calibration": [], "d_calibration": None, "decision_curves": []}
    months = [month for month in _FIXED if month <= model.curves.last and month < cases.time.max()]
    curves = []
    for month in months:
        risk = 1 - model.curves.at(month)[:, 0]
        curve = survival_decision_curve(cases.time, cases.death, risk, month=month, **options)
        curves.append(
            {"month": month} | {key: list(map(json_number, value.tolist())) for key, value in asdict(curve).items()}
        )
    test = d_calibration(cases, model)
    return {
        "calibration": [_calibration(cases, model, month, options["level"]) for month in months],
        "d_calibration": {
            "share": test.share.tolist(),
            "chi_squared": json_number(test.chi_squared),
            "p_value": json_number(test.p_value),
        },
        "decision_curves": curves,
    }


def _calibration(cases: SurvivalCases, model: RiskModel, month: int, level: float) -> dict[str, Any]:
    found = calibration_at(cases, model, month, level=level)
    size = len(found.smooth_observed)
    place = np.unique(np.linspace(0, size - 1, _POINTS).round().astype(int)) if size else np.empty(0, dtype=int)
    return {
        "month": month,
        "groups": {
            key: list(map(json_number, np.asarray(getattr(found, key), dtype=float).tolist()))
            for key in ("predicted", "observed", "low", "high", "count")
        },
        "observed_to_expected": json_number(found.observed_to_expected),
        "slope": dict(zip(("value", "low", "high"), map(json_number, found.slope), strict=True)),
        **{key: json_number(getattr(found, key)) for key in ("mean_error", "error_90", "largest_error")},
        "smooth": {
            "predicted": found.smooth_predicted[place].tolist(),
            "observed": found.smooth_observed[place].tolist(),
        },
    }


def _comparison(
    cases: SurvivalCases, found: Sequence[Mapping[str, float]], drawn: Sequence[Mapping[str, _Array]], level: float
) -> list[dict[str, Any]]:
    pairs = []
    for other in range(1, len(found)):
        names = [name for name in _COMPARED if name in found[0] and name in found[other]]
        difference = with_intervals(
            {name: found[0][name] - found[other][name] for name in names},
            {name: drawn[0][name] - drawn[other][name] for name in names},
            level=level,
        )
        metrics = {
            name: {
                "first": json_number(found[0][name]),
                "second": json_number(found[other][name]),
                "difference": difference[name],
            }
            for name in names
        }
        pairs.append({"names": [cases.models[0].name, cases.models[other].name], "metrics": metrics})
    return pairs


def _subgroup(
    cases: SurvivalCases, rows: Sequence[Mapping[str, Any]], by: Subgroup, options: Mapping[str, Any]
) -> dict[str, Any]:
    levels = []
    for name, use in split_rows([rows[row] for row in cases.rows], by).items():
        part = cases.part(use)
        entry: dict[str, Any] = {
            "level": name,
            "patients": int(use.sum()),
            "deaths": int(part.death.sum()),
            "models": [],
        }
        drawn = resampled_metrics(part, part.models, resamples=options["resamples"], seed=options["seed"])
        for model, draws in zip(part.models, drawn, strict=True):
            values = survival_metrics(part, model)
            metrics = with_intervals({key: values[key] for key in _OF_SUBGROUP}, draws, level=options["level"])
            ratio = None
            if model.threshold is not None:
                ratio = _hazard_ratio(part, model.risk > model.threshold, options["level"])
            entry["models"].append({"name": model.name, "metrics": metrics, "hazard_ratio": ratio})
        levels.append(entry)
    return {"column": by.column, "levels": levels}
