"""Stage metrics against scikit-learn, the published counts, and cases small enough for paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gastromap.evaluation.endpoint import EndpointColumns, endpoint_metrics, read_endpoint
from gastromap.evaluation.endpoint_report import endpoint_report
from gastromap.evaluation.metrics import (
    accuracy,
    brier_score,
    class_rates,
    confusion_matrix,
    dice,
    number_needed_to_treat,
    over_and_under_treatment,
    treatment_counts,
    weighted_kappa,
)
from gastromap.evaluation.ranking import binary_auc, one_vs_rest_auc


def random_case(seed: int, *, n: int = 300, digits: int = 1):
    """Coarse probabilities, so that ties are common."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    probabilities = rng.dirichlet(np.ones(4), n) + 0.3 * np.eye(4)[labels]
    return labels, np.round(probabilities / probabilities.sum(axis=1, keepdims=True), digits)


class TestTreatment:
    # doi 10.1038/s41746-025-02002-5, internal test set: N = 239, 120 with T3 or T4; first the model, then EUS
    @pytest.mark.parametrize(
        ("false_positives", "false_negatives", "over", "under", "needed"),
        [(5, 6, 2.09, 2.51, 2.19), (31, 42, 12.97, 17.57, 5.09)],
    )
    def test_it_equals_the_published_values(self, false_positives, false_negatives, over, under, needed):
        counts = {"n": 239, "false_positives": false_positives, "false_negatives": false_negatives}
        rates = over_and_under_treatment(**counts)
        assert [100 * float(rate) for rate in rates] == pytest.approx([over, under], abs=0.005)
        assert float(number_needed_to_treat(positives=120, **counts)) == pytest.approx(needed, abs=0.005)

    def test_counts_join_t3_and_t4_as_positive(self):
        confusion = np.array([[10, 1, 2, 3], [4, 11, 5, 6], [7, 8, 12, 9], [1, 2, 3, 13]], dtype=float)
        counts = {name: float(value) for name, value in treatment_counts(confusion).items()}
        assert counts == {"n": 97, "positives": 55, "false_positives": 16, "false_negatives": 18}

    def test_without_net_benefit_the_number_is_infinite(self):
        assert math.isinf(number_needed_to_treat(n=10, positives=2, false_positives=2, false_negatives=0))

    def test_without_patients_everything_is_undefined(self):
        counts = {"n": 0, "false_positives": 0, "false_negatives": 0}
        assert math.isnan(number_needed_to_treat(positives=0, **counts))
        assert all(math.isnan(rate) for rate in over_and_under_treatment(**counts))


class TestAuc:
    def test_pairs_counted_by_hand_with_a_tie_as_one_half(self):
        # Six pairs: 0.8 beats 0.5 and 0.2, loses to 0.9; 0.5 ties with 0.5, beats 0.2, loses to 0.9.
        assert binary_auc([0.8, 0.5, 0.5, 0.2, 0.9], [1, 1, 0, 0, 0]) == pytest.approx(3.5 / 6)

    @pytest.mark.parametrize("seed", range(5))
    def test_it_equals_scikit_learn_with_many_ties(self, seed):
        sklearn = pytest.importorskip("sklearn.metrics")
        labels, probabilities = random_case(seed)
        expected = [sklearn.roc_auc_score(labels == k, probabilities[:, k]) for k in range(4)]
        assert one_vs_rest_auc(probabilities, labels) == pytest.approx(expected, abs=1e-12)

    def test_it_equals_scikit_learn_with_weights(self):
        sklearn = pytest.importorskip("sklearn.metrics")
        labels, probabilities = random_case(7)
        weights = np.random.default_rng(70).integers(0, 4, (3, len(labels))).astype(float)
        found = one_vs_rest_auc(probabilities, labels, weights)
        for row, weight in zip(found, weights, strict=True):
            expected = [sklearn.roc_auc_score(labels == k, probabilities[:, k], sample_weight=weight) for k in range(4)]
            assert row == pytest.approx(expected, abs=1e-12)

    def test_perfect_reversed_and_constant_scores(self):
        positive = [0, 0, 1, 1]
        assert [float(binary_auc(s, positive)) for s in ([1, 2, 3, 4], [4, 3, 2, 1], [1, 1, 1, 1])] == [1.0, 0.0, 0.5]

    def test_a_score_that_is_not_a_number_is_refused(self):
        with pytest.raises(ValueError, match="finite"):
            binary_auc([0.1, np.nan], [0, 1])

    def test_a_group_without_cases_leaves_it_undefined(self):
        assert math.isnan(binary_auc([0.1, 0.2], [0, 0]))
        assert math.isnan(binary_auc([], []))


class TestConfusion:
    @pytest.mark.parametrize("seed", range(3))
    def test_matrix_kappas_and_accuracy_equal_scikit_learn(self, seed):
        sklearn = pytest.importorskip("sklearn.metrics")
        labels, probabilities = random_case(seed)
        predicted = probabilities.argmax(axis=1)
        found = confusion_matrix(labels, predicted)
        assert np.array_equal(found, sklearn.confusion_matrix(labels, predicted))
        assert accuracy(found) == pytest.approx(sklearn.accuracy_score(labels, predicted))
        for weights in ("linear", "quadratic"):
            expected = sklearn.cohen_kappa_score(labels, predicted, weights=weights)
            assert weighted_kappa(found, weights=weights) == pytest.approx(expected, abs=1e-12)

    def test_rates_equal_scikit_learn(self):
        sklearn = pytest.importorskip("sklearn.metrics")
        labels, probabilities = random_case(3)
        predicted = probabilities.argmax(axis=1)
        tables = sklearn.multilabel_confusion_matrix(labels, predicted)
        rates = class_rates(confusion_matrix(labels, predicted))
        for k, ((tn, fp), (fn, tp)) in enumerate(tables):
            assert rates["sensitivity"][k] == pytest.approx(tp / (tp + fn))
            assert rates["specificity"][k] == pytest.approx(tn / (tn + fp))
            assert rates["ppv"][k] == pytest.approx(tp / (tp + fp))
            assert rates["npv"][k] == pytest.approx(tn / (tn + fn))

    def test_leading_axes_give_the_same_as_one_matrix_at_a_time(self):
        stack = np.random.default_rng(0).integers(0, 20, (5, 2, 4, 4)).astype(float)
        kappa, rates = weighted_kappa(stack, weights="quadratic"), class_rates(stack)
        assert kappa.shape == (5, 2)
        assert kappa[3, 1] == pytest.approx(weighted_kappa(stack[3, 1], weights="quadratic"))
        assert rates["ppv"][3, 1] == pytest.approx(class_rates(stack[3, 1])["ppv"])

    def test_a_stage_nobody_has_or_is_given_is_undefined_not_zero(self):
        rates = class_rates(confusion_matrix([0, 1, 1], [0, 1, 2]))
        assert math.isnan(rates["sensitivity"][2])
        assert math.isnan(rates["ppv"][3])
        assert rates["specificity"][3] == 1.0

    @pytest.mark.parametrize(("labels", "predicted"), [([4], [0]), ([0], [4]), ([-1], [0])])
    def test_a_stage_out_of_range_is_refused_not_counted_elsewhere(self, labels, predicted):
        with pytest.raises(ValueError, match="stages 0 to 3"):
            confusion_matrix(labels, predicted)

    def test_agreement_on_a_single_stage_has_no_kappa(self):
        assert math.isnan(weighted_kappa(confusion_matrix([2, 2], [2, 2]), weights="linear"))


class TestBrierAndDice:
    def test_brier_by_hand(self):
        # (0.3² + 0.1² + 0.2²) = 0.14 and (1² + 1²) = 2
        assert brier_score([[0.7, 0.1, 0.2, 0], [0, 1, 0, 0]], [0, 2]) == pytest.approx((0.14 + 2) / 2)

    def test_brier_is_the_sum_of_the_one_vs_rest_scores_of_scikit_learn(self):
        sklearn = pytest.importorskip("sklearn.metrics")
        labels, probabilities = random_case(5, digits=6)
        expected = sum(sklearn.brier_score_loss(labels == k, probabilities[:, k]) for k in range(4))
        assert brier_score(probabilities, labels) == pytest.approx(expected)

    def test_dice_by_hand(self):
        assert dice([1, 1, 1, 0], [0, 1, 1, 1]) == pytest.approx(4 / 6)
        assert dice([1, 0], [0, 1]) == 0.0
        assert math.isnan(dice([0, 0], [0, 0]))

    def test_masks_on_different_grids_are_refused(self):
        with pytest.raises(ValueError, match="same grid"):
            dice(np.ones((2, 2)), np.ones(2))


class TestEndpointFigures:
    def test_f1_equals_scikit_learn(self, cases):
        from sklearn.metrics import f1_score

        found = endpoint_metrics(read_endpoint(cases.rows, EndpointColumns("n", "node", "node_score", (), 0.4), None))
        assert float(found["f1"]) == pytest.approx(f1_score(cases.node, cases.node_score >= 0.4))

    def test_the_error_over_groups_of_equal_size_is_the_weighted_mean_distance(self, cases):
        endpoint = read_endpoint(cases.rows, EndpointColumns("n", "node", "node_score"), None)
        found = endpoint_report(endpoint, resamples=5, level=0.95, seed=0)["calibration"]
        edges = np.quantile(cases.node_score, np.linspace(0, 1, 11))
        place = np.searchsorted(edges[1:-1], cases.node_score)
        gaps = [abs(np.sum(cases.node[place == k]) - np.sum(cases.node_score[place == k])) for k in range(10)]
        assert found["equal_mass_error"] == pytest.approx(sum(gaps) / len(cases.node))
