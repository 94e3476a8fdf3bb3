"""Every statistic against R (versions in ``reference/*.json``): estimates to 1e-4, intervals to the method's error."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gastromap.evaluation.agreement import cohen_kappa, fleiss_kappa, mcnemar
from gastromap.evaluation.bootstrap import bootstrap_intervals, stage_metrics
from gastromap.evaluation.decision_curve import net_benefit
from gastromap.evaluation.delong import auc_covariance, compare_auc, delong
from gastromap.evaluation.endpoint import stage_endpoint
from gastromap.evaluation.metrics import confusion_matrix
from gastromap.evaluation.ranking import expected_stage, ordinal_c_index
from gastromap.evaluation.reliability import (
    calibration_bins,
    calibration_line,
    hosmer_lemeshow,
    smooth_calibration,
)
from gastromap.evaluation.stages import STAGES
from gastromap.evaluation.table import StagePredictions

DIGITS = 1e-4
TENTHS = np.arange(9) / 10


def advanced(table, probabilities=None):
    """The endpoint T3 or T4 of a table, by the library."""
    p = table.probabilities if probabilities is None else probabilities
    return stage_endpoint(
        StagePredictions(table.stage, table.predicted, p, tuple(table.patients)), positive=("T3", "T4")
    )


#: Our name and that of the R script, for metrics with intervals in both.
INTERVALS_TOO = (
    ("accuracy", "accuracy"),
    ("auc.macro", "auc_macro"),
    ("kappa.linear", "kappa_linear"),
    ("kappa.quadratic", "kappa_quadratic"),
    ("ordinal_mae", "ordinal_mae"),
    ("ordinal_c_index", "ordinal_c_index"),
    ("brier", "brier"),
)


def check_stages(stage, predicted, probabilities, expected):
    assert confusion_matrix(stage, predicted).tolist() == expected["confusion"]
    found = stage_metrics(stage, predicted, probabilities)
    for ours, theirs in (*INTERVALS_TOO, ("calibration_error", "ece")):
        assert float(found[ours]) == pytest.approx(expected[theirs], abs=DIGITS), ours
    for name in ("auc", "sensitivity", "specificity", "ppv", "npv"):
        assert [float(found[f"{name}.{stage}"]) for stage in STAGES] == pytest.approx(expected[name], abs=DIGITS), name


def check_intervals(stage, predicted, probabilities, patients, expected, *, tolerance):
    """Two bootstraps of the same data differ by their own random error, some hundredths of the width."""
    found = bootstrap_intervals(stage, predicted, probabilities, patients, resamples=4000, seed=11)
    for ours, theirs in INTERVALS_TOO:
        low, high = expected["low"][theirs], expected["high"][theirs]
        assert found[ours] == pytest.approx((low, high), abs=tolerance * (high - low)), ours


def check_endpoint(score, positive, called, expected):
    tp, fp = np.sum(positive & called), np.sum(~positive & called)
    assert [tp, fp, np.sum(positive & ~called), np.sum(~positive & ~called)] == expected["counts"]
    area, theirs = delong(score, positive), expected["delong"]
    assert (area.auc, area.low, area.high) == pytest.approx((theirs["auc"], theirs["low"], theirs["high"]), abs=1e-9)
    assert area.standard_error**2 == pytest.approx(theirs["variance"], rel=1e-6)
    fit, theirs = hosmer_lemeshow(score, positive), expected["hosmer_lemeshow"]
    assert (fit.groups, fit.chi_squared) == (theirs["groups"], pytest.approx(theirs["chi_squared"], abs=DIGITS))
    assert (fit.p_value, fit.p_value_new_data) == pytest.approx(
        (theirs["p_value"], theirs["p_value_new_data"]), abs=DIGITS
    )
    line, theirs = calibration_line(score, positive), expected["val_prob"]
    assert (line.slope[0], line.intercept[0]) == pytest.approx((theirs["Slope"], theirs["Intercept"]), abs=DIGITS)
    assert line.in_the_large[0] == pytest.approx(expected["intercept_in_the_large"], abs=DIGITS)
    smooth = smooth_calibration(score, positive)
    assert (smooth.mean_error, smooth.error_90, smooth.largest_error) == pytest.approx(
        (theirs["Eavg"], theirs["E90"], theirs["Emax"]), abs=DIGITS
    )
    curve = expected["smooth"]
    assert np.interp(curve["predicted"], smooth.predicted, smooth.observed) == pytest.approx(
        curve["observed"], abs=DIGITS
    )
    assert net_benefit(score, positive, TENTHS) == pytest.approx(expected["net_benefit"], abs=DIGITS)
    assert net_benefit(np.ones(len(score)), positive, TENTHS) == pytest.approx(expected["treat_all"], abs=DIGITS)


class TestSyntheticTable:
    def test_stage_metrics_equal_those_of_r(self, cases, r_values):
        check_stages(cases.stage, cases.predicted, cases.probabilities, r_values["stages"])

    def test_the_ordinal_c_index_equals_that_of_hmisc(self, cases, r_values):
        found = ordinal_c_index(expected_stage(cases.probabilities), cases.stage)
        assert float(found) == pytest.approx(r_values["somers_c"], abs=1e-9)

    def test_patient_intervals_equal_those_of_a_loop_in_r(self, cases, r_values):
        check_intervals(
            cases.stage,
            cases.predicted,
            cases.probabilities,
            cases.patients,
            r_values["intervals"],
            tolerance=0.06,
        )

    def test_an_endpoint_from_the_stages_equals_proc_rms_and_the_formulas(self, cases, r_values):
        check_endpoint(advanced(cases).score, cases.advanced, cases.predicted >= 2, r_values["advanced"])

    def test_an_endpoint_of_its_own_columns_does_too(self, cases, r_values):
        check_endpoint(cases.node_score, cases.node, cases.node_score >= 0.4, r_values["node"])

    def test_delong_of_each_stage_equals_proc(self, cases, r_values):
        for k, expected in enumerate(r_values["stage_delong"]):
            found = delong(cases.probabilities[:, k], cases.stage == k)
            assert (found.low, found.high) == pytest.approx((expected["low"], expected["high"]), abs=1e-9)

    def test_the_paired_comparison_equals_roc_test(self, cases, r_values):
        first, second = advanced(cases).score, advanced(cases, cases.second).score
        pairs = [(first, second, cases.advanced, r_values["comparison"]["advanced"])]
        for k, expected in enumerate(r_values["comparison"]["stages"]):
            pairs.append((cases.probabilities[:, k], cases.second[:, k], cases.stage == k, expected))
        for a, b, positive, expected in pairs:
            found = compare_auc(a, b, positive)
            assert (found.z, found.p_value) == pytest.approx((expected["z"], expected["p_value"]), abs=1e-6)
            assert (found.low, found.high) == pytest.approx((expected["low"], expected["high"]), abs=1e-6)

    def test_rows_of_one_patient_enter_the_variance_as_obuchowski_says(self, cases, r_values):
        scores = [advanced(cases).score, advanced(cases, cases.second).score]
        auc, covariance = auc_covariance(scores, cases.advanced, cases.patients)
        assert auc == pytest.approx(r_values["comparison"]["clustered_auc"], abs=1e-9)
        assert covariance == pytest.approx(np.array(r_values["comparison"]["clustered_covariance"]), rel=1e-6)

    def test_mcnemar_equals_the_exact_test(self, cases, r_values):
        right = [p.argmax(axis=1) == cases.stage for p in (cases.probabilities, cases.second)]
        found = mcnemar(*right)
        assert [found.only_first, found.only_second] == r_values["comparison"]["discordant"]
        assert found.p_value == pytest.approx(r_values["comparison"]["mcnemar_exact"], abs=1e-9)

    @pytest.mark.parametrize(("weights", "name"), [("none", "unweighted"), ("linear", "linear"), ("quadratic",) * 2])
    def test_kappa_and_its_standard_error_equal_vcd(self, cases, r_values, weights, name):
        found = cohen_kappa(cases.readers["A"], cases.readers["B"], weights=weights)
        expected = r_values["agreement"][name]
        assert (found.kappa, found.standard_error) == pytest.approx((expected["kappa"], expected["se"]), abs=DIGITS)

    def test_the_quadratic_kappa_equals_psych_too(self, cases, r_values):
        found = cohen_kappa(cases.readers["A"], cases.readers["B"], weights="quadratic")
        assert found.kappa == pytest.approx(r_values["agreement"]["psych_quadratic"], abs=DIGITS)

    def test_the_kappa_of_three_readers_equals_the_formula(self, cases, r_values):
        for ratings, name in ((cases.readers, "fleiss_alone"), (cases.assisted, "fleiss_assisted")):
            found = fleiss_kappa(np.stack(list(ratings.values()), axis=1))
            assert found == pytest.approx(r_values["agreement"][name], abs=1e-9)


@pytest.mark.realdata
class TestReleasedOutputs:
    def test_stage_metrics_equal_those_of_r(self, released, r_released):
        assert len(released.stage) == r_released["rows"]
        assert len(set(released.patients)) == r_released["patients"]
        check_stages(released.stage, released.predicted, released.probabilities, r_released["stages"])

    def test_patient_intervals_equal_those_of_a_loop_in_r(self, released, r_released):
        check_intervals(
            released.stage,
            released.predicted,
            released.probabilities,
            released.patients,
            r_released["intervals"],
            tolerance=0.1,
        )

    def test_the_endpoint_t3_or_t4_equals_r(self, released, r_released):
        found = advanced(released)
        check_endpoint(found.score, found.positive, found.called, r_released["advanced"])

    def test_delong_by_slice_and_by_patient_equals_r(self, released, r_released):
        for k, expected in enumerate(r_released["stage_delong"]):
            found = delong(released.probabilities[:, k], released.stage == k)
            assert (found.low, found.high) == pytest.approx((expected["low"], expected["high"]), abs=1e-9)
        _, covariance = auc_covariance([advanced(released).score], released.stage >= 2, released.patients)
        assert covariance == pytest.approx(np.array(r_released["clustered_covariance"]), rel=1e-6)


class TestLimits:
    def test_the_delong_interval_covers_the_true_area_in_95_of_100_samples(self):
        # Two normals one SD apart: the area is Phi(1 / sqrt(2)).
        rng, truth = np.random.default_rng(3), 0.5 * (1 + math.erf(0.5))
        positive = np.arange(120) % 2 == 0
        found = [delong(rng.normal(size=120) + positive, positive) for _ in range(600)]
        assert np.mean([one.low <= truth <= one.high for one in found]) == pytest.approx(0.95, abs=0.02)

    def test_copies_of_each_row_do_not_narrow_the_interval_when_the_patient_is_known(self, cases):
        score, positive = np.tile(cases.node_score, 3), np.tile(cases.node, 3)
        rows = [str(k) for k in range(200)] * 3
        once = delong(cases.node_score, cases.node)
        thrice = delong(score, positive, rows)
        assert thrice.standard_error == pytest.approx(once.standard_error, rel=1e-9)
        assert delong(score, positive).standard_error < 0.6 * once.standard_error

    def test_full_separation_leaves_no_width_and_no_calibration_line(self):
        score, positive = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])
        assert (delong(score, positive).low, delong(score, positive).high) == (1.0, 1.0)
        assert math.isnan(calibration_line(score, positive).slope[0])

    def test_one_group_only_is_undefined(self):
        for positive in (np.zeros(4, bool), np.ones(4, bool)):
            assert math.isnan(delong(np.arange(4) / 4, positive).auc)
            assert math.isnan(compare_auc(np.arange(4), np.arange(4), positive).p_value)

    def test_two_equal_scores_do_not_differ(self, cases):
        found = compare_auc(cases.node_score, 2 * cases.node_score, cases.node)
        assert (found.difference, found.z, found.p_value) == (0, 0, 1)

    def test_equal_probabilities_join_the_groups_and_leave_no_test(self):
        found = hosmer_lemeshow(np.full(20, 0.5), np.arange(20) % 2 == 0)
        assert (found.groups, found.chi_squared) == (1, 0)
        assert math.isnan(found.p_value)

    def test_probabilities_of_zero_and_one_are_left_out_of_the_line_and_counted(self, cases):
        score = cases.node_score.copy()
        score[:3], score[3:5] = 0.0, 1.0
        assert calibration_line(score, cases.node).left_out == 5

    def test_clustered_rows_widen_the_calibration_slope(self, cases):
        score, positive = np.tile(cases.node_score, 3), np.tile(cases.node, 3)
        single = calibration_line(cases.node_score, cases.node).slope
        known = calibration_line(score, positive, [str(k) for k in range(200)] * 3).slope
        assert known[2] - known[1] == pytest.approx(single[2] - single[1], rel=0.15)

    def test_bins_hold_every_case_and_their_share_lies_in_its_interval(self, cases):
        bins = calibration_bins(cases.node_score, cases.node)
        assert bins.count.sum() == 200
        assert np.all((bins.low <= bins.observed) & (bins.observed <= bins.high))

    def test_no_threshold_beats_treating_the_positives_only(self, cases):
        found = net_benefit(cases.node.astype(float), cases.node, [0.1, 0.5, 0.7])
        assert found == pytest.approx([cases.node.mean()] * 3)
