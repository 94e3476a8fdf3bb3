"""Node metastasis and survival in words, and the survival curve as places on a chart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gastromap.reports.catalogue import known
from gastromap.reports.examination_rows import model_rows
from gastromap.reports.phrases import percent, signed
from gastromap.reports.probabilities import Bar
from gastromap.text import Text, in_a_row

if TYPE_CHECKING:
    from gastromap.longitudinal.outcome import Outcome
    from gastromap.longitudinal.predictor import LongitudinalResult

__all__ = ["OutlookContent", "SurvivalChart", "expected_survival", "outlook_content", "risk_group"]

_INPUTS = {
    "pair": Text("From both CT examinations"),
    "baseline_only": Text("From the CT before treatment alone"),
    "followup_only": Text("From the CT after treatment alone"),
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
    return Text(
        "Expected survival within the first {last} months: {mean} months",
        last=f"{last_month:g}",
        mean=f"{outcome.rmst_months:.1f}",
    )


def risk_group(outcome: Outcome) -> str:
    """Return on which side of the training patients' median the risk of death lies."""
    if outcome.risk_group is None:
        return Text("Risk group: not known, the model has no median of its training patients")
    if outcome.risk_group == "high":
        return Text("Risk group: high, above the median of the training patients")
    return Text("Risk group: low, not above the median of the training patients")


def _points(curve: Mapping[int, float], last: float) -> tuple[tuple[float, float], ...]:
    return ((0.0, 1.0), *((month / last, value) for month, value in curve.items()))


def _chart(outlook: LongitudinalResult) -> SurvivalChart:
    last, curve = outlook.breaks_months[-1], outlook.outcome.survival
    step = 12 if last <= 84 else 24
    listed = in_a_row(
        [Text("{share} at {month} months", share=percent(value), month=month) for month, value in curve.items()]
    )
    alone = outlook.baseline_only
    description = Text("{values}. The dots are computed, the lines between them are drawn straight.", values=listed)
    if alone is not None:
        description = Text("{description} Dashed: from the CT before treatment alone.", description=description)
    return SurvivalChart(
        points=_points(curve, last),
        alone=() if alone is None else _points(alone.survival, last),
        month_ticks=tuple((month / last, str(month)) for month in range(0, int(last) + 1, step)),
        percent_ticks=tuple((part / 4, percent(part / 4)) for part in range(5)),
        title=Text("Probability of being alive by month"),
        description=description,
    )


def _points_of(change: float) -> str:
    return Text("{change} points", change=signed(100 * change))


def _months(number: str) -> str:
    return Text("{number} months", number=number)


def _rows(outlook: LongitudinalResult) -> tuple[tuple[str, str, str, str], ...]:
    pair, alone, change = outlook.outcome, outlook.baseline_only, outlook.contribution
    months = [
        (
            Text("S({month} months)", month=month),
            percent(value),
            "" if alone is None else percent(alone.survival[month]),
            "" if change is None else _points_of(change.survival[month]),
        )
        for month, value in pair.survival.items()
    ]
    return (
        (
            Text("Node metastasis"),
            percent(pair.lnm_probability),
            "" if alone is None else percent(alone.lnm_probability),
            "" if change is None else _points_of(change.lnm_probability),
        ),
        *months,
        (
            Text("Expected survival"),
            _months(f"{pair.rmst_months:.1f}"),
            "" if alone is None else _months(f"{alone.rmst_months:.1f}"),
            "" if change is None else _months(signed(change.rmst_months, 1)),
        ),
    )


def outlook_content(outlook: LongitudinalResult | None) -> OutlookContent | None:
    """Put node metastasis and survival in words."""
    if outlook is None:
        return None
    alone = outlook.baseline_only
    bars = [Bar(Text("From both"), outlook.outcome.lnm_probability, in_set=False, is_stage=True)]
    if alone is None:
        bars = [Bar(Text("Probability"), outlook.outcome.lnm_probability, in_set=False, is_stage=True)]
    else:
        bars.append(Bar(Text("Before alone"), alone.lnm_probability, in_set=False, is_stage=False))
    return OutlookContent(
        inputs=_INPUTS[outlook.outcome.inputs],
        bars=tuple(bars),
        chart=_chart(outlook),
        expected=expected_survival(outlook.outcome, outlook.breaks_months[-1]),
        risk_group=risk_group(outlook.outcome),
        rows=_rows(outlook),
        model_rows=model_rows(outlook.model),
        notice=known(outlook.model.notice),
    )
