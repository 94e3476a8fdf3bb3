"""The predictions table is read with the user's column names and refused with one line where it is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from gastromap.errors import UsageError
from gastromap.evaluation.endpoint import EndpointColumns, read_endpoint
from gastromap.evaluation.stages import stage_indices
from gastromap.evaluation.subgroups import Subgroup, split_rows
from gastromap.evaluation.table import Columns, numbers, parse_predictions, read_rows, stage_reads

ROW = {"prob_T1": "0.7", "prob_T2": "0.1", "prob_T3": "0.1", "prob_T4": "0.1", "stage": "T1", "PatientID": "P1"}


def write(path, text: str, encoding: str = "utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def refusal(call, *arguments) -> str:
    with pytest.raises(UsageError, match="PREDICTIONS_INVALID") as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestReading:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_comma_semicolon_and_tab_separate_cells(self, tmp_path, delimiter):
        text = "stage,p\nT1,0.5\n".replace(",", delimiter)
        assert read_rows(write(tmp_path / "p.csv", text)) == [{"stage": "T1", "p": "0.5"}]

    def test_a_decimal_comma_of_a_semicolon_table_is_a_point(self, tmp_path):
        rows = read_rows(write(tmp_path / "p.csv", "name;p\nLi, Si;0,53\n"))
        assert rows == [{"name": "Li, Si", "p": "0.53"}]

    def test_a_byte_order_mark_quotes_line_breaks_and_chinese_names_are_read(self, tmp_path):
        rows = read_rows(write(tmp_path / "p.csv", '分期,note\r\nT2,"two\nlines"\r\n', "utf-8-sig"))
        assert rows == [{"分期": "T2", "note": "two\nlines"}]

    def test_an_xlsx_file_is_read_like_the_csv(self, tmp_path):
        pytest.importorskip("openpyxl")
        pandas = pytest.importorskip("pandas")
        pandas.DataFrame([{"stage": "T1", "p": 0.5}]).to_excel(tmp_path / "p.xlsx", index=False)
        assert read_rows(tmp_path / "p.xlsx") == [{"stage": "T1", "p": "0.5"}]

    def test_no_file_another_encoding_and_no_xlsx_are_refused(self, tmp_path):
        assert "no such file" in refusal(read_rows, tmp_path / "absent.csv")
        assert "UTF-8" in refusal(read_rows, write(tmp_path / "p.csv", "stage\nü\n", "latin-1"))
        refusal(read_rows, write(tmp_path / "p.xlsx", "stage\nT1\n"))

    def test_a_row_of_another_length_and_a_column_twice_are_refused(self, tmp_path):
        assert "3 in row 2" in refusal(read_rows, write(tmp_path / "p.csv", "a,b\n1,2\n1,2,3\n"))
        assert "two columns of one name" in refusal(read_rows, write(tmp_path / "q.csv", "a,a\n1,2\n"))


class TestColumns:
    def test_every_column_can_have_another_name(self):
        names = {"prob_T1": "a", "prob_T2": "b", "prob_T3": "c", "prob_T4": "d", "stage": "pT", "PatientID": "nr"}
        row = {names[key]: value for key, value in ROW.items()} | {"call": "2", "slice": "s1"}
        columns = Columns("pT", ("a", "b", "c", "d"), "call", "nr", "slice")
        found = parse_predictions([row], columns)
        assert (found.labels[0], found.predicted[0], found.patients, found.cases) == (0, 2, ("P1",), ("s1",))

    def test_a_misspelt_column_is_named_with_the_nearest_one(self):
        line = refusal(parse_predictions, [ROW], Columns(truth="stag"))
        assert "a column stag" in line
        assert "Did you mean stage?" in line

    def test_three_probability_columns_are_refused(self):
        assert "4 probability columns" in refusal(
            parse_predictions, [ROW], Columns(probabilities=("prob_T1", "prob_T2", "prob_T3"))
        )

    def test_a_case_that_stands_twice_is_refused(self):
        assert "each case once" in refusal(parse_predictions, [ROW, ROW], Columns(case="PatientID"))

    def test_a_cell_is_never_quoted(self):
        for row in ({**ROW, "prob_T1": "Li^Si"}, {**ROW, "stage": "Li^Si"}):
            with pytest.raises(UsageError) as caught:
                parse_predictions([row])
            assert "Li^Si" not in str(caught.value)

    def test_empty_numbers_are_nan_and_text_is_refused(self):
        rows = [{"x": "1.5"}, {"x": ""}, {"x": "NA"}, {"x": None}]
        assert np.array_equal(np.isnan(numbers(rows, "x")), [False, True, True, True])
        assert "row 2" in refusal(numbers, [{"x": "1"}, {"x": "high"}], "x")
        assert "row 1" in refusal(numbers, [{"x": "inf"}], "x")

    def test_a_reader_may_leave_a_case_out_but_not_invent_a_stage(self):
        assert stage_reads([{"r": "t4A"}, {"r": " "}, {"r": "0"}], "r").tolist() == [3, -1, 0]
        assert "row 1" in refusal(stage_reads, [{"r": "T5"}], "r")


class TestEndpointColumns:
    rows = (
        {"pN": "N0", "s": "0.2", "b": "no"},
        {"pN": "N1", "s": "0.6", "b": "Yes"},
        {"pN": "", "s": "0.9", "b": "1"},
        {"pN": "N2", "s": "", "b": "0"},
        {"pN": "N3", "s": "0.4", "b": "TRUE"},
    )

    def test_named_cells_are_positive_and_incomplete_rows_are_left_out_and_counted(self):
        found = read_endpoint(self.rows, EndpointColumns("LNM", "pN", "s", ("N1", "N2", "N3")), None)
        assert found.positive.tolist() == [False, True, True]
        assert found.called.tolist() == [False, True, False]
        assert (found.left_out, found.units, found.rule) == (2, ("0", "1", "4"), "s of 0.5 or more")

    def test_yes_no_true_1_and_0_are_understood(self):
        found = read_endpoint(self.rows, EndpointColumns("x", "b", "s"), ["a", "b", "c", "d", "e"])
        assert found.positive.tolist() == [False, True, True, True]
        assert found.units == ("a", "b", "c", "e")

    def test_other_words_one_outcome_and_a_score_without_threshold_are_refused(self):
        assert "row 1" in refusal(read_endpoint, self.rows, EndpointColumns("x", "pN", "s"), None)
        assert "one outcome" in refusal(read_endpoint, self.rows, EndpointColumns("x", "pN", "s", ("N9",)), None)
        scores = [{"y": "1", "s": "3"}, {"y": "0", "s": "-2"}]
        assert "threshold" in refusal(read_endpoint, scores, EndpointColumns("x", "y", "s"), None)
        found = read_endpoint(scores, EndpointColumns("x", "y", "s", threshold=0.0), None)
        assert not found.is_probability
        assert found.called.tolist() == [True, False]


class TestSubgroups:
    rows = ({"sex": "F", "age": "49"}, {"sex": "M", "age": "50"}, {"sex": "", "age": "70"}, {"sex": "M", "age": ""})

    def test_levels_of_text_and_empty_cells_are_groups(self):
        found = split_rows(self.rows, Subgroup("sex"))
        assert {name: rows.nonzero()[0].tolist() for name, rows in found.items()} == {
            "F": [0],
            "M": [1, 3],
            "unknown": [2],
        }

    def test_a_cut_belongs_to_the_upper_group(self):
        found = split_rows(self.rows, Subgroup("age", (50.0, 70.0)))
        assert {name: rows.nonzero()[0].tolist() for name, rows in found.items()} == {
            "below 50": [0],
            "50 to below 70": [1],
            "70 or more": [2],
            "unknown": [3],
        }

    def test_a_column_of_many_levels_is_refused(self):
        line = refusal(split_rows, [{"id": str(k)} for k in range(13)], Subgroup("id"))
        assert "13" in line
        assert "cuts" in line


def test_numbers_that_may_count_from_one_are_read_as_indices_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert stage_indices(["0", 1, "3.0"], where="true stage").tolist() == [0, 1, 3]
    assert stage_indices(["T2", "t4a"], where="true stage").tolist() == [1, 3]
    assert not caplog.records
    assert stage_indices([1, 2, 3], where="true stage").tolist() == [1, 2, 3]
    assert "1 as T2" in caplog.text
