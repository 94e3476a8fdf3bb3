"""Survival likelihoods against closed forms and other software."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
import torch
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv
from statsmodels.duration.hazard_regression import PHReg

from gastromap.errors import UsageError
from gastromap.training.cox_loss import cox_efron_loss, two_pass_backward
from gastromap.training.survival_intervals import PAPER_BREAKS, event_quantile_breaks, interval_targets
from gastromap.training.survival_loss import discrete_time_nll

BREAKS = (0.0, 10.0, 20.0, 40.0)


def targets_of(months: float, death: float) -> tuple[list[float], list[float]]:
    found = interval_targets(torch.tensor([months]), torch.tensor([death]), BREAKS)
    return found.survived[0].tolist(), found.died[0].tolist()


class TestIntervals:
    @pytest.mark.parametrize(
        ("months", "death", "survived", "died"),
        [
            (0, 1, [0, 0, 0], [1, 0, 0]),
            (10, 1, [1, 0, 0], [0, 1, 0]),
            (39.9, 1, [1, 1, 0], [0, 0, 1]),
            (40, 1, [1, 1, 0], [0, 0, 1]),
            (41, 1, [1, 1, 1], [0, 0, 0]),
            (4.9, 0, [0, 0, 0], [0, 0, 0]),
            (5, 0, [1, 0, 0], [0, 0, 0]),
            (29.9, 0, [1, 1, 0], [0, 0, 0]),
            (30, 0, [1, 1, 1], [0, 0, 0]),
            (99, 0, [1, 1, 1], [0, 0, 0]),
        ],
    )
    def test_a_follow_up_says_what_the_midpoint_rule_says(self, months, death, survived, died) -> None:
        assert targets_of(months, death) == (survived, died)

    @pytest.mark.parametrize(("months", "death"), [(math.nan, 1.0), (12.0, math.nan), (math.nan, math.nan)])
    def test_without_time_or_status_nothing_is_said(self, months, death) -> None:
        assert targets_of(months, death) == ([0, 0, 0], [0, 0, 0])
        assert not interval_targets(torch.tensor([months]), torch.tensor([death]), BREAKS).labelled.any()

    def test_the_breaks_of_the_authors_are_in_months(self) -> None:
        assert PAPER_BREAKS == (0, 10, 20, 30, 40, 50, 60, 70, 80, 120, 160)


class TestBreaks:
    def test_they_are_quantiles_of_the_deaths_up_to_the_longest_follow_up(self) -> None:
        months = np.concatenate([np.arange(1.0, 101.0), [150.0]])
        death = np.concatenate([np.ones(100), [0]])
        breaks = event_quantile_breaks(months, death, intervals=4)
        assert breaks == pytest.approx((0, *np.quantile(months[:100], [0.25, 0.5, 0.75]), 150))

    @pytest.mark.parametrize(("deaths", "expected"), [(100, 10), (50, 10), (49, 9), (12, 2), (9, 1), (5, 1)])
    def test_there_are_fewer_until_each_interval_holds_five_deaths(self, deaths, expected) -> None:
        breaks = event_quantile_breaks(np.arange(1.0, deaths + 1), np.ones(deaths))
        assert len(breaks) - 1 == expected
        targets = interval_targets(torch.arange(1.0, deaths + 1), torch.ones(deaths), breaks)
        assert targets.died.sum(0).min() >= 5
        assert targets.died.sum() == deaths  # the longest follow-up may be a death

    def test_ties_never_make_an_empty_interval(self) -> None:
        breaks = event_quantile_breaks([6.0] * 30 + [12.0] * 30 + [24.0], [1] * 60 + [0])
        assert np.all(np.diff(breaks) > 0)

    def test_unlabelled_patients_are_left_out(self) -> None:
        months, death = [*range(1, 21), math.nan, 30.0], [1] * 20 + [1, math.nan]
        assert event_quantile_breaks(months, death)[-1] == 20

    @pytest.mark.parametrize(
        ("months", "death"),
        [([1.0] * 4, [1] * 4), ([-1.0] * 9, [1] * 9), ([1.0] * 9, [2] * 9), ([1.0], [1, 0]), ([], [])],
    )
    def test_too_few_deaths_and_impossible_labels_are_refused(self, months, death) -> None:
        with pytest.raises(UsageError, match="SURVIVAL_LABELS"):
            event_quantile_breaks(months, death)


class TestDiscreteTimeLikelihood:
    def test_it_equals_the_closed_form(self) -> None:
        hazards = torch.tensor([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.5, 0.2, 0.9], [0.5, 0.5, 0.5]])
        months, death = torch.tensor([15.0, 22.0, 3.0, math.nan]), torch.tensor([1.0, 0.0, 1.0, 1.0])
        loss = discrete_time_nll(torch.logit(hazards), interval_targets(months, death, BREAKS))
        # Died in the second; censored in the third before its midpoint; died in the first; unknown.
        expected = [-math.log(0.9 * 0.2), -math.log(0.9 * 0.8), -math.log(0.5), 0.0]
        torch.testing.assert_close(loss, torch.tensor(expected))

    def test_paper_averages_over_the_intervals(self) -> None:
        z = torch.randn(5, 3)
        targets = interval_targets(torch.tensor([1.0, 12, 25, 60, 33]), torch.tensor([1.0, 0, 1, 0, 1]), BREAKS)
        mean = discrete_time_nll(z, targets, over_intervals="mean")
        torch.testing.assert_close(mean * 3, discrete_time_nll(z, targets))

    def test_hazards_of_all_but_0_and_1_still_have_a_gradient(self) -> None:
        # The authors' clamp at 1e-5 has none beyond |z| = 11.5.
        z = torch.tensor([[20.0, 0.0, 0.0], [-20.0, 0.0, 0.0]], requires_grad=True)
        targets = interval_targets(torch.tensor([12.0, 5.0]), torch.tensor([1.0, 1.0]), BREAKS)
        discrete_time_nll(z, targets).sum().backward()
        torch.testing.assert_close(z.grad[:, 0], torch.tensor([1.0, -1.0]))

    def test_its_minimum_is_the_share_that_dies_of_those_at_risk(self) -> None:
        months = torch.tensor([5.0, 6, 7, 15, 16, 25, 60, 60, 60, 60])
        death = torch.tensor([1.0, 1, 0, 1, 0, 1, 0, 0, 0, 0])
        z = torch.zeros(1, 3, requires_grad=True)
        optimiser = torch.optim.LBFGS([z], max_iter=200, line_search_fn="strong_wolfe")
        targets = interval_targets(months, death, BREAKS)

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            loss = discrete_time_nll(z.expand(10, 3), targets).sum()
            loss.backward()
            return loss

        optimiser.step(closure)
        # At risk 10, 7, 5: the patient censored at 16 has passed the midpoint of the second interval.
        torch.testing.assert_close(
            torch.sigmoid(z[0]).detach(), torch.tensor([2 / 10, 1 / 7, 1 / 5]), atol=1e-4, rtol=0
        )


class TestCoxEfron:
    # Therneau, "Validation" vignette of the R package survival, first data set.
    TIME = torch.tensor([1.0, 1, 6, 6, 8, 9])
    DEATH = torch.tensor([1.0, 0, 1, 1, 0, 1])
    X = torch.tensor([1.0, 1, 1, 0, 0, 0])

    @pytest.mark.parametrize("beta", [-1.0, 0.0, 1.676857, 4.0])
    def test_it_equals_the_closed_form_of_the_vignette(self, beta) -> None:
        r = math.exp(beta)
        log_likelihood = 2 * beta - math.log(3 * r + 3) - math.log((r + 5) / 2) - math.log(r + 3)
        loss = cox_efron_loss(beta * self.X.double(), self.TIME, self.DEATH)
        assert float(loss) * 4 == pytest.approx(-log_likelihood, abs=1e-12)

    def test_it_is_least_at_the_coefficient_that_r_survival_gives(self) -> None:
        beta = torch.tensor(1.676857, dtype=torch.float64, requires_grad=True)
        cox_efron_loss(beta * self.X, self.TIME, self.DEATH).backward()
        assert abs(float(beta.grad)) < 1e-7

    def test_it_equals_statsmodels_with_many_ties(self) -> None:
        rng = np.random.default_rng(0)
        score = rng.normal(size=200) * 2
        months, death = rng.integers(1, 15, 200).astype(float), rng.integers(0, 2, 200)
        expected = PHReg(months, score[:, None], status=death, ties="efron").loglike(np.ones(1))
        loss = cox_efron_loss(*(torch.tensor(v) for v in (score, months, death.astype(float))))
        assert float(loss) * death.sum() == pytest.approx(-expected, rel=1e-5)

    def test_its_gradient_vanishes_at_the_coefficients_of_scikit_survival(self) -> None:
        rng = np.random.default_rng(1)
        x = rng.normal(size=(150, 3))
        months, death = np.ceil(rng.exponential(6 * np.exp(-x[:, 0]))), rng.random(150) < 0.7
        fitted = CoxPHSurvivalAnalysis(ties="efron", tol=1e-12).fit(x, Surv.from_arrays(death, months))
        beta = torch.tensor(fitted.coef_, requires_grad=True)
        labels = torch.tensor(months), torch.tensor(death, dtype=torch.float64)
        cox_efron_loss(torch.tensor(x) @ beta, *labels).backward()
        assert beta.grad.abs().max() < 1e-5

    def test_scores_of_any_size_stay_finite(self) -> None:
        for offset, scale in ((1000.0, 1.0), (0.0, 200.0)):
            score = (offset + scale * self.X).requires_grad_()
            loss = cox_efron_loss(score, self.TIME, self.DEATH)
            loss.backward()
            assert torch.isfinite(loss)
            assert torch.isfinite(score.grad).all()
        torch.testing.assert_close(
            cox_efron_loss(1000 + self.X.double(), self.TIME, self.DEATH),
            cox_efron_loss(self.X.double(), self.TIME, self.DEATH),
        )

    def test_unlabelled_patients_stand_in_no_risk_set(self) -> None:
        with_unknown = cox_efron_loss(
            torch.cat([self.X, torch.tensor([5.0, -5.0])]),
            torch.cat([self.TIME, torch.tensor([torch.nan, 7.0])]),
            torch.cat([self.DEATH, torch.tensor([1.0, torch.nan])]),
        )
        assert float(with_unknown) == pytest.approx(float(cox_efron_loss(self.X, self.TIME, self.DEATH)))

    def test_without_a_death_it_is_zero_and_still_part_of_the_graph(self) -> None:
        score = self.X.clone().requires_grad_()
        cox_efron_loss(score, self.TIME, torch.zeros(6)).backward()
        assert torch.equal(score.grad, torch.zeros(6))


class TestTwoPasses:
    @staticmethod
    def network(*, dropout: float) -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Dropout(dropout), torch.nn.Linear(8, 1)
        )

    def test_the_gradient_is_that_of_all_patients_at_once(self) -> None:
        net, x = self.network(dropout=0.0), torch.randn(30, 4)
        months, death = torch.randint(1, 9, (30,)).double(), (torch.rand(30) < 0.6).double()
        loss = cox_efron_loss(net(x).squeeze(1), months, death)
        loss.backward()
        expected = [p.grad.clone() for p in net.parameters()]
        net.zero_grad()
        value = two_pass_backward(lambda i: net(x[i]), lambda s: cox_efron_loss(s, months, death), seeds=range(30))
        assert value == pytest.approx(float(loss.detach()), rel=1e-6)
        for p, want in zip(net.parameters(), expected, strict=True):
            torch.testing.assert_close(p.grad, want)

    def test_dropout_repeats_and_torchs_generator_goes_on_as_if_nothing_was_drawn(self) -> None:
        net, x = self.network(dropout=0.5).train(), torch.randn(6, 4)
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        two_pass_backward(lambda i: net(x[i]), lambda s: s.square().sum(), seeds=range(6))
        assert torch.equal(torch.rand(3), expected)

    def test_other_sources_of_chance_are_noticed(self) -> None:
        net, x, rng = self.network(dropout=0.0), torch.randn(6, 4), np.random.default_rng(0)
        with pytest.raises(UsageError, match="SCORE_REPEAT"):
            two_pass_backward(lambda i: net(x[i] + float(rng.normal())), lambda s: s.sum(), seeds=range(6))


def test_the_discrete_model_with_one_interval_is_logistic_regression() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=120)
    death = (rng.random(120) < 1 / (1 + np.exp(-0.5 - x))).astype(float)
    fitted = sm.Logit(death, sm.add_constant(x)).fit(disp=0)
    z = torch.tensor(fitted.params[0] + fitted.params[1] * x).unsqueeze(1)
    targets = interval_targets(torch.where(torch.tensor(death) > 0, 3.0, 12.0), torch.tensor(death), (0.0, 12.0))
    assert float(discrete_time_nll(z, targets).sum()) == pytest.approx(-fitted.llf, rel=1e-5)
