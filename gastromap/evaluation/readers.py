"""Reader study: readers alone, readers with the model, the model; and how far readers agree. Ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gastromap.evaluation.agreement import cohen_kappa, fleiss_kappa, mcnemar
from gastromap.evaluation.bootstrap import resample
from gastromap.evaluation.delong import compare_auc
from gastromap.evaluation.endpoint import stage_endpoint
from gastromap.evaluation.metrics import accuracy, class_rates, confusion_matrix, ordinal_mae, weighted_kappa
from gastromap.evaluation.ranking import binary_auc
from gastromap.evaluation.report import json_number, with_intervals
from gastromap.evaluation.stages import STAGES
from gastromap.evaluation.table import StagePredictions, refuse

__all__ = ["Reads", "reader_metrics", "reader_report"]

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reads:
    """Stages of one reader; -1 where there is none."""

    alone: NDArray[np.int64]  #: shape (n,)
    assisted: NDArray[np.int64] | None = None  #: with the model in view


def reader_metrics(
    labels: NDArray[np.int64], read: NDArray[np.int64], advanced: Sequence[int], weights: _Array | None = None
) -> dict[str, _Array]:
    """Figures of stages that a person or the model gave.

    Parameters
    ----------
    labels, read : array of int, shape (n,)
    advanced : sequence of int
        Stages that are positive in the binary endpoint.
    weights : array, shape (…, n), optional

    Returns
    -------
    dict of array, shape (…)
        ``accuracy``, ``kappa`` (quadratic, with the truth), ``ordinal_mae``, ``sensitivity``, ``specificity``,
        ``ppv``, ``npv`` of the endpoint, ``sensitivity.T1`` … of the stages.
    """
    confusion = confusion_matrix(labels, read, stages=len(STAGES), weights=weights)
    truth, called = np.isin(labels, advanced).astype(np.int64), np.isin(read, advanced).astype(np.int64)
    rates = class_rates(confusion_matrix(truth, called, stages=2, weights=weights))
    values = {
        "accuracy": accuracy(confusion),
        "kappa": weighted_kappa(confusion, weights="quadratic"),
        "ordinal_mae": ordinal_mae(confusion),
        **{name: rate[..., 1] for name, rate in rates.items()},
    }
    sensitivity = class_rates(confusion)["sensitivity"]
    return values | {f"sensitivity.{stage}": sensitivity[..., k] for k, stage in enumerate(STAGES)}


def reader_report(
    cases: StagePredictions,
    readers: Mapping[str, Reads],
    *,
    positive: Sequence[str],
    resamples: int,
    level: float,
    seed: int,
) -> dict[str, Any]:
    """Tables of a reader study, on the cases that every reader has read.

    Parameters
    ----------
    cases : StagePredictions
        Truth and the model.
    readers : mapping of Reads
        By name.
    positive : sequence of str
        Stages of the binary endpoint.
    resamples, level, seed
        Of the paired bootstrap by patient; readers are taken as fixed, so nothing is said of other readers.

    Returns
    -------
    dict
        ``rows`` (one a reader and condition, ``mean`` over readers, the model), ``changes`` (with the model minus
        alone), ``against_model`` (area of the endpoint with the stage as score, DeLong) and ``agreement``.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID`` where no case was read by all.
    """
    if {"model", "mean"} & set(readers):
        refuse("readers with names of their own", "model or mean", "Rename the reader.")
    columns = [read for reads in readers.values() for read in (reads.alone, reads.assisted) if read is not None]
    use = np.all([read >= 0 for read in columns], axis=0)
    if not use.any():
        refuse("cases that all readers read", "none", "Check the columns of the readers.")
    labels, units = cases.labels[use], [unit for unit, used in zip(cases.units, use, strict=True) if used]
    advanced = [STAGES.index(stage) for stage in positive]
    reads = {("model", "model"): cases.predicted[use]}
    for name, given in readers.items():
        reads[name, "alone"] = given.alone[use]
        if given.assisted is not None:
            reads[name, "with model"] = given.assisted[use]

    def all_values(weights: _Array | None = None) -> dict[str, _Array]:
        found = {
            (name, condition, metric): value
            for (name, condition), read in reads.items()
            for metric, value in reader_metrics(labels, read, advanced, weights).items()
        }
        return _with_means_and_changes(found, list(readers))

    drawn = resample(all_values, units, resamples=resamples, seed=seed)
    entries = with_intervals(all_values(), drawn, level=level)
    endpoint = stage_endpoint(cases, positive=positive)
    patients = None if cases.patients is None else units
    score = endpoint.score[use]
    return {
        "cases": int(use.sum()),
        "left_out": int(np.count_nonzero(~use)),
        "endpoint_name": endpoint.name,
        "rows": _table(entries, conditions=("alone", "with model", "model")),
        "changes": _table(entries, conditions=("change",), tests=_changes(reads, labels, readers)),
        "points": [
            {"name": name, "condition": condition, **_point(labels, read, advanced)}
            for (name, condition), read in reads.items()
        ],
        "against_model": [
            {
                "name": name,
                "condition": condition,
                **{
                    key: json_number(value)
                    for key, value in asdict(
                        compare_auc(score, _rank(read, advanced), endpoint.positive[use], patients, level=level)
                    ).items()
                },
            }
            for (name, condition), read in reads.items()
            if name != "model" and _ranks(advanced)
        ],
        "model_auc": json_number(float(binary_auc(score, endpoint.positive[use]))),
        "agreement": _agreement(readers, use, level),
    }


def _ranks(advanced: Sequence[int]) -> bool:
    """Whether a higher stage always speaks for the endpoint, so that the stage itself can be the score."""
    return list(advanced) == list(range(min(advanced), len(STAGES)))


def _rank(read: NDArray[np.int64], advanced: Sequence[int]) -> _Array:
    return read.astype(float) if _ranks(advanced) else np.isin(read, advanced).astype(float)


def _key(name: str, condition: str, metric: str) -> str:
    # A tab cannot stand in a name that came from the command line or a column.
    return f"{name}\t{condition}\t{metric}"


def _with_means_and_changes(found: Mapping[tuple[str, str, str], _Array], names: Sequence[str]) -> dict[str, _Array]:
    values = {_key(*key): value for key, value in found.items()}
    metrics = {metric for _, _, metric in found}
    for metric in metrics:
        both = [name for name in names if (name, "with model", metric) in found]
        for name in both:
            change = found[name, "with model", metric] - found[name, "alone", metric]
            values[_key(name, "change", metric)] = change
        if len(names) > 1:
            values[_key("mean", "alone", metric)] = np.mean([found[n, "alone", metric] for n in names], axis=0)
        if len(both) > 1:
            mean = np.mean([found[n, "with model", metric] for n in both], axis=0)
            alone = np.mean([found[n, "alone", metric] for n in both], axis=0)
            values[_key("mean", "with model", metric)] = mean
            values[_key("mean", "change", metric)] = mean - alone
    return values


def _table(
    entries: Mapping[str, Any], *, conditions: Sequence[str], tests: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for key, entry in entries.items():
        name, condition, metric = key.split("\t")
        if condition in conditions:
            rows.setdefault((condition, name), {})[metric] = entry
    ordered = sorted(rows, key=lambda pair: (conditions.index(pair[0]), pair[1] == "mean"))
    return [
        {"name": name, "condition": condition, "metrics": rows[condition, name], **((tests or {}).get(name) or {})}
        for condition, name in ordered
    ]


def _changes(
    reads: Mapping[tuple[str, str], NDArray[np.int64]], labels: NDArray[np.int64], names: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        name: {"mcnemar": asdict(mcnemar(reads[name, "with model"] == labels, reads[name, "alone"] == labels))}
        for name in names
        if (name, "with model") in reads
    }


def _point(labels: NDArray[np.int64], read: NDArray[np.int64], advanced: Sequence[int]) -> dict[str, float | None]:
    found = reader_metrics(labels, read, advanced)
    return {
        "false_positive_rate": json_number(1 - float(found["specificity"])),
        "sensitivity": json_number(float(found["sensitivity"])),
    }


def _agreement(readers: Mapping[str, Reads], use: NDArray[np.bool_], level: float) -> dict[str, Any]:
    result = {}
    for condition, attribute in (("alone", "alone"), ("with model", "assisted")):
        given = {name: getattr(reads, attribute) for name, reads in readers.items()}
        stages = {name: read[use] for name, read in given.items() if read is not None}
        if len(stages) < 2:
            continue
        result[condition] = {
            "fleiss": json_number(fleiss_kappa(np.stack(list(stages.values()), axis=1))),
            "pairs": [
                {"first": a, "second": b}
                | {
                    key: json_number(value)
                    for key, value in asdict(cohen_kappa(stages[a], stages[b], level=level)).items()
                }
                for a, b in combinations(stages, 2)
            ],
        }
    return result
