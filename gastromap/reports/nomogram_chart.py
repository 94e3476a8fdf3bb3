"""Geometry of the nomogram: where every line, tick, label and mark lies, for the page and for the PDF alike.

Units are those of the page's drawing (``WIDTH`` across); y counts downwards. Renderers scale and draw, and compute
nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gastromap.nomogram.drawing import NomogramAxis, nomogram_axes
from gastromap.nomogram.model import NomogramModel
from gastromap.reports.catalogue import known
from gastromap.results import NomogramResult

__all__ = ["FONT", "NAMES", "WIDTH", "ChartAxis", "NomogramChart", "Tick", "nomogram_chart"]

WIDTH: Final = 440.0
FONT: Final = 12.5  #: size of titles and labels
_LEFT, _RIGHT = 12.0, 392.0  #: ends of the axes; points stand to the right of them
_TITLE, _GAP = 24.0, 12.0  #: from the top of a row to its line, and below its labels
#: From the line downwards: end of a tick, line to a label that was moved aside, baseline of a label, clear of marks.
_TICK, _LEADER, _LABEL = 4.0, 8.0, 16.0
#: Mean width of a character as part of the size, on the wide side: labels must not touch.
_CHARACTER = 0.6
#: Names of the predictors for page and script, by their names in ``NomogramModel.effects``.
NAMES: Final = {
    "Rad-score": "rad_score",
    "Tumour size": "size",
    "Differentiation": "differentiation",
    "Lauren type": "lauren",
}


@dataclass(frozen=True)
class Tick:
    """Tick of an axis with its label below; a label that was moved aside is tied to its tick by a line."""

    x: float
    end_y: float  #: of the tick, which begins on the line
    label: str  #: empty where there is no room
    label_x: float  #: of its middle
    label_y: float  #: of its baseline
    leader: tuple[float, float] | None  #: where the line from the end of the tick leads


@dataclass(frozen=True)
class ChartAxis:
    """One horizontal axis."""

    name: str  #: ``points``, ``rad_score`` …, ``total``, ``T2`` …
    title: str
    title_y: float  #: baseline
    y: float
    start: float
    end: float
    ticks: tuple[Tick, ...]
    mark: float | None  #: x of the patient
    points: str  #: of the patient, as text; empty where the axis has none


@dataclass(frozen=True)
class NomogramChart:
    """A nomogram ready to be drawn, and the numbers to move it.

    Attributes
    ----------
    height : float
    left, right : float
        x of 0 and of 100 points, and of 0 and the largest total.
    axes : tuple of ChartAxis
        From top to bottom.
    reading : tuple of float
        x of the patient's total, and y of its first and last axis: the line along which probabilities are read.
    model : NomogramModel
    result : NomogramResult
    """

    height: float
    left: float
    right: float
    axes: tuple[ChartAxis, ...]
    reading: tuple[float, float, float]
    model: NomogramModel
    result: NomogramResult


def _width(label: str) -> float:
    # Chinese levels are shorter than English ones, so the English label decides.
    return len(label) * FONT * _CHARACTER


def _middles(axis: NomogramAxis, scale: float, *, every: bool) -> list[float | None]:
    """Place the middle of each label; None where there is no room.

    Numbers that would touch are left out; levels are all named (``every``) and moved to the right.
    """
    end = -math.inf
    middles: list[float | None] = []
    for place, label in axis.ticks:
        half = _width(label) / 2
        middle = min(max(_LEFT + place * scale, half), WIDTH - half)
        if middle - half < end + 3 and every:
            middle = end + 6 + half
        if middle - half < end + 3:
            middles.append(None)
        else:
            middles.append(middle)
            end = middle + half
    return middles


def _ticks(axis: NomogramAxis, scale: float, middles: Sequence[float | None], y: float) -> tuple[Tick, ...]:
    moved = any(m is not None and abs(m - _LEFT - t[0] * scale) > 1 for t, m in zip(axis.ticks, middles, strict=True))
    drop = _TICK + _LABEL + (_LEADER if moved else 0.0)
    return tuple(
        Tick(
            x=_LEFT + place * scale,
            end_y=y + _TICK,
            label="" if middle is None else known(label.replace("-", "−")),
            label_x=_LEFT + place * scale if middle is None else middle,
            label_y=y + drop,
            leader=(middle, y + _TICK + _LEADER) if moved and middle is not None else None,
        )
        for (place, label), middle in zip(axis.ticks, middles, strict=True)
    )


def _name(axis: NomogramAxis, number: int, predictors: list[str]) -> str:
    if number == 0:
        return "points"
    if number <= len(predictors):
        return NAMES[predictors[number - 1]]
    outcome = number - len(predictors) - 1
    return "total" if outcome == 0 else f"T{outcome + 1}"


def nomogram_chart(result: NomogramResult) -> NomogramChart | None:
    """Lay out the nomogram with a patient marked; None where the result does not hold its model.

    Parameters
    ----------
    result : NomogramResult
        Of :func:`gastromap.nomogram.apply`.
    """
    model = result.model
    if model is None:
        return None
    predictors = list(model.effects())
    points = {row.name: f"{row.points:.0f}" for row in result.contributions}
    y, axes = 0.0, []
    for number, axis in enumerate(nomogram_axes(model, result)):
        scale = (_RIGHT - _LEFT) / (model.maximum_points if axis.total else 100.0)
        name = _name(axis, number, predictors)
        levels = name in ("size", "differentiation", "lauren")
        line = y + _TITLE
        ticks = _ticks(axis, scale, _middles(axis, scale, every=levels), line)
        places = [tick.x for tick in ticks]
        said = f"{result.total_points:.0f}" if name == "total" else ""
        if 0 < number <= len(predictors):
            said = points.get(predictors[number - 1], "")
        axes.append(
            ChartAxis(
                name=name,
                title=known(axis.title),
                title_y=y + FONT,
                y=line,
                start=_LEFT if axis.total else min(places),
                end=_RIGHT if axis.total else max(places),
                ticks=ticks,
                mark=None if axis.marked is None else _LEFT + axis.marked * scale,
                points=said,
            )
        )
        y = max(tick.label_y for tick in ticks) + _GAP
    total = next(axis for axis in axes if axis.name == "total")
    return NomogramChart(
        height=y - _GAP + 5,
        left=_LEFT,
        right=_RIGHT,
        axes=tuple(axes),
        reading=(total.mark or _LEFT, total.y, axes[-1].y),
        model=model,
        result=result,
    )
