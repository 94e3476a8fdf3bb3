"""From a table to metrics as JSON, on the released outputs and on tables with faults."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from gastromap.errors import UsageError
from gastromap.evaluation.report import evaluate_predictions


def rows(n: int = 40, seed: int = 0) -> list[dict[str, object]]:
    rng = np.random.default_rng(seed)
    result = []
    for k in range(n):
        p = rng.dirichlet(np.ones(4)) * 0.5 + 0.5 * np.eye(4)[k % 4]
        named = {f"prob_T{i + 1}": value for i, value in enumerate(p.tolist())}
        result.append({"PatientID": f"P{k // 2}", "stage": f"T{k % 4 + 1}", **named})
    return result


def write_csv(path, table) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(table[0]))
        writer.writeheader()
        writer.writerows(table)


@pytest.mark.realdata
class TestReleasedTrainingOutputs:
    """The figures of the T-stage design, section 1, made there with other software."""

    @pytest.fixture(scope="class")
    def found(self, real_data):
        return evaluate_predictions(real_data / "gtrnet_release" / "train_predictions_resnet152.csv")

    def test_accuracy_is_902_of_953(self, found):
        assert found["rows"] == 953
        assert found["metrics"]["accuracy"]["value"] == 902 / 953

    def test_macro_auc_is_0_9932_and_differs_from_the_printed_table(self, found):
        assert found["metrics"]["auc"]["macro"]["value"] == pytest.approx(0.9932, abs=5e-5)
        # Table 2 of doi 10.1038/s41746-025-02002-5 prints 90.1 % and 0.98: outside both intervals.
        assert found["metrics"]["accuracy"]["low"] > 0.901
        assert found["metrics"]["auc"]["macro"]["low"] > 0.985

    def test_kappas_are_0_9489_and_0_9661(self, found):
        kappa = found["metrics"]["kappa"]
        assert kappa["linear"]["value"] == pytest.approx(0.9489, abs=5e-5)
        assert kappa["quadratic"]["value"] == pytest.approx(0.9661, abs=5e-5)

    def test_it_says_that_rows_stand_for_patients(self, found):
        assert found["resampling"]["unit"] == "row"
        assert "No patient identifier" in found["notes"][0]

    def test_each_value_lies_in_its_interval(self, found):
        for interval in (found["metrics"]["accuracy"], *found["metrics"]["sensitivity"].values()):
            assert interval["low"] < interval["value"] < interval["high"]


class TestTable:
    def test_a_file_and_its_rows_give_the_same_metrics(self, tmp_path):
        write_csv(tmp_path / "p.csv", rows())
        assert evaluate_predictions(tmp_path / "p.csv", resamples=20) == evaluate_predictions(rows(), resamples=20)

    def test_patients_are_counted_and_resampled(self):
        found = evaluate_predictions(rows(), resamples=20)
        assert (found["rows"], found["patients"], found["resampling"]["unit"]) == (40, 20, "patient")

    def test_a_predicted_column_goes_before_the_likeliest_stage(self):
        table = [{**row, "predicted": "T1"} for row in rows()]
        assert [line[0] for line in evaluate_predictions(table, resamples=5)["confusion_matrix"]] == [10, 10, 10, 10]

    def test_sub_stages_count_as_their_stage(self):
        table = rows()
        expected = evaluate_predictions(table, resamples=5)
        for row in table:
            row["stage"] = "T4a" if row["stage"] == "T4" else str(row["stage"]).lower()
        assert evaluate_predictions(table, resamples=5) == expected

    def test_a_missing_stage_is_null_in_json_and_said(self):
        found = evaluate_predictions([row for row in rows() if row["stage"] != "T2"], resamples=20)
        again = json.loads(json.dumps(found, allow_nan=False))
        assert again["metrics"]["auc"]["T2"] == {"value": None, "low": None, "high": None}
        assert "No case of T2" in again["notes"][0]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("prob_T1", 0.9999),
            ("prob_T1", -0.1),
            ("prob_T1", "x"),
            ("prob_T1", "nan"),
            ("prob_T1", None),
            ("PatientID", ""),
            ("PatientID", None),
            ("stage", "T5"),
            ("stage", ""),
            ("stage", 4),
            ("stage", None),
        ],
    )
    def test_a_bad_cell_is_refused_with_the_number_of_its_row(self, name, value):
        table = rows()
        table[6][name] = value
        with pytest.raises(UsageError, match="row 7"):
            evaluate_predictions(table)

    def test_no_resamples_or_an_impossible_level_are_refused(self):
        for options in ({"resamples": 0}, {"level": 95.0}):
            with pytest.raises(UsageError, match="PREDICTIONS_INVALID"):
                evaluate_predictions(rows(), **options)

    def test_an_empty_table_or_one_without_its_columns_is_refused(self):
        for table in ([], [{"a": 1}]):
            with pytest.raises(UsageError, match="PREDICTIONS_INVALID"):
                evaluate_predictions(table)
