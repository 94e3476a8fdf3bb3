"""Follow-up, death and predictions of a cohort as arrays, read from a table whose columns the user names.

A message names a column or the number of a row and never quotes a cell: a cell can hold a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gastromap.evaluation.endpoint import outcomes
from gastromap.evaluation.survival.curves import SurvivalCurves
from gastromap.evaluation.table import column, is_empty, match_rows, numbers, patients_of, refuse

__all__ = [
    "ModelColumns",
    "RiskModel",
    "SurvivalCases",
    "SurvivalColumns",
    "cells",
    "deaths_known",
    "parse_months",
    "read_survival",
    "survival_rows",
]

_TIME, _DEATH, _RISK = "os_months", "death", "os_risk"
_USUAL_SURVIVAL = "s"


@dataclass(frozen=True)
class ModelColumns:
    """Columns of one model."""

    name: str
    risk: str = _RISK
    expected_time: bool = False  #: the column holds expected survival time: higher is later, negated on import
    survival: Mapping[float, str] | str | None = None  #: S(t) by month, or the prefix of the columns (s: s12, s24 …)
    threshold: float | None = None  #: high risk above it, on the risk scale; else the median of the training table


@dataclass(frozen=True)
class SurvivalColumns:
    """Columns of a table that say who died when."""

    time: str = _TIME  #: months
    death: str = _DEATH
    dead: tuple[str, ...] = ()  #: cells that mean death; without them 1/0, yes/no, true/false


@dataclass(frozen=True)
class RiskModel:
    """Predictions of one model."""

    name: str
    risk: NDArray[np.float64]  #: shape (n,), higher means earlier death
    curves: SurvivalCurves | None = None  #: S(t) of each patient, where the table has it
    threshold: float | None = None  #: high risk above it, from training


@dataclass(frozen=True)
class SurvivalCases:
    """Patients with known follow-up and a risk by every model."""

    time: NDArray[np.float64]  #: months, shape (n,), 0 or more
    death: NDArray[np.bool_]  #: shape (n,)
    models: tuple[RiskModel, ...]
    rows: NDArray[np.int64]  #: of the table, shape (n,)
    left_out: int = 0  #: rows without follow-up, status or a prediction
    notes: tuple[str, ...] = ()  #: sentences the reader must see

    def part(self, use: NDArray[np.bool_]) -> SurvivalCases:
        """Cases of a subgroup."""
        models = tuple(
            replace(
                model,
                risk=model.risk[use],
                curves=None if model.curves is None else model.curves.part(use),
            )
            for model in self.models
        )
        return replace(
            self,
            time=self.time[use],
            death=self.death[use],
            models=models,
            rows=self.rows[use],
        )


def survival_rows(rows: Sequence[Mapping[str, Any]], columns: SurvivalColumns, model: ModelColumns) -> bool:
    """Whether the table has the columns of follow-up and risk."""
    return bool(rows) and {columns.time, columns.death, model.risk} <= set(rows[0])


def deaths_known(rows: Sequence[Mapping[str, Any]], columns: SurvivalColumns) -> int:
    """Deaths among the patients whose follow-up is known.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID``.
    """
    time, death = _follow_up(rows, columns)
    return int(np.count_nonzero(death[~np.isnan(time)] == 1))


def _follow_up(
    rows: Sequence[Mapping[str, Any]], columns: SurvivalColumns
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    time = numbers(rows, columns.time)
    negative = np.flatnonzero(time < 0)
    if len(negative):
        refuse(f"months of 0 or more in column {columns.time}", f"less in row {negative[0] + 1}", "Correct the time.")
    found = outcomes(rows, columns.death, columns.dead)
    return time, np.asarray([np.nan if value is None else float(value) for value in found])


def _survival_columns(rows: Sequence[Mapping[str, Any]], model: ModelColumns) -> dict[float, str]:
    wanted = model.survival
    if isinstance(wanted, Mapping):
        return {float(month): name for month, name in sorted(wanted.items())}
    prefix = _USUAL_SURVIVAL if wanted is None else wanted
    pattern = re.compile(re.escape(prefix) + r"(\d+(?:\.\d+)?)")
    found = {float(match[1]): name for name in rows[0] if (match := pattern.fullmatch(str(name)))}
    if wanted is not None and not found:
        refuse(f"columns {prefix}12, {prefix}24 and so on", "none", "Name the columns of S(t), or leave them out.")
    return dict(sorted(found.items()))


def _curves(rows: Sequence[Mapping[str, Any]], model: ModelColumns) -> SurvivalCurves | None:
    names = _survival_columns(rows, model)
    if not names:
        return None
    months, values = list(names), np.stack([numbers(rows, name) for name in names.values()], axis=1)
    if months[0] <= 0:
        refuse("months above 0 for S(t)", "0", "S(0) is 1 and needs no column.")
    bad = np.flatnonzero(np.any((values < 0) | (values > 1) | (np.diff(values, axis=1, prepend=1.0) > 1e-6), axis=1))
    if len(bad):
        refuse(
            f"S(t) between 0 and 1 that does not rise, in columns {', '.join(names.values())}",
            f"others in row {bad[0] + 1}",
            "Give survival, not risk of death.",
        )
    return SurvivalCurves(np.asarray(months), values)


def _model(rows: Sequence[Mapping[str, Any]], columns: ModelColumns) -> RiskModel:
    risk = numbers(rows, columns.risk)
    return RiskModel(columns.name, -risk if columns.expected_time else risk, _curves(rows, columns), columns.threshold)


def read_survival(
    rows: Sequence[Mapping[str, Any]],
    columns: SurvivalColumns,
    models: Sequence[ModelColumns],
    *,
    patient: str | None = None,
    further: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> SurvivalCases:
    """Check the survival part of a table.

    Parameters
    ----------
    rows : sequence of mapping
        One row a patient.
    columns : SurvivalColumns
    models : sequence of ModelColumns
        Models of this table.
    patient : str, optional
        Column of the patient; usual: ``PatientID``, ``patient_id``.
    further : mapping of rows, optional
        Tables of the same patients by other inputs (baseline only, shuffled follow-up) with the same column names;
        the key becomes the model's name.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID``: a column or cell, a patient with several rows, tables of different patients, or no
        death among those with follow-up.

    Notes
    -----
    A row without follow-up, status or one of the risks is left out and counted: models are compared on the same
    patients. A time of 0 stays.
    """
    ids = patients_of(rows, patient)
    if ids is not None and len(set(ids)) != len(ids):
        refuse("one row a patient for survival", "patients with several rows", "Keep one row a patient.")
    time, death = _follow_up(rows, columns)
    found = [_model(rows, model) for model in models]
    for name, other in (further or {}).items():
        first = models[0] if models else ModelColumns("")
        found.append(_model(match_rows(rows, other, patient, name), replace(first, name=name, threshold=None)))
    if len({model.name for model in found}) != len(found):
        refuse("each model name once", "a name twice", "Rename a model.")
    use = ~np.isnan(time) & ~np.isnan(death)
    for model in found:
        use &= ~np.isnan(model.risk)
        if model.curves is not None:
            use &= ~np.isnan(model.curves.values).any(axis=1)
    if not np.any(death[use] == 1):
        refuse("patients who died", "none with follow-up", f"Check the column {columns.death}.")
    everyone = SurvivalCases(
        np.where(use, time, 0.0), np.where(use, death, 0.0) == 1, tuple(found), np.arange(len(rows))
    )
    zero = int(np.count_nonzero(time[use] == 0))
    notes = (f"{zero} patients have a follow-up of 0 months; they stay.",) if zero else ()
    return replace(everyone.part(use), left_out=int(np.count_nonzero(~use)), notes=notes)


def parse_months(text: str) -> Mapping[float, str] | str:
    """``12:p12,36:p36`` as columns by month; anything else is a prefix."""
    if ":" not in text:
        return text.strip()
    pairs = [part.partition(":") for part in text.split(",")]
    try:
        found = {float(month): name.strip() for month, _, name in pairs}
    except ValueError:
        refuse("MONTH:COLUMN,MONTH:COLUMN", "another form", "See gastromap evaluate --help.")
    if len(found) != len(pairs) or is_empty(min(found.values())):
        refuse("MONTH:COLUMN,MONTH:COLUMN", "another form", "See gastromap evaluate --help.")
    return found


def cells(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """Cells of a column with None for empty ones."""
    return [None if is_empty(cell) else cell for cell in column(rows, name)]
