"""A tiny cohort of pairs: a bright ball that shrinks, laid out as by ``gastromap synth --longitudinal``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from gastromap.longitudinal import LONGITUDINAL_BUNDLE, LongitudinalConstants
from gastromap.model_card import WEIGHTS_NAME, ModelCard, sha256_of
from gastromap.models.longitudinal import LongitudinalNet

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLE = REPOSITORY / "bundles" / LONGITUDINAL_BUNDLE
#: Grid of the preset ``tiny``.
SPACING, PATCH = (4.0, 4.0, 4.0), (32, 32, 32)
BREAKS = tuple(float(month) for month in range(0, 88, 8))
_SIDE = 36
_VOXEL_MM = 4.0


def write_pairs(folder: Path, *, training: int = 12, validation: int = 8, test: int = 6, seed: int = 3) -> Path:
    """Write the cohort; every sixth patient of the training has no second scan, every fifth no mask there."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    sides: dict[str, Any] = {"meta": {"schema": 1, "seed": seed}}
    number = 0
    for split, patients in (("training", training), ("validation", validation), ("test", test)):
        sides[split] = []
        for position in range(patients):
            number += 1
            sides[split].append(_patient(folder, f"P{number:03d}", position, split, rng))
    (folder / "datalist.json").write_text(json.dumps(sides))
    return folder


def _patient(folder: Path, name: str, position: int, split: str, rng: np.random.Generator) -> dict[str, Any]:
    record: dict[str, Any] = {"patient_id": name, "cohort": "A", "clinical": {"age_years": int(rng.integers(40, 80))}}
    before = rng.uniform(5, 8)
    ratio = rng.uniform(0.3, 1.0)
    for number, radius in ((1, before), (2, before * ratio)):
        if split == "training" and number == 2 and position % 6 == 5:
            continue
        hu, mask = ball(rng, radius)
        save(folder / "images" / f"{name}_{number}.nii.gz", hu)
        record[f"image{number}"] = f"images/{name}_{number}.nii.gz"
        if not (number == 2 and position % 5 == 4):
            save(folder / "images" / f"{name}_{number}_mask.nii.gz", mask)
            record[f"mask{number}"] = f"images/{name}_{number}_mask.nii.gz"
    if position != 0:
        record["lnm"] = int(rng.random() < 0.5) if position > 2 else position - 1
    if position != 1:
        # Tumours that shrink less kill sooner; the third patient lives on.
        record |= {"death": int(position != 2), "os_months": round(float(90 - 80 * ratio + rng.uniform(0, 6)), 1)}
    return record


def ball(rng: np.random.Generator, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask, (columns, rows, slices)."""
    grid = np.stack(np.meshgrid(*(np.arange(_SIDE),) * 3, indexing="ij"), axis=-1)
    centre = _SIDE / 2 + rng.integers(-2, 3, 3)
    mask = (np.linalg.norm(grid - centre, axis=-1) < radius).astype(np.uint8)
    hu = np.where(mask, 100, -60) + rng.normal(0, 15, mask.shape)
    return hu.astype(np.int16), mask


def save(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> None:
    """Write a NIfTI file of 4 mm."""
    used = np.diag([-_VOXEL_MM, -_VOXEL_MM, _VOXEL_MM, 1.0]) if affine is None else affine
    nib.save(nib.Nifti1Image(values, used), path)  # type: ignore[attr-defined]


def make_longitudinal_bundle(folder: Path, *, seed: int = 5, mask_channel: bool = True) -> Path:
    """Write a bundle with random weights of ``tiny`` below ``folder`` and return the folder to pass as ``-m``."""
    import shutil

    bundle = folder / BUNDLE.name
    shutil.copytree(BUNDLE / "configs", bundle / "configs")
    models = bundle / "models"
    models.mkdir()
    torch.manual_seed(seed)
    torch.save(LongitudinalNet("tiny", mask_channel=mask_channel).state_dict(), models / WEIGHTS_NAME)
    sha256 = sha256_of(models / WEIGHTS_NAME)
    ModelCard(
        network={"type": "LongitudinalNet", "preset": "tiny", "mask_channel": mask_channel, "intervals": 10},
        preprocessing={"spacing_mm": list(SPACING), "patch": list(PATCH)},
        weights_sha256=sha256,
        trained_on="nothing",
        notice="Random weights of a test.",
    ).write(models)
    LongitudinalConstants(
        breaks_months=BREAKS,
        preset="tiny",
        os_risk_median={"pair": -40.0, "baseline_only": -40.0},
        weights_sha256=sha256,
    ).write(models)
    return folder
