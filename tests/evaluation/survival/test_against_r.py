"""Survival statistics against R survival, rms and riskRegression (versions in ``reference/survival.json``), to 1e-6."""

from __future__ import annotations

import numpy as np
import pytest

from gastromap.evaluation.survival.calibration import calibration_at, d_calibration
from gastromap.evaluation.survival.cox import fit_cox, proportional_hazards
from gastromap.evaluation.survival.decision import survival_net_benefit
from gastromap.evaluation.survival.kaplan_meier import (
    gehan_wilcoxon,
    kaplan_meier,
    log_rank,
    median_follow_up,
    numbers_at_risk,
)
from gastromap.evaluation.survival.metrics import HORIZONS, resampled_metrics, survival_metrics, weighted_metrics

DIGITS = 1e-6
TENTHS = np.arange(9) / 10


def check_curve(time, death, expected):
    curve = kaplan_meier(time, death)
    survival, low, high = curve.at(expected["months"])
    assert survival == pytest.approx(expected["surv"], abs=DIGITS)
    assert low[1:] == pytest.approx(expected["low"][1:], abs=DIGITS)
    assert high[1:] == pytest.approx(expected["high"][1:], abs=DIGITS)
    assert numbers_at_risk(time, expected["months"]) == expected["at_risk"]
    assert curve.median() == pytest.approx([np.nan if v is None else v for v in expected["median"]], nan_ok=True)
    assert median_follow_up(time, death) == pytest.approx(expected["follow_up"])


def check_cox(time, death, x, terms, expected):
    fit = fit_cox(time, death, x)
    assert fit.coefficients == pytest.approx(np.atleast_1d(expected["coefficients"]), abs=DIGITS)
    assert fit.standard_errors == pytest.approx(np.atleast_1d(expected["se"]), abs=DIGITS)
    assert fit.p_values == pytest.approx(np.atleast_1d(expected["p"]), abs=DIGITS)
    _, low, high = fit.hazard_ratios()
    assert low == pytest.approx(np.atleast_1d(expected["low"]), abs=1e-5)
    assert high == pytest.approx(np.atleast_1d(expected["high"]), abs=1e-5)
    assert [fit.null_log_likelihood, fit.log_likelihood] == pytest.approx(expected["log_likelihood"], abs=DIGITS)
    found = proportional_hazards(time, death, x, fit, terms)
    assert [value for value, _ in found] == pytest.approx(expected["zph"], abs=DIGITS)
    assert [p_value for _, p_value in found] == pytest.approx(expected["zph_p"], abs=DIGITS)


class TestDiscrimination:
    @pytest.mark.parametrize(("model", "name"), [(0, "concordance"), (1, "baseline")])
    def test_harrells_and_unos_c_equal_concordance(self, cohorts, r_survival, model, name):
        found, expected = survival_metrics(cohorts.test, cohorts.test.models[model]), r_survival[name]
        assert (found["harrell_c"], found["uno_c"]) == pytest.approx((expected["harrell"], expected["uno"]), abs=DIGITS)
        for kind in ("harrell", "uno"):
            values = [found[f"{kind}_c.{month}"] for month in HORIZONS]
            assert values == pytest.approx(expected[f"{kind}_at"], abs=DIGITS)

    def test_auc_and_brier_score_at_each_horizon_equal_risk_regression(self, cohorts, r_survival):
        found = survival_metrics(cohorts.test, cohorts.test.models[0])
        assert [found[f"auc.{month}"] for month in HORIZONS] == pytest.approx(r_survival["auc"], abs=DIGITS)
        assert [found[f"brier.{month}"] for month in HORIZONS] == pytest.approx(r_survival["brier"], abs=DIGITS)

    def test_the_integrated_brier_score_and_that_of_kaplan_meier_equal_risk_regression(self, cohorts, r_survival):
        found = survival_metrics(cohorts.test, cohorts.test.models[0])
        assert found["integrated_brier"] == pytest.approx(r_survival["integrated_brier"], abs=DIGITS)
        assert found["integrated_brier_of_kaplan_meier"] == pytest.approx(r_survival["integrated_null"], abs=DIGITS)

    def test_intervals_equal_those_of_a_loop_in_r(self, cohorts, r_survival):
        """Two bootstraps differ by their own random error, some hundredths of the width."""
        drawn = resampled_metrics(cohorts.test, cohorts.test.models[:1], resamples=2000, seed=5)[0]
        for place, name in enumerate(("harrell_c", "uno_c.36")):
            low, high = (row[place] for row in r_survival["intervals"])
            ends = np.quantile(drawn[name], (0.025, 0.975))
            assert ends == pytest.approx((low, high), abs=0.08 * (high - low)), name


class TestScikitSurvival:
    def test_weights_of_one_give_its_figures(self, cohorts):
        for model in cohorts.test.models:
            expected = survival_metrics(cohorts.test, model)
            found = weighted_metrics(cohorts.test, model, np.ones((1, len(cohorts.test.time))))
            assert {name: values[0] for name, values in found.items()} == pytest.approx(expected, abs=1e-12)

    def test_weights_are_counts_of_patients(self, cohorts):
        test, rng = cohorts.test, np.random.default_rng(1)
        drawn = rng.multinomial(len(test.time), np.full(len(test.time), 1 / len(test.time)))
        # Shortest and longest follow-up in the draw: they bound what scikit-survival accepts.
        drawn[[test.time.argmin(), test.time.argmax()]] += 1
        copies = test.part(np.repeat(np.arange(len(test.time)), drawn))
        expected = survival_metrics(copies, copies.models[0])
        found = weighted_metrics(test, test.models[0], drawn[np.newaxis].astype(float))
        assert {name: values[0] for name, values in found.items()} == pytest.approx(expected, abs=1e-12)


class TestGroups:
    def test_kaplan_meier_limits_numbers_at_risk_and_medians_equal_survfit(self, cohorts, r_survival):
        test, high = cohorts.test, cohorts.test.models[0].risk > np.median(cohorts.training.models[0].risk)
        check_curve(test.time, test.death, r_survival["curve"])
        for group, expected in zip((~high, high), r_survival["group_curves"], strict=True):
            check_curve(test.time[group], test.death[group], expected)

    def test_log_rank_gehan_and_hazard_ratio_equal_r(self, cohorts, r_survival):
        test, expected = cohorts.test, r_survival["groups"]
        high = test.models[0].risk > np.median(cohorts.training.models[0].risk)
        assert log_rank(test.time, test.death, high).chi_squared == pytest.approx(expected["log_rank"], abs=DIGITS)
        assert gehan_wilcoxon(test.time, test.death, high).chi_squared == pytest.approx(expected["gehan"], abs=DIGITS)
        check_cox(test.time, test.death, high[:, None], [[0]], expected["cox"])

    def test_multivariable_cox_and_its_check_of_proportional_hazards_equal_r(self, cohorts, r_survival):
        test = cohorts.test
        x = np.array([[float(row["age"]), row["sex"] == "M", float(row["ypT"])] for row in cohorts.rows])
        x = np.column_stack([test.models[0].risk, x])
        check_cox(test.time, test.death, x, [[0], [1], [2], [3]], r_survival["cox"])


class TestCalibration:
    @pytest.mark.parametrize("month", [36, 60])
    def test_groups_slope_and_smooth_curve_equal_r(self, cohorts, r_survival, month):
        found, expected = (
            calibration_at(cohorts.test, cohorts.test.models[0], month),
            r_survival[f"calibration_{month}"],
        )
        for name in ("predicted", "observed", "low", "high", "count"):
            values = [np.nan if value is None else value for value in expected[name]]
            assert getattr(found, name) == pytest.approx(values, abs=DIGITS, nan_ok=True), name
        assert found.slope == pytest.approx(expected["slope"], abs=DIGITS)
        for name in ("observed_to_expected", "mean_error", "error_90", "largest_error"):
            assert getattr(found, name) == pytest.approx(expected[name], abs=DIGITS), name

    def test_d_calibration_equals_a_loop_in_r(self, cohorts, r_survival):
        found, expected = d_calibration(cohorts.test, cohorts.test.models[0]), r_survival["d_calibration"]
        assert found.share == pytest.approx(expected["share"], abs=DIGITS)
        assert (found.chi_squared, found.p_value) == pytest.approx(
            (expected["chi_squared"], expected["p_value"]), abs=DIGITS
        )


def test_the_net_benefit_for_death_by_36_months_equals_a_loop_in_r(cohorts, r_survival):
    test, once = cohorts.test, np.ones((1, len(cohorts.test.time)))
    risk = 1 - test.models[0].curves.at(36)[:, 0]
    for values, name in ((risk, "net_benefit"), (np.ones(len(risk)), "treat_all")):
        expected = [np.nan if value is None else value for value in r_survival[name]]
        found = survival_net_benefit(test.time, test.death, values, 36, TENTHS, once)[0]
        assert found == pytest.approx(expected, abs=DIGITS, nan_ok=True), name
