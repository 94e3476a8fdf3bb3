"""Numbers of the nomogram for the script of the page, and the controls that change them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gastromap.reports.catalogue import known
from gastromap.reports.nomogram_chart import NAMES, NomogramChart
from gastromap.text import Text

__all__ = ["Control", "nomogram_controls", "nomogram_data"]


@dataclass(frozen=True)
class Control:
    """A slider, or one choice of several levels."""

    name: str
    label: str
    levels: tuple[str, ...]  #: empty for a slider
    chosen: int = 0  #: level of the patient
    low: float = 0.0  #: ends and start of a slider
    high: float = 0.0
    value: float = 0.0


def _chosen(levels: dict[str, float], value: str, log_odds: float) -> int:
    """Index of the patient's level: of levels with the same effect the one that the text names."""
    same = [label for label, effect in levels.items() if effect == log_odds]
    named = next((label for label in same if label in value), same[0])
    return list(levels).index(named)


def nomogram_controls(chart: NomogramChart) -> tuple[Control, ...]:
    """Return one control a predictor, from top to bottom."""
    model, result = chart.model, chart.result
    low, high = model.rad_score_range_sd
    controls = []
    for (predictor, levels), row in zip(model.effects().items(), result.contributions, strict=True):
        name = NAMES[predictor]
        if name == "rad_score":
            value = low if result.rad_score is None else result.rad_score
            controls.append(Control(name, Text("Rad-score (SD)"), (), low=low, high=high, value=value))
        else:
            chosen = _chosen(levels, row.value, row.log_odds)
            controls.append(Control(name, known(predictor), tuple(known(level) for level in levels), chosen))
    return tuple(controls)


def nomogram_data(chart: NomogramChart) -> dict[str, Any]:
    """Return the model and the patient, fit for JSON.

    Notes
    -----
    Effects are log-odds. The script adds and multiplies in the order of :mod:`gastromap.nomogram.model`, so that both
    print the same digits.
    """
    model, result = chart.model, chart.result
    predictors = [
        {
            "name": control.name,
            "effects": list(levels.values()),
            "chosen": control.chosen,
            "value": control.value,
            "beta": model.coefficients["rad_score"],
            "patient": row.log_odds,
        }
        for control, levels, row in zip(
            nomogram_controls(chart), model.effects().values(), result.contributions, strict=True
        )
    ]
    return {
        "left": chart.left,
        "right": chart.right,
        "predictors": predictors,
        "maximum": model.maximum_points,
        "pointsPerLogOdds": model.points_per_log_odds,
        "thresholds": list(model.thresholds),
    }
