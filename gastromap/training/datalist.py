"""The datalist of a training: records by split, split by patient."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from gastromap.errors import UsageError
from gastromap.evaluation.splits import check_patient_split

__all__ = ["LEAKAGE_WORDS", "SPLITS", "invalid_datalist", "read_datalist", "with_leakage_notice"]

_log = logging.getLogger(__name__)

SPLITS = ("training", "validation", "test")
#: What ``accept_leakage`` has to say before a training takes patients on both sides of a split.
LEAKAGE_WORDS = "I know that patients are on both sides"


def read_datalist(
    dataset_dir: str | Path, *, name: str = "datalist.json", accept_leakage: str | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Read ``datalist.json`` and make its paths absolute.

    Parameters
    ----------
    dataset_dir : path
        Folder of the datalist; image paths in it are relative to this folder.
    name : str
    accept_leakage : str, optional
        ``LEAKAGE_WORDS``, word for word, to train on a split that shares patients; anything else is refused.

    Returns
    -------
    dict
        Keys of ``SPLITS``; each record has ``image``, ``label`` (0 is T1) and ``patient_id``.

    Raises
    ------
    UsageError
        ``DATALIST_INVALID``, ``PATIENT_ON_BOTH_SIDES`` or ``LEAKAGE_WORDS``.
    """
    _check_words(accept_leakage)
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
        remedy = "Write it with gastromap synth --format slices, or after that pattern."
        raise invalid_datalist(error, "{image, label 0-3, patient_id}", remedy) from error
    try:
        check_patient_split(splits)
    except UsageError as error:
        if accept_leakage is None or error.code != "PATIENT_ON_BOTH_SIDES":
            raise
        _log.warning("%s: accepted by the configuration; the figures say nothing about new patients", error.got)
    return splits


def invalid_datalist(error: Exception, records: str, remedy: str) -> UsageError:
    """Make the error ``DATALIST_INVALID`` of what reading the file raised.

    Parameters
    ----------
    error : Exception
    records : str
        Keys that a record should have.
    remedy : str
    """
    return UsageError(
        "DATALIST_INVALID",
        where="datalist",
        expected=f"JSON with training, validation and test lists of {records}",
        got="no such file" if isinstance(error, FileNotFoundError) else type(error).__name__,
        remedy=remedy,
    )


def with_leakage_notice(notice: str, accept_leakage: str | None) -> str:
    """Add to the notice of a model that its split may share patients, if the configuration accepts that.

    Raises
    ------
    UsageError
        ``LEAKAGE_WORDS``.
    """
    _check_words(accept_leakage)
    if accept_leakage is None:
        return notice
    return f"{notice} Patients may stand on both sides of its split: its figures say nothing about new patients."


def _check_words(accept_leakage: str | None) -> None:
    if accept_leakage not in (None, LEAKAGE_WORDS):
        raise UsageError(
            "LEAKAGE_WORDS",
            where="accept_leakage",
            expected=f'nothing, or the words "{LEAKAGE_WORDS}"',
            got="something else",
            remedy="Split by patient; gastromap audit shows who is on both sides.",
        )
