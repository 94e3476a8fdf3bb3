"""The whole evaluation of a predictions table as one value ready for JSON."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import gastromap
from gastromap.errors import UsageError
from gastromap.evaluation.comparison import comparison_report, match_cases
from gastromap.evaluation.delong import delong
from gastromap.evaluation.endpoint import EndpointColumns, read_endpoint, stage_endpoint
from gastromap.evaluation.endpoint_report import endpoint_report, roc_points
from gastromap.evaluation.readers import Reads, reader_report
from gastromap.evaluation.reliability import confidence_bins
from gastromap.evaluation.report import check_resampling, json_number, stage_report
from gastromap.evaluation.stages import STAGES
from gastromap.evaluation.subgroups import Subgroup, subgroup_report
from gastromap.evaluation.table import (
    Columns,
    StagePredictions,
    column,
    parse_predictions,
    read_rows,
    refuse,
    stage_reads,
)

__all__ = ["FORMAT", "EvaluationPlan", "evaluate_table"]

FORMAT = "gastromap-evaluation/1"
_SOFTWARE = ("numpy", "scipy", "scikit-learn", "statsmodels", "matplotlib")


@dataclass(frozen=True)
class EvaluationPlan:
    """What is asked of a table."""

    columns: Columns = field(default_factory=Columns)
    positive: tuple[str, ...] = ("T3", "T4")  #: stages of the first binary endpoint
    endpoints: tuple[EndpointColumns, ...] = ()  #: further ones, from columns of their own
    readers: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)  #: name: column alone, with the model
    subgroups: tuple[Subgroup, ...] = ()
    names: tuple[str, str] = ("model", "second model")  #: of the table and of the one it is compared with
    resamples: int = 1000
    level: float = 0.95
    seed: int = 0


def evaluate_table(
    predictions: Path | Iterable[Mapping[str, Any]],
    plan: EvaluationPlan,
    *,
    versus: Path | Iterable[Mapping[str, Any]] | None = None,
    title: str = "Evaluation",
    created: str = "",
) -> dict[str, Any]:
    """Evaluate stages, endpoints, readers and subgroups of a table, and compare it with a second one.

    Parameters
    ----------
    predictions : Path or rows
        One row a case; a table without stages needs an endpoint.
    plan : EvaluationPlan
    versus : Path or rows, optional
        The same cases by another model, with the same column names.
    title, created : str
        Heading and date of the page; neither may hold patient data.

    Returns
    -------
    dict
        Ready for JSON: ``stages`` (or None), ``endpoints``, ``comparison``, ``readers`` (or None), ``subgroups``,
        ``bundle`` (None; a bundle run puts its own figures there), ``notes``, ``plan``, ``software``.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID`` or ``STAGE_INVALID``.
    """
    check_resampling(plan.resamples, plan.level)
    options: dict[str, Any] = {"resamples": plan.resamples, "level": plan.level, "seed": plan.seed}
    rows = _rows(predictions)
    cases = _stages(rows, plan)
    endpoints = [] if cases is None else [stage_endpoint(cases, positive=plan.positive)]
    patients = _patients(rows, plan) if cases is None else cases.patients
    endpoints += [read_endpoint(rows, where, patients) for where in plan.endpoints]
    report: dict[str, Any] = {
        "format": FORMAT,
        "title": title,
        "created": created,
        "stages": None if cases is None else _stage_part(cases, **options),
        "endpoints": [endpoint_report(endpoint, **options) for endpoint in endpoints],
        "comparison": None,
        "readers": None,
        "subgroups": [],
        "bundle": None,
        "notes": [],
        "plan": asdict(plan),
        "software": _software(),
    }
    wanted = versus is not None or plan.readers or plan.subgroups
    if cases is None:
        if wanted:
            refuse("stages, for a comparison, readers or subgroups", "none", "Name the stage columns.")
    else:
        report |= _further_parts(cases, rows, plan, versus, options)
    report["notes"] = _notes(patients, len(rows), report["stages"])
    return report


def _rows(table: Path | Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    rows = list(read_rows(table) if isinstance(table, Path) else table)
    if not rows:
        refuse("one row a case", "an empty table", "Give the predictions.")
    return rows


def _stages(rows: Sequence[Mapping[str, Any]], plan: EvaluationPlan) -> StagePredictions | None:
    named = plan.columns.truth is not None or plan.columns.probabilities is not None
    try:
        return parse_predictions(rows, plan.columns)
    except UsageError as error:
        # Without a column of stages the table may be one of endpoints only; a bad cell is a bad cell.
        if named or not plan.endpoints or error.expected != "the columns stage and prob_T1 … prob_T4":
            raise
        return None


def _patients(rows: Sequence[Mapping[str, Any]], plan: EvaluationPlan) -> tuple[str, ...] | None:
    name = plan.columns.patient or next((name for name in ("PatientID", "patient_id") if name in rows[0]), None)
    return None if name is None else tuple(str(cell) for cell in column(rows, name))


def _stage_part(cases: StagePredictions, **options: Any) -> dict[str, Any]:
    areas = {
        stage: delong(cases.probabilities[:, k], cases.labels == k, cases.patients, level=options["level"])
        for k, stage in enumerate(STAGES)
    }
    return stage_report(cases, **options) | {
        "delong": {
            stage: {key: json_number(value) for key, value in asdict(area).items()} for stage, area in areas.items()
        },
        "roc": {stage: roc_points(cases.probabilities[:, k], cases.labels == k) for k, stage in enumerate(STAGES)},
        "confidence_bins": confidence_bins(cases.probabilities, cases.labels),
    }


def _further_parts(
    cases: StagePredictions,
    rows: Sequence[Mapping[str, Any]],
    plan: EvaluationPlan,
    versus: Path | Iterable[Mapping[str, Any]] | None,
    options: dict[str, Any],
) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    if versus is not None:
        second = match_cases(cases, parse_predictions(_rows(versus), plan.columns))
        parts["comparison"] = comparison_report(cases, second, names=plan.names, positive=plan.positive, **options)
    if plan.readers:
        reads = {
            name: Reads(stage_reads(rows, alone), None if assisted is None else stage_reads(rows, assisted))
            for name, (alone, assisted) in plan.readers.items()
        }
        parts["readers"] = reader_report(cases, reads, positive=plan.positive, **options)
    parts["subgroups"] = [subgroup_report(cases, rows, by, positive=plan.positive, **options) for by in plan.subgroups]
    return parts


def _notes(patients: Sequence[str] | None, rows: int, stages: Mapping[str, Any] | None) -> list[str]:
    notes = list(stages["notes"]) if stages else []
    if patients is None and not stages:
        notes.append("No patient identifier: each row counted as a patient; the intervals are too narrow for slices.")
    if patients is not None and len(set(patients)) < rows:
        notes.append(
            f"{rows} rows of {len(set(patients))} patients: estimates count rows, intervals are resampled by patient."
        )
    return notes


def _software() -> dict[str, str]:
    found = {"gastromap": gastromap.__version__, "python": platform.python_version()}
    return found | {name: metadata.version(name) for name in _SOFTWARE}
