"""What a report says, as text: the HTML and the PDF page render this and compute nothing.

Every sentence is a :class:`gastromap.text.Text`, so that one content is read in any language; what stays a plain string
is foreign: names and numbers of a header, the words of a model.
"""

from __future__ import annotations

from dataclasses import dataclass

from gastromap.reports.catalogue import known
from gastromap.reports.comparison_content import ComparisonContent, comparison_content
from gastromap.reports.examination_rows import (
    TumourContent,
    key_slice_rows,
    model_rows,
    other_series,
    series_reason,
    series_rows,
    tumour_content,
)
from gastromap.reports.nomogram_chart import NomogramChart, nomogram_chart
from gastromap.reports.patient import patient_rows
from gastromap.reports.phrases import (
    RESEARCH_USE_LINE,
    heat_map_meaning,
    heat_map_method,
    percent,
    stage_label,
    warning_sentence,
)
from gastromap.reports.probabilities import NOT_STAGED, STAGED, Bar, agreement, set_in_words, shares_of, stage_bars
from gastromap.reports.unavailable import missing_variables, unavailable_rows
from gastromap.results import NomogramOmitted, NomogramResult, StudyResult
from gastromap.text import Text, in_a_row

__all__ = ["ReportContent", "report_content"]

_VARIANTS = {"published": Text("published"), "refit": Text("refit")}


@dataclass(frozen=True)
class ReportContent:
    """All texts of one report, in the order of reading."""

    stage: str
    staged: bool
    confidence: str  #: ``Confidently staged`` or ``Not confidently staged``
    reasons: tuple[str, ...]
    prediction_set: str
    bars: tuple[Bar, ...]
    bars_note: str  #: whether the probabilities are calibrated
    agreement: str
    rad_score: str
    nomogram_title: str
    nomogram_note: str
    nomogram_rows: tuple[tuple[str, str, str, str], ...]  #: predictor, value, log odds, points
    nomogram_total: str
    nomogram_probabilities: str
    nomogram_missing: str  #: variables it lacked; empty where it was computed
    chart: NomogramChart | None  #: None where the nomogram was not computed
    key_slice_rows: tuple[tuple[str, str], ...]
    heat_map_method: str
    heat_map_meaning: str
    model_rows: tuple[tuple[str, str], ...]
    model_facts: tuple[tuple[str, str], ...]
    notice: str
    series_rows: tuple[tuple[str, str], ...]
    series_reason: str
    other_series: tuple[tuple[str, str, str], ...]  #: number, slices, why it was not chosen
    warnings: tuple[str, ...]
    unavailable: tuple[tuple[str, str], ...]  #: what, why
    software: str
    run_id: str
    patient: tuple[tuple[str, str], ...]
    tumour: TumourContent | None = None  #: where the table of a comparison does not hold its size
    comparison: ComparisonContent | None = None
    research_use: str = RESEARCH_USE_LINE


def _nomogram(nomogram: NomogramResult | NomogramOmitted, result: StudyResult) -> dict[str, object]:
    if isinstance(nomogram, NomogramOmitted):
        missing, reason = missing_variables(nomogram), known(nomogram.reason)
        note = Text("Missing: {variables}. {reason}", variables=missing, reason=reason) if missing else reason
        return {
            "nomogram_title": Text("Nomogram: not computed"),
            "nomogram_note": note,
            "nomogram_rows": (),
            "nomogram_total": "",
            "nomogram_probabilities": "",
            "nomogram_missing": missing,
            "chart": None,
        }
    return {
        "nomogram_title": Text(
            "Nomogram ({variant}): {stage}",
            variant=_VARIANTS[nomogram.variant],
            stage=stage_label(result.volume.role, nomogram.stage),
        ),
        "nomogram_note": known(nomogram.source),
        "nomogram_rows": tuple(
            (known(row.name), known(row.value), f"{row.log_odds:+.2f}".replace("-", "−"), f"{row.points:.0f}")
            for row in nomogram.contributions
        ),
        "nomogram_total": f"{nomogram.total_points:.0f}",
        "nomogram_probabilities": in_a_row(
            [shares_of(name, percent(probability)) for name, probability in nomogram.probabilities.items()]
        ),
        "nomogram_missing": "",
        "chart": nomogram_chart(nomogram),
    }


def report_content(result: StudyResult) -> ReportContent:
    """Put a result in words.

    Parameters
    ----------
    result : StudyResult
        What the run found; patient and study are read from its source headers.
    """
    role, compared = result.volume.role, comparison_content(result)
    stage, model, confidence = result.stage, result.stage.model, result.stage.confidence
    packages = ", ".join(f"{name} {version}" for name, version in result.run.packages.items())
    codes = tuple(dict.fromkeys((*result.volume.warnings, *result.warnings)))
    score = "" if stage.rad_score is None else f"{stage.rad_score:+.2f}".replace("-", "−")
    return ReportContent(
        stage=stage_label(role, stage.stage),
        staged=confidence.staged,
        confidence=STAGED if confidence.staged else NOT_STAGED,
        reasons=tuple(known(reason) for reason in confidence.reasons),
        prediction_set=set_in_words(confidence.prediction_set, confidence.coverage),
        bars=stage_bars(stage, role),
        bars_note=Text("Calibrated probabilities.")
        if confidence.calibration
        else Text("Probabilities as the network gives them, not calibrated."),
        agreement=agreement(stage, role),
        rad_score=Text("{score} SD", score=score) if score else "",
        **_nomogram(result.nomogram, result),  # type: ignore[arg-type]
        key_slice_rows=key_slice_rows(result.volume, result.key_slice),
        heat_map_method=heat_map_method(result.grad_cam),
        heat_map_meaning=heat_map_meaning(stage_label(role, result.grad_cam.stage)),
        model_rows=(*model_rows(model), (Text("Calibration"), confidence.calibration or Text("none"))),
        model_facts=tuple((known(label), known(value)) for label, value in stage.model_facts),
        notice=known(model.notice),
        series_rows=series_rows(result.volume),
        series_reason=series_reason(result.volume),
        other_series=other_series(result.volume),
        warnings=tuple(warning_sentence(code) for code in codes),
        unavailable=unavailable_rows(result),
        software=f"GastroMAP {result.run.version}; {packages}; {stage.device}",
        run_id=result.run.run_id,
        patient=patient_rows(result),
        tumour=None if compared is not None and compared.size_rows else tumour_content(result.tumour),
        comparison=compared,
    )
