"""Several scores of one label side by side: DeLong between them, and each in subgroups; values ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gastromap.evaluation.bootstrap import resample
from gastromap.evaluation.delong import compare_auc
from gastromap.evaluation.endpoint import Endpoint, endpoint_metrics
from gastromap.evaluation.report import json_number, with_intervals
from gastromap.evaluation.subgroups import Subgroup, split_rows

__all__ = ["compare_endpoints", "endpoint_subgroups"]

_METRICS = ("auc", "sensitivity", "specificity")


def compare_endpoints(endpoints: Sequence[Endpoint], *, level: float) -> list[dict[str, Any]]:
    """DeLong test of each two scores of the same label on the same rows; p values are not adjusted."""
    found = []
    for first, second in combinations(endpoints, 2):
        if not first.rows or first.rows != second.rows or not np.array_equal(first.positive, second.positive):
            continue
        patients = first.units if first.by_patient else None
        area = compare_auc(first.score, second.score, first.positive, patients, level=level)
        values = {key: json_number(value) for key, value in asdict(area).items()}
        found.append({"names": [first.name, second.name], **values})
    return found


def endpoint_subgroups(
    endpoints: Sequence[Endpoint],
    rows: Sequence[Mapping[str, Any]],
    by: Subgroup,
    *,
    resamples: int,
    level: float,
    seed: int,
) -> dict[str, Any]:
    """AUC, sensitivity and specificity of each endpoint in each group, intervals resampled by patient.

    Returns
    -------
    dict
        ``column`` and ``levels``, each with ``level``, ``endpoint``, ``rows``, ``positive`` and ``metrics``.
    """
    levels = []
    for name, use in split_rows(rows, by).items():
        for endpoint in endpoints:
            part = _part(endpoint, use)
            if not len(part.positive):
                continue

            def values(weights: Any = None, part: Endpoint = part) -> dict[str, Any]:
                found = endpoint_metrics(part, weights)
                return {metric: found[metric] for metric in _METRICS}

            drawn = resample(values, part.units, resamples=resamples, seed=seed)
            entry = {"level": name, "endpoint": endpoint.name, "rows": len(part.positive)}
            entry["positive"] = int(part.positive.sum())
            levels.append(entry | {"metrics": with_intervals(values(), drawn, level=level)})
    return {"column": by.column, "levels": levels}


def _part(endpoint: Endpoint, use: NDArray[np.bool_]) -> Endpoint:
    kept = use[list(endpoint.rows)]
    return replace(
        endpoint,
        positive=endpoint.positive[kept],
        score=endpoint.score[kept],
        called=endpoint.called[kept],
        units=tuple(unit for unit, used in zip(endpoint.units, kept, strict=True) if used),
        rows=tuple(row for row, used in zip(endpoint.rows, kept, strict=True) if used),
    )
