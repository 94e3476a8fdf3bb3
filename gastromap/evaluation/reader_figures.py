"""Figures of comparisons: two models, readers with and without the model, subgroups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gastromap.evaluation.drawing import BLUE, GREY, INK, PALE, RED, axes_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_comparison", "draw_readers", "draw_subgroups"]

#: Name in the figure, path in the comparison; larger is better.
_DIFFERENCES = (
    ("accuracy", "metrics", "accuracy"),
    ("macro AUC", "metrics", "auc.macro"),
    ("kappa, linear", "metrics", "kappa.linear"),
    ("kappa, quadratic", "metrics", "kappa.quadratic"),
    ("ordinal C-index", "metrics", "ordinal_c_index"),
    ("AUC", "endpoint", "auc"),
    ("sensitivity", "endpoint", "sensitivity"),
    ("specificity", "endpoint", "specificity"),
)
_SUBGROUP_PANELS = (
    ("accuracy", "accuracy"),
    ("macro AUC", "auc.macro"),
    ("kappa, quadratic", "kappa.quadratic"),
    ("AUC of the endpoint", "endpoint.auc"),
)


def draw_comparison(comparison: Mapping[str, Any]) -> Figure:
    """Differences with intervals, first model minus second."""
    rows = [
        (f"{name}, {comparison['endpoint_name']}" if part == "endpoint" else name, comparison[part][key]["difference"])
        for name, part, key in _DIFFERENCES
    ]
    figure, axes = axes_of(6.2, 3.4)
    for place, (_, entry) in enumerate(rows):
        _interval(axes, entry, -place)
    axes.axvline(0, color=INK, lw=0.9)
    axes.set_yticks([-place for place in range(len(rows))], [name for name, _ in rows])
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    first, second = comparison["names"]
    axes.set(title=f"{first} minus {second}", xlabel=f"difference (right of 0: {first} better)")
    return figure


def _interval(axes: Any, entry: Mapping[str, Any], y: float, colour: str = BLUE) -> None:
    if entry["value"] is None:
        return
    if entry["low"] is not None and entry["high"] is not None:
        axes.plot([entry["low"], entry["high"]], [y, y], color=colour, lw=1.4, solid_capstyle="butt")
    axes.scatter(entry["value"], y, s=26, color=colour, zorder=3)


def draw_readers(readers: Mapping[str, Any]) -> Figure:
    """Accuracy and agreement with the truth of each reader, alone and with the model, beside the model."""
    from matplotlib.figure import Figure

    found: dict[tuple[str, str], Any] = {(row["name"], row["condition"]): row["metrics"] for row in readers["rows"]}
    names = list(dict.fromkeys(name for name, _ in found if name != "model"))
    figure = Figure(figsize=(7.4, 1.3 + 0.42 * len(names)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (title, metric) in zip(
        panels, (("accuracy", "accuracy"), ("kappa with the truth", "kappa")), strict=True
    ):
        model = found["model", "model"][metric]
        if model["low"] is not None:
            axes.axvspan(model["low"], model["high"], color=PALE, alpha=0.6, lw=0)
        if model["value"] is not None:
            axes.axvline(model["value"], color=BLUE, lw=1.4, label="model")
        for place, name in enumerate(names):
            _reader_row(axes, found, name, metric, -place, label=place == 0)
        axes.set_title(title)
        axes.grid(visible=True, axis="x")
        axes.set_axisbelow(True)
        axes.set_yticks([-place for place in range(len(names))], names)
        axes.set_ylim(-len(names) + 0.5, 0.5)
        axes.tick_params(axis="y", length=0)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _reader_row(
    axes: Any, found: Mapping[tuple[str, str], Any], name: str, metric: str, y: float, *, label: bool
) -> None:
    alone, assisted = found[name, "alone"][metric], found.get((name, "with model"), {}).get(metric)
    pairs: Sequence[tuple[Any, str, float]] = ((alone, GREY, y + 0.12), (assisted, RED, y - 0.12))
    for (entry, colour, height), text in zip(pairs, ("reader alone", "reader with model"), strict=True):
        if entry is not None:
            _interval(axes, entry, height, colour)
            if label:
                axes.plot([], [], "o-", color=colour, ms=5, lw=1.4, label=text)


def draw_subgroups(group: Mapping[str, Any]) -> Figure:
    """One row a level, one panel a metric."""
    from matplotlib.figure import Figure

    levels = group["levels"]
    figure = Figure(figsize=(9.4, 1.2 + 0.4 * len(levels)), layout="constrained")
    panels = figure.subplots(1, len(_SUBGROUP_PANELS), sharey=True)
    for axes, (title, metric) in zip(panels, _SUBGROUP_PANELS, strict=True):
        for place, part in enumerate(levels):
            _interval(axes, part["metrics"][metric], -place)
        axes.set_title(title)
        axes.grid(visible=True, axis="x")
        axes.set_axisbelow(True)
        axes.set_yticks(
            [-place for place in range(len(levels))], [f"{part['level']}  (n = {part['rows']})" for part in levels]
        )
        axes.set_ylim(-len(levels) + 0.4, 0.6)
        axes.tick_params(axis="y", length=0)
    figure.suptitle(f"By {group['column']}", x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure
