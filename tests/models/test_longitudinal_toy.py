"""Does the network read the change between two scans? Toy pairs with a known answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr

from benchmarks.longitudinal_cases import FIXTURES, make_cohort
from benchmarks.longitudinal_toy import train
from gastromap.training.multitask_loss import MultitaskLoss
from gastromap.training.survival_intervals import event_quantile_breaks


class TestTheToyPairs:
    def test_the_same_seed_gives_the_same_patients(self) -> None:
        first, again = (make_cohort(FIXTURES["joint"], 3, seed=5) for _ in range(2))
        assert torch.equal(first.image, again.image)
        assert torch.equal(first.target, again.target)
        assert not torch.equal(first.image, make_cohort(FIXTURES["joint"], 3, seed=6).image)

    def test_the_hazard_depends_on_the_volume_ratio_alone(self) -> None:
        cohort = make_cohort(FIXTURES["response"], 150, seed=0)
        ratio = cohort.volume[:, 1] / cohort.volume[:, 0]
        assert spearmanr(cohort.log_hazard, ratio)[0] == pytest.approx(1)
        assert abs(spearmanr(cohort.log_hazard, cohort.volume[:, 0])[0]) < 0.2
        assert abs(spearmanr(cohort.log_hazard, cohort.target[:, 0])[0]) < 0.2

    def test_larger_tumours_are_drawn_larger_in_either_scan(self) -> None:
        plain = replace(FIXTURES["response"], texture=(0.0, 0.0), texture_spread=1e-9, nodes=(1e-9, 1e-9))
        cohort = make_cohort(plain, 30, seed=1)
        bright = (cohort.image > 0.43).sum(dim=(2, 3, 4)).numpy()
        for scan in (0, 1):
            assert spearmanr(bright[:, scan], cohort.volume[:, scan])[0] > 0.9


class TestLearning:
    def test_twenty_steps_lower_the_loss(self) -> None:
        cohort = make_cohort(FIXTURES["joint"], 40, seed=0)
        breaks = event_quantile_breaks(cohort.target[:, 2].numpy(), cohort.target[:, 1].numpy())
        loss = MultitaskLoss.for_training(cohort.target, breaks)

        def after(steps: int) -> float:
            network, _ = train(cohort, epochs=6, seed=0, max_steps=steps)
            with torch.inference_mode():
                return float(loss(network(cohort.image), cohort.target))

        assert after(20) < after(1) - 0.02
