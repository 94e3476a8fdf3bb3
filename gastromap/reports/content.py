"""What a report says, as text: the HTML and the PDF page render this and compute nothing."""

from __future__ import annotations

from dataclasses import dataclass

from gastromap.reports.comparison_content import ComparisonContent, comparison_content
from gastromap.reports.examination_rows import (
    TumourContent,
    key_slice_rows,
    model_rows,
    series_rows,
    tumour_content,
)
from gastromap.reports.patient import patient_rows
from gastromap.reports.phrases import (
    RESEARCH_USE,
    VARIABLES,
    heat_map_meaning,
    heat_map_method,
    percent,
    stage_label,
    warning_sentence,
)
from gastromap.reports.probabilities import Bar, agreement, set_in_words, stage_bars
from gastromap.results import NomogramOmitted, NomogramResult, StudyResult

__all__ = ["ReportContent", "report_content"]


@dataclass(frozen=True)
class ReportContent:
    """All texts of one report, in the order of reading."""

    stage: str
    staged: bool
    confidence: str  #: ``Confidently staged`` or ``Not confidently staged``
    reasons: tuple[str, ...]
    prediction_set: str
    bars: tuple[Bar, ...]
    agreement: str
    rad_score: str
    nomogram_title: str
    nomogram_note: str
    nomogram_rows: tuple[tuple[str, str, str, str], ...]  #: predictor, value, log odds, points
    nomogram_total: str
    nomogram_probabilities: str
    key_slice_rows: tuple[tuple[str, str], ...]
    heat_map_method: str
    heat_map_meaning: str
    model_rows: tuple[tuple[str, str], ...]
    notice: str
    series_rows: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    software: str
    run_id: str
    patient: tuple[tuple[str, str], ...]
    tumour: TumourContent | None = None  #: where the table of a comparison does not hold its size
    comparison: ComparisonContent | None = None
    research_use: str = RESEARCH_USE.capitalize()


def _list(items: tuple[str, ...]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _nomogram(nomogram: NomogramResult | NomogramOmitted, result: StudyResult) -> dict[str, object]:
    if isinstance(nomogram, NomogramOmitted):
        missing = _list(tuple(VARIABLES.get(name, name) for name in nomogram.missing)) if nomogram.missing else ""
        sentence = f"Missing: {missing}. {nomogram.reason}" if missing else nomogram.reason
        return {
            "nomogram_title": "Nomogram: not computed",
            "nomogram_note": sentence,
            "nomogram_rows": (),
            "nomogram_total": "",
            "nomogram_probabilities": "",
        }
    shares = ", ".join(f"{name} {percent(probability)}" for name, probability in nomogram.probabilities.items())
    return {
        "nomogram_title": f"Nomogram ({nomogram.variant}): {stage_label(result.volume.role, nomogram.stage)}",
        "nomogram_note": nomogram.source,
        "nomogram_rows": tuple(
            (row.name, row.value, f"{row.log_odds:+.2f}".replace("-", "−"), f"{row.points:.0f}")
            for row in nomogram.contributions
        ),
        "nomogram_total": f"{nomogram.total_points:.0f}",
        "nomogram_probabilities": shares,
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
    return ReportContent(
        stage=stage_label(role, stage.stage),
        staged=confidence.staged,
        confidence="Confidently staged" if confidence.staged else "Not confidently staged",
        reasons=confidence.reasons,
        prediction_set=set_in_words(confidence.prediction_set, confidence.coverage),
        bars=stage_bars(stage, role),
        agreement=agreement(stage, role),
        rad_score="" if stage.rad_score is None else f"{stage.rad_score:+.2f} SD".replace("-", "−"),
        **_nomogram(result.nomogram, result),  # type: ignore[arg-type]
        key_slice_rows=key_slice_rows(result.volume, result.key_slice),
        heat_map_method=heat_map_method(result.grad_cam),
        heat_map_meaning=heat_map_meaning(stage_label(role, result.grad_cam.stage)),
        model_rows=(*model_rows(model), ("Calibration", confidence.calibration or "none")),
        notice=model.notice,
        series_rows=series_rows(result.volume),
        warnings=tuple(warning_sentence(code) for code in codes),
        software=f"GastroMAP {result.run.version}; {packages}; {stage.device}",
        run_id=result.run.run_id,
        patient=patient_rows(result),
        tumour=None if compared is not None and compared.size_rows else tumour_content(result.tumour),
        comparison=compared,
    )
