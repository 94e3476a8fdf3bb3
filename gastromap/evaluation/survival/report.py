"""The survival part of an evaluation, cohort by cohort, as one value ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gastromap.evaluation.subgroups import Subgroup, split_rows
from gastromap.evaluation.survival.cases import ModelColumns, SurvivalCases, SurvivalColumns, read_survival
from gastromap.evaluation.survival.cohort_report import cohort_report
from gastromap.evaluation.survival.training import Covariate, OsNomogram, fit_training, with_training
from gastromap.evaluation.table import refuse

__all__ = ["SurvivalPlan", "survival_report"]

_Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class SurvivalPlan:
    """What is asked of a table with follow-up."""

    columns: SurvivalColumns = field(default_factory=SurvivalColumns)
    models: tuple[ModelColumns, ...] = (ModelColumns("model"),)
    covariates: tuple[Covariate, ...] = ()  #: of the Cox tables
    nomograms: tuple[OsNomogram, ...] = ()  #: fitted on the training table
    cohort: str | None = None  #: column; each level is evaluated on its own
    further_cutoffs: Mapping[str, float] = field(default_factory=dict)  #: of the models of further tables


def survival_report(
    rows: _Rows,
    plan: SurvivalPlan,
    *,
    patient: str | None,
    training: _Rows | None,
    further: Mapping[str, _Rows],
    subgroups: Sequence[Subgroup],
    resamples: int,
    level: float,
    seed: int,
) -> dict[str, Any]:
    """Evaluate survival predictions.

    Parameters
    ----------
    rows : sequence of mapping
        One row a patient.
    plan : SurvivalPlan
    patient : str, optional
        Column of the patient.
    training : sequence of mapping, optional
        Training table with the same column names; cut-offs, scales, replacements and nomograms come from it alone.
    further : mapping of rows
        Tables of the same patients by other inputs; see :func:`read_survival`.
    subgroups : sequence of Subgroup
    resamples, level, seed
        Of the bootstrap by patient.

    Returns
    -------
    dict
        ``training`` (what was fitted there, or None) and ``cohorts``, each of :func:`cohort_report`.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID``, ``CLINICAL_INVALID`` or ``NOMOGRAM_FIT``.
    """
    if plan.nomograms and training is None:
        refuse("a training table for a nomogram", "none", "Give --training; nothing is fitted on the test table.")
    fitted = None
    if training is not None:
        of_training = read_survival(training, plan.columns, plan.models, patient=patient)
        fitted = fit_training(training, of_training, covariates=plan.covariates, nomograms=plan.nomograms)
    cases = read_survival(rows, plan.columns, plan.models, patient=patient, further=further)
    cut = [
        replace(model, threshold=plan.further_cutoffs[model.name]) if model.name in plan.further_cutoffs else model
        for model in cases.models
    ]
    cases = with_training(replace(cases, models=tuple(cut)), rows, fitted)
    names = [model.name for model in cases.models]
    if len(set(names)) != len(names):
        refuse("each model and nomogram name once", "a name twice", "Rename one.")
    parts = {"all": np.ones(len(cases.time), dtype=bool)}
    if plan.cohort is not None:
        parts = split_rows([rows[row] for row in cases.rows], Subgroup(plan.cohort))
    cohorts = []
    for name, use in parts.items():
        part = cases.part(use)
        if not part.death.any():
            refuse(f"patients who died in each level of {plan.cohort}", "a level without", "Join levels.")
        cohorts.append(
            cohort_report(
                name,
                part,
                rows,
                training=fitted,
                covariates=plan.covariates,
                subgroups=subgroups,
                resamples=resamples,
                level=level,
                seed=seed,
            )
        )
    return {
        "training": None if fitted is None else fitted.to_json(),
        "left_out": cases.left_out,
        "cohorts": cohorts,
        "notes": _notes(cases, with_training=fitted is not None),
    }


def _notes(cases: SurvivalCases, *, with_training: bool) -> list[str]:
    notes = list(cases.notes)
    if cases.left_out:
        notes.append(f"{cases.left_out} rows without follow-up, status or a prediction were left out of survival.")
    without = [model.name for model in cases.models if model.threshold is None]
    if without:
        notes.append(f"No risk groups for {', '.join(without)}: no cut-off of training is known.")
    if not with_training:
        notes.append("No training table: risks are scaled on these patients, rows with a missing covariate left out.")
    return notes
