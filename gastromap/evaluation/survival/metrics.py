"""Discrimination and accuracy of a survival model, by scikit-survival, and the same of weighted resamples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gastromap.evaluation.bootstrap import resample
from gastromap.evaluation.report import with_intervals
from gastromap.evaluation.survival.cases import RiskModel, SurvivalCases
from gastromap.evaluation.survival.weighted import RiskPairs, WeightedFollowUp, brier, brier_of_kaplan_meier

__all__ = ["HORIZONS", "brier_months", "resampled_metrics", "survival_metrics", "weighted_metrics", "with_bootstrap"]

#: Months at which AUC, truncated C and Brier score are given.
HORIZONS = (12, 24, 36, 48, 60)

_Array = NDArray[np.float64]


def _reached(cases: SurvivalCases) -> list[int]:
    """Horizons inside the follow-up, where scikit-survival defines its figures."""
    return [month for month in HORIZONS if cases.time.min() <= month < cases.time.max()]


def brier_months(cases: SurvivalCases, model: RiskModel) -> _Array:
    """Whole months inside follow-up, predicted curves and the last horizon: the range of the integrated score."""
    if model.curves is None:
        return np.empty(0)
    months = np.arange(1, HORIZONS[-1] + 1, dtype=float)
    inside = (months >= cases.time.min()) & (months < cases.time.max()) & (months <= model.curves.last)
    return months[inside]


def _kaplan_meier_score(cases: SurvivalCases, months: _Array) -> _Array:
    """S(t) of the whole cohort as everybody's prediction, shape (n, t)."""
    data = WeightedFollowUp(cases.time, cases.death, np.ones((1, len(cases.time))))
    return np.repeat(data.read(data.survival, months), len(cases.time), axis=0)


def survival_metrics(cases: SurvivalCases, model: RiskModel) -> dict[str, float]:
    """Estimates by scikit-survival.

    Parameters
    ----------
    cases : SurvivalCases
    model : RiskModel
        One of the cases.

    Returns
    -------
    dict of float
        ``harrell_c``, ``uno_c``; by horizon ``harrell_c.12`` (deaths before it; Harrell), ``uno_c.12`` …,
        ``auc.12`` …, ``brier.12`` …; ``integrated_brier`` and ``integrated_brier_of_kaplan_meier`` over
        :func:`brier_months`, ``brier_skill`` (1 less their ratio). NaN where a figure is undefined: no deaths, a
        horizon beyond the follow-up, nobody left uncensored, no S(t).

    Notes
    -----
    Censoring is taken from the cohort under evaluation. At equal times of a death and a censoring scikit-survival reads
    G(t), R's survival G(t−); they differ there and only there.
    """
    from sksurv.metrics import concordance_index_censored, concordance_index_ipcw, cumulative_dynamic_auc  # type: ignore[import-untyped]  # fmt: skip
    from sksurv.util import Surv  # type: ignore[import-untyped]

    y, risk, reached = Surv.from_arrays(cases.death, cases.time), model.risk, _reached(cases)
    values = {
        "harrell_c": _or_nan(lambda: concordance_index_censored(cases.death, cases.time, risk)[0]),
        "uno_c": _or_nan(lambda: concordance_index_ipcw(y, y, risk)[0]),
    }
    for month in HORIZONS:
        values |= {f"{name}.{month}": math.nan for name in ("harrell_c", "uno_c", "auc")}
    for month in reached:
        early = cases.death & (cases.time < month)
        figures = {
            "harrell_c": partial(concordance_index_censored, early, cases.time, risk),
            "uno_c": partial(concordance_index_ipcw, y, y, risk, tau=month),
            # Deaths beyond the month are no cases; as such they would need a weight, which may not exist.
            "auc": partial(
                cumulative_dynamic_auc,
                y,
                Surv.from_arrays(cases.death & (cases.time <= month), cases.time),
                risk,
                [month],
            ),
        }
        for name, figure in figures.items():
            values[f"{name}.{month}"] = _or_nan(lambda figure=figure: np.ravel(figure()[0])[0])  # type: ignore[misc]
    return values | _brier_by_library(cases, model, y)


def _or_nan(figure: Callable[[], Any]) -> float:
    from sksurv.exceptions import NoComparablePairException  # type: ignore[import-untyped]

    try:
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(figure())
    except (NoComparablePairException, ValueError):
        # scikit-survival refuses where nobody is left uncensored, or where all are censored.
        return math.nan


def _brier_by_library(cases: SurvivalCases, model: RiskModel, y: Any) -> dict[str, float]:
    from sksurv.metrics import integrated_brier_score

    if model.curves is None:
        return {}
    curves, months = model.curves, brier_months(cases, model)
    values = {f"brier.{month}": math.nan for month in HORIZONS}
    for month in (month for month in HORIZONS if month in months):
        values[f"brier.{month}"] = _or_nan(partial(_one_brier, y, curves.at(month), month))
    own = reference = math.nan
    if len(months) > 1:
        own = _or_nan(partial(integrated_brier_score, y, y, curves.at(months), months))
        reference = _or_nan(partial(integrated_brier_score, y, y, _kaplan_meier_score(cases, months), months))
    values["integrated_brier"], values["integrated_brier_of_kaplan_meier"] = own, reference
    values["brier_skill"] = 1 - own / reference if reference > 0 else math.nan
    return values


def _one_brier(y: Any, survival: _Array, month: int) -> float:
    from sksurv.metrics import brier_score

    return float(brier_score(y, y, survival, month)[1][0])


def weighted_metrics(cases: SurvivalCases, model: RiskModel, weights: _Array) -> dict[str, _Array]:
    """Figures of :func:`survival_metrics` for weighted patients, each of shape (m,).

    Parameters
    ----------
    cases, model
        As there.
    weights : array, shape (m, n)
        How often each patient counts.
    """
    data = WeightedFollowUp(cases.time, cases.death, weights)
    pairs, months = RiskPairs(data, model.risk), _reached(cases)
    undefined = np.full(len(weights), np.nan)
    values = {"harrell_c": pairs.concordance(uno=False), "uno_c": pairs.concordance(uno=True)}
    for month in HORIZONS:
        reached = month in months
        values[f"harrell_c.{month}"] = pairs.concordance(uno=False, before=month) if reached else undefined
        values[f"uno_c.{month}"] = pairs.concordance(uno=True, before=month) if reached else undefined
        values[f"auc.{month}"] = pairs.auc(month) if reached else undefined
    if model.curves is None:
        return values
    values |= {f"brier.{month}": undefined for month in HORIZONS}
    grid = brier_months(cases, model)
    if not len(grid):
        return values | dict.fromkeys(
            ("integrated_brier", "integrated_brier_of_kaplan_meier", "brier_skill"), undefined
        )
    own, reference = brier(data, model.curves.at(grid), grid), brier_of_kaplan_meier(data, grid)
    values |= {f"brier.{int(month)}": own[:, k] for k, month in enumerate(grid) if month in HORIZONS}
    span = grid[-1] - grid[0]
    whole, null = (np.trapezoid(score, grid, axis=1) / span if span > 0 else undefined for score in (own, reference))
    values["integrated_brier"], values["integrated_brier_of_kaplan_meier"] = whole, null
    with np.errstate(invalid="ignore", divide="ignore"):
        values["brier_skill"] = np.where(null > 0, 1 - whole / null, np.nan)
    return values


def resampled_metrics(
    cases: SurvivalCases, models: Sequence[RiskModel], *, resamples: int, seed: int
) -> list[dict[str, _Array]]:
    """Figures of several models over the same resamples of patients, each of shape (resamples,)."""
    units = [str(row) for row in range(len(cases.time))]
    return [
        resample(
            lambda weights, model=model: weighted_metrics(cases, model, weights),  # type: ignore[misc]
            units,
            resamples=resamples,
            seed=seed,
        )
        for model in models
    ]


def with_bootstrap(
    cases: SurvivalCases, model: RiskModel, *, resamples: int, level: float, seed: int
) -> dict[str, dict[str, float | None]]:
    """Estimates with percentile intervals from resampling patients: ``{"value", "low", "high"}`` by name."""
    drawn = resampled_metrics(cases, [model], resamples=resamples, seed=seed)[0]
    return with_intervals(survival_metrics(cases, model), drawn, level=level)
