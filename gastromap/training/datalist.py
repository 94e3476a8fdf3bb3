"""The datalist of a training: records by split, split by patient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gastromap.errors import UsageError
from gastromap.evaluation.splits import check_patient_split

__all__ = ["SPLITS", "read_datalist"]

SPLITS = ("training", "validation", "test")


def read_datalist(dataset_dir: str | Path, *, name: str = "datalist.json") -> dict[str, list[dict[str, Any]]]:
    """Read ``datalist.json`` and make its paths absolute.

    Parameters
    ----------
    dataset_dir : path
        Folder of the datalist; image paths in it are relative to this folder.
    name : str

    Returns
    -------
    dict
        Keys of ``SPLITS``; each record has ``image``, ``label`` (0 is T1) and ``patient_id``.

    Raises
    ------
    UsageError
        ``DATALIST_INVALID`` or ``PATIENT_ON_BOTH_SIDES``.
    """
    folder = Path(dataset_dir).expanduser().resolve()
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        splits = {split: [dict(record) for record in content.get(split, [])] for split in SPLITS}
        for records in splits.values():
            for record in records:
                if record["label"] not in (0, 1, 2, 3):
                    raise KeyError("label")
                str(record["patient_id"])
                for key in ("image", "mask"):
                    if key in record:
                        record[key] = str(folder / record[key])
                record["image"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            "DATALIST_INVALID",
            where="datalist",
            expected="JSON with training, validation and test lists of {image, label 0-3, patient_id}",
            got="no such file" if isinstance(error, FileNotFoundError) else type(error).__name__,
            remedy="Write it with gastromap synth --format slices, or after that pattern.",
        ) from error
    check_patient_split(splits)
    return splits
