"""Reference values from R and the tables they were made from; ``reference/reference.R`` is the script."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

REFERENCE = Path(__file__).parent / "reference"
STAGES = ("T1", "T2", "T3", "T4")


@pytest.fixture(scope="session")
def r_values() -> dict:
    """Values that R found on ``reference/cases.csv`` and its neighbours; ``versions`` says which R."""
    return json.loads((REFERENCE / "synthetic.json").read_text())


@pytest.fixture(scope="session")
def r_released() -> dict:
    """Values that R found on the released training outputs."""
    return json.loads((REFERENCE / "released.json").read_text())


@pytest.fixture(scope="session")
def cases_file() -> Path:
    return REFERENCE / "cases.csv"


@pytest.fixture(scope="session")
def cases(cases_file) -> SimpleNamespace:
    """The 200 rows of 140 made-up patients as arrays."""
    with cases_file.open() as stream:
        rows = list(csv.DictReader(stream))
    stage = np.array([STAGES.index(row["stage"]) for row in rows])
    first, second = (
        np.array([[float(row[f"{prefix}_{s}"]) for s in STAGES] for row in rows]) for prefix in ("prob", "second")
    )
    return SimpleNamespace(
        rows=rows,
        stage=stage,
        patients=[row["PatientID"] for row in rows],
        probabilities=first,
        second=second,
        predicted=first.argmax(axis=1),
        advanced=stage >= 2,
        node=np.array([row["node"] == "1" for row in rows]),
        node_score=np.array([float(row["node_score"]) for row in rows]),
        readers={n: np.array([STAGES.index(row[f"reader_{n}"]) for row in rows]) for n in "ABC"},
        assisted={n: np.array([STAGES.index(row[f"assisted_{n}"]) for row in rows]) for n in "ABC"},
    )


@pytest.fixture(scope="session")
def released(real_data) -> SimpleNamespace:
    """The released training outputs: 953 slices; the file name tells the patient."""
    with (real_data / "gtrnet_release" / "train_predictions_resnet152.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return SimpleNamespace(
        stage=np.array([int(row["true_label"]) for row in rows]),
        predicted=np.array([int(row["predicted_label"]) for row in rows]),
        probabilities=np.array([[float(row[f"prob_{k}"]) for k in range(4)] for row in rows]),
        patients=[row["image_path"].replace("\\", "/").rsplit("/", 1)[-1].split(".nii")[0] for row in rows],
    )
