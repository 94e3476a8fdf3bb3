"""A small labelled cohort that even random weights answer to."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

_SPACING_MM = 3.0


def _slice(stage: int, rng: np.random.Generator) -> np.ndarray:
    """A body with a bright disc that grows with the stage: random weights already answer to it."""
    y, x = np.mgrid[:128, :128] - 63.5
    hu = np.where((x / 52) ** 2 + (y / 38) ** 2 < 1, 40.0, -1000.0)
    hu[np.hypot(x, y) < 6 + 6 * stage + max(-4.0, rng.normal(0, 5))] = 140
    noisy: np.ndarray = hu + rng.normal(0, 12, hu.shape)
    return noisy


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 training and 48 validation patients, with clinical variables."""
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(3)
    affine = np.diag([-_SPACING_MM, -_SPACING_MM, 5.0, 1.0])
    splits: dict[str, list[dict[str, object]]] = {"training": [], "validation": [], "test": []}
    rows = []
    for number in range(144):
        stage, name = number % 4, f"P{number:03d}"
        image = nib.Nifti1Image(_slice(stage, rng).T[..., None].astype(np.int16), affine)
        nib.save(image, folder / f"{name}.nii.gz")
        split = "training" if number < 96 else "validation"
        splits[split].append({"image": f"{name}.nii.gz", "label": stage, "patient_id": name})
        size = round(float(np.clip(2 + stage + rng.normal(0, 1.5), 0.5, 12)), 1)
        grade = str(rng.choice(["well", "moderate", "poor"]))
        lauren = str(rng.choice(["intestinal", "diffuse", "mixed"]))
        # As in any real table, one patient was not measured.
        measured = "" if number == 100 else size
        rows.append({"patient_id": name, "tumour_size_cm": measured, "differentiation": grade, "lauren": lauren})
    (folder / "datalist.json").write_text(json.dumps(splits))
    with (folder / "clinical.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder
