"""The whole evaluation: what it says of endpoints, two models, readers and subgroups, and what it refuses."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from gastromap.errors import UsageError
from gastromap.evaluation.assemble import EvaluationPlan, evaluate_table
from gastromap.evaluation.endpoint import EndpointColumns
from gastromap.evaluation.figures import evaluation_figures
from gastromap.evaluation.page import render_page
from gastromap.evaluation.reliability import calibration_bins, hosmer_lemeshow, smooth_calibration
from gastromap.evaluation.subgroups import Subgroup
from gastromap.evaluation.table import Columns, read_rows

READERS = {name: (f"reader_{name}", f"assisted_{name}") for name in "ABC"}


@pytest.fixture(scope="module")
def rows(cases_file):
    return read_rows(cases_file)


@pytest.fixture(scope="module")
def second(rows):
    return [{**row, **{f"prob_T{k}": row[f"second_T{k}"] for k in range(1, 5)}} for row in rows]


@pytest.fixture(scope="module")
def report(rows, second):
    plan = EvaluationPlan(
        columns=Columns(case="case"),
        endpoints=(EndpointColumns("node", "node", "node_score", threshold=0.4),),
        readers=READERS,
        subgroups=(Subgroup("sex"), Subgroup("age", (60.0,))),
        resamples=300,
    )
    return evaluate_table(rows, plan, versus=second)


def published(false_positives: int, false_negatives: int) -> list[dict[str, object]]:
    """239 patients, 120 with T3 or T4 (doi 10.1038/s41746-025-02002-5), as a table."""
    counts = {
        ("T3", "T4"): 120 - false_negatives,
        ("T3", "T2"): false_negatives,
        ("T2", "T3"): false_positives,
        ("T2", "T1"): 119 - false_positives,
    }
    pairs = [pair for pair, count in counts.items() for _ in range(count)]
    return [
        {
            "stage": stage,
            "PatientID": f"P{k}",
            **{f"prob_T{i + 1}": 0.85 if f"T{i + 1}" == call else 0.05 for i in range(4)},
        }
        for k, (stage, call) in enumerate(pairs)
    ]


class TestEndpoints:
    @pytest.mark.parametrize(
        ("errors", "over", "under", "needed"), [((5, 6), 2.09, 2.51, 2.19), ((31, 42), 12.97, 17.57, 5.09)]
    )
    def test_a_table_of_the_published_counts_gives_the_published_figures(self, errors, over, under, needed):
        found = evaluate_table(published(*errors), EvaluationPlan(resamples=50))["endpoints"][0]["metrics"]
        assert 100 * found["over_treatment"]["value"] == pytest.approx(over, abs=0.005)
        assert 100 * found["under_treatment"]["value"] == pytest.approx(under, abs=0.005)
        assert found["number_needed_to_treat"]["value"] == pytest.approx(needed, abs=0.005)

    @pytest.mark.parametrize(("number", "name"), [(0, "advanced"), (1, "node")])
    def test_rates_and_their_exact_intervals_equal_r(self, report, r_values, number, name):
        found, expected = report["endpoints"][number]["metrics"], r_values[name]
        for rate in ("sensitivity", "specificity", "ppv", "npv"):
            assert found[rate]["value"] == pytest.approx(expected["rates"][rate], abs=1e-9)
            assert [found[rate]["exact_low"], found[rate]["exact_high"]] == pytest.approx(
                expected["exact"][rate], abs=1e-6
            )
        for figure in ("over_treatment", "under_treatment", "number_needed_to_treat"):
            assert found[figure]["value"] == pytest.approx(expected[figure], abs=1e-9)
        assert found["brier"]["value"] == pytest.approx(expected["val_prob"]["Brier"], abs=1e-9)

    def test_the_delong_interval_knows_the_rows_of_a_patient(self, report, r_values):
        found = report["endpoints"][0]["metrics"]["auc"]
        half = 1.959964 * r_values["comparison"]["clustered_covariance"][0][0] ** 0.5
        assert found["delong_high"] - found["delong_low"] == pytest.approx(2 * half, abs=1e-6)

    def test_a_table_of_endpoints_only_needs_no_stages(self, rows):
        table = [{key: row[key] for key in ("PatientID", "node", "node_score")} for row in rows]
        found = evaluate_table(
            table, EvaluationPlan(endpoints=(EndpointColumns("N", "node", "node_score"),), resamples=20)
        )
        assert found["stages"] is None
        assert [endpoint["name"] for endpoint in found["endpoints"]] == ["N"]
        assert found["endpoints"][0]["patients"] == 140

    def test_a_score_that_is_no_probability_has_no_calibration_and_no_decision_curve(self, rows):
        table = [{**row, "node_score": 10 * float(row["node_score"])} for row in rows]
        where = EndpointColumns("N", "node", "node_score", threshold=4.0)
        found = evaluate_table(table, EvaluationPlan(endpoints=(where,), resamples=20))["endpoints"][1]
        assert found["calibration"] is None
        assert found["decision_curve"] is None
        assert "no probability" in found["notes"][0]

    def test_other_stages_can_be_positive(self, rows):
        found = evaluate_table(rows, EvaluationPlan(positive=("T4",), resamples=20))["endpoints"][0]
        assert found["name"] == "T4"
        assert found["counts"]["true_positives"] + found["counts"]["false_negatives"] == 46
        for positive in ((), ("T1", "T2", "T3", "T4"), ("T5",)):
            with pytest.raises(UsageError, match="PREDICTIONS_INVALID"):
                evaluate_table(rows, EvaluationPlan(positive=positive))

    def test_few_distinct_probabilities_are_groups_of_their_own(self):
        p = np.repeat([0.2, 0.8], [30, 20])
        positive = np.r_[np.arange(30) < 6, np.arange(20) < 16]
        assert calibration_bins(p, positive).observed == pytest.approx([0.2, 0.8])
        assert hosmer_lemeshow(p, positive).chi_squared == pytest.approx(0, abs=1e-9)
        assert smooth_calibration(p, positive).observed == pytest.approx([0.2, 0.8], abs=1e-6)

    def test_where_most_cases_have_one_probability_the_smooth_curve_is_their_share(self):
        # statsmodels alone gives 0 or 1 there; R 4.2.2 lowess(p, y, iter = 0) gives 0.3, 1, 1, 1 for this pattern.
        p = np.r_[np.full(50, 0.3), 0.5, 0.7, 0.72]
        positive = np.r_[np.arange(50) < 15, True, True, True]
        assert smooth_calibration(p, positive).observed == pytest.approx([0.3, 1, 1, 1])


class TestComparison:
    def test_differences_are_those_of_the_two_models(self, report, cases, r_values):
        found = report["comparison"]["metrics"]["accuracy"]
        right = [np.mean(p.argmax(axis=1) == cases.stage) for p in (cases.probabilities, cases.second)]
        assert (found["first"], found["second"]) == pytest.approx(tuple(right))
        assert found["difference"]["value"] == pytest.approx(right[0] - right[1])

    def test_the_test_of_the_areas_counts_patients_not_rows(self, report, r_values):
        covariance = np.array(r_values["comparison"]["clustered_covariance"])
        auc = r_values["comparison"]["clustered_auc"]
        z = (auc[0] - auc[1]) / np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
        assert report["comparison"]["delong"]["T3 or T4"]["z"] == pytest.approx(z, abs=1e-6)

    def test_the_order_of_the_second_table_does_not_matter(self, rows, second, report):
        plan = EvaluationPlan(columns=Columns(case="case"), resamples=300)
        found = evaluate_table(rows, plan, versus=second[::-1])
        assert found["comparison"] == report["comparison"]

    def test_a_model_does_not_differ_from_itself(self, rows):
        found = evaluate_table(rows, EvaluationPlan(columns=Columns(case="case"), resamples=50), versus=rows)[
            "comparison"
        ]
        assert found["metrics"]["auc.macro"]["difference"] == {"value": 0, "low": 0, "high": 0}
        assert found["delong"]["T1"]["p_value"] == 1
        assert found["mcnemar"]["p_value"] == 1

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            (lambda table: table[1:], "1 in one only"),
            (lambda table: [{**table[0], "stage": "T4"}, *table[1:]], "others in 1 cases"),
        ],
    )
    def test_other_cases_or_another_truth_are_refused(self, rows, second, change, what):
        with pytest.raises(UsageError, match=what):
            evaluate_table(rows, EvaluationPlan(columns=Columns(case="case")), versus=change(second))

    def test_rows_that_cannot_be_told_apart_are_refused(self, rows, second):
        with pytest.raises(UsageError, match="--case"):
            evaluate_table(rows, EvaluationPlan(), versus=second)


class TestReaders:
    def test_each_reader_has_the_figures_that_r_finds(self, report, r_values):
        found = {(row["name"], row["condition"]): row["metrics"] for row in report["readers"]["rows"]}
        for condition, key in (("alone", "readers"), ("with model", "assisted")):
            for name, expected in zip("ABC", r_values[key], strict=True):
                values = found[name, condition]
                assert values["accuracy"]["value"] == pytest.approx(expected["accuracy"], abs=1e-9)
                assert values["kappa"]["value"] == pytest.approx(expected["kappa_quadratic"], abs=1e-9)

    def test_means_and_changes_follow_from_the_readers(self, report):
        found = {
            (row["name"], row["condition"]): row["metrics"]["accuracy"]["value"] for row in report["readers"]["rows"]
        }
        change = {row["name"]: row["metrics"]["accuracy"] for row in report["readers"]["changes"]}
        mean = np.mean([found[name, "alone"] for name in "ABC"])
        assert found["mean", "alone"] == pytest.approx(mean)
        assert change["A"]["value"] == pytest.approx(found["A", "with model"] - found["A", "alone"])
        assert change["mean"]["value"] == pytest.approx(found["mean", "with model"] - mean)
        assert change["mean"]["low"] < change["mean"]["value"] < change["mean"]["high"]

    def test_agreement_is_given_for_each_pair_and_all(self, report, r_values):
        found = report["readers"]["agreement"]
        assert [(pair["first"], pair["second"]) for pair in found["alone"]["pairs"]] == [
            ("A", "B"),
            ("A", "C"),
            ("B", "C"),
        ]
        assert found["with model"]["fleiss"] == pytest.approx(r_values["agreement"]["fleiss_assisted"], abs=1e-9)

    def test_cases_that_one_reader_left_out_are_left_out_for_all(self, rows):
        table = [{**row, "reader_A": "" if k < 7 else row["reader_A"]} for k, row in enumerate(rows)]
        found = evaluate_table(table, EvaluationPlan(readers=READERS, resamples=20))["readers"]
        assert (found["cases"], found["left_out"]) == (193, 7)

    def test_one_reader_without_the_model_is_a_study_too(self, rows):
        found = evaluate_table(rows, EvaluationPlan(readers={"A": ("reader_A", None)}, resamples=20))["readers"]
        assert [row["name"] for row in found["rows"]] == ["A", "model"]
        assert found["changes"] == []
        assert found["agreement"] == {}

    def test_a_reader_called_model_is_refused(self, rows):
        with pytest.raises(UsageError, match="Rename the reader"):
            evaluate_table(rows, EvaluationPlan(readers={"model": ("reader_A", None)}))

    def test_no_common_case_is_refused(self, rows):
        table = [{**row, "reader_A": ""} for row in rows]
        with pytest.raises(UsageError, match="all readers read"):
            evaluate_table(table, EvaluationPlan(readers=READERS))


class TestSubgroups:
    def test_the_groups_of_a_column_are_evaluated_on_their_own(self, report, rows, cases):
        group = report["subgroups"][0]
        women = np.array([row["sex"] == "F" for row in rows])
        assert [level["level"] for level in group["levels"]] == ["F", "M"]
        assert group["levels"][0]["rows"] == women.sum()
        expected = np.mean((cases.predicted == cases.stage)[women])
        assert group["levels"][0]["metrics"]["accuracy"]["value"] == pytest.approx(expected)

    def test_subgroups_need_stages(self, rows):
        table = [{key: row[key] for key in ("node", "node_score", "sex")} for row in rows]
        plan = EvaluationPlan(endpoints=(EndpointColumns("N", "node", "node_score"),), subgroups=(Subgroup("sex"),))
        with pytest.raises(UsageError, match="subgroups"):
            evaluate_table(table, plan)


class TestWhole:
    def test_the_same_seed_gives_the_same_report(self, rows):
        plan = EvaluationPlan(resamples=30, seed=4)
        assert evaluate_table(rows, plan) == evaluate_table(rows, plan)

    def test_it_says_that_rows_and_patients_differ(self, report):
        assert report["notes"] == [
            "200 rows of 140 patients: estimates count rows, intervals are resampled by patient."
        ]

    def test_an_empty_table_is_refused(self):
        with pytest.raises(UsageError, match="empty table"):
            evaluate_table([], EvaluationPlan())


class TestEdges:
    """Tables that a small or odd cohort gives: an answer without NaN and without a warning, never a fault."""

    def table(self, stages, kind="random", patients=None):
        rng = np.random.default_rng(0)
        outputs = {
            "random": lambda _: rng.dirichlet(np.ones(4)),
            "flat": lambda _: np.full(4, 0.25),
            "sure and right": lambda stage: np.eye(4)[stage],
            "sure and wrong": lambda stage: np.eye(4)[(stage + 1) % 4],
        }
        return [
            {
                "case": str(k),
                "stage": f"T{stage + 1}",
                **{f"prob_T{i + 1}": float(p) for i, p in enumerate(outputs[kind](stage))},
                "reader": "T2",
                "with_model": f"T{stage + 1}",
                "group": "ab"[k % 2],
                "size": float(rng.normal()),
                **({"PatientID": patients} if patients else {}),
            }
            for k, stage in enumerate(stages)
        ]

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize(
        ("stages", "kind", "patients"),
        [
            ([2], "random", None),
            ([0, 3], "random", None),
            ([1] * 8, "random", None),
            ([0, 1, 2] * 4, "random", None),
            ([0, 1, 2, 3] * 3, "flat", None),
            ([0, 1, 2, 3] * 3, "sure and right", None),
            ([0, 1, 2, 3] * 3, "sure and wrong", None),
            ([0, 1, 2, 3] * 3, "random", "one and the same"),
        ],
    )
    def test_an_odd_cohort_is_evaluated(self, stages, kind, patients):
        table = self.table(stages, kind, patients)
        plan = EvaluationPlan(
            columns=Columns(case="case"),
            readers={"A": ("reader", "with_model"), "B": ("with_model", None)},
            subgroups=(Subgroup("group"), Subgroup("size", (0.0,))),
            resamples=20,
        )
        report = evaluate_table(table, plan, versus=self.table(stages))
        json.dumps(report, allow_nan=False)
        page = render_page(report, _every_figure(report))
        text = re.sub(r'"data:[^"]+"', "", page)
        assert "nan" not in text.lower()
        assert "None" not in text


def _every_figure(report):
    """Figures that draw without a fault; saving them is tested elsewhere."""
    return dict.fromkeys(evaluation_figures(report), b"<svg/>")
