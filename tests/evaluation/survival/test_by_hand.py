"""Cases small enough to work out by hand, closed forms, and directions."""

from __future__ import annotations

import numpy as np
import pytest

from gastromap.evaluation.survival.calibration import calibration_at, d_calibration
from gastromap.evaluation.survival.cases import ModelColumns, RiskModel, SurvivalCases, SurvivalColumns, read_survival
from gastromap.evaluation.survival.cox import fit_cox, proportional_hazards
from gastromap.evaluation.survival.curves import SurvivalCurves
from gastromap.evaluation.survival.decision import survival_net_benefit
from gastromap.evaluation.survival.kaplan_meier import kaplan_meier, log_rank
from gastromap.evaluation.survival.metrics import survival_metrics, weighted_metrics


def cohort(time, death, risk, curves=None):
    model = RiskModel("m", np.asarray(risk, dtype=float), curves)
    time = np.asarray(time, dtype=float)
    return SurvivalCases(time, np.asarray(death, dtype=bool), (model,), np.arange(len(time)))


def c_index(time, death, risk):
    cases = cohort(time, death, risk)
    return survival_metrics(cases, cases.models[0])


class TestThreePatients:
    """Death at 6, death at 15, censored at 30 months: three pairs."""

    TIME, DEATH = (6, 15, 30), (True, True, False)

    @pytest.mark.parametrize(
        ("risk", "expected"), [((3, 2, 1), 1), ((1, 2, 3), 0), ((2, 3, 1), 2 / 3), ((2, 2, 1), 2.5 / 3)]
    )
    def test_the_c_index_counts_pairs_in_order_and_ties_by_half(self, risk, expected):
        assert c_index(self.TIME, self.DEATH, risk)["harrell_c"] == pytest.approx(expected)

    @pytest.mark.parametrize("risk", [(3, 2, 1), (2, 3, 1), (1, 3, 2)])
    def test_a_negated_risk_gives_one_minus_c(self, risk):
        for name in ("harrell_c", "uno_c", "harrell_c.12", "auc.12"):
            one, other = (c_index(self.TIME, self.DEATH, np.multiply(sign, risk))[name] for sign in (1, -1))
            assert one + other == pytest.approx(1), name

    def test_expected_survival_time_gives_the_c_of_its_negative(self):
        rows = [
            {"patient_id": "a", "os_months": 6, "death": 1, "dls": 10.0},
            {"patient_id": "b", "os_months": 15, "death": 1, "dls": 20.0},
            {"patient_id": "c", "os_months": 30, "death": 0, "dls": 60.0},
        ]
        cases = read_survival(rows, SurvivalColumns(), [ModelColumns("m", "dls", expected_time=True)])
        assert cases.models[0].risk.tolist() == [-10, -20, -60]
        assert survival_metrics(cases, cases.models[0])["harrell_c"] == 1

    def test_the_auc_at_12_months_compares_the_early_death_with_the_two_others(self):
        assert c_index(self.TIME, self.DEATH, (2, 3, 1))["auc.12"] == pytest.approx(0.5)

    def test_the_brier_score_at_12_months_is_the_mean_square_without_censoring_before(self):
        curves = SurvivalCurves(np.array([12.0]), np.array([[0.2], [0.7], [0.9]]))
        cases = cohort(self.TIME, self.DEATH, (3, 2, 1), curves)
        found = survival_metrics(cases, cases.models[0])
        assert found["brier.12"] == pytest.approx((0.2**2 + 0.3**2 + 0.1**2) / 3)

    def test_kaplan_meier_steps_by_a_third_and_its_median_is_the_second_death(self):
        curve = kaplan_meier(self.TIME, self.DEATH)
        assert curve.at([5, 6, 15, 29])[0] == pytest.approx([1, 2 / 3, 1 / 3, 1 / 3])
        assert curve.median()[0] == 15

    def test_weights_of_two_count_each_patient_twice(self):
        cases = cohort((6, 15, 30), self.DEATH, (2, 3, 1))
        once, twice = (weighted_metrics(cases, cases.models[0], np.full((1, 3), w)) for w in (1.0, 2.0))
        assert twice["harrell_c"] == pytest.approx(once["harrell_c"])


class TestCensoring:
    def test_a_censored_patient_is_compared_with_earlier_deaths_only(self):
        assert c_index((6, 4, 30), (True, False, False), (2, 9, 1))["harrell_c"] == 1

    def test_uno_weights_the_later_death_by_the_square_of_who_is_left(self):
        # G falls to 2/3 at 10 months: the pair of the death at 15 counts 9/4, each of the three of that at 5 counts 1.
        found = c_index((5, 10, 15, 20), (True, False, True, False), (1, 0, 0.5, 2))
        assert found["harrell_c"] == pytest.approx((2 + 0) / (3 + 1))
        assert found["uno_c"] == pytest.approx((2 * 1 + 0) / (3 * 1 + 1 * (3 / 2) ** 2 * 1))

    def test_horizons_beyond_the_follow_up_are_undefined(self):
        found = c_index((5, 10, 15, 20), (True, False, True, False), (1, 0, 0.5, 2))
        assert np.isnan(found["auc.24"])
        assert np.isnan(found["uno_c.60"])

    def test_a_group_without_deaths_has_no_figures_and_no_hazard_ratio(self):
        found = c_index((15, 25, 40), (False, False, False), (1, 2, 3))
        assert all(np.isnan(value) for value in found.values())
        assert fit_cox((15, 25, 40), (False, False, False), [[1.0], [2.0], [3.0]]) is None

    def test_groups_that_are_fully_separated_have_no_hazard_ratio(self):
        assert fit_cox(np.arange(1, 21), np.ones(20), (np.arange(20) < 10).astype(float)) is None


class TestCurves:
    def test_between_two_months_the_hazard_is_constant(self):
        curves = SurvivalCurves(np.array([12.0, 24.0]), np.array([[0.64, 0.16]]))
        assert curves.at([6, 12, 18, 24])[0] == pytest.approx([0.8, 0.64, 0.32, 0.16])
        assert np.isnan(curves.at([25])[0, 0])

    def test_a_handful_of_patients_who_are_predicted_alike_has_no_smooth_curve(self):
        predicted = np.array([[0.59390248], [0.59345921], [0.59309756], [0.59421751], [0.59392913], [0.59331869]])
        cases = cohort(
            [26, 55, 8, 20, 15, 57], [1, 1, 1, 0, 0, 1], range(6), SurvivalCurves(np.array([36.0]), predicted)
        )
        found = calibration_at(cases, cases.models[0], 36)
        assert np.isfinite(found.smooth_observed).all()
        assert np.isnan(found.mean_error) == (len(found.smooth_observed) == 0)

    def test_true_curves_are_calibrated_and_sharpened_ones_are_not(self):
        # Exponential survival with known rates: S at death is uniform, the slope on log(-log S) is 1.
        rng = np.random.default_rng(2)
        rate = np.exp(rng.normal(-3.4, 0.7, 3000))
        death, censored = rng.exponential(1 / rate), rng.uniform(20, 100, 3000)
        months = np.arange(6.0, 97, 6)
        true, sharp = (
            cohort(
                np.minimum(death, censored),
                death <= censored,
                rate,
                SurvivalCurves(months, np.exp(-((rate * 30) ** power / 30)[:, None] * months)),
            )
            for power in (1.0, 2.0)
        )
        assert d_calibration(true, true.models[0]).p_value > 0.01
        assert d_calibration(sharp, sharp.models[0]).p_value < 1e-6
        found = calibration_at(true, true.models[0], 36)
        assert found.slope[1] < 1 < found.slope[2]
        assert found.mean_error < 0.02
        assert found.observed_to_expected == pytest.approx(1, abs=0.05)
        assert calibration_at(sharp, sharp.models[0], 36).slope[0] == pytest.approx(0.5, abs=0.05)

    def test_the_net_benefit_without_censoring_is_that_of_the_formula(self):
        time, risk = np.array([5.0, 8, 20, 30]), np.array([0.9, 0.3, 0.6, 0.1])
        found = survival_net_benefit(time, np.ones(4, bool), risk, 12, [0.5, 0.95], np.ones((1, 4)))[0]
        # Treated at 0.5: one who died by 12 months, one who did not.
        assert found == pytest.approx([1 / 4 - 1 / 4, 0])


class TestTests:
    def test_equal_groups_do_not_differ(self):
        time, death = np.tile([3.0, 7, 12, 20], 2), np.ones(8, bool)
        assert log_rank(time, death, np.repeat([0, 1], 4)).chi_squared == pytest.approx(0, abs=1e-12)

    def test_one_group_has_no_test(self):
        assert np.isnan(log_rank([1.0, 2], [True, True], ["a", "a"]).p_value)

    def test_a_ratio_that_turns_round_is_found(self):
        rng = np.random.default_rng(4)
        group = np.arange(600) % 2
        # Early deaths in one group, late ones in the other.
        time = np.where(group == 1, rng.exponential(10, 600), 8 + rng.exponential(4, 600))
        fit = fit_cox(time, np.ones(600), group)
        assert proportional_hazards(time, np.ones(600), group, fit, [[0]])[0][1] < 1e-6
