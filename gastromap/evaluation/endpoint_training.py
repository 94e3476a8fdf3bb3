"""What training fixes for a binary endpoint: Youden's cut-off and a logistic nomogram of score and clinical columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gastromap.evaluation.endpoint import Endpoint, EndpointColumns, read_endpoint
from gastromap.evaluation.survival.cases import cells
from gastromap.evaluation.survival.training import Covariate
from gastromap.evaluation.table import refuse
from gastromap.nomogram.combined import CombinedNomogram
from gastromap.nomogram.combined_fitting import fit_logistic_nomogram, youden_threshold

__all__ = ["EndpointNomogram", "apply_to_endpoint", "fit_for_endpoint", "with_youden"]

_Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class EndpointNomogram:
    """A logistic nomogram to be fitted on training; probabilities among its columns enter as log-odds."""

    name: str
    endpoint: str  #: whose label it predicts
    columns: tuple[Covariate, ...]


def _needs_training(training: _Rows | None, what: str) -> _Rows:
    if training is None:
        refuse(f"a training table for {what}", "none", "Give --training; nothing is fitted on the test table.")
    return training


def with_youden(where: EndpointColumns, training: _Rows | None) -> EndpointColumns:
    """Endpoint with the cut-off that training gives, where it asks for one.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID``: no training table, or one without the columns.
    """
    if not where.youden:
        return where
    rows = _needs_training(training, f"the cut-off of {where.name}")
    found = read_endpoint(rows, replace(where, threshold=0.0), None)
    return replace(where, threshold=youden_threshold(found.score, found.positive))


def fit_for_endpoint(plan: EndpointNomogram, where: EndpointColumns, training: _Rows | None) -> CombinedNomogram:
    """Fit the nomogram on the labelled rows of the training table.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID``, ``CLINICAL_INVALID`` or ``NOMOGRAM_FIT``.
    """
    rows = _needs_training(training, f"the nomogram {plan.name}")
    found = read_endpoint(rows, replace(where, threshold=0.0), None)
    return fit_logistic_nomogram(
        plan.name,
        {covariate.column: [cells(rows, covariate.column)[row] for row in found.rows] for covariate in plan.columns},
        found.positive,
        log_odds=[where.score] if found.is_probability else [],
        levels=[covariate.column for covariate in plan.columns if covariate.levels],
        trained_on="the training table",
    )


def apply_to_endpoint(model: CombinedNomogram, endpoint: Endpoint, rows: _Rows) -> Endpoint:
    """The cases of an endpoint with the probability and the decision of a nomogram."""
    table = {predictor.name: cells(rows, predictor.name) for predictor in model.predictors}
    total = model.linear_predictor(table)[list(endpoint.rows)]
    cut = float(model.probability(model.threshold))
    return replace(
        endpoint,
        name=f"{endpoint.name}, {model.name}",
        score=model.probability(total),
        called=np.asarray(total >= model.threshold),
        rule=f"probability of {cut:.3g} or more (Youden, training)",
        is_probability=True,
    )
