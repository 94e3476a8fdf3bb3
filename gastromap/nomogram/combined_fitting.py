"""Fit a combined nomogram on training; needs statsmodels and scikit-survival, which the application does not."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gastromap.errors import UsageError
from gastromap.nomogram.combined import CombinedNomogram
from gastromap.nomogram.predictors import Predictor, fit_predictor

__all__ = ["fit_cox_nomogram", "fit_logistic_nomogram", "youden_threshold"]

_Array = NDArray[np.float64]
#: Log-odds beyond this have run away: the groups are separated.
_LARGEST = 20.0


def _refuse(expected: str, got: str, remedy: str) -> NoReturn:
    raise UsageError("NOMOGRAM_FIT", where="training table", expected=expected, got=got, remedy=remedy)


def _matrix(
    table: Mapping[str, Sequence[Any]], levels: Sequence[str], log_odds: Sequence[str]
) -> tuple[tuple[Predictor, ...], _Array]:
    predictors = tuple(
        fit_predictor(name, cells, levels=name in levels, log_odds=name in log_odds) for name, cells in table.items()
    )
    if not predictors:
        _refuse("at least one predictor", "none", "Name the columns.")
    x = np.concatenate([p.encode(cells)[0] for p, cells in zip(predictors, table.values(), strict=True)], axis=1)
    return predictors, x


def _named(predictors: Sequence[Predictor], values: ArrayLike) -> dict[str, float]:
    columns = [column for predictor in predictors for column in predictor.columns]
    return dict(zip(columns, np.asarray(values, dtype=float).tolist(), strict=True))


def _source(what: str, patients: int, events: int, predictors: Sequence[Predictor], trained_on: str) -> str:
    filled = sum(predictor.missing for predictor in predictors)
    text = f"{what} fitted on {patients} patients of {trained_on}, {events} with the event"
    columns = sum(len(predictor.columns) for predictor in predictors)
    text += f"; {filled} missing values filled in" if filled else ""
    # Peduzzi 1995: fewer make the coefficients unreliable.
    return text + (f"; fewer than 10 events for each of {columns} coefficients." if events < 10 * columns else ".")


def fit_cox_nomogram(
    name: str,
    table: Mapping[str, Sequence[Any]],
    time: ArrayLike,
    death: ArrayLike,
    *,
    levels: Sequence[str] = (),
    trained_on: str = "the user's training cohort",
) -> CombinedNomogram:
    """Fit a Cox nomogram (Efron's ties, Breslow's baseline).

    Parameters
    ----------
    name : str
        For example preoperative.
    table : mapping of columns
        Predictors of the training patients, the network's score among them; missing cells are filled in with the
        median or the most frequent level.
    time : array, shape (n,)
        Months.
    death : array of bool, shape (n,)
    levels : sequence of str
        Predictors whose numbers are codes.
    trained_on : str
        Name of the cohort for the source sentence.

    Raises
    ------
    UsageError
        ``NOMOGRAM_FIT``: no maximum of the likelihood; ``CLINICAL_INVALID``: an unusable predictor.

    Notes
    -----
    A score of a network trained on the same patients makes its coefficient too large: give its out-of-fold
    predictions.
    """
    from gastromap.evaluation.survival.cox import breslow_hazard, fit_cox

    predictors, x = _matrix(table, levels, ())
    t, died = np.asarray(time, dtype=float), np.asarray(death, dtype=bool)
    fit = fit_cox(t, died, x)
    if fit is None:
        _refuse("predictors with one maximum of the likelihood", "none", "Leave out doubled or separating predictors.")
    total = x @ fit.coefficients
    centre = float(total.mean())
    # Centred, so that exp does not overflow for predictors far from 0.
    months, hazard = breslow_hazard(t, died, total - centre)
    baseline = hazard * math.exp(-centre) if abs(centre) < 500 else np.full(len(hazard), np.nan)
    return CombinedNomogram(
        name=name,
        kind="cox",
        source=_source("Cox model", len(t), int(died.sum()), predictors, trained_on),
        predictors=predictors,
        coefficients=_named(predictors, fit.coefficients),
        standard_errors=_named(predictors, fit.standard_errors),
        intercept=0.0,
        months=tuple(months.tolist()),
        hazard=tuple(baseline.tolist()),
        threshold=float(np.median(total)),
        patients=len(t),
        events=int(died.sum()),
    )


def fit_logistic_nomogram(
    name: str,
    table: Mapping[str, Sequence[Any]],
    positive: ArrayLike,
    *,
    log_odds: Sequence[str] = (),
    levels: Sequence[str] = (),
    trained_on: str = "the user's training cohort",
) -> CombinedNomogram:
    """Fit a logistic nomogram by maximum likelihood (statsmodels ``Logit``); called positive above Youden's cut-off.

    Parameters
    ----------
    name, table, levels, trained_on
        As in :func:`fit_cox_nomogram`.
    positive : array of bool, shape (n,)
    log_odds : sequence of str
        Predictors that are probabilities, the network's for one; they enter as log-odds.

    Raises
    ------
    UsageError
        As in :func:`fit_cox_nomogram`.
    """
    import statsmodels.api as sm

    predictors, x = _matrix(table, levels, log_odds)
    truth = np.asarray(positive, dtype=float)
    design = sm.add_constant(x, has_constant="add")
    if not 0 < truth.sum() < len(truth) or np.linalg.matrix_rank(design) < design.shape[1]:
        _refuse("both outcomes and predictors that differ", "something else", "Check labels and predictors.")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # What the warnings say is checked below and refused in our own words.
        warnings.simplefilter("ignore")
        try:
            fit = sm.Logit(truth, design).fit(disp=False, maxiter=100, tol=1e-12)
        except np.linalg.LinAlgError:
            fit = None
    if fit is None or not np.all(np.isfinite(fit.bse)) or np.any(np.abs(fit.params[1:] * x.std(axis=0)) > _LARGEST):
        _refuse("overlapping outcomes", "outcomes that a predictor separates", "Use out-of-fold predictions.")
    total = design @ fit.params
    return CombinedNomogram(
        name=name,
        kind="logistic",
        source=_source("Logistic model", len(truth), int(truth.sum()), predictors, trained_on),
        predictors=predictors,
        coefficients=_named(predictors, fit.params[1:]),
        standard_errors=_named(predictors, fit.bse[1:]),
        intercept=float(fit.params[0]),
        months=(),
        hazard=(),
        threshold=youden_threshold(total, truth > 0),
        patients=len(truth),
        events=int(truth.sum()),
    )


def youden_threshold(score: ArrayLike, positive: ArrayLike) -> float:
    """Score with the largest sensitivity + specificity − 1; called positive at or above it.

    Parameters
    ----------
    score : array, shape (n,)
        Of training: a cut-off found on the cases under evaluation flatters.
    positive : array of bool, shape (n,)
    """
    from sklearn.metrics import roc_curve

    false, true, cuts = roc_curve(np.asarray(positive, dtype=bool), np.asarray(score, dtype=float))
    return float(cuts[1:][np.argmax(true[1:] - false[1:])])
