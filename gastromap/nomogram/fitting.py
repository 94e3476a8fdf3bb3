"""Fit the nomogram on a training cohort; needs statsmodels, which the application does not."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from gastromap.errors import UsageError
from gastromap.evaluation.stages import STAGES, stage_indices
from gastromap.nomogram.clinical import check_clinical
from gastromap.nomogram.model import COEFFICIENTS, SIZE_LIMIT_CM, NomogramModel
from gastromap.results import ClinicalVariables

__all__ = ["design_matrix", "fit_nomogram"]

_PREDICTORS = ("rad_score", "tumour_size_cm", "differentiation", "lauren")
#: Log-odds beyond this are a probability of 1e-9: the maximum has run away, not converged.
_LARGEST_LOG_ODDS = 20.0


def _refuse(expected: str, got: str, remedy: str) -> NoReturn:
    raise UsageError("NOMOGRAM_FIT", where="nomogram table", expected=expected, got=got, remedy=remedy)


def _blank(value: object) -> bool:
    # pandas.NA has no truth value; NaN is the only value unequal to itself.
    if value is None or type(value).__name__ == "NAType":
        return True
    return value != value or (isinstance(value, str) and not value.strip())


def _columns(table: Mapping[str, Sequence[Any]]) -> tuple[dict[str, list[Any]], int]:
    """Columns without incomplete rows, and how many rows were left out."""
    names = (*_PREDICTORS, "stage")
    absent = [name for name in names if name not in table]
    if absent:
        _refuse(f"the columns {', '.join(names)}", f"no {absent[0]}", "Add the column.")
    columns = {name: list(table[name]) for name in names}
    if len({len(column) for column in columns.values()}) != 1:
        _refuse("columns of equal length", "unequal ones", "Give one row a patient.")
    if "PatientID" in table and len(set(table["PatientID"])) != len(columns["stage"]):
        _refuse("one row a patient", "patients with several rows", "Keep one row a patient.")
    complete = [not any(map(_blank, row)) for row in zip(*columns.values(), strict=True)]
    kept = {name: [v for v, use in zip(column, complete, strict=True) if use] for name, column in columns.items()}
    return kept, complete.count(False)


def design_matrix(rad_score: Sequence[float], clinical: Sequence[ClinicalVariables]) -> NDArray[np.float64]:
    """Predictors of the proportional-odds model, shape (n_patients, 6), columns of ``COEFFICIENTS``.

    Parameters
    ----------
    rad_score : sequence of float
        In SD of the training cohort.
    clinical : sequence of ClinicalVariables
        Complete and checked.
    """
    rows = [
        (
            score,
            (case.tumour_size_cm or 0.0) >= SIZE_LIMIT_CM,
            case.differentiation == "moderate",
            case.differentiation == "poor",
            case.lauren == "diffuse",
            case.lauren == "mixed",
        )
        for score, case in zip(rad_score, clinical, strict=True)
    ]
    return np.asarray(rows, dtype=float).reshape(-1, len(COEFFICIENTS))


def fit_nomogram(
    table: Mapping[str, Sequence[Any]], *, trained_on: str = "the user's training cohort"
) -> NomogramModel:
    """Fit the proportional-odds model by maximum likelihood (statsmodels ``OrderedModel``, logit).

    Parameters
    ----------
    table : mapping of columns, or pandas DataFrame
        One row a patient: ``rad_score`` (SD), ``tumour_size_cm``, ``differentiation``, ``lauren`` and ``stage``
        (T1 … T4 or 0 … 3); ``PatientID`` is optional and, where given, must not repeat. Incomplete rows are left out
        and counted in the source sentence.
    trained_on : str
        Name of the cohort for the source sentence.

    Returns
    -------
    NomogramModel
        Variant ``refit``, with standard errors.

    Raises
    ------
    UsageError
        ``NOMOGRAM_FIT``: a column, a stage or a level is missing, or the maximum does not exist (separation).

    Notes
    -----
    A Rad-score fitted on the same patients makes its coefficient too large: pass
    :func:`gastromap.rad_score.cross_fitted_rad_score`, in which each patient is scored by a model that has not seen
    that patient.
    """
    columns, left_out = _columns(table)
    stage = stage_indices(columns["stage"], where="nomogram table")
    absent = [name for index, name in enumerate(STAGES) if index not in stage]
    if absent:
        _refuse("patients of all four stages", f"none of {absent[0]}", "Add patients of that stage.")
    clinical = [
        check_clinical(ClinicalVariables(float(size), differentiation, lauren))
        for size, differentiation, lauren in zip(*(columns[name] for name in _PREDICTORS[1:]), strict=True)
    ]
    x = design_matrix([float(score) for score in columns["rad_score"]], clinical)
    if np.linalg.matrix_rank(np.column_stack([np.ones(len(x)), x])) <= len(COEFFICIENTS):
        _refuse("patients on every level of each predictor", "a level without", "Add patients of that level.")
    values, errors, thresholds = _maximise(x, stage)
    dropped = f", {left_out} incomplete rows left out" if left_out else ""
    return NomogramModel(
        variant="refit",
        source=f"Proportional-odds model fitted on {len(x)} patients of {trained_on}{dropped}.",
        coefficients=dict(zip(COEFFICIENTS, values.tolist(), strict=True)),
        thresholds=(float(thresholds[0]), float(thresholds[1]), float(thresholds[2])),
        standard_errors=dict(zip(COEFFICIENTS, errors.tolist(), strict=True)),
        patients=len(x),
    )


def _maximise(x: NDArray[np.float64], stage: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Coefficients, their standard errors and the three thresholds."""
    try:
        from statsmodels.miscmodels.ordinal_model import OrderedModel
    except ImportError:
        _refuse("statsmodels", "no such package", "Install statsmodels for training.")
    # What the warnings say is checked below and refused in our own words.
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = OrderedModel(stage, x, distr="logit").fit(method="bfgs", disp=False, maxiter=500, gtol=1e-7)
        errors = np.asarray(fit.bse)[: x.shape[1]]
    parameters = np.asarray(fit.params)
    values, thresholds = parameters[: x.shape[1]], fit.model.transform_threshold_params(parameters)[1:-1]
    found = np.concatenate([values, thresholds, errors])
    if not np.all(np.isfinite(found)) or np.max(np.abs(found)) > _LARGEST_LOG_ODDS:
        _refuse("overlapping stages", "stages that a predictor separates", "Use cross-fitted Rad-scores.")
    return values, errors, thresholds
