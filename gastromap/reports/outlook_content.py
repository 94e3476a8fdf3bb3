"""Node metastasis and survival in words, and the survival curve as places on a chart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gastromap.reports.examination_rows import model_rows
from gastromap.reports.phrases import percent, signed
from gastromap.reports.probabilities import Bar

if TYPE_CHECKING:
    from gastromap.longitudinal.outcome import Outcome
    from gastromap.longitudinal.predictor import LongitudinalResult

__all__ = ["OutlookContent", "SurvivalChart", "expected_survival", "outlook_content", "risk_group"]

_INPUTS = {
    "pair": "From both CT examinations",
    "baseline_only": "From the CT before treatment alone",
    "followup_only": "From the CT after treatment alone",
}


@dataclass(frozen=True)
class SurvivalChart:
    """Survival curve: renderers scale it and compute nothing else.

    Attributes
    ----------
    points, alone : tuple of (x, y)
        From both examinations, and from the first alone (may be empty); x from 0 to 1 is the time to the last break,
        y the probability of being alive.
    month_ticks : tuple of (x, text)
    percent_ticks : tuple of (y, text)
    title, description : str
        For those who do not see it.
    """

    points: tuple[tuple[float, float], ...]
    alone: tuple[tuple[float, float], ...]
    month_ticks: tuple[tuple[float, str], ...]
    percent_ticks: tuple[tuple[float, str], ...]
    title: str
    description: str


@dataclass(frozen=True)
class OutlookContent:
    """What the longitudinal model says."""

    inputs: str
    bars: tuple[Bar, ...]  #: node metastasis from both examinations, then from the first alone
    chart: SurvivalChart
    expected: str
    risk_group: str
    rows: tuple[tuple[str, str, str, str], ...]  #: what, from both, from the first alone, difference
    model_rows: tuple[tuple[str, str], ...]
    notice: str


def expected_survival(outcome: Outcome, last_month: float) -> str:
    """Return the restricted mean survival time as a sentence."""
    return f"Expected survival within the first {last_month:g} months: {outcome.rmst_months:.1f} months"


def risk_group(outcome: Outcome) -> str:
    """Return on which side of the training patients' median the risk of death lies."""
    if outcome.risk_group is None:
        return "Risk group: not known, the model has no median of its training patients"
    side = "above" if outcome.risk_group == "high" else "not above"
    return f"Risk group: {outcome.risk_group}, {side} the median of the training patients"


def _points(curve: Mapping[int, float], last: float) -> tuple[tuple[float, float], ...]:
    return ((0.0, 1.0), *((month / last, value) for month, value in curve.items()))


def _chart(outlook: LongitudinalResult) -> SurvivalChart:
    last, curve = outlook.breaks_months[-1], outlook.outcome.survival
    step = 12 if last <= 84 else 24
    listed = ", ".join(f"{percent(value)} at {month} months" for month, value in curve.items())
    alone = outlook.baseline_only
    dashed = " Dashed: from the CT before treatment alone." if alone is not None else ""
    return SurvivalChart(
        points=_points(curve, last),
        alone=() if alone is None else _points(alone.survival, last),
        month_ticks=tuple((month / last, str(month)) for month in range(0, int(last) + 1, step)),
        percent_ticks=tuple((part / 4, f"{part * 25} %") for part in range(5)),
        title="Probability of being alive by month",
        description=f"{listed}. The dots are computed, the lines between them are drawn straight.{dashed}",
    )


def _rows(outlook: LongitudinalResult) -> tuple[tuple[str, str, str, str], ...]:
    pair, alone, change = outlook.outcome, outlook.baseline_only, outlook.contribution
    months = [
        (
            f"S({month} months)",
            percent(value),
            "" if alone is None else percent(alone.survival[month]),
            "" if change is None else f"{signed(100 * change.survival[month])} points",
        )
        for month, value in pair.survival.items()
    ]
    return (
        (
            "Node metastasis",
            percent(pair.lnm_probability),
            "" if alone is None else percent(alone.lnm_probability),
            "" if change is None else f"{signed(100 * change.lnm_probability)} points",
        ),
        *months,
        (
            "Expected survival",
            f"{pair.rmst_months:.1f} months",
            "" if alone is None else f"{alone.rmst_months:.1f} months",
            "" if change is None else f"{signed(change.rmst_months, 1)} months",
        ),
    )


def outlook_content(outlook: LongitudinalResult | None) -> OutlookContent | None:
    """Put node metastasis and survival in words."""
    if outlook is None:
        return None
    alone = outlook.baseline_only
    bars = [Bar("From both", outlook.outcome.lnm_probability, in_set=False, is_stage=True)]
    if alone is None:
        bars = [Bar("Probability", outlook.outcome.lnm_probability, in_set=False, is_stage=True)]
    else:
        bars.append(Bar("Before alone", alone.lnm_probability, in_set=False, is_stage=False))
    return OutlookContent(
        inputs=_INPUTS[outlook.outcome.inputs],
        bars=tuple(bars),
        chart=_chart(outlook),
        expected=expected_survival(outlook.outcome, outlook.breaks_months[-1]),
        risk_group=risk_group(outlook.outcome),
        rows=_rows(outlook),
        model_rows=model_rows(outlook.model),
        notice=outlook.model.notice,
    )
