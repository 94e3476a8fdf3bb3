"""The nomogram as axes (data) and as picture; matplotlib is imported only when drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gastromap.evaluation.stages import STAGES
from gastromap.nomogram.model import NomogramModel
from gastromap.results import NomogramResult
from gastromap.text import Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["NomogramAxis", "draw_axes", "draw_nomogram", "nomogram_axes"]

_PROBABILITIES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class NomogramAxis:
    """One horizontal axis of the picture."""

    title: str
    ticks: tuple[tuple[float, str], ...]  #: position in points and label, in rising order
    marked: float | None = None  #: position of the patient
    total: bool = False  #: position counts total points, not points of one predictor


def _rad_score_ticks(model: NomogramModel) -> tuple[tuple[float, str], ...]:
    low, high = model.rad_score_range_sd
    scores = [low, *range(int(np.floor(low)) + 1, int(np.ceil(high))), high]
    beta = model.coefficients["rad_score"]
    return tuple(sorted((model.points("Rad-score", beta * score), f"{score:g}") for score in scores))


def nomogram_axes(model: NomogramModel, result: NomogramResult | None = None) -> tuple[NomogramAxis, ...]:
    """Axes from top to bottom: points, predictors, total points, P(stage >= T2), P(>= T3), P(>= T4).

    Parameters
    ----------
    model : NomogramModel
    result : NomogramResult, optional
        Of the same model; its points are marked.

    Returns
    -------
    tuple of NomogramAxis
        Probability ticks outside the reachable total points are left out.
    """
    marks = {row.name: row.points for row in result.contributions} if result else {}
    axes = [NomogramAxis(Text("Points"), tuple((float(p), f"{p}") for p in range(0, 101, 10)))]
    for name, levels in model.effects().items():
        level_ticks = sorted((model.points(name, effect), label) for label, effect in levels.items())
        ticks = _rad_score_ticks(model) if name == "Rad-score" else tuple(level_ticks)
        axes.append(NomogramAxis(Text("Rad-score (SD)") if name == "Rad-score" else name, ticks, marks.get(name)))
    end = model.maximum_points
    total = result.total_points if result else None
    totals = tuple((float(p), f"{p}") for p in range(0, int(end) + 1, 20))
    axes.append(NomogramAxis(Text("Total points"), totals, total, total=True))
    for stage in STAGES[1:]:
        places = model.points_of_probability(_PROBABILITIES, at_least=stage).tolist()
        ticks = tuple((p, f"{v:g}") for p, v in zip(places, _PROBABILITIES, strict=True) if 0 <= p <= end)
        title = f"P({stage})" if stage == STAGES[-1] else Text("P({stage} or more)", stage=stage)
        axes.append(NomogramAxis(title, ticks, total, total=True))
    return tuple(axes)


def draw_nomogram(
    model: NomogramModel, result: NomogramResult | None = None, *, size_inch: Sequence[float] = (9.0, 5.5)
) -> Figure:
    """Draw the nomogram, with one patient marked where a result is given.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot, so nothing stays open; ``figure.savefig(…)`` writes PNG, SVG or PDF.
    """
    variant = "published coefficients" if model.variant == "published" else "refitted coefficients"
    return draw_axes(
        nomogram_axes(model, result),
        maximum_points=model.maximum_points,
        title=f"T-stage nomogram, {variant}. Research use only.",
        size_inch=size_inch,
    )


def draw_axes(
    axes: Sequence[NomogramAxis], *, maximum_points: float, title: str, size_inch: Sequence[float] = (9.0, 5.5)
) -> Figure:
    """Draw axes below one another; the totals are scaled to the width of 100 points.

    Parameters
    ----------
    axes : sequence of NomogramAxis
        From top to bottom.
    maximum_points : float
        Largest total.
    title : str
    size_inch : sequence of float
        Width and height.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size_inch[0], size_inch[1]), layout="constrained")
    canvas = figure.add_subplot()
    for row, axis in enumerate(axes):
        _draw_axis(canvas, axis, y=float(-row), scale=100.0 / maximum_points if axis.total else 1.0)
    canvas.set(xlim=(-32, 104), ylim=(-len(axes) + 0.2, 0.8))
    canvas.set_axis_off()
    canvas.set_title(title, loc="left", fontsize=10)
    return figure


def _draw_axis(canvas: Axes, axis: NomogramAxis, *, y: float, scale: float) -> None:
    canvas.text(-31, y, axis.title, va="center", fontsize=9)
    places = [place * scale for place, _ in axis.ticks]
    # A total can lie beyond the last round tick; the line shows how far the axis reaches.
    ends = [0.0, 100.0] if axis.total else [min(places), max(places)]
    canvas.plot(ends, [y, y], color="black", lw=0.8)
    previous = -np.inf
    for place, (_, label) in zip(places, axis.ticks, strict=True):
        canvas.plot([place, place], [y, y + 0.12], color="black", lw=0.8)
        # Levels with nearly equal effect would print over each other: the second goes below the line.
        above = place - previous > 0.9 * len(label) + 0.6
        text_y, vertical = (y + 0.16, "bottom") if above else (y - 0.1, "top")
        canvas.text(place, text_y, label, ha="center", va=vertical, fontsize=7)
        previous = place if above else previous
    if axis.marked is not None:
        canvas.plot([axis.marked * scale], [y], marker="o", color="#b2182b", ms=5)
