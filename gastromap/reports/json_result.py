"""``result.json``: the result for programs, described by ``result.schema.json``; no patient data.

UIDs of study, series and slices are in it, so that a program can find the images; names, patient IDs and dates of
the study are not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gastromap.reports.phrases import RESEARCH_USE, stage_label
from gastromap.results import ModelIdentity, NomogramOmitted, NomogramResult, StudyResult
from gastromap.volume import SeriesRecord

__all__ = ["SCHEMA_PATH", "SCHEMA_VERSION", "WrittenFile", "encode_json", "result_as_json", "write_json"]

#: Raised in the second place where a field is added, in the first where one changes its meaning or goes.
SCHEMA_VERSION = "1.0"
SCHEMA_PATH = Path(__file__).with_name("result.schema.json")


@dataclass(frozen=True)
class WrittenFile:
    """A file that lies beside ``result.json``."""

    name: str  #: path relative to the output folder, with ``/``
    content: bytes
    sop_instance_uid: str | None = None


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


def _nomogram(nomogram: NomogramResult | NomogramOmitted) -> dict[str, Any]:
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


def _setting(value: object) -> Any:
    """Return a setting as JSON; a path is left out, because folders are named after patients."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _setting(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_setting(part) for part in value]
    return f"<{type(value).__name__}>"


def result_as_json(result: StudyResult, *, files: tuple[WrittenFile, ...] = ()) -> dict[str, Any]:
    """Return a result as plain JSON types.

    Parameters
    ----------
    result : StudyResult
        What the run found.
    files : tuple of WrittenFile
        Files written beside it; their names and hashes are listed.
    """
    volume, stage, confidence, key = result.volume, result.stage, result.stage.confidence, result.key_slice
    rows, columns = volume.hu.shape[1:]
    down, across = volume.pixel_spacing_mm
    return {
        "schema_version": SCHEMA_VERSION,
        "notice": f"{RESEARCH_USE.capitalize()}.",
        "run": {
            "id": result.run.run_id,
            "started": result.run.started,
            "version": result.run.version,
            "packages": dict(result.run.packages),
            "seconds": dict(result.run.seconds),
            "config": _setting(result.run.config),
        },
        "input": {
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
        },
        "key_slice": {
            "index": key.index,
            "index_from_feet": key.index_from_feet,
            "sop_instance_uid": key.sop_instance_uid,
            "position_mm": key.position_mm,
            "origin": key.origin,
            "tumour_area_mm2": key.tumour_area_mm2,
        },
        "stage": {
            "stage": stage.stage,
            "label": stage_label(result, stage.stage),
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
        },
        "grad_cam": {
            "stage": result.grad_cam.stage,
            "index": result.grad_cam.index,
            "method": result.grad_cam.method,
            "layer": result.grad_cam.layer,
            "meaning": "Explanation of the class, not a lesion outline.",
        },
        "nomogram": _nomogram(result.nomogram),
        "warnings": list(dict.fromkeys((*volume.warnings, *result.warnings))),
        "files": [
            {
                "name": file.name,
                "sha256": hashlib.sha256(file.content).hexdigest(),
                "bytes": len(file.content),
                "sop_instance_uid": file.sop_instance_uid,
            }
            for file in files
        ],
    }


def encode_json(result: StudyResult, *, files: tuple[WrittenFile, ...] = ()) -> bytes:
    """Return ``result.json`` as bytes: UTF-8, indented, no NaN."""
    text = json.dumps(result_as_json(result, files=files), ensure_ascii=False, indent=2, allow_nan=False)
    return (text + "\n").encode("utf-8")


def write_json(result: StudyResult, path: Path) -> None:
    """Write ``result.json`` alone, without the list of files beside it.

    Parameters
    ----------
    result : StudyResult
        What the run found.
    path : Path
        File to write; an existing one is replaced.
    """
    path.write_bytes(encode_json(result))
