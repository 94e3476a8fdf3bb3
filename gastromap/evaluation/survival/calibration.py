"""Whether predicted survival is observed: by group and smoothly at a month, and over all times (D-calibration)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gastromap.evaluation.reliability import equal_groups
from gastromap.evaluation.survival.cases import RiskModel, SurvivalCases
from gastromap.evaluation.survival.cox import breslow_hazard, fit_cox
from gastromap.evaluation.survival.kaplan_meier import kaplan_meier

__all__ = ["DCalibration", "SurvivalCalibration", "calibration_at", "d_calibration"]

_Array = NDArray[np.float64]
#: A group needs this many patients; at most ten groups.
_PER_GROUP = 20
_MOST_GROUPS = 10
_SMALLEST = 1e-6


@dataclass(frozen=True)
class SurvivalCalibration:
    """Predicted and observed survival at one month."""

    month: float
    predicted: _Array  #: mean predicted survival of each group, shape (g,)
    observed: _Array  #: Kaplan–Meier of each group; NaN where its follow-up ends before
    low: _Array
    high: _Array
    count: NDArray[np.int64]
    observed_to_expected: float  #: deaths by the month by Kaplan–Meier, over the predicted ones
    slope: tuple[float, float, float]  #: (estimate, low, high) on the scale log(−log S); 1 is ideal
    smooth_predicted: _Array  #: predicted survival of each patient, rising
    smooth_observed: _Array  #: from a Cox model with a cubic spline of the prediction; empty where there is no fit
    mean_error: float  #: integrated calibration index (Austin 2020)
    error_90: float
    largest_error: float


@dataclass(frozen=True)
class DCalibration:
    """Patients by the predicted survival at their time of death, which should be uniform."""

    share: _Array  #: of each tenth of the predicted survival, lowest first; shape (bins,)
    chi_squared: float
    p_value: float


def calibration_at(cases: SurvivalCases, model: RiskModel, month: float, *, level: float = 0.95) -> SurvivalCalibration:
    """Calibration at a month within the follow-up and the predicted curves.

    Parameters
    ----------
    cases : SurvivalCases
    model : RiskModel
        With curves.
    month : float
    level : float
        Of the intervals, 0 to 1.

    Notes
    -----
    Slope and smooth curve: Cox models on log(−log S) with follow-up cut at the month, so that later times do not count
    (Austin, Harrell and van Klaveren 2020, doi 10.1002/sim.8570); spline of three knots at the 10th, 50th and 90th
    percentile.
    """
    if model.curves is None:
        msg = "expected a model with survival curves, got a risk only. Give S(t)."
        raise ValueError(msg)
    survival = model.curves.at(month)[:, 0]
    place = equal_groups(survival, max(2, min(_MOST_GROUPS, len(survival) // _PER_GROUP)))
    parts = [
        kaplan_meier(cases.time[place == k], cases.death[place == k], level=level).at(month) for k in np.unique(place)
    ]
    observed, low, high = (np.asarray([float(part[side]) for part in parts]) for side in range(3))
    count = np.bincount(place)
    whole = float(kaplan_meier(cases.time, cases.death, level=level).at(month)[0])
    slope, smooth = _models(cases, survival, month, level)
    error = np.abs(smooth - survival) if len(smooth) else np.asarray([np.nan])
    order = np.argsort(survival)
    expected = float(np.mean(1 - survival))
    return SurvivalCalibration(
        month=float(month),
        predicted=np.bincount(place, survival) / count,
        observed=observed,
        low=low,
        high=high,
        count=count.astype(np.int64),
        observed_to_expected=(1 - whole) / expected if expected > 0 else math.nan,
        slope=slope,
        smooth_predicted=survival[order],
        smooth_observed=smooth[order] if len(smooth) else smooth,
        mean_error=float(error.mean()),
        error_90=float(np.quantile(error, 0.9)),
        largest_error=float(error.max()),
    )


def _models(
    cases: SurvivalCases, survival: _Array, month: float, level: float
) -> tuple[tuple[float, float, float], _Array]:
    time, death = np.minimum(cases.time, month), cases.death & (cases.time <= month)
    x = np.log(-np.log(np.clip(survival, _SMALLEST, 1 - _SMALLEST)))
    line = fit_cox(time, death, x)
    if line is None:
        return (math.nan,) * 3, np.empty(0)
    _, low, high = line.hazard_ratios(level)
    slope = (float(line.coefficients[0]), float(np.log(low[0])), float(np.log(high[0])))
    basis = _spline(x)
    fit = None if basis is None else fit_cox(time, death, basis)
    if basis is None or fit is None:
        return slope, np.empty(0)
    predictor = basis @ fit.coefficients
    hazard = breslow_hazard(time, death, predictor)[1][-1]
    with np.errstate(over="ignore", invalid="ignore"):
        smooth = np.exp(-hazard * np.exp(predictor))
    # A handful of patients, all predicted alike: the coefficients run away.
    return slope, smooth if np.isfinite(smooth).all() else np.empty(0)


def _spline(x: _Array) -> _Array | None:
    """Restricted cubic spline of three knots, shape (n, 2); None where the knots fall together."""
    a, b, c = np.quantile(x, (0.1, 0.5, 0.9))
    if not a < b < c:
        return None

    def cubic(knot: float) -> _Array:
        return np.clip(x - knot, 0, None) ** 3

    bend = cubic(a) - cubic(b) * (c - a) / (c - b) + cubic(c) * (b - a) / (c - b)
    return np.column_stack([x, bend / (c - a) ** 2])


def d_calibration(cases: SurvivalCases, model: RiskModel, *, bins: int = 10) -> DCalibration:
    """Test whether the predicted survival at the time of death is uniform (Haider 2020, JMLR 21:85).

    Parameters
    ----------
    cases : SurvivalCases
    model : RiskModel
        With curves.
    bins : int

    Notes
    -----
    A censored patient is spread over the survival that is left; so is one followed beyond the last month of the
    curves. The fewer deaths the curves cover, the less the test can see.
    """
    from scipy.stats import chi2

    if model.curves is None:
        msg = "expected a model with survival curves, got a risk only. Give S(t)."
        raise ValueError(msg)
    inside = cases.time <= model.curves.last
    survival = model.curves.of_each(np.minimum(cases.time, model.curves.last))
    died = cases.death & inside
    place = np.clip((survival * bins).astype(int), 0, bins - 1)
    count = np.bincount(place[died], minlength=bins).astype(float)
    edges = np.arange(bins) / bins
    left = survival[~died, np.newaxis]
    reach = np.clip(left - edges, 0.0, 1 / bins)
    count += np.divide(reach, left, out=np.tile(edges == 0, (len(left), 1)).astype(float), where=left > 0).sum(axis=0)
    expected = len(cases.time) / bins
    value = float(((count - expected) ** 2 / expected).sum())
    return DCalibration(count / len(cases.time), value, float(chi2.sf(value, bins - 1)))
