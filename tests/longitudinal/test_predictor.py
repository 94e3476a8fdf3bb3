"""The published longitudinal model: predictor, publishing, tables of predictions."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from builders.pairs import BREAKS, BUNDLE, PATCH, REPOSITORY, SPACING, ball, make_longitudinal_bundle, write_pairs

from gastromap.cli import main
from gastromap.errors import ModelError, UsageError
from gastromap.longitudinal import (
    CtScan,
    LongitudinalBundle,
    LongitudinalConstants,
    LongitudinalPredictor,
    outcomes,
)
from gastromap.model_card import ModelCard
from gastromap.models.longitudinal import LongitudinalNet
from gastromap.models.longitudinal.constants import CalibrationConstants, LongitudinalCalibration
from gastromap.training.pair_datalist import read_pair_datalist
from gastromap.training.pair_outputs import encode_records, judge_pairs, prediction_table, shuffled_followup

_AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])


def scan(radius: float, *, seed: int, masked: bool = True) -> CtScan:
    hu, mask = ball(np.random.default_rng(seed), radius)
    return CtScan(hu, _AFFINE, mask if masked else None)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_longitudinal_bundle(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def predictor(models: Path) -> LongitudinalPredictor:
    return LongitudinalPredictor.load(models)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"), training=10, validation=8, test=6)


class TestPrediction:
    def test_a_pair_gives_probability_curve_and_what_the_followup_changed(
        self, predictor: LongitudinalPredictor
    ) -> None:
        result = predictor(scan(8, seed=1), scan(4, seed=2))
        outcome = result.outcome
        assert outcome.inputs == "pair"
        assert 0 < outcome.lnm_probability < 1
        curve = list(outcome.survival.values())
        assert list(outcome.survival) == [12, 24, 36, 48, 60]
        assert all(1 >= a >= b >= 0 for a, b in pairwise(curve))
        assert outcome.os_risk == -outcome.rmst_months
        assert result.baseline_only is not None
        assert result.contribution is not None
        alone = predictor(scan(8, seed=1)).outcome
        assert result.baseline_only.lnm_probability == pytest.approx(alone.lnm_probability, abs=1e-6)
        assert result.contribution.rmst_months == pytest.approx(outcome.rmst_months - alone.rmst_months, abs=1e-4)

    def test_it_says_what_was_there(self, predictor: LongitudinalPredictor) -> None:
        lone = predictor(None, scan(4, seed=2, masked=False))
        assert (lone.present, lone.masks, lone.outcome.inputs) == ((False, True), (False, False), "followup_only")
        assert lone.contribution is None
        # No median was stored for second scans alone.
        assert lone.outcome.risk_group is None
        assert predictor(scan(4, seed=1), scan(3, seed=2, masked=False)).masks == (True, False)

    def test_no_scan_is_refused(self, predictor: LongitudinalPredictor) -> None:
        with pytest.raises(UsageError, match="NO_SCAN"):
            predictor(None)

    def test_the_result_is_json_with_the_hash_of_the_weights(self, predictor: LongitudinalPredictor) -> None:
        content = json.loads(json.dumps(predictor(scan(8, seed=1), scan(4, seed=2)).to_json()))
        assert content["model"]["weights_sha256"] == predictor.bundle.card.weights_sha256
        assert content["breaks_months"] == list(BREAKS)
        assert content["survival"]["12"] >= content["survival"]["60"]
        assert content["present"] == {"baseline": True, "followup": True}

    def test_a_network_without_mask_channel_takes_scans_with_masks(self, tmp_path: Path) -> None:
        plain = LongitudinalPredictor.load(make_longitudinal_bundle(tmp_path, mask_channel=False))
        assert plain(scan(8, seed=1)).masks == (False, False)

    def test_maps_lie_on_the_crop_of_the_examination(self, predictor: LongitudinalPredictor) -> None:
        first = scan(8, seed=1)
        maps = predictor(first, scan(4, seed=2), explain=True).maps
        assert maps is not None
        assert maps.co_attention is not None
        ones = np.ones(maps.lnm.shape[1:], np.float32)
        shown = maps.on_source(ones, 0, first.affine_lps, (36, 36, 36))
        # 32 of 36 voxels a side; at its border the crop counts half.
        assert (shown > 0.99).sum() == pytest.approx(32**3, rel=0.15)
        assert predictor(first, explain=True).maps.co_attention is None  # type: ignore[union-attr]
        with pytest.raises(UsageError, match="NO_SCAN"):
            predictor(first, explain=True).maps.on_source(ones, 1, first.affine_lps, (36, 36, 36))  # type: ignore[union-attr]

    def test_it_is_that_of_the_table_for_the_same_files(self, predictor: LongitudinalPredictor, pairs: Path) -> None:
        import nibabel

        record = read_pair_datalist(pairs)["test"][0]
        scans = []
        for number in (1, 2):
            image, mask = (nibabel.load(record[f"{kind}{number}"]) for kind in ("image", "mask"))
            affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
            scans.append(CtScan(np.asarray(image.dataobj).T, affine, np.asarray(mask.dataobj).T))
        encoded = encode_records([record], predictor.network, predictor.profile)
        logits, present = judge_pairs(predictor.network, encoded, "pair")
        (row,) = prediction_table(encoded, logits, present, predictor.bundle.constants)
        outcome = predictor(*scans).outcome
        assert outcome.lnm_probability == pytest.approx(row["lnm_probability"], abs=1e-6)
        assert outcome.os_risk == pytest.approx(row["os_risk"], abs=1e-4)

    def test_it_needs_neither_the_training_nor_what_is_under_the_gpl(self) -> None:
        code = (
            "import sys, gastromap.longitudinal; "
            "print([m for m in sys.modules if m.startswith(('gastromap.training', 'sksurv'))])"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
        assert done.stdout.strip().splitlines()[-1] == "[]"


class TestConstants:
    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        constants = LongitudinalConstants(
            breaks_months=(0.0, 12.5, 30.0),
            preset="tiny",
            calibration=LongitudinalCalibration(pair=CalibrationConstants(0.1, 0.9, -0.2, 1.1)),
            os_risk_median={"pair": -20.5},
            weights_sha256="ab",
            fitted_on="a test",
        )
        constants.write(tmp_path)
        assert LongitudinalConstants.read(tmp_path) == constants
        assert constants.months == (12, 24)

    def test_damaged_breaks_are_refused(self, tmp_path: Path) -> None:
        LongitudinalConstants(breaks_months=(0.0, 30.0, 20.0), preset="tiny").write(tmp_path)
        with pytest.raises(ModelError, match="LONGITUDINAL_CONSTANTS"):
            LongitudinalConstants.read(tmp_path)

    def test_each_kind_of_input_has_its_own_calibration_and_median(self) -> None:
        constants = LongitudinalConstants(
            breaks_months=(0.0, 10.0, 20.0),
            preset="tiny",
            calibration=LongitudinalCalibration(baseline_only=CalibrationConstants(lnm_offset=1.0)),
            os_risk_median={"pair": -20.0, "baseline_only": -10.0},
        )
        # Hazards of one half: S is 1, 1/2, 1/4; the area 7.5 + 3.75.
        logits, present = torch.zeros(2, 3), torch.tensor([[True, True], [True, False]])
        pair, alone = outcomes(logits, present, constants)
        assert pair.lnm_probability == pytest.approx(0.5)
        assert alone.lnm_probability == pytest.approx(1 / (1 + np.exp(-1)))
        assert pair.rmst_months == pytest.approx(11.25)
        assert (pair.risk_group, alone.risk_group) == ("high", "low")
        # Twelve months: a fifth of the second interval, S = 1/2 * (1/2)^(1/5).
        assert pair.survival[12] == pytest.approx(0.5**1.2)

    def test_numbers_of_other_weights_are_refused(self, tmp_path: Path) -> None:
        models = make_longitudinal_bundle(tmp_path)
        folder = models / BUNDLE.name / "models"
        replace(LongitudinalConstants.read(folder), weights_sha256="other").write(folder)
        with pytest.raises(ModelError, match="CALIBRATION_MISMATCH"):
            LongitudinalBundle.find(models)

    def test_metadata_of_another_network_are_refused(self, tmp_path: Path) -> None:
        models = make_longitudinal_bundle(tmp_path)
        folder = models / BUNDLE.name / "models"
        replace(LongitudinalConstants.read(folder), breaks_months=(0.0, 20.0)).write(folder)
        with pytest.raises(ModelError, match="BUNDLE_METADATA"):
            LongitudinalBundle.find(models)

    def test_a_folder_without_bundle_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="BUNDLE_MISSING"):
            LongitudinalPredictor.load(tmp_path)


class TestShuffling:
    def test_nobody_keeps_the_own_followup_and_all_are_used(
        self, pairs: Path, predictor: LongitudinalPredictor
    ) -> None:
        encoded = encode_records(read_pair_datalist(pairs)["training"], predictor.network, predictor.profile)
        shuffled = shuffled_followup(encoded, seed=4)
        own = [pair.maps.get(1) for pair in encoded]
        new = [pair.maps.get(1) for pair in shuffled]
        assert [value is None for value in own] == [value is None for value in new]
        assert all(a is not b for a, b in zip(own, new, strict=True) if a is not None)
        assert {id(value) for value in own} == {id(value) for value in new}
        assert all(a.maps[0] is b.maps[0] for a, b in zip(encoded, shuffled, strict=True))

    def test_the_baseline_alone_is_the_same_after_it(self, pairs: Path, predictor: LongitudinalPredictor) -> None:
        encoded = encode_records(read_pair_datalist(pairs)["test"], predictor.network, predictor.profile)
        before, _ = judge_pairs(predictor.network, encoded, "baseline_only")
        after, _ = judge_pairs(predictor.network, shuffled_followup(encoded, seed=1), "baseline_only")
        assert torch.equal(before, after)


class TestCommands:
    """In this order: predictions need the published bundle."""

    @pytest.fixture(scope="class")
    def bundle(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        import shutil

        folder = tmp_path_factory.mktemp("bundles") / BUNDLE.name
        shutil.copytree(BUNDLE / "configs", folder / "configs")
        return folder

    def test_publishing_fits_the_numbers_to_the_stored_weights(
        self, pairs: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        torch.manual_seed(0)
        network = {"type": "LongitudinalNet", "preset": "tiny", "mask_channel": True, "intervals": 10}
        run = tmp_path / "run"
        ModelCard(
            network=network, preprocessing={"spacing_mm": list(SPACING), "patch": list(PATCH)}, trained_on="a test"
        ).write(run)
        LongitudinalConstants(breaks_months=BREAKS, preset="tiny").write(run)
        torch.save(LongitudinalNet("tiny", mask_channel=True).state_dict(), run / "model.pt")
        code = main(["publish-pairs", "--run", str(run), "--data", str(pairs), "--bundle", str(bundle)])
        assert code == 0, capsys.readouterr().err
        found = LongitudinalBundle.find(bundle)
        assert set(found.constants.os_risk_median) == {"pair", "baseline_only", "followup_only"}
        assert found.constants.weights_sha256 == found.card.weights_sha256
        assert found.card.training["data"] == {"training": 10, "validation": 8, "test": 6}
        # Calibrated survival: what the numbers were fitted to is at least not worse than untouched.
        assert found.constants.calibration.pair.os_slope > 0
        stored = torch.load(bundle / "models" / "model.pt", weights_only=True)
        assert {value.dtype for value in stored.values()} == {torch.float16}

    def test_half_of_the_training_patients_are_of_high_risk(self, pairs: Path, bundle: Path, tmp_path: Path) -> None:
        out = tmp_path / "training.csv"
        arguments = ["--data", str(pairs), "--model", str(bundle), "--split", "training", "--baseline-only"]
        assert main(["predict-pairs", *arguments, "--out", str(out)]) == 0
        groups = [row["risk_group"] for row in rows_of(out)]
        assert groups.count("high") == groups.count("low") == 5

    def test_the_table_is_one_that_evaluate_takes(
        self, pairs: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tables = {"pair": [], "baseline": ["--baseline-only"], "shuffled": ["--shuffle-followup", "1"]}
        for name, options in tables.items():
            arguments = ["--data", str(pairs), "--model", str(bundle), "--split", "validation", *options]
            assert main(["predict-pairs", *arguments, "--out", str(tmp_path / f"{name}.csv")]) == 0
        pair, baseline, shuffled = (rows_of(tmp_path / f"{name}.csv") for name in tables)
        assert {"patient_id", "os_months", "death", "os_risk", "s12", "s60", "lnm", "lnm_probability"} <= set(pair[0])
        assert "" in {row["lnm"] for row in pair}
        assert "age_years" in pair[0]
        assert {row["inputs"] for row in baseline} == {"baseline_only"}
        assert [row["os_risk"] for row in pair] != [row["os_risk"] for row in shuffled]
        capsys.readouterr()
        code = main(
            [
                "evaluate", "--predictions", str(tmp_path / "pair.csv"), "--out", str(tmp_path / "evaluation"),
                "--also", f"baseline={tmp_path / 'baseline.csv'}", "--also", f"shuffled={tmp_path / 'shuffled.csv'}",
                "--endpoint", "node metastasis=lnm,lnm_probability", "--resamples", "20",
            ]
        )  # fmt: skip
        assert code == 0, capsys.readouterr().err

    def test_an_empty_split_is_refused(self, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data = write_pairs(tmp_path / "data", training=2, validation=2, test=0)
        assert (
            main(["predict-pairs", "--data", str(data), "--model", str(bundle), "--out", str(tmp_path / "o.csv")]) == 2
        )
        assert "PREDICT_PAIRS" in capsys.readouterr().err

    def test_a_run_without_weights_is_refused(
        self, pairs: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ModelCard(network={"type": "LongitudinalNet"}, preprocessing={}).write(tmp_path)
        LongitudinalConstants(breaks_months=BREAKS, preset="tiny").write(tmp_path)
        assert main(["publish-pairs", "--run", str(tmp_path), "--data", str(pairs), "--bundle", str(bundle)]) == 2
        assert "PUBLISH_INPUT" in capsys.readouterr().err


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))
