"""The joint loss, the optimiser's groups, calibration, and what predictions become."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import statsmodels.api as sm
import torch
from sksurv.metrics import concordance_index_censored

from gastromap.errors import ModelError, UsageError
from gastromap.models.longitudinal import LongitudinalNet
from gastromap.models.longitudinal.constants import CalibrationConstants, LongitudinalCalibration
from gastromap.models.longitudinal.survival import mean_survival_months, os_risk, survival_at, survival_at_breaks
from gastromap.training.longitudinal_calibration import fit_constants
from gastromap.training.multitask_loss import MultitaskLoss
from gastromap.training.parameter_groups import parameter_groups

BREAKS = (0.0, 10.0, 20.0, 40.0)
NAN = math.nan


class TestMultitaskLoss:
    def test_it_is_half_cross_entropy_and_half_likelihood(self) -> None:
        logits = torch.tensor([[0.0, *torch.logit(torch.tensor([0.1, 0.2, 0.3]))]])
        loss = MultitaskLoss(BREAKS)(logits, torch.tensor([[1.0, 1.0, 15.0]]))
        assert float(loss) == pytest.approx(0.5 * math.log(2) - 0.5 * math.log(0.9 * 0.2), rel=1e-5)

    def test_missing_labels_give_no_gradient_but_stay_in_the_graph(self) -> None:
        logits = torch.randn(3, 4, requires_grad=True)
        target = torch.tensor([[NAN, 1.0, 15.0], [1.0, NAN, 15.0], [0.0, 1.0, NAN]])
        MultitaskLoss(BREAKS)(logits, target).backward()
        used = logits.grad != 0
        assert used[:, 0].tolist() == [False, True, True]
        assert used[:, 1:].any(1).tolist() == [True, False, False]
        assert torch.isfinite(logits.grad).all()

    def test_a_step_without_any_label_is_zero(self) -> None:
        logits = torch.randn(2, 4, requires_grad=True)
        loss = MultitaskLoss(BREAKS)(logits, torch.full((2, 3), NAN))
        loss.backward()
        assert float(loss.detach()) == 0
        assert torch.equal(logits.grad, torch.zeros(2, 4))

    def test_steps_of_any_split_add_up_to_the_loss_of_all(self) -> None:
        # Divided by its own number of labels, a lone labelled patient would count double.
        torch.manual_seed(0)
        logits = torch.randn(12, 4)
        target = torch.stack([(torch.rand(12) < 0.5).float(), torch.ones(12), torch.rand(12) * 40], dim=1)
        target[::3, 0] = NAN
        target[1::4, 2] = NAN
        loss = MultitaskLoss.for_training(target, BREAKS)
        steps = torch.stack([loss(logits[i : i + 2], target[i : i + 2]) for i in range(0, 12, 2)])
        torch.testing.assert_close(steps.mean(), loss(logits, target))
        # Over the whole training it is the mean over the labelled patients.
        known = ~target[:, 0].isnan()
        mean = torch.nn.functional.binary_cross_entropy_with_logits(
            logits[known, 0], target[known, 0], pos_weight=torch.tensor(loss.lnm_pos_weight)
        )
        torch.testing.assert_close(loss.tasks(logits, target)[0], mean)

    def test_the_positive_weight_is_negatives_to_positives(self) -> None:
        target = torch.tensor([[1.0, NAN, NAN], [0, NAN, NAN], [0, NAN, NAN], [0, NAN, NAN], [NAN, 1, 3]])
        assert MultitaskLoss.for_training(target, BREAKS).lnm_pos_weight == pytest.approx(3)

    def test_a_task_without_labels_gets_no_weight(self) -> None:
        target = torch.tensor([[1.0, NAN, NAN], [0.0, 1.0, NAN]])
        assert MultitaskLoss.for_training(target, BREAKS).task_weights == (0.5, 0.0)

    def test_learned_weights_start_at_one_and_fall_for_the_larger_loss(self) -> None:
        loss = MultitaskLoss(BREAKS, learn_weights=True)
        logits, target = torch.tensor([[9.0, 0.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 3.0]])
        value = loss(logits, target)
        assert float(value.detach()) == pytest.approx(float(sum(loss.tasks(logits, target))))
        value.backward()
        # d/ds of exp(-s) L + s/2 at 0 is 1/2 - L.
        assert loss.log_variance.grad.tolist() == pytest.approx([0.5 - 9.000123, 0.5 - math.log(2)], rel=1e-4)

    def test_the_penalty_of_paper_is_that_of_the_os_head_alone(self) -> None:
        weight = torch.nn.Parameter(torch.tensor([[3.0, 4.0]]))
        loss = MultitaskLoss(BREAKS, penalty=0.1, penalised=weight)
        logits, target = torch.zeros(1, 4), torch.full((1, 3), NAN)
        assert float(loss(logits, target).detach()) == pytest.approx(0.5 * 0.1 * 25)
        assert list(loss.parameters()) == []

    def test_impossible_options_are_refused(self) -> None:
        with pytest.raises(UsageError, match="LOSS_OPTIONS"):
            MultitaskLoss(BREAKS, lnm_labelled=0.0)
        with pytest.raises(UsageError, match="BREAKS"):
            MultitaskLoss((5.0, 3.0))(torch.zeros(1, 2), torch.zeros(1, 3))


class TestParameterGroups:
    def test_every_parameter_stands_in_one_group(self) -> None:
        net = LongitudinalNet("tiny")
        groups = parameter_groups(net, encoder_factor=0.1)
        listed = [id(p) for group in groups for p in group["params"]]
        assert sorted(listed) == sorted(id(p) for p in net.parameters())

    def test_the_encoder_learns_at_a_tenth(self) -> None:
        net = LongitudinalNet("tiny")
        rates = {id(p): g["lr"] for g in parameter_groups(net, lr=1e-3, encoder_factor=0.1) for p in g["params"]}
        assert {round(rates[id(p)], 9) for p in net.encoder.parameters()} == {1e-4}
        assert {rates[id(p)] for p in net.head.parameters()} == {1e-3}

    def test_the_sizes_by_the_masks_have_a_rate_of_their_own(self) -> None:
        net = LongitudinalNet("tiny", mask_channel=True)
        rates = {id(p): g["lr"] for g in parameter_groups(net, lr=1e-3, burden_factor=50) for p in g["params"]}
        burden = {id(p) for p in net.head.burden.parameters()}
        assert {round(rates[key], 9) for key in burden} == {0.05}
        assert {rates[key] for key in rates.keys() - burden} == {1e-3}

    def test_state_space_vectors_and_learned_stand_ins_do_not_decay(self) -> None:
        net = LongitudinalNet("tiny")
        decays = {id(p): g["weight_decay"] for g in parameter_groups(net) for p in g["params"]}
        for name, p in net.named_parameters():
            free = p.ndim == 1 or name.endswith(("A_log", "absent_tokens", "absent_vectors"))
            assert decays[id(p)] == (0 if free else 1e-2), name

    def test_the_wrapper_of_distributed_training_changes_nothing(self) -> None:
        net = LongitudinalNet("tiny")
        wrapped = torch.nn.DataParallel(net)
        for one, other in zip(parameter_groups(net), parameter_groups(wrapped), strict=True):
            assert one["name"] == other["name"]
            assert [id(p) for p in one["params"]] == [id(p) for p in other["params"]]

    def test_a_frozen_encoder_has_no_gradient_and_no_group(self) -> None:
        net = LongitudinalNet("tiny")
        groups = parameter_groups(net, encoder_factor=0)
        assert {g["name"].split(",")[0] for g in groups} == {"rest"}
        net(torch.rand(1, 2, 32, 32, 32)).sum().backward()
        assert all(p.grad is None for p in net.encoder.parameters())


class TestSurvivalCurve:
    LOGITS = torch.logit(torch.tensor([0.1, 0.5, 0.2], dtype=torch.float64))

    def test_it_passes_the_breaks_and_is_exponential_between_them(self) -> None:
        torch.testing.assert_close(
            survival_at_breaks(self.LOGITS), torch.tensor([1, 0.9, 0.45, 0.36], dtype=torch.float64)
        )
        found = survival_at(self.LOGITS, BREAKS, [0, 5, 10, 15, 20, 40])
        expected = [1, 0.9**0.5, 0.9, 0.9 * 0.5**0.5, 0.45, 0.36]
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))

    def test_mean_survival_is_the_area_by_hand(self) -> None:
        trapezoid = 10 * (1 + 0.9) / 2 + 10 * (0.9 + 0.45) / 2 + 20 * (0.45 + 0.36) / 2
        assert float(mean_survival_months(self.LOGITS, BREAKS)) == pytest.approx(trapezoid)
        right = 10 * 0.9 + 10 * 0.45 + 20 * 0.36
        assert float(mean_survival_months(self.LOGITS, BREAKS, rule="right")) == pytest.approx(right)

    def test_higher_risk_means_an_earlier_death(self) -> None:
        # Three patients: hazards high, middle, low; dead at 3 and 12 months, alive at 30.
        logits = torch.tensor([[1.0], [0.0], [-1.0]]).expand(3, 3)
        risk = os_risk(logits, BREAKS).numpy()
        death, months = np.array([True, True, False]), np.array([3.0, 12.0, 30.0])
        assert concordance_index_censored(death, months, risk)[0] == 1
        assert concordance_index_censored(death, months, -risk)[0] == 0

    def test_certain_deaths_keep_a_finite_gradient(self) -> None:
        logits = torch.full((1, 3), 60.0, requires_grad=True)
        os_risk(logits, BREAKS).sum().backward()
        assert torch.isfinite(logits.grad).all()

    def test_times_beyond_the_last_break_are_refused(self) -> None:
        with pytest.raises(UsageError, match="MONTHS"):
            survival_at(self.LOGITS, BREAKS, [60])

    @pytest.mark.parametrize("breaks", [(0, 10, 20), (1, 10, 20, 40), (0, 10, 10, 40), (0, 10, 20, math.inf)])
    def test_breaks_that_do_not_fit_are_refused(self, breaks) -> None:
        with pytest.raises(UsageError, match="BREAKS"):
            survival_at(self.LOGITS, breaks, [5])


class TestCalibration:
    @staticmethod
    def cohort() -> tuple[torch.Tensor, torch.Tensor]:
        """Predictions three times too confident and shifted."""
        rng = np.random.default_rng(0)
        truth = rng.normal(size=(4000, 4)) * [1, 0.5, 0.5, 0.5] - [0, 1, 1, 1]
        chance = 1 / (1 + np.exp(-truth))
        lnm = rng.random(4000) < chance[:, 0]
        dies = rng.random((4000, 3)) < chance[:, 1:]
        months = np.where(dies[:, 0], 5, np.where(dies[:, 1], 15, np.where(dies[:, 2], 30, 40)))
        target = np.stack([lnm, dies.any(1), months], axis=1).astype(float)
        return torch.tensor(truth * 3 + 0.7), torch.tensor(target)

    def test_it_finds_the_offset_and_slope_that_made_the_data(self) -> None:
        constants = fit_constants(*self.cohort(), BREAKS)
        assert constants.lnm_slope == pytest.approx(1 / 3, abs=0.02)
        assert constants.lnm_offset == pytest.approx(-0.7 / 3, abs=0.08)
        assert constants.os_slope == pytest.approx(1 / 3, abs=0.03)
        assert constants.os_offset == pytest.approx(-0.7 / 3, abs=0.08)

    def test_the_lnm_constants_are_those_of_a_logistic_regression(self) -> None:
        logits, target = self.cohort()
        target[::5, 0] = NAN
        known = ~target[:, 0].isnan()
        fitted = sm.Logit(target[known, 0].numpy(), sm.add_constant(logits[known, 0].numpy())).fit(disp=0)
        constants = fit_constants(logits, target, BREAKS)
        assert [constants.lnm_offset, constants.lnm_slope] == pytest.approx(fitted.params.tolist(), abs=1e-5)

    def test_the_os_constants_are_those_of_a_pooled_logistic_regression(self) -> None:
        logits, target = self.cohort()
        rows = [
            (float(z[k + 1]), float(t[1]) if k == last else 0.0)
            for z, t in zip(logits[:300], target[:300], strict=True)
            for last in [np.searchsorted(BREAKS, float(t[2]), side="right") - 1 if t[1] else 3]
            for k in range(3)
            if k <= last
        ]
        x, y = (np.array(column) for column in zip(*rows, strict=True))
        fitted = sm.Logit(y, sm.add_constant(x)).fit(disp=0)
        constants = fit_constants(logits[:300], target[:300], BREAKS)
        assert [constants.os_offset, constants.os_slope] == pytest.approx(fitted.params.tolist(), abs=1e-5)

    def test_survival_stays_monotone(self) -> None:
        logits, target = self.cohort()
        curve = survival_at_breaks(fit_constants(logits, target, BREAKS).apply(logits)[:, 1:])
        assert (curve.diff(dim=-1) <= 0).all()

    def test_pairs_and_lone_baselines_have_their_own_constants(self) -> None:
        calibration = LongitudinalCalibration(
            pair=CalibrationConstants(1, 2, 3, 4), baseline_only=CalibrationConstants(5, 6, 7, 8)
        )
        present = torch.tensor([[True, True], [True, False], [False, True]])
        found = calibration.apply(torch.ones(3, 3), present)
        assert found.tolist() == [[3, 7, 7], [11, 15, 15], [1, 1, 1]]

    def test_they_travel_as_json(self) -> None:
        calibration = LongitudinalCalibration(pair=fit_constants(*self.cohort(), BREAKS))
        assert LongitudinalCalibration.from_json(json.loads(json.dumps(calibration.to_json()))) == calibration
        for fault in ({"pairs": {}}, {"pair": {"lnm_slope": NAN}}, {"pair": {"slope": 1}}, {"pair": 3}):
            with pytest.raises(ModelError, match="LONGITUDINAL_CALIBRATION"):
                LongitudinalCalibration.from_json(fault)

    def test_one_outcome_or_none_and_separated_outcomes_are_refused(self) -> None:
        logits, target = self.cohort()
        for lnm in (torch.ones(4000), torch.full((4000,), NAN), (logits[:, 0] > 0).double()):
            target[:, 0] = lnm
            with pytest.raises(UsageError, match="CALIBRATION_FIT LNM"):
                fit_constants(logits, target, BREAKS)
