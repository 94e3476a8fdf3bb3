"""Two models on the same cases: paired differences, DeLong and McNemar, as values ready for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from gastromap.evaluation.agreement import mcnemar
from gastromap.evaluation.bootstrap import resample, stage_metrics
from gastromap.evaluation.delong import compare_auc
from gastromap.evaluation.endpoint import endpoint_metrics, stage_endpoint
from gastromap.evaluation.endpoint_report import roc_points
from gastromap.evaluation.report import json_number, with_intervals
from gastromap.evaluation.stages import STAGES
from gastromap.evaluation.table import StagePredictions, refuse

__all__ = ["comparison_report", "match_cases"]

#: Metrics of the whole cohort that are compared; those by stage stand in the tables of each model.
_COMPARED = (
    "accuracy",
    "auc.macro",
    "kappa.linear",
    "kappa.quadratic",
    "ordinal_mae",
    "ordinal_c_index",
    "brier",
    "calibration_error",
)
_COMPARED_OF_ENDPOINT = (
    "auc",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "over_treatment",
    "under_treatment",
    "brier",
)


def match_cases(first: StagePredictions, second: StagePredictions) -> StagePredictions:
    """Bring the rows of the second table into the order of the first.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID``: rows cannot be told apart, other cases, or another true stage.
    """
    keys = [_keys(first), _keys(second)]
    if set(keys[0]) != set(keys[1]):
        only = len(set(keys[0]) ^ set(keys[1]))
        refuse("the same cases in both tables", f"{only} in one only", "Leave out the cases that one has not.")
    place = {key: row for row, key in enumerate(keys[1])}
    order = np.asarray([place[key] for key in keys[0]])
    if not np.array_equal(first.labels, second.labels[order]):
        differ = int(np.sum(first.labels != second.labels[order]))
        refuse("the same true stages in both tables", f"others in {differ} cases", "Correct the truth.")
    return replace(
        second,
        labels=second.labels[order],
        predicted=second.predicted[order],
        probabilities=second.probabilities[order],
        patients=first.patients,
        cases=first.cases,
    )


def _keys(table: StagePredictions) -> tuple[str, ...]:
    keys = table.cases or table.patients
    if keys is None or len(set(keys)) != len(keys):
        refuse("a column that tells the cases apart", "none", "Name it with --case.")
    return keys


def comparison_report(
    first: StagePredictions,
    second: StagePredictions,
    *,
    names: tuple[str, str],
    positive: Sequence[str],
    resamples: int,
    level: float,
    seed: int,
) -> dict[str, Any]:
    """Differences, first minus second, of two models on the same cases.

    Parameters
    ----------
    first, second : StagePredictions
        In the same order, see :func:`match_cases`.
    names : tuple of str
    positive : sequence of str
        Stages of the binary endpoint.
    resamples, level, seed
        Of the paired bootstrap by patient.

    Returns
    -------
    dict
        ``metrics`` and ``endpoint`` hold ``first``, ``second`` and ``difference`` (``value``, ``low``, ``high``) by
        name; ``delong`` the tests of the areas; ``mcnemar`` that of the accuracy. p values are not adjusted.
    """
    tables = (first, second)
    endpoints = tuple(stage_endpoint(table, positive=positive) for table in tables)

    def stages(weights: Any = None) -> list[dict[str, Any]]:
        return [stage_metrics(table.labels, table.predicted, table.probabilities, weights) for table in tables]

    def binary(weights: Any = None) -> list[dict[str, Any]]:
        return [endpoint_metrics(endpoint, weights) for endpoint in endpoints]

    options: dict[str, Any] = {"units": first.units, "resamples": resamples, "level": level, "seed": seed}
    patients = first.patients
    areas = {
        stage: compare_auc(
            first.probabilities[:, k], second.probabilities[:, k], first.labels == k, patients, level=level
        )
        for k, stage in enumerate(STAGES)
    }
    areas[endpoints[0].name] = compare_auc(
        endpoints[0].score, endpoints[1].score, endpoints[0].positive, patients, level=level
    )
    test = mcnemar(*(table.predicted == table.labels for table in tables))
    return {
        "names": list(names),
        "metrics": _paired(stages, _COMPARED, **options),
        "endpoint_name": endpoints[0].name,
        "endpoint": _paired(binary, _COMPARED_OF_ENDPOINT, **options),
        "delong": {
            name: {key: json_number(value) for key, value in asdict(area).items()} for name, area in areas.items()
        },
        "mcnemar": asdict(test),
        "roc": [roc_points(endpoint.score, endpoint.positive) for endpoint in endpoints],
    }


def _paired(
    statistic: Any, names: Sequence[str], *, units: Sequence[str], resamples: int, level: float, seed: int
) -> dict[str, Any]:
    def differences(weights: Any) -> dict[str, Any]:
        one, two = statistic(weights)
        return {name: one[name] - two[name] for name in names}

    one, two = statistic()
    drawn = resample(differences, units, resamples=resamples, seed=seed)
    found = with_intervals({name: one[name] - two[name] for name in names}, drawn, level=level)
    return {
        name: {
            "first": json_number(float(one[name])),
            "second": json_number(float(two[name])),
            "difference": found[name],
        }
        for name in names
    }
