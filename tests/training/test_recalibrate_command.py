"""``gastromap recalibrate``: prediction sets and temperature of one site."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gastromap.bundle import Bundle
from gastromap.calibration import Calibration, fit_calibration
from gastromap.cli import main
from gastromap.model_card import WEIGHTS_NAME, sha256_of
from gastromap.training.recalibration import LabelledLogits, coverage_range, set_quality
from tests.builders.bundle import BUNDLE, make_bundle


def _site(patients: int, *, sharpness: float, seed: int) -> list[LabelledLogits]:
    """Cases whose stage is drawn from softmax(logits); what the network gives is ``sharpness`` times too sure."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (patients, 4))
    powers = np.exp(logits)
    labels = [int(rng.choice(4, p=row / row.sum())) for row in powers]
    return [
        LabelledLogits(f"P{i}", label, sharpness * row[np.newaxis])
        for i, (label, row) in enumerate(zip(labels, logits, strict=True))
    ]


def _fit(cases: list[LabelledLogits]) -> Calibration:
    return fit_calibration([c.logits[0] for c in cases], [c.label for c in cases], [c.patient_id for c in cases])


def test_a_site_where_the_network_is_too_sure_breaks_the_coverage_and_its_own_patients_repair_it() -> None:
    home = _fit(_site(1000, sharpness=1.0, seed=1))
    site = _fit(_site(1000, sharpness=4.0, seed=2))
    fresh = _site(4000, sharpness=4.0, seed=3)
    before = set_quality(fresh, [home] * len(fresh))
    after = set_quality(fresh, [site] * len(fresh))
    assert before["coverage_high"] < 0.87
    assert after["coverage"] == pytest.approx(0.9, abs=0.03)
    # Stages were drawn from the softmax of a quarter of the logits: the temperature of the site is known.
    assert site.temperature == pytest.approx(4.0, rel=0.1)
    assert after["calibration_error"] < 0.03 < after["calibration_error_before"]


def test_the_range_of_the_coverage_is_the_one_that_repeated_fits_show() -> None:
    scores = np.sort(np.random.default_rng(0).random((4000, 99)), axis=1)
    # Uniform scores: the coverage of a threshold is the threshold; it is the 90th of 99 scores.
    low, high = np.quantile(scores[:, 89], (0.025, 0.975))
    assert coverage_range(99) == (pytest.approx(low, abs=0.006), pytest.approx(high, abs=0.006))


def test_a_recalibrated_bundle_has_the_weights_of_the_old_and_the_calibration_of_the_site(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = make_bundle(tmp_path / "models")
    before = {path.name: sha256_of(path) for path in (models / BUNDLE.name / "models").iterdir()}
    arguments = ["--model", str(models), "--data", str(labelled), "--split", "training", "--site", "North clinic"]
    assert main(["recalibrate", *arguments, "--out", str(tmp_path / "north")]) == 0
    new = Bundle.find(tmp_path / "north")
    assert (new.calibration.fitted_on, new.calibration.cases) == ("North clinic", 96)
    assert sha256_of(new.models / WEIGHTS_NAME) == before[WEIGHTS_NAME] == new.card.weights_sha256
    assert sha256_of(new.models / "rad_score.json") == before["rad_score.json"]
    assert {path.name: sha256_of(path) for path in (models / BUNDLE.name / "models").iterdir()} == before
    printed = capsys.readouterr().out
    assert "as published" in printed
    assert "recalibrated" in printed
    assert f"{coverage_range(96)[0]:.3f} to" in printed
    assert main(["recalibrate", *arguments, "--out", str(tmp_path / "north")]) == 12
    assert capsys.readouterr().err.splitlines()[-1].startswith("OUTPUT_EXISTS")


def test_too_few_patients_are_refused_with_the_number_that_is_needed(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = make_bundle(tmp_path / "models")
    data = tmp_path / "few"
    data.mkdir()
    records = json.loads((labelled / "datalist.json").read_text())["training"][:49]
    for record in records:
        (data / record["image"]).symlink_to(labelled / record["image"])
    (data / "datalist.json").write_text(json.dumps({"training": [], "validation": [], "test": records}))
    arguments = ["--model", str(models), "--data", str(data), "--site", "North clinic"]
    assert main(["recalibrate", *arguments, "--out", str(tmp_path / "north")]) == 2
    refusal = capsys.readouterr().err.splitlines()[-1]
    assert refusal.startswith("RECALIBRATE_PATIENTS test records: expected 50 patients or more")
    assert not (tmp_path / "north").exists()
