"""Blocks of ``result.json``: each is made in one place, for the study and for the CT after treatment alike."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gastromap.reports.phrases import stage_label
from gastromap.results import (
    Comparison,
    GradCamResult,
    KeySlice,
    ModelIdentity,
    NomogramOmitted,
    NomogramResult,
    StageResult,
    Tumour,
)
from gastromap.volume import CtVolume, SeriesRecord

__all__ = [
    "comparison_block",
    "grad_cam_block",
    "input_block",
    "key_slice_block",
    "nomogram_block",
    "stage_block",
    "tumour_block",
    "warning_codes",
]


def _model(model: ModelIdentity) -> dict[str, Any]:
    return {
        "name": model.name,
        "version": model.version,
        "network": model.network,
        "weights_sha256": model.weights_sha256,
        "preprocessing": model.preprocessing,
        "trained_on": model.trained_on,
        "notice": model.notice,
    }


def _series(series: SeriesRecord) -> dict[str, Any]:
    return {
        "series_instance_uid": series.series_instance_uid,
        "study_instance_uid": series.study_instance_uid,
        "series_number": series.series_number,
        "label": series.label,
        "number_of_slices": series.number_of_slices,
        "step_mm": series.step_mm,
        "thickness_mm": series.thickness_mm,
        "kernel": series.kernel,
        "phase": series.phase,
        "votes": dict(series.votes),
    }


def input_block(volume: CtVolume) -> dict[str, Any]:
    """What was analysed: role, series, grid."""
    rows, columns = volume.hu.shape[1:]
    down, across = volume.pixel_spacing_mm
    return {
        "role": volume.role,
        "series": _series(volume.series),
        "runners_up": [_series(series) for series in volume.runners_up],
        "grid": {
            "slices": int(volume.hu.shape[0]),
            "rows": int(rows),
            "columns": int(columns),
            "row_spacing_mm": down,
            "column_spacing_mm": across,
            "step_mm": volume.step_mm,
        },
        "digest": volume.digest,
    }


def key_slice_block(key: KeySlice) -> dict[str, Any]:
    """Key slice and who chose it."""
    return {
        "index": key.index,
        "index_from_feet": key.index_from_feet,
        "sop_instance_uid": key.sop_instance_uid,
        "position_mm": key.position_mm,
        "origin": key.origin,
        "tumour_area_mm2": key.tumour_area_mm2,
    }


def stage_block(stage: StageResult, role: str) -> dict[str, Any]:
    """Stage with its certainty; the role decides between cT and ycT."""
    confidence = stage.confidence
    return {
        "stage": stage.stage,
        "label": stage_label(role, stage.stage),
        "probabilities": dict(stage.probabilities),
        "staged": confidence.staged,
        "reasons": list(confidence.reasons),
        "prediction_set": list(confidence.prediction_set),
        "coverage": confidence.coverage,
        "votes_for_stage": confidence.votes_for_stage,
        "slices_read": confidence.slices,
        "calibration": confidence.calibration,
        "rad_score": stage.rad_score,
        "device": stage.device,
        "model": _model(stage.model),
        "slices": [
            {
                "index": part.index,
                "sop_instance_uid": part.sop_instance_uid,
                "probabilities": dict(part.probabilities),
            }
            for part in stage.slices
        ],
    }


def grad_cam_block(grad_cam: GradCamResult) -> dict[str, Any]:
    """Which heat map was drawn."""
    return {
        "stage": grad_cam.stage,
        "index": grad_cam.index,
        "method": grad_cam.method,
        "layer": grad_cam.layer,
        "meaning": "Explanation of the class, not a lesion outline.",
    }


def nomogram_block(nomogram: NomogramResult | NomogramOmitted) -> dict[str, Any]:
    """Nomogram, or why there is none."""
    if isinstance(nomogram, NomogramOmitted):
        return {"computed": False, "missing": list(nomogram.missing), "reason": nomogram.reason}
    return {
        "computed": True,
        "variant": nomogram.variant,
        "source": nomogram.source,
        "stage": nomogram.stage,
        "probabilities": dict(nomogram.probabilities),
        "total_points": nomogram.total_points,
        "contributions": [
            {"name": row.name, "value": row.value, "log_odds": row.log_odds, "points": row.points}
            for row in nomogram.contributions
        ],
    }


def tumour_block(tumour: Tumour | None) -> dict[str, Any] | None:
    """Size of the tumour without its mask."""
    if tumour is None:
        return None
    return {
        "origin": tumour.origin,
        "probability": tumour.probability,
        **asdict(tumour.measures),
        "centre_lps": list(tumour.centre_lps),
        "model": None if tumour.model is None else _model(tumour.model),
    }


def warning_codes(volume: CtVolume, others: tuple[str, ...]) -> list[str]:
    """Codes of the gate and of what came after it, each once."""
    return list(dict.fromkeys((*volume.warnings, *others)))


def comparison_block(comparison: Comparison | None) -> dict[str, Any] | None:
    """What the CT after treatment adds."""
    if comparison is None:
        return None
    followup, stage, grad_cam = comparison.followup, comparison.stage, comparison.grad_cam
    return {
        "followup": {
            "input": input_block(followup.volume),
            "key_slice": None if followup.key_slice is None else key_slice_block(followup.key_slice),
            "tumour": tumour_block(followup.tumour),
            "no_tumour": followup.no_tumour,
            "searched": followup.searched,
            "warnings": warning_codes(followup.volume, followup.warnings),
        },
        "interval_days": comparison.interval_days,
        "stage": None if stage is None else stage_block(stage, followup.volume.role),
        "grad_cam": None if grad_cam is None else grad_cam_block(grad_cam),
        "changes": [
            {"name": change.name, "before": change.before, "after": change.after, "relative": change.relative}
            for change in comparison.changes
        ],
        "outlook": None if comparison.outlook is None else comparison.outlook.to_json(),
        "omitted": comparison.omitted,
        "crop_by_stomach": comparison.crop_by_stomach,
    }
