"""``gastromap publish``: from a checkpoint to a bundle that the application reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gastromap.bundle import Bundle
from gastromap.cli import main
from gastromap.model_card import WEIGHTS_NAME, sha256_of
from tests.builders.bundle import BUNDLE, make_bundle


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training leaves: weights in float32 and a card."""
    return make_bundle(tmp_path_factory.mktemp("run"), calibrated=False, rad_score=False) / BUNDLE.name / "models"


def test_a_published_bundle_is_complete_and_belongs_to_its_weights(
    run: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bundle(tmp_path)
    bundle = tmp_path / BUNDLE.name
    models = bundle / "models"
    arguments = ["--run", str(run), "--data", str(labelled), "--bundle", str(bundle), "--command", "train it"]
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
    run: Path, labelled: Path, tmp_path: Path
) -> None:
    make_bundle(tmp_path)
    bundle = tmp_path / BUNDLE.name
    (bundle / "models" / "nomogram.json").write_text("{}")
    data = tmp_path / "data"
    data.mkdir()
    for file in labelled.iterdir():
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
    labelled: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bundle(tmp_path)
    bundle = tmp_path / BUNDLE.name
    before = {path.name: sha256_of(path) for path in (bundle / "models").iterdir()}
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "model.json").write_bytes((run / "model.json").read_bytes())
    arguments = ["--run", str(tmp_path / "empty"), "--data", str(labelled), "--bundle", str(bundle)]
    assert main(["publish", *arguments]) == 2
    assert capsys.readouterr().err.startswith("PUBLISH_INPUT")
    assert {path.name: sha256_of(path) for path in (bundle / "models").iterdir()} == before
