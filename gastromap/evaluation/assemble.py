"""The whole evaluation of a predictions table as one value ready for JSON."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import gastromap
from gastromap.errors import UsageError
from gastromap.evaluation.comparison import comparison_report, match_cases
from gastromap.evaluation.delong import delong
from gastromap.evaluation.endpoint import Endpoint, EndpointColumns, read_endpoint, stage_endpoint
from gastromap.evaluation.endpoint_pairs import compare_endpoints, endpoint_subgroups
from gastromap.evaluation.endpoint_report import endpoint_report, roc_points
from gastromap.evaluation.endpoint_training import EndpointNomogram, apply_to_endpoint, fit_for_endpoint, with_youden
from gastromap.evaluation.readers import Reads, reader_report
from gastromap.evaluation.reliability import confidence_bins
from gastromap.evaluation.report import check_resampling, json_number, stage_report
from gastromap.evaluation.stages import STAGES
from gastromap.evaluation.subgroups import Subgroup, subgroup_report
from gastromap.evaluation.survival.report import SurvivalPlan, survival_report
from gastromap.evaluation.table import (
    Columns,
    StagePredictions,
    column,
    match_rows,
    parse_predictions,
    read_rows,
    refuse,
    stage_reads,
)

__all__ = ["FORMAT", "EvaluationPlan", "evaluate_table"]

FORMAT = "gastromap-evaluation/1"
_SOFTWARE = ("numpy", "scipy", "scikit-learn", "statsmodels", "matplotlib")
_SOFTWARE_OF_SURVIVAL = ("scikit-survival",)

_Table = Path | Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class EvaluationPlan:
    """What is asked of a table."""

    columns: Columns = field(default_factory=Columns)
    positive: tuple[str, ...] = ("T3", "T4")  #: stages of the first binary endpoint
    endpoints: tuple[EndpointColumns, ...] = ()  #: further ones, from columns of their own
    endpoint_nomograms: tuple[EndpointNomogram, ...] = ()  #: fitted on the training table
    survival: SurvivalPlan | None = None
    readers: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)  #: name: column alone, with the model
    subgroups: tuple[Subgroup, ...] = ()
    names: tuple[str, str] = ("model", "second model")  #: of the table and of the one it is compared with
    resamples: int = 1000
    level: float = 0.95
    seed: int = 0


def evaluate_table(
    predictions: _Table,
    plan: EvaluationPlan,
    *,
    versus: _Table | None = None,
    training: _Table | None = None,
    further: Mapping[str, _Table] | None = None,
    title: str = "Evaluation",
    created: str = "",
) -> dict[str, Any]:
    """Evaluate stages, endpoints, survival, readers and subgroups of a table, and compare it with others.

    Parameters
    ----------
    predictions : Path or rows
        One row a case; a table without stages needs an endpoint or follow-up.
    plan : EvaluationPlan
    versus : Path or rows, optional
        The same cases by another model of the stages, with the same column names.
    training : Path or rows, optional
        Training table with the same column names, for cut-offs, replacements and nomograms.
    further : mapping of Path or rows, optional
        The same patients by other inputs (baseline only, shuffled follow-up), same column names; for survival and
        endpoints. The key names the model.
    title, created : str
        Heading and date of the page; neither may hold patient data.

    Returns
    -------
    dict
        Ready for JSON: ``stages`` (or None), ``endpoints``, ``endpoint_comparison``, ``endpoint_subgroups``,
        ``survival`` (or None), ``nomograms``, ``comparison``, ``readers`` (or None), ``subgroups``, ``bundle`` (None; a
        bundle run puts its own figures there), ``notes``, ``plan``, ``software``.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID``, ``STAGE_INVALID``, ``CLINICAL_INVALID`` or ``NOMOGRAM_FIT``.
    """
    check_resampling(plan.resamples, plan.level)
    options: dict[str, Any] = {"resamples": plan.resamples, "level": plan.level, "seed": plan.seed}
    rows, fitted_on = _rows(predictions), None if training is None else _rows(training)
    others = {name: _rows(table) for name, table in (further or {}).items()}
    cases = _stages(rows, plan)
    patients = _patients(rows, plan) if cases is None else cases.patients
    named, nomograms = _named_endpoints(rows, plan, patients, fitted_on, others)
    endpoints = [*([] if cases is None else [stage_endpoint(cases, positive=plan.positive)]), *named]
    survival = None
    if plan.survival is not None:
        survival = survival_report(
            rows,
            plan.survival,
            patient=plan.columns.patient,
            training=fitted_on,
            further=others,
            subgroups=plan.subgroups,
            **options,
        )
        nomograms = [*(survival["training"] or {}).get("nomograms", []), *nomograms]
    report: dict[str, Any] = {
        "format": FORMAT,
        "title": title,
        "created": created,
        "stages": None if cases is None else _stage_part(cases, **options),
        "endpoints": [endpoint_report(endpoint, **options) for endpoint in endpoints],
        "endpoint_comparison": compare_endpoints(named, level=plan.level),
        "endpoint_subgroups": [endpoint_subgroups(named, rows, by, **options) for by in plan.subgroups if named],
        "survival": survival,
        "nomograms": nomograms,
        "comparison": None,
        "readers": None,
        "subgroups": [],
        "bundle": None,
        "notes": [],
        "plan": asdict(plan),
        "software": _software(survival=survival is not None),
    }
    if cases is None:
        if versus is not None or plan.readers or (plan.subgroups and survival is None):
            refuse("stages, for a comparison, readers or subgroups", "none", "Name the stage columns.")
    else:
        report |= _further_parts(cases, rows, plan, versus, options)
    report["notes"] = _notes(patients, len(rows), report["stages"]) + (survival["notes"] if survival else [])
    return report


def _named_endpoints(
    rows: Sequence[Mapping[str, Any]],
    plan: EvaluationPlan,
    patients: Sequence[str] | None,
    training: Sequence[Mapping[str, Any]] | None,
    others: Mapping[str, Sequence[Mapping[str, Any]]],
) -> tuple[list[Endpoint], list[dict[str, Any]]]:
    """Endpoints of columns, those of the same columns in further tables, and nomograms of them."""
    found, nomograms = [], []
    for where in (with_youden(where, training) for where in plan.endpoints):
        endpoint = read_endpoint(rows, where, patients)
        found.append(endpoint)
        for name, other in others.items():
            matched = match_rows(rows, other, plan.columns.patient, name)
            found.append(read_endpoint(matched, replace(where, name=f"{where.name}, {name}"), patients))
        for wanted in (wanted for wanted in plan.endpoint_nomograms if wanted.endpoint == where.name):
            model = fit_for_endpoint(wanted, where, training)
            nomograms.append(model.to_json())
            found.append(apply_to_endpoint(model, endpoint, rows))
    unknown = {wanted.endpoint for wanted in plan.endpoint_nomograms} - {where.name for where in plan.endpoints}
    if unknown:
        refuse("an endpoint for each nomogram", "a nomogram of another", "Name the endpoint as in --endpoint.")
    return found, nomograms


def _rows(table: _Table) -> list[Mapping[str, Any]]:
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
        if (
            named
            or not (plan.endpoints or plan.survival)
            or error.expected != "the columns stage and prob_T1 … prob_T4"
        ):
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
    versus: _Table | None,
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


def _software(*, survival: bool) -> dict[str, str]:
    found = {"gastromap": gastromap.__version__, "python": platform.python_version()}
    return found | {name: metadata.version(name) for name in (*_SOFTWARE, *(_SOFTWARE_OF_SURVIVAL if survival else ()))}
