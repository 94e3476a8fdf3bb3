"""``gastromap publish``: from a checkpoint to a bundle that the application reads."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from gastromap.bundle import Bundle
from gastromap.cli import main
from gastromap.model_card import WEIGHTS_NAME, sha256_of
from tests.builders.bundle import BUNDLE, make_bundle

_SPACING_MM = 3.0


def _slice(stage: int, rng: np.random.Generator) -> np.ndarray:
    """A body with a bright disc that grows with the stage: random weights already answer to it."""
    y, x = np.mgrid[:128, :128] - 63.5
    hu = np.where((x / 52) ** 2 + (y / 38) ** 2 < 1, 40.0, -1000.0)
    hu[np.hypot(x, y) < 6 + 6 * stage + max(-4.0, rng.normal(0, 5))] = 140
    noisy: np.ndarray = hu + rng.normal(0, 12, hu.shape)
    return noisy


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 training and 48 validation patients, with clinical variables."""
    folder = tmp_path_factory.mktemp("publish")
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


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training leaves: weights in float32 and a card."""
    return make_bundle(tmp_path_factory.mktemp("run"), calibrated=False, rad_score=False) / BUNDLE.name / "models"


def test_a_published_bundle_is_complete_and_belongs_to_its_weights(
    run: Path, cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bundle(tmp_path)
    bundle = tmp_path / BUNDLE.name
    models = bundle / "models"
    arguments = ["--run", str(run), "--data", str(cohort), "--bundle", str(bundle), "--command", "train it"]
    assert main(["publish", *arguments]) == 0
    assert "validation: macro_auc" in capsys.readouterr().out

    read = Bundle.read(bundle)
    sha256 = sha256_of(models / WEIGHTS_NAME)
    assert read.card.weights_sha256 == sha256
    assert json.loads((models / "calibration.json").read_text())["weights_sha256"] == sha256
    assert read.card.training["command"] == "train it"
    assert read.card.training["data"] == {"training": 96, "validation": 48, "test": 0}
    stored = torch.load(models / WEIGHTS_NAME, weights_only=True)
    assert {value.dtype for value in stored.values() if value.is_floating_point()} == {torch.float16}
    # Refitted on the validation patients, and it points the right way: a larger tumour is a deeper one.
    nomogram = json.loads((models / "nomogram.json").read_text())
    assert (nomogram["variant"], nomogram["patients"]) == ("refit", 47)
    assert nomogram["coefficients"]["rad_score"] > 0
    assert not list(models.glob("*.partial"))


def test_without_clinical_variables_a_nomogram_of_other_weights_is_taken_away_and_the_cohort_is_named(
    run: Path, cohort: Path, tmp_path: Path
) -> None:
    make_bundle(tmp_path)
    bundle = tmp_path / BUNDLE.name
    (bundle / "models" / "nomogram.json").write_text("{}")
    data = tmp_path / "data"
    data.mkdir()
    for file in cohort.iterdir():
        if file.name != "clinical.csv":
            (data / file.name).symlink_to(file)
    arguments = ["--run", str(run), "--data", str(data), "--bundle", str(bundle), "--cohort", "our hospital"]
    assert main(["publish", *arguments]) == 0
    assert not (bundle / "models" / "nomogram.json").exists()
    # The weights may come from elsewhere; what was fitted here says so.
    read = Bundle.read(bundle)
    assert read.card.trained_on == "nothing"
    assert read.calibration.fitted_on == "our hospital, validation patients"
    assert read.rad_score is not None
    assert read.rad_score.trained_on == "our hospital, training patients"


def test_a_run_without_weights_is_refused_and_the_bundle_keeps_its_own(
    cohort: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bundle(tmp_path)
    bundle = tmp_path / BUNDLE.name
    before = {path.name: sha256_of(path) for path in (bundle / "models").iterdir()}
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "model.json").write_bytes((run / "model.json").read_bytes())
    arguments = ["--run", str(tmp_path / "empty"), "--data", str(cohort), "--bundle", str(bundle)]
    assert main(["publish", *arguments]) == 2
    assert capsys.readouterr().err.startswith("PUBLISH_INPUT")
    assert {path.name: sha256_of(path) for path in (bundle / "models").iterdir()} == before
