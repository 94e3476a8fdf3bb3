"""The datalist of a segmentation training: every scan with a mask is a sample."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gastromap.errors import UsageError
from gastromap.evaluation.splits import check_patient_split
from gastromap.training.datalist import SPLITS, invalid_datalist

__all__ = ["read_volume_datalist", "records_of"]

#: Keys of image and mask in the layouts that are understood: plain records, ``gastromap synth``, pairs of scans.
_LAYOUTS = (("image", "label"), ("image", "mask"), ("image1", "mask1"), ("image2", "mask2"))


def read_volume_datalist(
    dataset_dir: str | Path | Sequence[str | Path], *, name: str = "datalist.json"
) -> dict[str, list[dict[str, Any]]]:
    """Read ``datalist.json`` for segmentation and make its paths absolute.

    Parameters
    ----------
    dataset_dir : path, or several
        Folder of the datalist; paths in it are relative to this folder. Several cohorts are one, training with training
        and so on; a patient of two of them is refused where the sides differ.
    name : str

    Returns
    -------
    dict
        ``training``, ``validation`` and ``test``; each record has ``image`` and ``label`` (paths) and ``patient_id``.
        Read are ``{image, label}``, ``{image, mask}`` as ``gastromap synth`` writes them, and pairs ``{image1, mask1,
        image2, mask2}``, of which each scan with a mask becomes a record. Scans without a mask are left out.

    Raises
    ------
    UsageError
        ``DATALIST_INVALID`` or ``PATIENT_ON_BOTH_SIDES``.
    """
    folders = [dataset_dir] if isinstance(dataset_dir, str | Path) else dataset_dir
    splits: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    try:
        for folder in (Path(given).expanduser().resolve() for given in folders):
            content = json.loads((folder / name).read_text(encoding="utf-8"))
            for split, samples in splits.items():
                samples += [s for record in content.get(split, []) for s in _samples(record, folder)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = "Write it with gastromap synth --format nifti or gastromap prepare, or after that pattern."
        raise invalid_datalist(error, "{image, label, patient_id}", remedy) from error
    if not any(splits.values()):
        raise UsageError(
            "DATALIST_INVALID",
            where="datalist",
            expected="records with a mask under label or mask",
            got="none",
            remedy="Add masks, or name another datalist.",
        )
    check_patient_split(splits)
    return splits


def records_of(splits: Mapping[str, list[dict[str, Any]]], name: str) -> list[dict[str, Any]]:
    """Records of one split, which somebody needs; a cohort to publish with may hold ``validation`` alone.

    Raises
    ------
    UsageError
        ``DATALIST_INVALID`` if there are none.
    """
    if not splits.get(name):
        raise UsageError(
            "DATALIST_INVALID",
            where="datalist",
            expected=f"records of {name} with a mask",
            got="none",
            remedy="Add a cohort that has them, or name another split.",
        )
    return splits[name]


def _samples(record: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    found = []
    for image, mask in _LAYOUTS:
        # In the slices of ``gastromap synth`` the label is a stage.
        if isinstance(record.get(image), str) and isinstance(record.get(mask), str):
            paths = {"image": str(folder / record[image]), "label": str(folder / record[mask])}
            found.append({**paths, "patient_id": str(record["patient_id"])})
    return found
