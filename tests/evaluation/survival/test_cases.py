"""Reading of a table with follow-up: names of columns, directions, what is left out and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from gastromap.errors import UsageError
from gastromap.evaluation.survival.cases import ModelColumns, SurvivalColumns, parse_months, read_survival
from gastromap.evaluation.survival.training import Covariate, OsNomogram, fit_training, with_training

MODEL = (ModelColumns("m"),)


def make_rows(**changed):
    rows = [
        {"patient_id": f"P{k}", "os_months": 10.0 + k, "death": k % 2, "os_risk": k / 7, "s12": 0.8, "s36": 0.4}
        for k in range(8)
    ]
    for name, cells in changed.items():
        for row, cell in zip(rows, cells, strict=False):
            row[name] = cell
    return rows


def read(rows, models=MODEL, **options):
    return read_survival(rows, SurvivalColumns(), models, **options)


class TestColumns:
    def test_usual_names_need_no_option(self):
        found = read(make_rows())
        assert found.models[0].curves.months.tolist() == [12, 36]
        assert (len(found.time), found.death.sum()) == (8, 4)

    def test_columns_and_cells_are_named_by_the_user(self):
        rows = [{"ID": row["patient_id"], "OS": row["os_months"], "st": "dead" if row["death"] else "alive",
                 "DLS": -row["os_risk"], "p1": 0.9, "p2": 0.5} for row in make_rows()]  # fmt: skip
        model = ModelColumns("m", "DLS", expected_time=True, survival=parse_months("12:p1,36:p2"))
        found = read_survival(rows, SurvivalColumns("OS", "st", ("dead",)), [model], patient="ID")
        expected = read(make_rows())
        assert found.models[0].risk.tolist() == expected.models[0].risk.tolist()
        assert found.death.tolist() == expected.death.tolist()
        assert found.models[0].curves.values[0].tolist() == [0.9, 0.5]

    def test_a_prefix_names_the_columns_of_survival(self):
        rows = [dict(row, b24=0.7, b6=0.9, both=1) for row in make_rows()]
        found = read(rows, [ModelColumns("m", survival="b")])
        assert found.models[0].curves.months.tolist() == [6, 24]


class TestLeftOut:
    def test_rows_without_time_status_or_risk_are_left_out_and_counted(self):
        found = read(make_rows(os_months=["", 11.0], death=[0, "NA"], os_risk=[0, 0, None]))
        assert (found.left_out, found.rows.tolist()) == (3, [3, 4, 5, 6, 7])

    def test_a_time_of_zero_stays_and_is_reported(self):
        found = read(make_rows(os_months=[0.0]))
        assert found.left_out == 0
        assert found.notes == ("1 patients have a follow-up of 0 months; they stay.",)

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"os_months": [-1.0]}, "months of 0 or more"),
            ({"death": ["perhaps"]}, "1 or 0"),
            ({"os_risk": ["high"]}, "numbers in column os_risk"),
            ({"s12": [1.4]}, "does not rise"),
            ({"s36": [0.9]}, "does not rise"),
            ({"patient_id": ["P1"]}, "one row a patient"),
            ({"death": [0] * 8}, "patients who died"),
        ],
    )
    def test_a_wrong_cell_is_refused_without_quoting_it(self, changed, message):
        with pytest.raises(UsageError, match=message) as caught:
            read(make_rows(**changed))
        assert "perhaps" not in str(caught.value)
        assert "high" not in str(caught.value)

    @pytest.mark.parametrize("text", ["12:a,b", "x:a", "12:a,12:b", "12:"])
    def test_columns_by_month_have_one_form(self, text):
        with pytest.raises(UsageError, match="MONTH:COLUMN"):
            parse_months(text)


class TestFurtherTables:
    def test_rows_are_matched_by_patient(self):
        other = [dict(row, os_risk=-row["os_risk"]) for row in reversed(make_rows())]
        found = read(make_rows(), further={"shuffled": other})
        assert [model.name for model in found.models] == ["m", "shuffled"]
        assert found.models[1].risk.tolist() == (-found.models[0].risk).tolist()

    def test_other_patients_are_refused(self):
        with pytest.raises(UsageError, match="the same patients"):
            read(make_rows(), further={"x": make_rows()[:5]})

    def test_two_models_of_one_name_are_refused(self):
        with pytest.raises(UsageError, match="name once"):
            read(make_rows(), further={"m": make_rows()})


class TestTraining:
    COLUMNS = tuple(Covariate(name) for name in ("os_risk", "age", "location"))

    @pytest.fixture(scope="class")
    def fitted(self, cohorts):
        nomograms = [OsNomogram("preoperative", self.COLUMNS)]
        covariates = [*self.COLUMNS[1:], Covariate("cea")]
        return fit_training(cohorts.training_rows, cohorts.training, covariates=covariates, nomograms=nomograms)

    def test_the_cut_off_is_the_median_of_training_never_of_the_test_cohort(self, cohorts, fitted):
        found = with_training(cohorts.test, cohorts.rows, fitted).models[0]
        assert found.threshold == np.median(cohorts.training.models[0].risk)
        assert found.threshold != np.median(cohorts.test.models[0].risk)

    def test_a_cut_off_given_as_number_stays(self, cohorts, fitted):
        models = (ModelColumns("pair", threshold=0.25),)
        cases = read_survival(cohorts.rows, SurvivalColumns(), models)
        assert with_training(cases, cohorts.rows, fitted).models[0].threshold == 0.25

    def test_changing_one_test_row_changes_the_result_of_no_other(self, cohorts, fitted):
        def results(rows):
            cases = read_survival(rows, SurvivalColumns(), [ModelColumns("pair")])
            models = with_training(cases, rows, fitted).models
            risk = np.stack([model.risk for model in models])
            survival = np.concatenate([model.curves.values for model in models], axis=1)
            return risk, risk > [[model.threshold] for model in models], survival

        rows = [dict(row) for row in cohorts.rows]
        before = results(rows)
        rows[5] |= {"os_risk": "9", "age": "", "location": "", "cea": "", "os_months": "80.5", "s12": "0.01",
                    "s24": "0.01", "s36": "0.01", "s48": "0.01", "s60": "0.01"}  # fmt: skip
        for one, other, axis in zip(before, results(rows), (1, 1, 0), strict=True):
            assert np.delete(one, 5, axis).tolist() == np.delete(other, 5, axis).tolist()

    def test_changing_the_test_cohort_changes_nothing_that_was_fitted(self, cohorts, fitted):
        again = fit_training(cohorts.training_rows, cohorts.training, covariates=(*self.COLUMNS[1:], Covariate("cea")),
                             nomograms=[OsNomogram("preoperative", self.COLUMNS)])  # fmt: skip
        assert again.to_json() == fitted.to_json()

    def test_a_bad_cell_of_a_covariate_is_refused_with_its_row_in_the_table(self, cohorts, fitted):
        rows = [dict(row) for row in cohorts.rows]
        rows[0]["os_months"] = ""
        rows[4]["location"] = "Li Si"
        cases = read_survival(rows, SurvivalColumns(), [ModelColumns("pair")])
        with pytest.raises(UsageError, match="row 5") as caught:
            with_training(cases, rows, fitted)
        assert "Li Si" not in str(caught.value)
