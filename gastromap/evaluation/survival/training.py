"""What the training cohort fixes before the test cohort is looked at: cut-offs, scales, replacements, nomograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gastromap.evaluation.survival.cases import RiskModel, SurvivalCases, cells
from gastromap.evaluation.survival.curves import SurvivalCurves
from gastromap.nomogram.combined import CombinedNomogram
from gastromap.nomogram.combined_fitting import fit_cox_nomogram
from gastromap.nomogram.predictors import Predictor, fit_predictor

__all__ = ["Covariate", "OsNomogram", "TrainingFit", "fit_training", "parse_covariate", "with_training"]

#: Last month of the curves of a nomogram.
_LAST = 60


@dataclass(frozen=True)
class Covariate:
    """A clinical column; `levels` says that its numbers are codes."""

    column: str
    levels: bool = False


@dataclass(frozen=True)
class OsNomogram:
    """A Cox nomogram to be fitted on training, for example preoperative."""

    name: str
    columns: tuple[Covariate, ...]


@dataclass(frozen=True)
class TrainingFit:
    """Numbers of training that are applied to other cohorts."""

    patients: int
    deaths: int
    medians: Mapping[str, float]  #: of the risk of each model; high risk above it
    scales: Mapping[str, tuple[float, float]]  #: mean and standard deviation of each risk
    predictors: tuple[Predictor, ...]  #: of the Cox tables
    nomograms: tuple[CombinedNomogram, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Values ready for JSON."""
        return {
            "patients": self.patients,
            "deaths": self.deaths,
            "medians": dict(self.medians),
            "scales": {name: list(scale) for name, scale in self.scales.items()},
            "predictors": [predictor.to_json() for predictor in self.predictors],
            "nomograms": [nomogram.to_json() for nomogram in self.nomograms],
        }


def parse_covariate(text: str) -> Covariate:
    """``ypT`` as a column, ``ypT:levels`` as one whose numbers are codes."""
    name, _, kind = text.strip().partition(":")
    return Covariate(name.strip(), kind.strip() == "levels")


def _column(rows: Sequence[Mapping[str, Any]], cases: SurvivalCases, name: str) -> list[Any]:
    whole = cells(rows, name)
    return [whole[row] for row in cases.rows]


def fit_training(
    rows: Sequence[Mapping[str, Any]],
    cases: SurvivalCases,
    *,
    covariates: Sequence[Covariate] = (),
    nomograms: Sequence[OsNomogram] = (),
) -> TrainingFit:
    """Take every cut-off, scale and replacement from the training cohort and fit its nomograms.

    Parameters
    ----------
    rows : sequence of mapping
        Training table.
    cases : SurvivalCases
        Read from it.
    covariates : sequence of Covariate
        Of the Cox tables.
    nomograms : sequence of OsNomogram

    Raises
    ------
    UsageError
        As in :func:`gastromap.nomogram.combined_fitting.fit_cox_nomogram`.
    """
    fitted = [
        fit_cox_nomogram(
            nomogram.name,
            {covariate.column: _column(rows, cases, covariate.column) for covariate in nomogram.columns},
            cases.time,
            cases.death,
            levels=[covariate.column for covariate in nomogram.columns if covariate.levels],
            trained_on="the training table",
        )
        for nomogram in nomograms
    ]
    risks = {model.name: model.risk for model in cases.models}
    for nomogram in fitted:
        table = {predictor.name: _column(rows, cases, predictor.name) for predictor in nomogram.predictors}
        risks[nomogram.name] = nomogram.linear_predictor(table)
    return TrainingFit(
        patients=len(cases.time),
        deaths=int(cases.death.sum()),
        medians={name: float(np.median(risk)) for name, risk in risks.items()},
        scales={name: (float(risk.mean()), float(risk.std())) for name, risk in risks.items()},
        predictors=tuple(
            fit_predictor(covariate.column, _column(rows, cases, covariate.column), levels=covariate.levels)
            for covariate in covariates
        ),
        nomograms=tuple(fitted),
    )


def with_training(
    cases: SurvivalCases, rows: Sequence[Mapping[str, Any]], training: TrainingFit | None
) -> SurvivalCases:
    """Cases whose models carry the cut-off of training, with the nomograms as further models.

    Notes
    -----
    Each row is treated on its own: changing one changes no other.
    """
    if training is None:
        return cases
    models = [
        replace(model, threshold=training.medians.get(model.name)) if model.threshold is None else model
        for model in cases.models
    ]
    for nomogram in training.nomograms:
        # The whole table, so that a message names its row.
        table = {predictor.name: cells(rows, predictor.name) for predictor in nomogram.predictors}
        total = nomogram.linear_predictor(table)[cases.rows]
        months = np.arange(1.0, min(_LAST, np.floor(nomogram.months[-1])) + 1)
        curves = SurvivalCurves(months, nomogram.survival(total, months)) if len(months) else None
        models.append(RiskModel(nomogram.name, total, curves, nomogram.threshold))
    return replace(cases, models=tuple(models))
