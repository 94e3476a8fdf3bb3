"""The Rad-score: arithmetic by hand, the file, and the fit on made-up and on released features."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gastromap.errors import ModelError, UsageError
from gastromap.rad_score import RadScore, cross_fitted_rad_score, fit_rad_score

REFERENCE = Path(__file__).parent / "evaluation" / "reference"

SMALL = RadScore(
    dimension=5,
    feature_indices=(1, 3),
    coefficients=(0.5, -0.25),
    feature_mean=(10.0, 0.0),
    feature_sd=(2.0, 4.0),
    intercept=1.5,
    score_mean=1.0,
    score_sd=0.5,
)


def features_with_signal(n: int = 240, d: int = 60, seed: int = 0):
    """Features 4 and 17 follow the stage, feature 9 never fires, the rest is noise of various scale."""
    rng = np.random.default_rng(seed)
    stage = np.arange(n) % 4
    x = rng.normal(size=(n, d)) * rng.uniform(0.01, 100, d) + rng.normal(size=d)
    x[:, 4] = 1000 * (stage + rng.normal(size=n))
    x[:, 17] = -0.001 * (stage + rng.normal(size=n))
    x[:, 9] = 0
    return x, stage


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


class TestScore:
    def test_it_equals_the_arithmetic_by_hand(self):
        # z = (2, -1): raw = 0.5*2 + 0.25*1 + 1.5 = 2.75; (2.75 - 1) / 0.5 = 3.5
        assert float(SMALL.score([0, 14, 0, -4, 0])) == pytest.approx(3.5)

    def test_many_cases_give_one_score_each(self):
        table = np.random.default_rng(0).normal(size=(6, 5))
        assert SMALL.score(table) == pytest.approx([float(SMALL.score(row)) for row in table])

    def test_the_distance_is_the_root_mean_square_in_standard_deviations(self):
        assert float(SMALL.distance([0, 14, 0, -4, 0])) == pytest.approx(np.sqrt((4 + 1) / 2))

    def test_a_vector_of_another_network_is_refused(self):
        for shape in ((4,), (3, 6), (2, 2, 5)):
            with pytest.raises(ModelError, match="RAD_SCORE_MISMATCH"):
                SMALL.score(np.zeros(shape))

    def test_running_it_imports_no_fitting_library(self):
        code = (
            "import sys, gastromap.rad_score, gastromap.calibration, gastromap.nomogram, gastromap.evaluation.report;"
            "bad = {'sklearn', 'scipy', 'statsmodels', 'pandas', 'torch', 'monai', 'holoscan', 'matplotlib'};"
            "sys.exit(','.join(sorted(bad & set(sys.modules))) or 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


class TestFile:
    def test_a_saved_score_loads_as_the_same_score(self, tmp_path):
        SMALL.save(tmp_path / "r.json")
        assert RadScore.load(tmp_path / "r.json") == SMALL

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("feature_indices", [1, 5]),
            ("feature_indices", [1, 1]),
            ("feature_indices", [1.5, 2]),
            ("feature_indices", [-1, 2]),
            ("coefficients", [1]),
            ("coefficients", [1, None]),
            ("feature_sd", [1, 0]),
            ("score_sd", 0),
            ("score_sd", "1"),
            ("dimension", 2.5),
        ],
    )
    def test_a_damaged_file_is_refused_by_code(self, tmp_path, key, value):
        SMALL.save(tmp_path / "r.json")
        content = json.loads((tmp_path / "r.json").read_text()) | {key: value}
        (tmp_path / "r.json").write_text(json.dumps(content))
        with pytest.raises(ModelError, match="RAD_SCORE_INVALID"):
            RadScore.load(tmp_path / "r.json")


class TestFit:
    def test_it_finds_the_features_that_follow_the_stage_whatever_their_scale(self):
        x, stage = features_with_signal()
        score = fit_rad_score(x, stage, max_features=2, seed=1)
        assert score.feature_indices == (4, 17)
        assert score.coefficients[0] > 0 > score.coefficients[1]

    def test_the_training_cohort_has_mean_zero_and_sd_one(self):
        x, stage = features_with_signal()
        scores = fit_rad_score(x, stage, seed=1).score(x)
        assert (scores.mean(), scores.std()) == pytest.approx((0, 1), abs=1e-9)

    def test_never_more_features_than_asked_for_and_none_that_is_constant(self):
        x, stage = features_with_signal(n=80, d=200)
        score = fit_rad_score(x, stage, max_features=10, seed=1)
        assert 1 <= len(score.feature_indices) <= 10
        assert 9 not in score.feature_indices

    def test_the_same_seed_gives_the_same_score(self):
        x, stage = features_with_signal()
        assert fit_rad_score(x, stage, seed=3) == fit_rad_score(x, [f"T{k + 1}" for k in stage], seed=3)

    def test_scaling_a_feature_changes_no_score(self):
        x, stage = features_with_signal()
        scaled = x * np.linspace(1, 50, x.shape[1])
        assert fit_rad_score(scaled, stage, seed=1).score(scaled) == pytest.approx(
            fit_rad_score(x, stage, seed=1).score(x), abs=1e-6
        )

    def test_cross_fitted_scores_of_pure_noise_do_not_follow_the_stage(self):
        # Each patient has three identical slices: folds by slice would let the LASSO recognise them.
        rng = np.random.default_rng(5)
        x, stage = np.repeat(rng.normal(size=(60, 100)), 3, axis=0), np.repeat(rng.integers(0, 4, 60), 3)
        x[:, 0] += 0.7 * stage
        patients = [f"P{k // 3}" for k in range(180)]
        seen = fit_rad_score(x, stage, seed=1, folds=3).score(x)
        unseen = cross_fitted_rad_score(x, stage, seed=1, folds=3, patients=patients)
        assert np.corrcoef(seen, stage)[0, 1] > np.corrcoef(unseen, stage)[0, 1] + 0.1

    def test_features_without_relation_to_the_stage_are_refused(self):
        x = np.zeros((40, 5))
        x[:, 0] = np.tile([1, -1], 20)
        stage = np.repeat([0, 1, 2, 3], 10)
        with pytest.raises(UsageError, match="RAD_SCORE_FIT"):
            fit_rad_score(x, stage, seed=1)

    @pytest.mark.parametrize(
        ("x", "stage", "options"),
        [
            (np.zeros((4, 2)), [0, 1, 2], {}),
            (np.zeros(4), [0, 1, 2, 3], {}),
            (np.full((4, 2), np.nan), [0, 1, 2, 3], {"folds": 2}),
            (np.zeros((4, 2)), [0, 1, 2, 3], {"folds": 5}),
            (np.zeros((4, 2)), [0, 1, 2, 3], {"folds": 2, "patients": ["a"]}),
            (np.zeros((4, 2)), [0, 1, 2, 3], {"folds": 2, "patients": ["a"] * 4}),
            (np.zeros((8, 2)), [1] * 8, {}),
            (np.zeros((8, 2)), [0, 1] * 4, {"max_features": 0}),
        ],
    )
    def test_bad_training_data_are_refused(self, x, stage, options):
        with pytest.raises(UsageError, match="RAD_SCORE_FIT"):
            fit_rad_score(x, stage, seed=1, **options)


@pytest.mark.realdata
def test_on_the_released_features_thirty_features_order_the_stages(real_data):
    with (real_data / "gtrnet_release" / "deep_features_lasso290_train.csv").open() as stream:
        table = list(csv.reader(stream))
    x = np.array([row[1:-1] for row in table[1:]], dtype=float)
    stage = [row[-1] for row in table[1:]]
    patients = [row[0].split(".nii")[0] for row in table[1:]]
    score = fit_rad_score(x, stage, seed=0, patients=patients)
    assert len(score.feature_indices) == 30
    means = [score.score(x)[np.array(stage) == k].mean() for k in "0123"]
    assert np.all(np.diff(means) > 0.4)


class TestAgainstGlmnet:
    """Values of R glmnet (``evaluation/reference``, versions in the JSON): same penalties, same folds of patients."""

    def check(self, monkeypatch, x, stage, fold, expected, most):
        monkeypatch.setattr("gastromap.rad_score._folds_of", lambda *_: fold)
        everything = fit_rad_score(x, stage, max_features=x.shape[1], seed=0)
        theirs = np.array(expected["coefficients"])
        # A coefficient at the edge of zero may be there for one and not for the other: compare whole vectors.
        ours = np.zeros(x.shape[1])
        ours[list(everything.feature_indices)] = everything.coefficients
        assert ours == pytest.approx(theirs, abs=1e-4)
        assert everything.intercept == pytest.approx(expected["intercept"], abs=1e-4)
        score = fit_rad_score(x, stage, max_features=most, seed=0)
        assert list(score.feature_indices) == expected["kept"]
        assert score.coefficients == pytest.approx(expected["refit_coefficients"], abs=1e-4)
        assert (score.intercept, score.score_mean, score.score_sd) == pytest.approx(
            (expected["refit_intercept"], expected["score_mean"], expected["score_sd"]), abs=1e-4
        )

    def test_penalty_features_and_coefficients_equal_glmnet_on_a_made_up_table(self, monkeypatch):
        rows = read_csv(REFERENCE / "features.csv")
        x = np.array([[float(row[f"f{k}"]) for k in range(25)] for row in rows])
        fold = np.array([int(row["fold"]) for row in rows])
        expected = json.loads((REFERENCE / "synthetic.json").read_text())["lasso"]
        self.check(monkeypatch, x, [row["stage"] for row in rows], fold, expected, 5)

    @pytest.mark.realdata
    def test_they_equal_glmnet_on_the_released_features(self, monkeypatch, real_data):
        rows = read_csv(real_data / "gtrnet_release" / "deep_features_lasso290_train.csv")
        names = [name for name in rows[0] if name.startswith("DL-")]
        x = np.array([[float(row[name]) for name in names] for row in rows])
        patients = [row["image_name"].split(".nii")[0] for row in rows]
        first_seen = {patient: k for k, patient in enumerate(dict.fromkeys(patients), start=1)}
        fold = np.array([first_seen[patient] % 5 for patient in patients])
        expected = json.loads((REFERENCE / "released.json").read_text())["lasso"]
        self.check(monkeypatch, x, [row["T_stage"] for row in rows], fold, expected, 30)
