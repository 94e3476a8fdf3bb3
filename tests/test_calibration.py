"""Calibration: temperature against the truth, prediction sets by hand and by coverage, the abstention rule."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gastromap.calibration import (
    Calibration,
    Vote,
    expected_calibration_error,
    feature_distance_limit,
    fit_calibration,
    fit_conformal,
    fit_temperature,
    prediction_set,
    softmax,
    vote,
)
from gastromap.errors import ModelError, UsageError

FITTED = Calibration(
    temperature=1.5, conformal_threshold=0.8, coverage=0.9, cases=100, feature_distance_limit=2.0, weights_sha256="ab"
)


def outputs(n: int, seed: int, *, overconfident: float = 1.0):
    """Labels drawn from the softmax of ordered logits, which are then multiplied."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-0.5, 3.5, (n, 1))
    logits = -1.2 * (np.arange(4) - centre) ** 2
    labels = (rng.random((n, 1)) > softmax(logits).cumsum(axis=1)).sum(axis=1).clip(0, 3)
    return logits * overconfident, labels


class TestTemperature:
    @pytest.mark.parametrize("factor", [0.5, 1.0, 2.5])
    def test_it_finds_the_factor_by_which_the_logits_were_multiplied(self, factor):
        logits, labels = outputs(6000, seed=1, overconfident=factor)
        assert fit_temperature(logits, labels) == pytest.approx(factor, rel=0.08)

    def test_two_classes_by_hand(self):
        # One logit difference of 2 in all cases, 3 of 4 right: sigmoid(2 / T) = 0.75, T = 2 / ln 3.
        logits = np.tile([2.0, 0.0], (4, 1))
        assert fit_temperature(logits, [0, 0, 0, 1]) == pytest.approx(2 / np.log(3), rel=1e-4)

    def test_it_never_changes_the_likeliest_stage(self):
        logits, _ = outputs(200, seed=2)
        assert np.array_equal(FITTED.apply(logits).argmax(axis=1), logits.argmax(axis=1))

    def test_it_lowers_the_calibration_error_of_overconfident_outputs(self):
        logits, labels = outputs(4000, seed=3, overconfident=3.0)
        before = expected_calibration_error(softmax(logits), labels)
        after = expected_calibration_error(softmax(logits, temperature=fit_temperature(logits, labels)), labels)
        assert before > 0.1
        assert after < 0.04

    def test_cases_that_are_all_right_give_the_lower_end_not_an_error(self):
        assert fit_temperature(np.eye(4), [0, 1, 2, 3]) == pytest.approx(0.05, rel=1e-3)

    def test_softmax_of_huge_logits_is_finite(self):
        assert softmax([1e4, 0, 0, 0]) == pytest.approx([1, 0, 0, 0])

    @pytest.mark.parametrize(
        ("logits", "labels"),
        [
            ([[0, 1]], [2]),
            ([[0, np.nan]], [0]),
            ([[0, 1]], [0, 1]),
            ([0, 1], [0]),
            (np.zeros((0, 4)), []),
            ([[0, 1]], [0.5]),
        ],
    )
    def test_bad_validation_data_are_refused(self, logits, labels):
        with pytest.raises(UsageError, match="CALIBRATION_FIT"):
            fit_temperature(logits, labels)


class TestCalibrationError:
    def test_by_hand(self):
        # Bin of 0.6: two cases, one right: gap |0.5 - 0.6| * 2/4. Bin of 0.9: both right: gap 0.1 * 2/4.
        p = [[0.6, 0.4], [0.6, 0.4], [0.9, 0.1], [0.1, 0.9]]
        assert expected_calibration_error(p, [0, 1, 0, 1], bins=10) == pytest.approx(0.05 + 0.05)

    def test_a_probability_on_the_border_belongs_to_the_lower_bin(self):
        # 0.5 and right, 0.6 and wrong: two bins, gaps 0.5 and 0.6; in one bin they would nearly cancel.
        assert expected_calibration_error([[0.5, 0.5], [0.6, 0.4]], [0, 1], bins=2) == pytest.approx(0.55)

    def test_sure_and_right_is_zero_and_sure_and_wrong_is_one(self):
        assert expected_calibration_error([[1, 0], [0, 1]], [0, 1]) == 0
        assert expected_calibration_error([[1, 0], [0, 1]], [1, 0]) == 1


class TestPredictionSet:
    # Grows T2 (0.4), T3 (0.3), T1 (0.2), T4 (0.1); scores 0.2, 0.55, 0.8, 0.95.
    P = (0.2, 0.4, 0.3, 0.1)

    @pytest.mark.parametrize(
        ("threshold", "stages"),
        [(0.0, (1,)), (0.2, (1,)), (0.54, (1,)), (0.55, (1, 2)), (0.8, (0, 1, 2)), (0.95, (0, 1, 2, 3))],
    )
    def test_it_grows_to_the_likelier_neighbour(self, threshold, stages):
        assert prediction_set(self.P, threshold) == stages

    def test_probabilities_that_add_up_to_one_only_nearly_give_the_same_set(self):
        assert prediction_set(1.001 * np.array(self.P), 0.8) == (0, 1, 2)

    def test_a_gap_is_filled_although_the_far_stage_is_likelier(self):
        # Grows T1 (0.5), then T2 (0.05) before T3 (0.4): a set T1, T3 would not be a range of stages.
        assert prediction_set((0.5, 0.05, 0.4, 0.05), 0.76) == (0, 1, 2)

    def test_it_is_always_contiguous_and_holds_the_likeliest_stage(self):
        rng = np.random.default_rng(0)
        for p in rng.dirichlet(np.full(4, 0.4), 500):
            stages = prediction_set(p, rng.random())
            assert stages == tuple(range(stages[0], stages[-1] + 1))
            assert int(p.argmax()) in stages

    def test_a_sure_case_has_one_stage_and_a_flat_one_has_more_at_the_same_threshold(self):
        assert prediction_set((0.01, 0.97, 0.01, 0.01), 0.6) == (1,)
        assert len(prediction_set((0.26, 0.25, 0.25, 0.24), 0.6)) == 2


class TestConformal:
    def test_the_threshold_is_the_order_statistic_of_the_definition(self):
        # Nine cases sure of T1 with rising probability: scores p / 2; rank ceil(10 * 0.9) = 9: the largest.
        top = np.linspace(0.5, 0.9, 9)
        p = np.column_stack([top, 1 - top, 0 * top, 0 * top])
        assert fit_conformal(p, np.zeros(9, dtype=int)) == pytest.approx(0.45)
        assert fit_conformal(p, np.zeros(9, dtype=int), coverage=0.5) == pytest.approx(0.35)

    def test_too_few_cases_for_the_coverage_give_all_stages(self):
        p = np.tile([0.97, 0.01, 0.01, 0.01], (8, 1))
        threshold = fit_conformal(p, np.zeros(8, dtype=int))
        assert threshold == 1.0
        assert prediction_set(p[0], threshold) == (0, 1, 2, 3)

    @pytest.mark.parametrize("coverage", [0.7, 0.9])
    @pytest.mark.parametrize("overconfident", [1.0, 4.0])
    def test_new_patients_are_covered_as_promised_whether_or_not_the_network_is_calibrated(
        self, coverage, overconfident
    ):
        hits = []
        for seed in range(20):
            logits, labels = outputs(500, seed=seed, overconfident=overconfident)
            p = softmax(logits)
            threshold = fit_conformal(p[:200], labels[:200], coverage=coverage)
            hits += [label in prediction_set(q, threshold) for q, label in zip(p[200:], labels[200:], strict=True)]
        # 6,000 cases and 20 thresholds: standard error about 0.007. Keeping the likeliest stage can only add.
        assert np.mean(hits) > coverage - 0.02
        if overconfident == 1.0 and coverage == 0.9:
            assert np.mean(hits) < coverage + 0.03

    def test_outputs_in_single_precision_keep_the_full_set_full(self):
        p = softmax(np.random.default_rng(0).normal(size=(300, 4)) * 9).astype(np.float32)
        assert all(prediction_set(q, 1.0) == (0, 1, 2, 3) for q in p)
        assert fit_conformal(p, p.argmin(axis=1)) <= 1.0

    def test_an_impossible_coverage_is_refused(self):
        with pytest.raises(UsageError, match="CALIBRATION_FIT"):
            fit_conformal([[0.5, 0.5]], [0], coverage=1.0)


class TestFitCalibration:
    def test_its_parts_are_the_temperature_of_slices_and_the_sets_of_patients(self):
        logits, labels = outputs(300, seed=5, overconfident=2.0)
        labels = np.repeat(labels[::3], 3)
        found = fit_calibration(logits, labels, [f"P{k // 3}" for k in range(300)], fitted_on="B")
        means = softmax(logits / fit_temperature(logits, labels)).reshape(100, 3, 4).mean(axis=1)
        assert found.temperature == fit_temperature(logits, labels)
        assert found.conformal_threshold == pytest.approx(fit_conformal(means, labels[::3]))
        assert (found.cases, found.fitted_on) == (100, "B")

    def test_a_patient_with_two_stages_or_a_slice_without_patient_is_refused(self):
        for cases in (["a", "a"], ["a"]):
            with pytest.raises(UsageError, match="CALIBRATION_FIT"):
                fit_calibration(np.eye(4)[:2], [0, 1], cases)


class TestVote:
    @pytest.mark.parametrize("slices", [[[np.nan, 0, 0, 1]], np.zeros((0, 4)), [0.1, 0.9]])
    def test_an_output_that_is_no_probability_never_becomes_a_stage(self, slices):
        with pytest.raises(ModelError, match="NETWORK_OUTPUT"):
            vote(slices)

    def test_the_majority_wins_against_the_mean(self):
        case = vote([[0, 0.55, 0.45, 0], [0, 0.55, 0.45, 0], [0, 0, 1, 0]])
        assert (case.stage, case.votes) == (1, 2)
        assert case.probabilities == pytest.approx([0, 1.1 / 3, 1.9 / 3, 0])

    def test_a_tie_goes_to_the_higher_mean(self):
        assert vote([[0.6, 0.4, 0, 0], [0.1, 0.9, 0, 0]])[::2] == (1, 1)
        assert vote([[0.5, 0.3, 0.2, 0], [0.2, 0.5, 0.3, 0], [0.0, 0.3, 0.7, 0]])[::2] == (2, 1)

    def test_a_tie_goes_to_a_stage_that_has_votes(self):
        # T2 has the highest mean, 0.4, and no vote.
        assert vote([[0.55, 0.45, 0.0, 0], [0, 0.4, 0.6, 0]]).stage == 2

    def test_one_slice_stands_for_itself(self):
        assert vote([[0.1, 0.2, 0.3, 0.4]])[::2] == (3, 1)


class TestAbstention:
    SURE = Vote(1, np.array([0.05, 0.9, 0.05, 0.0]), 3)

    def test_a_sure_case_is_staged_without_reasons(self):
        found = FITTED.assess(self.SURE, slices=3, feature_distance=1.0)
        assert (found.staged, found.reasons, found.prediction_set) == (True, (), ("T2",))
        assert (found.votes_for_stage, found.slices, found.coverage) == (3, 3, 0.9)
        assert found.calibration == FITTED.identifier

    def test_a_set_of_three_stages_is_not_staged(self):
        found = FITTED.assess(Vote(1, np.array([0.2, 0.4, 0.3, 0.1]), 3), slices=3)
        assert found.reasons == ("The 90% prediction set spans 3 stages.",)
        assert not found.staged

    @pytest.mark.parametrize(("votes", "slices", "staged"), [(1, 3, False), (2, 3, True), (1, 2, False), (1, 1, True)])
    def test_less_than_a_majority_of_slices_is_not_staged(self, votes, slices, staged):
        found = FITTED.assess(Vote(1, self.SURE.probabilities, votes), slices=slices)
        assert found.staged is staged
        assert all("disagree" in reason for reason in found.reasons)

    def test_a_stage_outside_its_own_set_is_not_staged(self):
        found = FITTED.assess(Vote(0, self.SURE.probabilities, 2), slices=3)
        assert found.reasons == ("The stage chosen by majority lies outside the prediction set.",)

    @pytest.mark.parametrize(("distance", "staged"), [(2.0, True), (2.01, False), (np.nan, False), (None, True)])
    def test_an_image_unlike_the_training_data_is_not_staged(self, distance, staged):
        assert FITTED.assess(self.SURE, slices=3, feature_distance=distance).staged is staged

    def test_without_calibration_nothing_is_confidently_staged(self):
        found = Calibration.none().assess(self.SURE, slices=3)
        assert not found.staged
        assert found.prediction_set == ("T1", "T2", "T3", "T4")
        assert found.calibration == "none"

    def test_the_distance_limit_is_the_percentile(self):
        assert feature_distance_limit(np.arange(1001)) == pytest.approx(995)


class TestFile:
    def test_a_saved_calibration_loads_as_the_same_with_the_same_identifier(self, tmp_path):
        FITTED.save(tmp_path / "calibration.json")
        again = Calibration.load(tmp_path / "calibration.json")
        assert again == FITTED
        assert again.identifier == FITTED.identifier

    def test_another_temperature_has_another_identifier(self):
        assert Calibration(1.4, 0.8, 0.9, 100).identifier != Calibration(1.5, 0.8, 0.9, 100).identifier

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("temperature", 0),
            ("temperature", "1"),
            ("conformal_threshold", 1.1),
            ("coverage", 1),
            ("cases", -1),
            ("feature_distance_limit", 0),
            ("format", "x"),
            ("more", 1),
        ],
    )
    def test_a_damaged_file_is_refused_by_code(self, tmp_path, key, value):
        FITTED.save(tmp_path / "calibration.json")
        content = json.loads((tmp_path / "calibration.json").read_text()) | {key: value}
        (tmp_path / "calibration.json").write_text(json.dumps(content))
        with pytest.raises(ModelError, match="CALIBRATION_INVALID"):
            Calibration.load(tmp_path / "calibration.json")
