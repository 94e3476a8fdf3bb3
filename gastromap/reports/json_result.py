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

from gastromap.reports.json_parts import (
    comparison_block,
    grad_cam_block,
    input_block,
    key_slice_block,
    nomogram_block,
    stage_block,
    tumour_block,
    warning_codes,
)
from gastromap.reports.phrases import RESEARCH_USE
from gastromap.results import StudyResult

__all__ = ["SCHEMA_PATH", "SCHEMA_VERSION", "WrittenFile", "encode_json", "result_as_json", "write_json"]

#: Raised in the second place where a field is added, in the first where one changes its meaning or goes.
SCHEMA_VERSION = "1.1"
SCHEMA_PATH = Path(__file__).with_name("result.schema.json")


@dataclass(frozen=True)
class WrittenFile:
    """A file that lies beside ``result.json``."""

    name: str  #: path relative to the output folder, with ``/``
    content: bytes
    sop_instance_uid: str | None = None


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
        "input": input_block(result.volume),
        "key_slice": key_slice_block(result.key_slice),
        "stage": stage_block(result.stage, result.volume.role),
        "grad_cam": grad_cam_block(result.grad_cam),
        "nomogram": nomogram_block(result.nomogram),
        "tumour": tumour_block(result.tumour),
        "comparison": comparison_block(result.comparison),
        "warnings": warning_codes(result.volume, result.warnings),
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
