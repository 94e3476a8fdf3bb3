"""A complete bundle with random weights, for tests of the machinery around the model."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from gastromap.calibration import Calibration
from gastromap.model_card import WEIGHTS_NAME, ModelCard, sha256_of
from gastromap.models import GTRNet
from gastromap.preprocessing import PreprocessingProfile
from gastromap.rad_score import RadScore

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLE = REPOSITORY / "bundles" / "gastric_tstage_classification"


def make_bundle(folder: Path, *, seed: int = 5, calibrated: bool = True, rad_score: bool = True) -> Path:
    """Write a bundle below ``folder`` and return the folder to pass as ``-m``."""
    bundle = folder / BUNDLE.name
    shutil.copytree(BUNDLE / "configs", bundle / "configs")
    models = bundle / "models"
    models.mkdir()
    torch.manual_seed(seed)
    torch.save(GTRNet(depth=18).state_dict(), models / WEIGHTS_NAME)
    sha256 = sha256_of(models / WEIGHTS_NAME)
    ModelCard(
        network={"depth": 18, "in_channels": 1, "num_classes": 4, "crop_fusion": True},
        preprocessing=PreprocessingProfile.named("paper").to_mapping(),
        weights_sha256=sha256,
        trained_on="nothing",
        notice="Random weights of a test.",
    ).write(models)
    if calibrated:
        Calibration(
            temperature=1.0, conformal_threshold=0.6, coverage=0.9, cases=100, weights_sha256=sha256, fitted_on="a test"
        ).save(models / "calibration.json")
    if rad_score:
        RadScore(
            dimension=512,
            feature_indices=(0, 1),
            coefficients=(0.5, -0.25),
            feature_mean=(1.0, 1.0),
            feature_sd=(1.0, 2.0),
            intercept=0.0,
            score_mean=0.0,
            score_sd=1.0,
            trained_on="a test",
        ).save(models / "rad_score.json")
    return folder
