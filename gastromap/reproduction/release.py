"""The tables that the authors of the article released, as arrays; nothing of them is stored here."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gastromap.cohort.audit_input import patient_of_name
from gastromap.errors import UsageError
from gastromap.nomogram.clinical import DIFFERENTIATION, LAUREN

__all__ = ["Release", "patient_of", "read_release"]

_TABLES = {
    "outputs": "train_predictions_resnet152.csv",
    "features": "deep_features_lasso290_train.csv",
    "clinical": "clinical_train.csv",
    "training list": "train.csv",
    "test list": "test.csv",
    "first external list": "val1.csv",
    "second external list": "val2.csv",
}


@dataclass(frozen=True)
class Release:
    """Rows of one order in ``outputs`` and one in ``features`` and ``clinical``; stages are 0 for T1 to 3."""

    labels: NDArray[np.int64]  #: true stage of each output row
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]  #: (rows, 4)
    names: tuple[str, ...]  #: slice of each output row
    feature_labels: NDArray[np.int64]
    feature_names: tuple[str, ...]
    features: NDArray[np.float64]  #: (rows, 290), selected by the authors
    clinical: dict[str, list[float | str]]  #: tumour_size_cm, differentiation, lauren by row of ``features``
    clinical_rows: tuple[tuple[str, ...], ...] = field(repr=False)  #: whole rows as written, for comparison
    lists: dict[str, tuple[str, ...]]  #: slices of each split file
    sha256: dict[str, str]  #: of each file


def patient_of(name: str) -> str:
    """Patient of a slice by its file name: ``37_P000776229.nii_+01.png`` is one of ``37_P000776229``."""
    return patient_of_name(name, ".nii")


def _rows(folder: Path, name: str) -> list[dict[str, str]]:
    path = folder / name
    if not path.is_file():
        raise UsageError(
            "RELEASE_INCOMPLETE",
            where="release",
            expected=name,
            got="no such file",
            remedy="Name the folder with the tables that the authors released.",
        )
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def _file_name(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]


def _level(row: dict[str, str], prefix: str, names: Sequence[str]) -> str:
    return next(name for name in names if float(row[f"{prefix}_{name}"]) == 1)


def read_release(folder: Path) -> Release:
    """Read the released tables.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    release : Release

    Raises
    ------
    UsageError
        ``RELEASE_INCOMPLETE``, ``RELEASE_CHANGED``: a table or column is missing, or rows do not belong together.
    """
    tables = {key: _rows(folder, name) for key, name in _TABLES.items()}
    try:
        outputs, deep, clinical = tables["outputs"], tables["features"], tables["clinical"]
        columns = [name for name in deep[0] if name.startswith("DL-")]
        if [row["image_name"] for row in deep] != [row["image_name"] for row in clinical]:
            raise ValueError
        return Release(
            labels=np.array([int(row["true_label"]) for row in outputs]),
            predicted=np.array([int(row["predicted_label"]) for row in outputs]),
            probabilities=np.array([[float(row[f"prob_{k}"]) for k in range(4)] for row in outputs]),
            names=tuple(_file_name(row["image_path"]) for row in outputs),
            feature_labels=np.array([int(float(row["T_stage"])) for row in deep]),
            feature_names=tuple(row["image_name"] for row in deep),
            features=np.array([[float(row[name]) for name in columns] for row in deep]),
            clinical={
                "tumour_size_cm": [float(row["Tumor_size"]) for row in clinical],
                "differentiation": [_level(row, "Differentiation_status", DIFFERENTIATION) for row in clinical],
                "lauren": [_level(row, "Lauren", LAUREN) for row in clinical],
            },
            clinical_rows=tuple(tuple(value for key, value in row.items() if key != "image_name") for row in clinical),
            lists={key: tuple(row["PatientID"] for row in tables[key]) for key in _TABLES if key.endswith("list")},
            sha256={
                name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(_TABLES.values())
            },
        )
    except (KeyError, ValueError, StopIteration, IndexError) as error:
        raise UsageError(
            "RELEASE_CHANGED",
            where="release",
            expected="the tables as released",
            got=f"others ({type(error).__name__})",
            remedy="Fetch the release again.",
        ) from error
