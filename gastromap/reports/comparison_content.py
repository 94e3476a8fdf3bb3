"""What a report says of the CT after treatment, as text: never a plain cT, never a claim of complete response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gastromap.reports.catalogue import known
from gastromap.reports.comparison_pictures import MapPair
from gastromap.reports.examination_rows import key_slice_rows, millilitres, millimetres, series_rows
from gastromap.reports.outlook_content import OutlookContent, outlook_content
from gastromap.reports.patient import study_date
from gastromap.reports.phrases import (
    SIZE_ORIGINS,
    heat_map_meaning,
    heat_map_method,
    percent,
    signed,
    stage_label,
    warning_sentence,
)
from gastromap.reports.probabilities import NOT_STAGED, STAGED, agreement, set_in_words, shares_of, stage_bars
from gastromap.results import Comparison, Examination, SizeChange, StudyResult
from gastromap.text import Text, in_a_row

__all__ = ["ComparisonContent", "StageAfter", "comparison_content", "finding_after", "map_texts"]

_CHANGES: Final = {
    "volume_ml": (Text("Volume"), millilitres),
    "long_axis_mm": (Text("Long axis"), millimetres),
    "thickness_mm": (Text("Wall thickness"), millimetres),
}
_MAPS: Final = {
    "lnm": (Text("Speaks for node metastasis"), Text("3D Grad-CAM, both scans on one scale")),
    "os_risk": (Text("Speaks for an earlier death"), Text("3D Grad-CAM, both scans on one scale")),
    "pooling": (Text("Weight in the prediction"), Text("share of each place in its own scan")),
    "co_attention": (
        Text("From the tumour before to the CT after"),
        Text("ring: middle of the tumour before treatment; colours: where it looks after treatment"),
    ),
}
_MAPS_MEANING: Final = Text("Where the model looked, not proof. On the slices above, cut to what the model read.")


@dataclass(frozen=True)
class StageAfter:
    """ycT stage of the CT after treatment, second to the stage before it."""

    label: str
    staged: bool
    confidence: str
    prediction_set: str
    agreement: str
    probabilities: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class ComparisonContent:
    """All texts of the section "After treatment", in the order of reading."""

    dates: tuple[str, str]
    interval: str
    finding: str  #: that no tumour was found, or why its size is not known; empty where it was measured
    stage: StageAfter | None
    captions: tuple[str, str]  #: of the key slices
    heat_map_method: str  #: empty where the follow-up has no heat map, as the two that follow
    heat_map_meaning: str
    overlay_caption: str
    size_rows: tuple[tuple[str, str, str, str], ...]  #: measure, before, after, change
    size_note: str
    outlook: OutlookContent | None
    omitted: str
    crop_note: str
    maps_meaning: str
    notices: tuple[str, ...]
    key_slice_rows: tuple[tuple[str, str], ...]
    series_rows: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def map_texts(pair: MapPair) -> tuple[str, str]:
    """Title and caption of a map."""
    title, caption = _MAPS[pair.name]
    if pair.spread is not None:
        caption = Text(
            "{caption}; spread {spread} (100 % = everywhere alike)", caption=caption, spread=percent(pair.spread)
        )
    return title, caption


def finding_after(followup: Examination) -> str:
    """Return that no tumour was found, or why its size is not known; empty where it was measured."""
    if followup.tumour is not None:
        return ""
    # The finder's own words for it would only say the same again.
    said = "no tumour found after treatment".startswith(followup.no_tumour)
    why = known(followup.no_tumour)
    if followup.cleared and said:
        return Text("No tumour found after treatment. That does not prove that none is left.")
    if followup.cleared:
        return Text("No tumour found after treatment ({reason}). That does not prove that none is left.", reason=why)
    if said:
        return Text("Size of the tumour after treatment not known.")
    return Text("Size of the tumour after treatment not known ({reason}).", reason=why)


def _change_row(change: SizeChange, *, found: bool) -> tuple[str, str, str, str]:
    label, text = _CHANGES[change.name]
    if not found:
        return label, text(change.before), Text("none found"), "–"
    return label, text(change.before), text(change.after), Text("{number} %", number=signed(100 * change.relative))


def _size_note(result: StudyResult, followup: Examination) -> str:
    before, after = (None if tumour is None else tumour.origin for tumour in (result.tumour, followup.tumour))
    if before is not None and after is not None:
        if before == after:
            return Text("Both {origin}.", origin=SIZE_ORIGINS[before])
        return Text("Before: {before}; after: {after}.", before=SIZE_ORIGINS[before], after=SIZE_ORIGINS[after])
    if before is not None:
        return Text("Before: {origin}.", origin=SIZE_ORIGINS[before])
    return "" if after is None else Text("After: {origin}.", origin=SIZE_ORIGINS[after])


def _stage(comparison: Comparison, role: str) -> StageAfter | None:
    stage = comparison.stage
    if stage is None:
        return None
    confidence = stage.confidence
    return StageAfter(
        label=stage_label(role, stage.stage),
        staged=confidence.staged,
        confidence=STAGED if confidence.staged else NOT_STAGED,
        prediction_set=set_in_words(confidence.prediction_set, confidence.coverage, prefix=stage_label(role, "")),
        agreement=agreement(stage, role),
        probabilities=in_a_row([shares_of(bar.label, bar.percent) for bar in stage_bars(stage, role)]),
        reasons=tuple(known(reason) for reason in confidence.reasons),
    )


def _interval(days: int | None) -> str:
    if days is None:
        return ""
    return Text("1 day later") if days == 1 else Text("{days} days later", days=days)


def _shown(followup: Examination) -> str:
    if followup.key_slice is not None:
        return Text("key slice")
    if followup.crop_centre_lps is not None:
        return Text("no key slice; slice in the middle of what the model read")
    return Text("no key slice; middle of the scan")


def _no_change(comparison: Comparison) -> str:
    if comparison.elsewhere:
        return Text("Different places were marked before and after treatment; their sizes are not compared.")
    return Text("The size is not known at both dates.")


def comparison_content(result: StudyResult) -> ComparisonContent | None:
    """Put a comparison in words.

    Parameters
    ----------
    result : StudyResult
        With or without a comparison.
    """
    comparison = result.comparison
    if comparison is None:
        return None
    followup = comparison.followup
    volume, grad_cam = followup.volume, comparison.grad_cam
    before, after = (study_date(one.sources[0].header) for one in (result.volume, volume))
    models = (
        None if result.tumour is None else result.tumour.model,
        None if followup.tumour is None else followup.tumour.model,
        None if comparison.stage is None else comparison.stage.model,
        None if comparison.outlook is None else comparison.outlook.model,
    )
    notices = dict.fromkeys(known(model.notice) for model in models if model is not None and model.notice)
    method = meaning = overlay = ""
    if grad_cam is not None:
        method, meaning = heat_map_method(grad_cam), heat_map_meaning(stage_label(volume.role, grad_cam.stage))
        overlay = Text("{method}: {meaning}", method=method, meaning=meaning)
    codes = dict.fromkeys((*volume.warnings, *followup.warnings))
    return ComparisonContent(
        dates=(before, after),
        interval=_interval(comparison.interval_days),
        finding=finding_after(followup),
        stage=_stage(comparison, volume.role),
        captions=(
            Text("Before treatment, {date}: key slice", date=before),
            Text("After treatment, {date}: {slice}", date=after, slice=_shown(followup)),
        ),
        heat_map_method=method,
        heat_map_meaning=meaning,
        overlay_caption=overlay,
        size_rows=tuple(_change_row(change, found=followup.tumour is not None) for change in comparison.changes),
        size_note=_size_note(result, followup) if comparison.changes else _no_change(comparison),
        outlook=outlook_content(comparison.outlook),
        omitted=known(comparison.omitted),
        crop_note=Text("The part of the CT after treatment that the model read was placed by the stomach.")
        if comparison.crop_by_stomach
        else "",
        maps_meaning=_MAPS_MEANING,
        notices=tuple(notice for notice in notices if notice != result.stage.model.notice),
        key_slice_rows=() if followup.key_slice is None else key_slice_rows(volume, followup.key_slice),
        series_rows=series_rows(volume),
        warnings=tuple(warning_sentence(code) for code in codes),
    )
