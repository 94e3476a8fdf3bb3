"""The datalist of the longitudinal model: patients with one or two scans, masks where there are any, labels."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from gastromap.errors import UsageError
from gastromap.evaluation.splits import check_patient_split
from gastromap.training.datalist import SPLITS, invalid_datalist
from gastromap.training.multitask_loss import LABELS

__all__ = ["read_pair_datalist", "targets_of"]

_FILES = ("image1", "mask1", "image2", "mask2")
_REMEDY = "Write it with gastromap synth --longitudinal --format nifti or gastromap prepare --pairs."


def read_pair_datalist(dataset_dir: str | Path, *, name: str = "datalist.json") -> dict[str, list[dict[str, Any]]]:
    """Read ``datalist.json`` and make its paths absolute.

    Parameters
    ----------
    dataset_dir : path
        Folder of the datalist; paths in it are relative to this folder.
    name : str

    Returns
    -------
    dict
        ``training``, ``validation`` and ``test``. A record has ``patient_id``, ``image1``, where they exist ``mask1``,
        ``image2``, ``mask2`` (paths of NIfTI files) and ``center1``, ``center2`` (mm), ``label`` (LNM, death, months;
        NaN where missing, and months and death of a patient only together), ``clinical`` and ``cohort``.

    Raises
    ------
    UsageError
        ``DATALIST_INVALID``, which names the side and the number of the record and quotes no cell;
        ``PATIENT_ON_BOTH_SIDES`` or ``PATIENT_UNKNOWN``.
    """
    folder = Path(dataset_dir).expanduser().resolve()
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        sides = {split: list(content.get(split, [])) for split in SPLITS}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise invalid_datalist(error, "{patient_id, image1, …, lnm, death, os_months}", _REMEDY) from error
    if not any(sides.values()):
        _refuse("datalist", "records under training, validation or test", "none")
    check_patient_split(sides)
    return {
        split: [_record(record, folder, f"{split}, record {number}") for number, record in enumerate(records, start=1)]
        for split, records in sides.items()
    }


def targets_of(records: list[dict[str, Any]]) -> Tensor:
    """Labels as float32 Tensor, shape (n_patients, 3): columns of ``LABELS``, NaN where missing."""
    return torch.tensor([record["label"] for record in records], dtype=torch.float32).reshape(-1, len(LABELS))


def _record(record: Mapping[str, Any], folder: Path, where: str) -> dict[str, Any]:
    absent = sorted(key for key, value in record.items() if value is None)
    if absent:
        _refuse(where, "absent values as absent keys", f"null under {absent[0]}")
    found: dict[str, Any] = {"patient_id": str(record["patient_id"]).strip()}
    for key in _FILES:
        if key in record:
            found[key] = _path(record[key], folder, f"{where}, {key}")
    if "image1" not in found:
        _refuse(where, "image1, the scan before treatment", "none")
    if found.get("image2") == found["image1"]:
        _refuse(where, "another file under image2 than under image1", "the same")
    for number in (1, 2):
        if f"mask{number}" in found and f"image{number}" not in found:
            _refuse(where, f"image{number} with mask{number}", "the mask alone")
        if f"center{number}" in record:
            found[f"center{number}"] = _centre(record[f"center{number}"], f"{where}, center{number}")
    label = [_binary(record, "lnm", where), _binary(record, "death", where), _months(record, where)]
    if math.isnan(label[1]) or math.isnan(label[2]):
        label[1:] = [math.nan, math.nan]
    found["label"] = label
    clinical = record.get("clinical", {})
    if not isinstance(clinical, Mapping):
        _refuse(f"{where}, clinical", "values by name", type(clinical).__name__)
    return {**found, "clinical": dict(clinical), "cohort": str(record.get("cohort", ""))}


def _path(value: Any, folder: Path, where: str) -> str:
    path = folder / str(value)
    if not path.is_file():
        # The path stays out of the message: files are often named after patients.
        _refuse(where, "a NIfTI file", "a folder" if path.is_dir() else "no such file")
    return str(path)


def _centre(value: Any, where: str) -> list[float]:
    try:
        point = [float(number) for number in value]
    except (TypeError, ValueError) as error:
        _refuse(where, "three numbers in mm", type(value).__name__, error)
    if len(point) != 3 or not all(math.isfinite(number) for number in point):
        _refuse(where, "three finite numbers in mm", f"{len(point)} numbers")
    return point


def _binary(record: Mapping[str, Any], key: str, where: str) -> float:
    if key not in record:
        return math.nan
    # True equals 1; text does not, and would hide a coding that nobody checked.
    if record[key] not in (0, 1):
        _refuse(f"{where}, {key}", "0 or 1", "something else")
    return float(record[key])


def _months(record: Mapping[str, Any], where: str) -> float:
    value = record.get("os_months", math.nan)
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or value < 0 or math.isinf(value):
        _refuse(f"{where}, os_months", "months of 0 or more", "something else")
    return float(value)


def _refuse(where: str, expected: str, got: str, cause: BaseException | None = None) -> NoReturn:
    raise UsageError("DATALIST_INVALID", where=where, expected=expected, got=got, remedy=_REMEDY) from cause
