"""Univariable and multivariable Cox tables of a cohort, with the check of proportional hazards; ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gastromap.evaluation.report import json_number
from gastromap.evaluation.survival.cases import SurvivalCases, cells
from gastromap.evaluation.survival.cox import fit_cox, proportional_hazards
from gastromap.evaluation.survival.training import Covariate, TrainingFit
from gastromap.nomogram.predictors import fit_predictor

__all__ = ["cox_tables"]

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Term:
    variable: str
    levels: tuple[str, ...]  #: label of each column
    columns: _Array  #: shape (n, k)
    known: NDArray[np.bool_]  #: shape (n,)


def _risk_terms(cases: SurvivalCases, training: TrainingFit | None) -> list[_Term]:
    terms = []
    for model in cases.models:
        mean, sd = float(model.risk.mean()), float(model.risk.std())
        scale = "this cohort"
        if training is not None and model.name in training.scales:
            mean, sd = training.scales[model.name]
            scale = "training"
        if sd > 0:
            column = ((model.risk - mean) / sd)[:, np.newaxis]
            terms.append(_Term(model.name, (f"per SD of {scale}",), column, np.ones(len(column), dtype=bool)))
    return terms


def _covariate_terms(
    cases: SurvivalCases,
    rows: Sequence[Mapping[str, Any]],
    covariates: Sequence[Covariate],
    training: TrainingFit | None,
) -> list[_Term]:
    stored = {predictor.name: predictor for predictor in training.predictors} if training else {}
    terms = []
    for covariate in covariates:
        whole = cells(rows, covariate.column)
        values = [whole[row] for row in cases.rows]
        # Without training nothing may be filled in from the cohort under evaluation: such rows are left out.
        predictor = stored.get(covariate.column) or fit_predictor(covariate.column, values, levels=covariate.levels)
        # The whole table, so that a message names its row.
        encoded, filled = predictor.encode(whole)
        columns, imputed = encoded[cases.rows], filled[cases.rows]
        known = np.ones(len(imputed), dtype=bool) if covariate.column in stored else ~imputed
        labels = tuple(f"{level} v {predictor.levels[0]}" for level in predictor.levels[1:]) or ("per unit",)
        present = np.flatnonzero(columns[known].std(axis=0) > 0)
        if len(present):
            terms.append(_Term(covariate.column, tuple(labels[k] for k in present), columns[:, present], known))
    return terms


def cox_tables(
    cases: SurvivalCases,
    rows: Sequence[Mapping[str, Any]],
    *,
    covariates: Sequence[Covariate],
    training: TrainingFit | None,
    level: float,
) -> dict[str, Any]:
    """Cox regressions of the risks and of clinical columns.

    Parameters
    ----------
    cases : SurvivalCases
    rows : sequence of mapping
        Table of the cases.
    covariates : sequence of Covariate
    training : TrainingFit, optional
        Scales of the risks and replacements for missing cells; without it risks are scaled on the cohort itself and
        rows with a missing cell are left out.
    level : float
        Of the intervals, 0 to 1.

    Returns
    -------
    dict
        ``univariable`` (each column alone) and ``multivariable`` (risk of the first model and all covariates), each
        with ``rows``, ``patients``, ``deaths``; ``rows`` hold ``variable``, ``level``, ``hazard_ratio``, ``low``,
        ``high``, ``p_value`` (Wald), ``proportional_p`` (small: the ratio changes over time). The multivariable part
        is None without covariates or without a maximum.
    """
    risks, terms = _risk_terms(cases, training), _covariate_terms(cases, rows, covariates, training)
    single = [_fit(cases, [term], level) for term in (*risks, *terms)]
    several = _fit(cases, [*risks[:1], *terms], level) if risks and terms else None
    return {"univariable": {"rows": [row for part in single if part for row in part["rows"]]}, "multivariable": several}


def _fit(cases: SurvivalCases, terms: Sequence[_Term], level: float) -> dict[str, Any] | None:
    use = np.all([term.known for term in terms], axis=0)
    x = np.concatenate([term.columns for term in terms], axis=1)[use]
    time, death = cases.time[use], cases.death[use]
    fit = fit_cox(time, death, x) if len(time) else None
    if fit is None:
        return None
    ends = np.cumsum([0, *(term.columns.shape[1] for term in terms)])
    tests = proportional_hazards(time, death, x, fit, [range(start, end) for start, end in pairwise(ends)])
    ratios = fit.hazard_ratios(level)
    rows, column = [], 0
    for term, (_, changing) in zip(terms, tests[:-1], strict=True):
        for label in term.levels:
            ratio, low, high = (json_number(float(values[column])) for values in ratios)
            row: dict[str, Any] = {"variable": term.variable, "level": label, "hazard_ratio": ratio}
            row |= {"low": low, "high": high, "p_value": json_number(float(fit.p_values[column]))}
            row |= {"proportional_p": json_number(changing), "patients": fit.patients, "deaths": fit.deaths}
            rows.append(row)
            column += 1
    return {
        "rows": rows,
        "patients": fit.patients,
        "deaths": fit.deaths,
        "proportional_p": json_number(tests[-1][1]),
        "likelihood_ratio_p": json_number(fit.likelihood_ratio()[2]),
    }
