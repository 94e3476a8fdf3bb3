"""What a report says, as text: the HTML and the PDF page render this and compute nothing."""

from __future__ import annotations

from dataclasses import dataclass

from gastromap.reports.patient import patient_rows
from gastromap.reports.phrases import (
    KEY_SLICE_ORIGINS,
    RESEARCH_USE,
    VARIABLES,
    VOTES,
    heat_map_meaning,
    heat_map_method,
    stage_label,
    warning_sentence,
)
from gastromap.results import NomogramOmitted, NomogramResult, StudyResult

__all__ = ["Bar", "ReportContent", "report_content", "set_in_words"]


@dataclass(frozen=True)
class Bar:
    """Probability of one stage."""

    label: str
    probability: float
    in_set: bool
    is_stage: bool

    @property
    def percent(self) -> str:
        """Probability in words of the reader; 0 % and 100 % only where they are exact."""
        if 0 < self.probability < 0.005:
            return "<1 %"
        if 0.995 < self.probability < 1:
            return ">99 %"
        return f"{self.probability * 100:.0f} %"


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
    research_use: str = RESEARCH_USE.capitalize()


def set_in_words(members: tuple[str, ...], coverage: float) -> str:
    """Put a conformal prediction set in words: ``T2–T3 at 90 %``.

    Parameters
    ----------
    members : tuple of str
        Stages, lowest first.
    coverage : float
        Nominal coverage, 0 to 1.
    """
    level = f"at {coverage * 100:.0f} %"
    numbers = [int(member[1:]) for member in members]
    if not members:
        return f"no stage {level}"
    if len(members) == 1:
        return f"{members[0]} only {level}"
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{members[0]}–{members[-1]} {level}"
    return f"{', '.join(members[:-1])} or {members[-1]} {level}"


def _agreement(result: StudyResult) -> str:
    votes, slices = result.stage.confidence.votes_for_stage, result.stage.confidence.slices
    label = stage_label(result, result.stage.stage)
    if slices == 1:
        return f"One slice was read, for {label}"
    if votes == slices:
        return f"All {slices} slices vote for {label}"
    return f"{votes} of {slices} slices vote for {label}"


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
    shares = ", ".join(
        f"{name} {Bar(name, probability, in_set=False, is_stage=False).percent}"
        for name, probability in nomogram.probabilities.items()
    )
    return {
        "nomogram_title": f"Nomogram ({nomogram.variant}): {stage_label(result, nomogram.stage)}",
        "nomogram_note": nomogram.source,
        "nomogram_rows": tuple(
            (row.name, row.value, f"{row.log_odds:+.2f}".replace("-", "−"), f"{row.points:.0f}")
            for row in nomogram.contributions
        ),
        "nomogram_total": f"{nomogram.total_points:.0f}",
        "nomogram_probabilities": shares,
    }


def _key_slice_rows(result: StudyResult) -> tuple[tuple[str, str], ...]:
    key = result.key_slice
    area = () if key.tumour_area_mm2 is None else (("Tumour area", f"{key.tumour_area_mm2:.0f} mm²"),)
    return (
        ("Slice", f"{key.index_from_feet} from the feet (0 = lowest), of {len(result.volume.sources)}"),
        ("Position z", f"{key.position_mm:.1f} mm".replace("-", "−")),
        ("Found by", KEY_SLICE_ORIGINS.get(key.origin, key.origin)),
        *area,
    )


def _series_rows(result: StudyResult) -> tuple[tuple[str, str], ...]:
    series = result.volume.series
    votes = ", ".join(f"{source} {VOTES.get(vote, vote)}" for source, vote in series.votes.items())
    rows, columns = result.volume.hu.shape[1:]
    down, across = result.volume.pixel_spacing_mm
    voxel = f"{down:.2f}×{across:.2f}×{series.step_mm:.2f} mm"
    return (
        ("Series", "unnumbered" if series.series_number is None else f"number {series.series_number}"),
        ("Phase", series.phase),
        ("Phase evidence", votes or "none"),
        ("Grid", f"{len(result.volume.sources)} slices of {rows}×{columns}, {voxel}"),
        ("Kernel", series.kernel or "not given"),
    )


def report_content(result: StudyResult) -> ReportContent:
    """Put a result in words.

    Parameters
    ----------
    result : StudyResult
        What the run found; patient and study are read from its source headers.
    """
    stage, model, confidence = result.stage, result.stage.model, result.stage.confidence
    packages = ", ".join(f"{name} {version}" for name, version in result.run.packages.items())
    codes = tuple(dict.fromkeys((*result.volume.warnings, *result.warnings)))
    return ReportContent(
        stage=stage_label(result, stage.stage),
        staged=confidence.staged,
        confidence="Confidently staged" if confidence.staged else "Not confidently staged",
        reasons=confidence.reasons,
        prediction_set=set_in_words(confidence.prediction_set, confidence.coverage),
        bars=tuple(
            Bar(stage_label(result, name), probability, name in confidence.prediction_set, name == stage.stage)
            for name, probability in stage.probabilities.items()
        ),
        agreement=_agreement(result),
        rad_score="" if stage.rad_score is None else f"{stage.rad_score:+.2f} SD".replace("-", "−"),
        **_nomogram(result.nomogram, result),  # type: ignore[arg-type]
        key_slice_rows=_key_slice_rows(result),
        heat_map_method=heat_map_method(result.grad_cam),
        heat_map_meaning=heat_map_meaning(stage_label(result, result.grad_cam.stage)),
        model_rows=(
            ("Model", f"{model.name} {model.version} ({model.network})"),
            ("Weights", f"SHA-256 {model.weights_sha256[:16]}…"),
            ("Preprocessing", model.preprocessing),
            ("Trained on", model.trained_on),
            ("Calibration", confidence.calibration or "none"),
        ),
        notice=model.notice,
        series_rows=_series_rows(result),
        warnings=tuple(warning_sentence(code) for code in codes),
        software=f"GastroMAP {result.run.version}; {packages}; {stage.device}",
        run_id=result.run.run_id,
        patient=patient_rows(result),
    )
