"""Figures of survival and of combined nomograms; each takes a part of the report and computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gastromap.evaluation.drawing import BLUE, GREY, INK, PALE, RED, axes_of
from gastromap.evaluation.tables import slug

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figure_names", "survival_figures"]

_GROUP_COLOURS = {"all": INK, "low risk": BLUE, "high risk": RED}
_MODEL_COLOURS = (BLUE, RED, "#b5651d", "#6b2737", GREY)
_DIAGONAL: dict[str, Any] = {"color": GREY, "lw": 0.9, "ls": (0, (4, 3)), "zorder": 1}


def figure_names(survival: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Prefix of the figures of each cohort and of each of its models."""
    cohorts: list[str] = []
    found = []
    for cohort in survival["cohorts"]:
        cohorts.append(slug(cohort["name"], cohorts))
        models: list[str] = []
        for model in cohort["models"]:
            models.append(slug(model["name"], models))
        prefix = f"survival_{cohorts[-1]}"
        found.append((prefix, [f"{prefix}_{model}" for model in models]))
    return found


def survival_figures(survival: Mapping[str, Any]) -> dict[str, Figure]:
    """Every figure of :func:`gastromap.evaluation.survival.report.survival_report` by file name without ending."""
    figures: dict[str, Figure] = {}
    for cohort, (prefix, names) in zip(survival["cohorts"], figure_names(survival), strict=True):
        figures[f"{prefix}_auc"] = _in_time(cohort, "auc", "AUC, cumulative/dynamic", 0.5)
        if any("brier" in model["metrics"] for model in cohort["models"]):
            figures[f"{prefix}_brier"] = _in_time(cohort, "brier", "Brier score", None)
        if cohort["cox"]["multivariable"] or cohort["cox"]["univariable"]["rows"]:
            figures[f"{prefix}_forest"] = _forest(cohort)
        for model, name in zip(cohort["models"], names, strict=True):
            groups = model["groups"]
            curves = groups["curves"] if groups else [cohort["overall"]]
            figures[f"{name}_kaplan_meier"] = _kaplan_meier(model, curves, cohort["at_risk_months"])
            for part in model["calibration"]:
                figures[f"{name}_calibration_{part['month']}"] = _calibration(model["name"], part)
            for curve in model["decision_curves"]:
                figures[f"{name}_decision_curve_{curve['month']}"] = _decision(model["name"], curve)
    return figures


def _floats(values: Sequence[float | None]) -> Any:
    return np.asarray([np.nan if value is None else value for value in values], dtype=float)


def _p(value: float | None) -> str:
    if value is None:
        return "p –"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _kaplan_meier(model: Mapping[str, Any], curves: Sequence[Mapping[str, Any]], months: Sequence[int]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 4.2 + 0.16 * len(curves)), layout="constrained")
    axes, table = figure.subplots(2, 1, sharex=True, height_ratios=(1, 0.06 + 0.055 * len(curves)))
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    for curve in curves:
        colour, when = _GROUP_COLOURS[curve["name"]], curve["months"]
        axes.fill_between(
            when, _floats(curve["low"]), _floats(curve["high"]), step="post", color=colour, alpha=0.14, lw=0
        )
        label = f"{curve['name']} ({curve['deaths']} of {curve['patients']} died)"
        axes.step(when, curve["survival"], where="post", color=colour, label=label)
    title = None
    if model["groups"]:
        ratio, test = model["groups"]["hazard_ratio"], model["groups"]["log_rank"]
        title = f"log-rank {_p(test['p_value'])}"
        if ratio and ratio["value"] is not None:
            title += f", HR {ratio['value']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})"
    axes.set(ylim=(0, 1.02), ylabel="survival", title=f"Kaplan–Meier, {model['name']}")
    axes.tick_params(labelbottom=True)
    axes.set_xticks(months)
    axes.set_xlabel("months")
    axes.legend(loc="best", title=title, title_fontsize=8, alignment="left")
    _at_risk(table, curves, months)
    return figure


def _at_risk(table: Axes, curves: Sequence[Mapping[str, Any]], months: Sequence[int]) -> None:
    table.set(ylim=(-len(curves) + 0.4, 1.5))
    table.spines[:].set_visible(False)
    table.tick_params(length=0, labelbottom=False)
    table.set_yticks([-place for place in range(len(curves))], [curve["name"] for curve in curves], fontsize=7.5)
    table.text(0, 1.0, "patients at risk", fontsize=7.5, va="center", color=INK)
    for place, curve in enumerate(curves):
        for month, count in zip(months, curve["at_risk"], strict=True):
            colour = _GROUP_COLOURS[curve["name"]]
            table.text(month, -place, f"{count}", ha="center", va="center", fontsize=7.5, color=colour)


def _in_time(cohort: Mapping[str, Any], metric: str, title: str, line: float | None) -> Figure:
    figure, axes = axes_of(4.6, 3.6)
    models = [model for model in cohort["models"] if metric in model["metrics"]]
    for place, model in enumerate(models):
        colour = _MODEL_COLOURS[place % len(_MODEL_COLOURS)]
        known = {int(month): entry for month, entry in model["metrics"][metric].items() if entry["value"] is not None}
        shift = 0.8 * (place - (len(models) - 1) / 2)
        when = [month + shift for month in known]
        value, low, high = (_floats([entry[key] for entry in known.values()]) for key in ("value", "low", "high"))
        axes.errorbar(when, value, yerr=np.clip([value - low, high - value], 0, None), fmt="o-", color=colour, ms=4.5,
                      elinewidth=0.9, label=model["name"])  # fmt: skip
    if line is not None:
        axes.axhline(line, **_DIAGONAL)
    axes.set(xlabel="months", title=title)
    axes.set_xticks([12, 24, 36, 48, 60])
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _calibration(name: str, part: Mapping[str, Any]) -> Figure:
    figure, axes = axes_of(square=True)
    axes.plot([0, 1], [0, 1], **_DIAGONAL, label="ideal")
    if part["smooth"]["predicted"]:
        axes.plot(part["smooth"]["predicted"], part["smooth"]["observed"], color=BLUE, label="smooth (Cox, spline)")
    groups = {key: _floats(values) for key, values in part["groups"].items()}
    spread = np.clip([groups["observed"] - groups["low"], groups["high"] - groups["observed"]], 0, None)
    axes.errorbar(
        groups["predicted"], groups["observed"], yerr=spread, fmt="o", ms=4.5, color=RED, elinewidth=0.9,
        label="Kaplan–Meier of groups", zorder=4, clip_on=False,
    )  # fmt: skip
    slope, ratio = part["slope"]["value"], part["observed_to_expected"]
    title = None if slope is None or ratio is None else f"slope {slope:.2f}, observed/expected deaths {ratio:.2f}"
    axes.set(xlabel="predicted survival", ylabel="observed survival", ylim=(-0.03, 1.03))
    axes.set_title(f"Calibration at {part['month']} months, {name}")
    axes.legend(loc="upper left", title=title, title_fontsize=8, alignment="left")
    return figure


def _decision(name: str, curve: Mapping[str, Any]) -> Figure:
    figure, axes = axes_of()
    x, low, high = curve["thresholds"], _floats(curve["low"]), _floats(curve["high"])
    axes.fill_between(x, low, high, color=PALE, lw=0, alpha=0.8)
    axes.plot(x, _floats(curve["model"]), color=BLUE, label=name)
    axes.plot(x, _floats(curve["treat_all"]), color=RED, lw=1.3, label="treat all")
    axes.axhline(0, color=INK, lw=1.3, label="treat none")
    top = max(0.05, float(np.max(np.nan_to_num(high))))
    axes.set(xlim=(0, max(x)), ylim=(-0.25 * top, 1.08 * top), xlabel="threshold risk", ylabel="net benefit")
    axes.set_title(f"Decision curve, death by {curve['month']} months")
    axes.legend(loc="best")
    return figure


def _forest(cohort: Mapping[str, Any]) -> Figure:
    part = cohort["cox"]["multivariable"] or cohort["cox"]["univariable"]
    rows = [row for row in part["rows"] if row["hazard_ratio"]]
    figure, axes = axes_of(6.6, 1.4 + 0.3 * len(rows))
    for place, row in enumerate(rows):
        axes.plot([row["low"], row["high"]], [-place] * 2, color=BLUE, lw=1.4, solid_capstyle="butt")
        axes.scatter(row["hazard_ratio"], -place, s=28, color=BLUE, zorder=3)
        text = f"{row['hazard_ratio']:.2f} ({row['low']:.2f}–{row['high']:.2f}), {_p(row['p_value'])}"
        axes.annotate(text, (1.02, -place), xycoords=("axes fraction", "data"), va="center", fontsize=7.5)
    axes.axvline(1, color=INK, lw=0.9)
    axes.set_xscale("log")
    ends = [end for row in rows for end in (row["low"], row["high"])]
    low, high = min(0.5, *ends), max(2.0, *ends)
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
    axes.minorticks_off()
    axes.set_yticks([-place for place in range(len(rows))], [f"{row['variable']}, {row['level']}" for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(-len(rows) + 0.4, 0.6)
    what = "all together" if cohort["cox"]["multivariable"] else "each alone"
    axes.set(xlabel="hazard ratio of death (right of 1: worse)", title=f"Cox regression, {what}")
    return figure
