"""Points table and picture of a combined nomogram."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gastromap.nomogram.combined import CombinedNomogram, CombinedResult
from gastromap.nomogram.drawing import NomogramAxis, draw_axes
from gastromap.nomogram.predictors import Predictor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["combined_axes", "draw_combined", "points_table"]

_SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_MONTHS = (12, 36, 60)
#: Ticks of the axis of a number.
_STEPS = 5


def _ticks(model: CombinedNomogram, predictor: Predictor) -> tuple[tuple[float, str], ...]:
    beta = [model.coefficients[column] for column in predictor.columns]
    if predictor.levels:
        effects = dict(zip(predictor.levels, [0.0, *beta], strict=True))
    else:
        effects = {predictor.shown(value): beta[0] * value for value in _round_values(predictor)}
    found = sorted((model.points(predictor.name, effect), label) for label, effect in effects.items())
    if not predictor.levels:
        # Round numbers need not reach the ends of the axis.
        ends = {model.points(predictor.name, beta[0] * end) for end in (predictor.low, predictor.high)}
        found = sorted([*found, *((end, "") for end in ends - {place for place, _ in found})])
    return tuple(found)


def _round_values(predictor: Predictor) -> list[float]:
    low, high = predictor.low, predictor.high
    if predictor.log_odds:
        inside = [math.log(share / (1 - share)) for share in _SHARES]
        return [low, *(value for value in inside if low < value < high), high]
    rough = (high - low) / _STEPS
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    inside = [step * k for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return inside if len(inside) > 1 else [low, high]


def combined_axes(model: CombinedNomogram, result: CombinedResult | None = None) -> tuple[NomogramAxis, ...]:
    """Axes from top to bottom: points, predictors, total points, then S(t) at 12, 36 and 60 months or the probability.

    Parameters
    ----------
    model : CombinedNomogram
    result : CombinedResult, optional
        Of the same model; its points are marked.
    """
    marks = {row.name: row.points for row in result.contributions} if result else {}
    axes = [NomogramAxis("Points", tuple((float(p), f"{p}") for p in range(0, 101, 10)))]
    axes += [NomogramAxis(p.name, _ticks(model, p), marks.get(p.name)) for p in model.predictors]
    end, total = model.maximum_points, result.total_points if result else None
    step = 20 if end <= 240 else 50
    totals = tuple((float(p), f"{p}") for p in range(0, int(end) + 1, step))
    axes.append(NomogramAxis("Total points", totals, total, total=True))
    shares = np.asarray(_SHARES)
    outcomes = {"Probability": np.log(shares / (1 - shares))} if model.kind == "logistic" else {}
    for month in _MONTHS if model.kind == "cox" else ():
        hazard = float(model.cumulative_hazard(month))
        if hazard > 0:
            outcomes[f"S({month} months)"] = np.log(-np.log(shares) / hazard)
    for title, predictors in outcomes.items():
        places = sorted(zip(model.total_points(predictors).tolist(), _SHARES, strict=True))
        ticks = tuple((place, f"{share:g}") for place, share in places if 0 <= place <= end)
        axes.append(NomogramAxis(title, ticks, total, total=True))
    return tuple(axes)


def points_table(model: CombinedNomogram) -> list[dict[str, Any]]:
    """Rows ``axis``, ``label``, ``points``: the picture as a table."""
    return [
        {"axis": axis.title, "label": label, "points": place}
        for axis in combined_axes(model)[1:]
        for place, label in axis.ticks
        if label
    ]


def draw_combined(model: CombinedNomogram, result: CombinedResult | None = None) -> Figure:
    """Draw the nomogram, with one patient marked where a result is given."""
    axes = combined_axes(model, result)
    what = "survival" if model.kind == "cox" else "probability"
    return draw_axes(
        axes,
        maximum_points=model.maximum_points,
        title=f"Nomogram, {model.name}: {what}. Research use only.",
        size_inch=(9.0, 1.2 + 0.48 * len(axes)),
    )
