"""Resampling by patient: what is drawn, how wide the intervals are, how long it takes."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from gastromap.evaluation.bootstrap import bootstrap_intervals, patient_weights, stage_metrics


def cohort(n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    probabilities = rng.dirichlet(np.ones(4), n) * 0.6 + 0.4 * np.eye(4)[labels]
    return labels, probabilities.argmax(axis=1), probabilities


class TestWeights:
    def test_all_rows_of_a_patient_are_drawn_equally_often(self):
        patients = ["a", "b", "a", "c", "a"]
        weights = patient_weights(patients, resamples=200, rng=np.random.default_rng(0))
        assert np.array_equal(weights[:, 0], weights[:, 2])
        assert np.array_equal(weights[:, 0], weights[:, 4])
        assert np.all(weights[:, 0] + weights[:, 1] + weights[:, 3] == 3)

    def test_weights_of_one_equal_no_weights(self):
        case = cohort(100)
        plain, weighted = stage_metrics(*case), stage_metrics(*case, np.ones((1, 100)))
        assert all(weighted[name][0] == pytest.approx(plain[name]) for name in plain)

    def test_a_weight_of_two_equals_the_row_twice(self):
        case = cohort(60)
        weights = np.random.default_rng(1).integers(1, 4, 60)
        repeated = stage_metrics(*(np.repeat(values, weights, axis=0) for values in case))
        weighted = stage_metrics(*case, weights.astype(float))
        assert all(weighted[name] == pytest.approx(repeated[name]) for name in repeated)


class TestIntervals:
    def test_the_interval_of_the_accuracy_is_as_wide_as_the_binomial_formula_says(self):
        labels, predicted, probabilities = cohort(800)
        low, high = bootstrap_intervals(labels, predicted, probabilities, [str(k) for k in range(800)], seed=1)[
            "accuracy"
        ]
        share = float(np.mean(labels == predicted))
        half = 1.96 * math.sqrt(share * (1 - share) / 800)
        assert low == pytest.approx(share - half, abs=0.006)
        assert high == pytest.approx(share + half, abs=0.006)

    def test_three_copies_of_each_patient_do_not_narrow_the_interval(self):
        labels, predicted, probabilities = cohort(200)
        once = bootstrap_intervals(labels, predicted, probabilities, [str(k) for k in range(200)], seed=2)
        copies = [
            np.tile(values, (3, *[1] * (values.ndim - 1))).reshape(600, *values.shape[1:])
            for values in (labels[:, None], predicted[:, None], probabilities)
        ]
        thrice = bootstrap_intervals(
            copies[0][:, 0], copies[1][:, 0], copies[2], [str(k) for k in range(200)] * 3, seed=2
        )
        assert thrice["accuracy"] == pytest.approx(once["accuracy"])
        assert thrice["auc.macro"] == pytest.approx(once["auc.macro"])

    def test_the_same_seed_gives_the_same_intervals_whatever_the_size_of_the_pieces(self, monkeypatch):
        case = (*cohort(50), [str(k) for k in range(50)])
        first = bootstrap_intervals(*case, seed=3, resamples=100)
        monkeypatch.setattr("gastromap.evaluation.bootstrap._CHUNK", 700)
        assert bootstrap_intervals(*case, seed=3, resamples=100) == first

    def test_a_metric_without_value_has_no_interval(self):
        labels, predicted, probabilities = cohort(40)
        labels = np.minimum(labels, 2)
        found = bootstrap_intervals(labels, predicted, probabilities, [str(k) for k in range(40)], seed=4, resamples=50)
        assert math.isnan(found["auc.T4"][0])
        assert not math.isnan(found["auc.T1"][0])

    def test_a_thousand_resamples_of_a_thousand_patients_take_two_seconds_at_most(self):
        case = (*cohort(1000), [str(k) for k in range(1000)])
        # Processor time: other programs on the machine do not count.
        start = time.process_time()
        bootstrap_intervals(*case, seed=5)
        assert time.process_time() - start < 2

    def test_it_is_at_least_twenty_times_faster_than_a_loop_over_scikit_learn_and_finds_the_same(self):
        pytest.importorskip("sklearn")
        from benchmarks.bootstrap import measure

        # Fewer resamples than in use: the fixed cost of the library weighs more here.
        assert measure(rounds=3, resamples=20)["times_faster"] > 20
