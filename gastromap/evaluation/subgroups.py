"""Metrics in the groups of a column: levels of text, ranges of numbers. Values ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gastromap.evaluation.bootstrap import resample, stage_metrics
from gastromap.evaluation.endpoint import endpoint_metrics, stage_endpoint
from gastromap.evaluation.report import with_intervals
from gastromap.evaluation.table import StagePredictions, column, is_empty, numbers, refuse

__all__ = ["Subgroup", "split_rows", "subgroup_report"]

_MOST_LEVELS = 12
_UNKNOWN = "unknown"
_STAGE_METRICS = ("accuracy", "auc.macro", "kappa.quadratic", "ordinal_mae", "calibration_error")
_ENDPOINT_METRICS = ("auc", "sensitivity", "specificity")


@dataclass(frozen=True)
class Subgroup:
    """A column to split by; `cuts` split numbers, each cut belonging to the upper group."""

    column: str
    cuts: tuple[float, ...] = ()


def split_rows(rows: Sequence[Mapping[str, Any]], by: Subgroup) -> dict[str, NDArray[np.bool_]]:
    """Rows of each group; empty cells are a group of their own.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID``: no such column, text where numbers are cut, or more than twelve levels.
    """
    if by.cuts:
        values, cuts = numbers(rows, by.column), sorted(by.cuts)
        place = np.searchsorted(cuts, values, side="right")
        names = [f"below {cuts[0]:g}", *(f"{a:g} to below {b:g}" for a, b in pairwise(cuts))]
        names.append(f"{cuts[-1]:g} or more")
        groups = {name: (place == k) & ~np.isnan(values) for k, name in enumerate(names)}
        groups[_UNKNOWN] = np.isnan(values)
    else:
        cells = [_UNKNOWN if is_empty(cell) else str(cell) for cell in column(rows, by.column)]
        levels = sorted(set(cells), key=lambda level: (level == _UNKNOWN, level))
        if len(levels) > _MOST_LEVELS:
            refuse(
                f"at most {_MOST_LEVELS} levels in column {by.column}",
                f"{len(levels)}",
                f"Give cuts, for example {by.column}:50,70, or another column.",
            )
        groups = {level: np.asarray([cell == level for cell in cells]) for level in levels}
    return {name: rows_of for name, rows_of in groups.items() if rows_of.any()}


def subgroup_report(
    cases: StagePredictions,
    rows: Sequence[Mapping[str, Any]],
    by: Subgroup,
    *,
    positive: Sequence[str],
    resamples: int,
    level: float,
    seed: int,
) -> dict[str, Any]:
    """Metrics of each group with intervals resampled by patient within the group.

    Parameters
    ----------
    cases : StagePredictions
    rows : sequence of mapping
        The table of the cases.
    by : Subgroup
    positive : sequence of str
        Stages of the binary endpoint.
    resamples, level, seed
        Of the bootstrap.

    Returns
    -------
    dict
        ``column`` and ``levels``, each with its size and ``metrics`` (those of the endpoint as ``endpoint.auc`` …).
    """
    levels = []
    for name, use in split_rows(rows, by).items():
        part = _part(cases, use)
        endpoint = stage_endpoint(part, positive=positive)

        def values(weights: Any = None, part: Any = part, endpoint: Any = endpoint) -> dict[str, Any]:
            found = stage_metrics(part.labels, part.predicted, part.probabilities, weights)
            binary = endpoint_metrics(endpoint, weights)
            return {metric: found[metric] for metric in _STAGE_METRICS} | {
                f"endpoint.{metric}": binary[metric] for metric in _ENDPOINT_METRICS
            }

        drawn = resample(values, part.units, resamples=resamples, seed=seed)
        levels.append(
            {
                "level": name,
                "rows": int(use.sum()),
                "patients": None if part.patients is None else len(set(part.patients)),
                "metrics": with_intervals(values(), drawn, level=level),
            }
        )
    return {"column": by.column, "levels": levels}


def _part(cases: StagePredictions, use: NDArray[np.bool_]) -> StagePredictions:
    kept = np.flatnonzero(use)
    return replace(
        cases,
        labels=cases.labels[use],
        predicted=cases.predicted[use],
        probabilities=cases.probabilities[use],
        patients=None if cases.patients is None else tuple(cases.patients[k] for k in kept),
        cases=None if cases.cases is None else tuple(cases.cases[k] for k in kept),
    )
