"""Combined nomograms: coefficients and survival as R ``coxph`` and ``glm`` find them, stored, applied with numpy."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from gastromap.errors import ModelError, UsageError
from gastromap.nomogram.combined import CombinedNomogram, apply_combined
from gastromap.nomogram.combined_drawing import combined_axes, draw_combined, points_table
from gastromap.nomogram.combined_fitting import fit_cox_nomogram, fit_logistic_nomogram, youden_threshold
from gastromap.nomogram.predictors import fit_predictor

REFERENCE = Path(__file__).parents[1] / "evaluation" / "reference"
COX = ("os_risk", "age", "ypT", "location", "cea")
LOGISTIC = ("lnm_probability", "ypT", "location")


@pytest.fixture(scope="module")
def r_survival():
    return json.loads((REFERENCE / "survival.json").read_text())


@pytest.fixture(scope="module")
def cohorts():
    with (REFERENCE / "survival.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return {name: [row for row in rows if row["cohort"] == name] for name in "AB"}


def table(rows, names):
    return {name: [row[name] for row in rows] for name in names}


@pytest.fixture(scope="module")
def preoperative(cohorts):
    time = [float(row["os_months"]) for row in cohorts["A"]]
    dead = [row["death"] == "1" for row in cohorts["A"]]
    return fit_cox_nomogram("preoperative", table(cohorts["A"], COX), time, dead, trained_on="cohort A")


@pytest.fixture(scope="module")
def node(cohorts):
    positive = [row["lnm"] == "1" for row in cohorts["A"]]
    return fit_logistic_nomogram("node", table(cohorts["A"], LOGISTIC), positive, log_odds=["lnm_probability"])


class TestAgainstR:
    def test_cox_coefficients_and_standard_errors_equal_coxph(self, preoperative, r_survival):
        expected = r_survival["nomogram"]
        assert list(preoperative.coefficients.values()) == pytest.approx(expected["coefficients"], abs=1e-6)
        assert list(preoperative.standard_errors.values()) == pytest.approx(expected["se"], abs=1e-6)

    def test_survival_of_patients_it_has_not_seen_equals_survfit(self, preoperative, cohorts, r_survival):
        expected = r_survival["nomogram"]
        found = preoperative.linear_predictor(table(cohorts["B"][:5], COX))
        assert found == pytest.approx(expected["lp"], abs=1e-6)
        assert preoperative.survival(found, [12, 24, 36, 48, 60]) == pytest.approx(
            np.asarray(expected["survival"]), abs=1e-6
        )

    def test_logistic_coefficients_and_standard_errors_equal_glm(self, node, r_survival):
        expected = r_survival["node_nomogram"]
        assert [node.intercept, *node.coefficients.values()] == pytest.approx(expected["coefficients"], abs=1e-6)
        assert list(node.standard_errors.values()) == pytest.approx(expected["se"][1:], abs=1e-6)


class TestTraining:
    def test_what_stands_in_for_a_missing_value_is_the_median_or_the_commonest_level_of_training(self, preoperative):
        filled = {predictor.name: predictor for predictor in preoperative.predictors}
        assert filled["location"].fill == "lower"
        assert filled["location"].levels == ("lower", "middle", "upper")
        assert filled["location"].missing > 0
        assert isinstance(filled["cea"].fill, float)

    def test_changing_one_patient_changes_no_other(self, preoperative, cohorts):
        rows = [dict(row) for row in cohorts["B"]]
        before = preoperative.linear_predictor(table(rows, COX))
        rows[3] |= {"age": "", "cea": "900", "location": "", "os_risk": "5"}
        after = preoperative.linear_predictor(table(rows, COX))
        assert after[3] != before[3]
        assert np.delete(after, 3).tolist() == np.delete(before, 3).tolist()

    def test_one_patient_alone_gets_what_the_same_patient_gets_in_a_table(self, preoperative, cohorts):
        whole = preoperative.linear_predictor(table(cohorts["B"], COX))
        alone = apply_combined(preoperative, cohorts["B"][7])
        assert alone.linear_predictor == pytest.approx(whole[7], abs=1e-12)

    def test_codes_are_levels_where_that_is_said(self, cohorts):
        time = [float(row["os_months"]) for row in cohorts["A"]]
        dead = [row["death"] == "1" for row in cohorts["A"]]
        found = fit_cox_nomogram("x", table(cohorts["A"], ("ypT",)), time, dead, levels=["ypT"])
        assert list(found.coefficients) == ["ypT 2", "ypT 3", "ypT 4"]

    def test_youdens_cut_off_separates_two_groups_where_they_part(self):
        score, positive = [0.1, 0.2, 0.35, 0.4, 0.8, 0.9], [False, False, False, True, True, True]
        assert youden_threshold(score, positive) == 0.4

    @pytest.mark.parametrize(
        "cells", [["", "", ""], ["a", "a", "a"], [3, 3, 3], [f"name {k}" for k in range(13)]], ids=str
    )
    def test_a_column_that_cannot_predict_is_refused(self, cells):
        with pytest.raises(UsageError, match="CLINICAL_INVALID"):
            fit_predictor("column", cells)

    def test_a_predictor_that_separates_the_outcomes_is_refused(self):
        x = list(range(20))
        with pytest.raises(UsageError, match="NOMOGRAM_FIT"):
            fit_logistic_nomogram("x", {"a": x}, [value > 9 for value in x])
        with pytest.raises(UsageError, match="NOMOGRAM_FIT"):
            fit_cox_nomogram("x", {"a": x, "b": [2 * value for value in x]}, range(1, 21), [True] * 20)


class TestPatient:
    def test_points_of_a_patient_add_up_to_the_total_that_belongs_to_the_prediction(self, preoperative, cohorts):
        found = apply_combined(preoperative, cohorts["B"][0])
        assert sum(row.points for row in found.contributions) == found.total_points
        assert preoperative.total_points(found.linear_predictor) == pytest.approx(found.total_points)
        assert max(row.points for row in found.contributions) <= 100

    def test_a_missing_value_is_filled_in_and_named(self, preoperative, cohorts):
        found = apply_combined(preoperative, dict(cohorts["B"][0]) | {"cea": None, "location": "NA"})
        assert found.imputed == ("location", "cea")
        texts = {row.name: row.value for row in found.contributions}
        assert texts["location"] == "lower, value of training"

    def test_a_level_that_training_had_not_is_refused_without_quoting_it(self, preoperative, cohorts):
        with pytest.raises(UsageError, match="level of training in location") as caught:
            apply_combined(preoperative, dict(cohorts["B"][0]) | {"location": "Li Si"})
        assert "Li Si" not in str(caught.value)

    def test_high_risk_is_above_the_median_of_training(self, preoperative, cohorts):
        high = [apply_combined(preoperative, row).high_risk for row in cohorts["A"]]
        assert sum(high) == len(high) // 2

    def test_survival_falls_with_time_and_ends_with_the_training_follow_up(self, preoperative, cohorts):
        found = apply_combined(preoperative, cohorts["B"][0], months=(12, 36, 60, 500))
        assert list(found.survival) == [12, 36, 60]
        assert sorted(found.survival.values(), reverse=True) == list(found.survival.values())
        assert found.probability is None

    def test_it_needs_no_package_of_training(self, preoperative, cohorts, monkeypatch, tmp_path):
        preoperative.save(tmp_path / "n.json")
        for package in ("sksurv", "statsmodels", "sklearn", "pandas", "scipy", "matplotlib"):
            monkeypatch.setitem(sys.modules, package, None)
        found = apply_combined(CombinedNomogram.load(tmp_path / "n.json"), cohorts["B"][0])
        assert 0 < found.survival[36] < 1


class TestFile:
    def test_a_stored_nomogram_is_the_same(self, preoperative, node, tmp_path):
        for model in (preoperative, node):
            model.save(tmp_path / "n.json")
            assert CombinedNomogram.load(tmp_path / "n.json") == model

    @pytest.mark.parametrize(
        "change",
        [
            {"kind": "tree"},
            {"coefficients": {}},
            {"months": []},
            {"hazard": [0.3, 0.1]},
            {"threshold": None},
            {"predictors": [{"name": "x"}]},
            {"format": "other/1"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_a_damaged_file_is_refused(self, preoperative, tmp_path, change):
        preoperative.save(tmp_path / "n.json")
        content = json.loads((tmp_path / "n.json").read_text())
        (tmp_path / "n.json").write_text(json.dumps(content | change))
        with pytest.raises(ModelError, match="NOMOGRAM_INVALID"):
            CombinedNomogram.load(tmp_path / "n.json")


class TestPicture:
    def test_each_outcome_tick_stands_where_the_model_gives_that_outcome(self, preoperative, node):
        lowest = sum(low for low, _ in preoperative.ranges.values())
        axes = {axis.title: axis for axis in combined_axes(preoperative)}
        for month in (12, 36, 60):
            assert axes[f"S({month} months)"].ticks
            for place, label in axes[f"S({month} months)"].ticks:
                total = place / preoperative.points_per_unit + lowest
                assert preoperative.survival([total], [month])[0, 0] == pytest.approx(float(label))
        lowest = sum(low for low, _ in node.ranges.values()) + node.intercept
        for place, label in combined_axes(node)[-1].ticks:
            assert float(node.probability(place / node.points_per_unit + lowest)) == pytest.approx(float(label))

    def test_the_widest_axis_spans_100_points_and_ticks_rise(self, preoperative):
        axes = combined_axes(preoperative)[1:-4]
        assert max(axis.ticks[-1][0] for axis in axes) == pytest.approx(100)
        assert all(list(axis.ticks) == sorted(axis.ticks) for axis in axes)

    def test_the_table_says_what_the_picture_shows(self, preoperative):
        rows = points_table(preoperative)
        assert {row["axis"] for row in rows} >= {*COX, "Total points", "S(36 months)"}
        assert all(row["label"] for row in rows)

    def test_the_patient_is_marked_and_the_title_says_research(self, preoperative, cohorts, tmp_path):
        result = apply_combined(preoperative, cohorts["B"][0])
        marked = {axis.title: axis.marked for axis in combined_axes(preoperative, result)}
        assert marked["Total points"] == marked["S(36 months)"] == result.total_points
        figure = draw_combined(preoperative, result)
        assert "Research use only" in figure.axes[0].get_title(loc="left")
        figure.savefig(tmp_path / "n.png", dpi=40)
        assert (tmp_path / "n.png").stat().st_size > 2000
