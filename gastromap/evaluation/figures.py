"""Figures of the evaluation; each takes a part of the report and computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gastromap.evaluation.drawing import BLUE, GREY, INK, PALE, RED, STAGE_COLOURS, axes_of, house_style
from gastromap.evaluation.tables import named_nomograms, slug

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["evaluation_figures"]

_DIAGONAL: dict[str, Any] = {"color": GREY, "lw": 0.9, "ls": (0, (4, 3)), "zorder": 1}


def evaluation_figures(report: Mapping[str, Any]) -> dict[str, Figure]:
    """Every figure of :func:`gastromap.evaluation.assemble.evaluate_table` by file name without ending."""
    from gastromap.evaluation.reader_figures import draw_comparison, draw_readers, draw_subgroups
    from gastromap.evaluation.survival.figures import survival_figures
    from gastromap.nomogram.combined import CombinedNomogram
    from gastromap.nomogram.combined_drawing import draw_combined

    figures: dict[str, Figure] = {}
    with house_style():
        if report["stages"]:
            figures["stage_roc"] = _stage_roc(report["stages"])
            figures["confusion_matrix"] = _confusion(report["stages"])
            figures["stage_confidence"] = _confidence(report["stages"])
        names: list[str] = []
        for number, endpoint in enumerate(report["endpoints"]):
            names.append(slug(endpoint["name"], names))
            readers = report["readers"] if number == 0 else None
            figures[f"endpoint_{names[-1]}_roc"] = _endpoint_roc(endpoint, readers)
            if endpoint["calibration"]:
                figures[f"endpoint_{names[-1]}_calibration"] = _calibration(endpoint)
            if endpoint["decision_curve"]:
                figures[f"endpoint_{names[-1]}_decision_curve"] = _decision_curve(endpoint)
        if report["comparison"]:
            figures["comparison"] = draw_comparison(report["comparison"])
        if report["readers"]:
            figures["readers"] = draw_readers(report["readers"])
        for group in report["subgroups"]:
            name = f"subgroup_{slug(group['column'], [key.removeprefix('subgroup_') for key in figures])}"
            figures[name] = draw_subgroups(group)
        if report["survival"]:
            figures |= survival_figures(report["survival"])
        for name, content in named_nomograms(report).items():
            figures[f"nomogram_{name}"] = draw_combined(CombinedNomogram.from_json(content))
    return figures


def _area(entry: Mapping[str, Any], low: str = "low", high: str = "high") -> str:
    if entry["value"] is None:
        return "undefined"
    if entry[low] is None:
        return f"{entry['value']:.3f}"
    return f"{entry['value']:.3f} ({entry[low]:.3f}–{entry[high]:.3f})"


def _roc_axes(axes: Axes, title: str) -> None:
    axes.plot([0, 1], [0, 1], **_DIAGONAL)
    axes.set(xlabel="1 − specificity", ylabel="sensitivity", title=title)
    axes.legend(loc="lower right")


def _stage_roc(stages: Mapping[str, Any]) -> Figure:
    figure, axes = axes_of(square=True)
    for stage, colour in zip(stages["stages"], STAGE_COLOURS, strict=True):
        curve, area = stages["roc"][stage], stages["metrics"]["auc"][stage]
        axes.plot(curve["false_positive_rate"], curve["sensitivity"], color=colour, label=f"{stage}  {_area(area)}")
    axes.plot([], [], " ", label=f"macro  {_area(stages['metrics']['auc']['macro'])}")
    _roc_axes(axes, "ROC, each stage against the others")
    return figure


def _confusion(stages: Mapping[str, Any]) -> Figure:
    counts = np.asarray(stages["confusion_matrix"], dtype=float)
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    figure, axes = axes_of(4.6, 4.2)
    axes.grid(visible=False)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, col), count in np.ndenumerate(counts):
        colour = "white" if share[row, col] > 0.55 else INK
        axes.text(col, row - 0.06, f"{count:.0f}", ha="center", va="center", color=colour, fontsize=12)
        axes.text(
            col, row + 0.26, f"{100 * share[row, col]:.0f} %", ha="center", va="center", color=colour, fontsize=7.5
        )
    places = range(len(stages["stages"]))
    rows = [f"{stage}\nn = {total:.0f}" for stage, total in zip(stages["stages"], totals[:, 0], strict=True)]
    axes.set(xlabel="predicted stage", ylabel="true stage", title="Confusion matrix, share of the true stage")
    axes.set_xticks(places, stages["stages"])
    axes.set_yticks(places, rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _confidence(stages: Mapping[str, Any]) -> Figure:
    figure, axes = axes_of(square=True)
    used = [row for row in stages["confidence_bins"] if row["count"]]
    largest = max(row["count"] for row in used)
    axes.plot([0, 1], [0, 1], **_DIAGONAL)
    for row in used:
        width = row["high"] - row["low"]
        axes.bar(row["low"], 0.22 * row["count"] / largest, width=width, align="edge", color=PALE, zorder=1.5)
    sizes = [18 + 90 * row["count"] / largest for row in used]
    x, y = ([row[key] for row in used] for key in ("confidence", "right"))
    axes.plot(x, y, color=BLUE, lw=1.2, zorder=2)
    axes.scatter(x, y, s=sizes, color=BLUE, zorder=3, clip_on=False)
    error = stages["metrics"]["calibration_error"]
    axes.set(
        xlabel=f"highest probability\ncalibration error {_area(error)}",
        ylabel="share right",
        title="Reliability of the predicted stage",
    )
    return figure


def _endpoint_roc(endpoint: Mapping[str, Any], readers: Mapping[str, Any] | None) -> Figure:
    figure, axes = axes_of(square=True)
    roc, metrics = endpoint["roc"], endpoint["metrics"]
    label = f"AUC {_area(metrics['auc'], 'delong_low', 'delong_high')}"
    axes.plot(roc["false_positive_rate"], roc["sensitivity"], color=BLUE, label=label)
    axes.fill_between(roc["false_positive_rate"], roc["sensitivity"], color=PALE, alpha=0.35, lw=0)
    if metrics["specificity"]["value"] is not None and metrics["sensitivity"]["value"] is not None:
        point = (1 - metrics["specificity"]["value"], metrics["sensitivity"]["value"])
        axes.scatter(*point, s=46, color=BLUE, edgecolor="white", zorder=4, label=endpoint["called_positive"])
    if readers:
        for condition, marker, face in (("alone", "o", "white"), ("with model", "o", RED)):
            points = [p for p in readers["points"] if p["condition"] == condition and p["sensitivity"] is not None]
            if points:
                x, y = ([p[key] for p in points] for key in ("false_positive_rate", "sensitivity"))
                axes.scatter(
                    x, y, s=30, marker=marker, facecolor=face, edgecolor=RED, zorder=5, label=f"readers {condition}"
                )
    _roc_axes(axes, f"ROC, {endpoint['name']}")
    return figure


def _calibration(endpoint: Mapping[str, Any]) -> Figure:
    fit = endpoint["calibration"]
    figure, axes = axes_of(square=True)
    counts = np.asarray(fit["histogram"], dtype=float)
    edges = np.linspace(0, 1, len(counts) + 1)
    axes.bar(edges[:-1], 0.16 * counts / counts.max(), width=1 / len(counts), align="edge", color=PALE, zorder=1.5)
    axes.plot([0, 1], [0, 1], **_DIAGONAL, label="ideal")
    axes.plot(fit["smooth"]["predicted"], fit["smooth"]["observed"], color=BLUE, label="smooth (lowess)")
    bins = {name: np.asarray(values) for name, values in fit["bins"].items()}
    spread = np.clip([bins["observed"] - bins["low"], bins["high"] - bins["observed"]], 0, None)
    axes.errorbar(
        bins["predicted"], bins["observed"], yerr=spread, fmt="o", ms=4.5, color=RED, ecolor=RED, elinewidth=0.9,
        label="groups of equal size", zorder=4, clip_on=False,
    )  # fmt: skip
    title = None
    slope, large = fit["slope"]["value"], fit["in_the_large"]["value"]
    if slope is not None and large is not None:
        title = f"slope {slope:.2f}, intercept {large:+.2f}"
    axes.set(xlabel="predicted probability", ylabel="observed share", title=f"Calibration, {endpoint['name']}")
    axes.set_ylim(-0.03, 1.03)
    axes.legend(loc="upper left", title=title, title_fontsize=8, alignment="left")
    return figure


def _decision_curve(endpoint: Mapping[str, Any]) -> Figure:
    curve = endpoint["decision_curve"]
    figure, axes = axes_of()
    x = curve["thresholds"]
    low, high, model = (_floats(curve[name]) for name in ("low", "high", "model"))
    axes.fill_between(x, low, high, color=PALE, lw=0, alpha=0.8)
    axes.plot(x, model, color=BLUE, label="model")
    axes.plot(x, curve["treat_all"], color=RED, lw=1.3, label="treat all")
    axes.axhline(0, color=INK, lw=1.3, label="treat none")
    top = max(0.05, float(np.nanmax(high)))
    axes.set(xlim=(0, max(x)), ylim=(-0.25 * top, 1.08 * top), xlabel="threshold probability", ylabel="net benefit")
    axes.set_title(f"Decision curve, {endpoint['name']}")
    axes.legend(loc="best")
    return figure


def _floats(values: Sequence[float | None]) -> Any:
    return np.asarray([np.nan if value is None else value for value in values])
