"""What cells of a table of pairs mean."""

from __future__ import annotations

from datetime import date

import pytest

from gastromap.cohort.labels import parse_words
from gastromap.cohort.pair_columns import ClinicalColumn
from gastromap.cohort.pair_labels import (
    check_binary_codes,
    read_centre,
    read_clinical,
    read_date,
    read_death,
    read_months,
    read_node_metastasis,
    read_part,
)
from gastromap.errors import UsageError


class TestNodeMetastasis:
    @pytest.mark.parametrize(
        "cell", ["1", "1.0", "true", "True", "N+", "n（+）", "N1", "ypN2", "pN3a", "ypT3N1M0", "阳性", "有"]
    )
    def test_these_cells_say_yes(self, cell: str) -> None:
        assert read_node_metastasis(cell, counts=False, signs=False).value == 1

    @pytest.mark.parametrize("cell", ["0", "0.0", "FALSE", "N0", "ypN0", "ypT2 N0 M0", "ypT0N0", "阴性", "无", "否"])
    def test_these_cells_say_no(self, cell: str) -> None:
        assert read_node_metastasis(cell, counts=False, signs=False).value == 0

    @pytest.mark.parametrize("cell", ["", "NA", "nan", "/", "未知", "ypNx", "NX", "-"])
    def test_these_cells_say_nothing(self, cell: str) -> None:
        reading = read_node_metastasis(cell, counts=False, signs=False)
        assert (reading.value, reading.problem) == (None, "")

    def test_a_minus_says_no_where_others_say_plus(self) -> None:
        assert read_node_metastasis("-", counts=False, signs=True).value == 0

    @pytest.mark.parametrize("cell", ["2", "9", "cN1", "maybe", "T3"])
    def test_other_cells_are_errors(self, cell: str) -> None:
        assert read_node_metastasis(cell, counts=False, signs=False).problem == "LABEL_UNREADABLE"

    @pytest.mark.parametrize(("cell", "value"), [("0", 0), ("1", 1), ("2", 1), ("3", 1)])
    def test_bare_numbers_of_an_n_column_are_categories(self, cell: str, value: int) -> None:
        assert read_node_metastasis(cell, counts=True, signs=False).value == value


class TestDeath:
    @pytest.mark.parametrize(
        ("cell", "value"),
        [
            ("1", 1),
            ("Dead", 1),
            ("死亡", 1),
            ("yes", 1),
            ("0", 0),
            ("Alive", 0),
            ("存活", 0),
            ("censored", 0),
            ("无", 0),
            ("1:DECEASED", 1),
            ("0:LIVING", 0),
        ],
    )
    def test_words_for_dead_and_alive(self, cell: str, value: int) -> None:
        assert read_death(cell).value == value

    def test_a_lost_patient_is_not_guessed_but_may_be_named(self) -> None:
        assert read_death("1:alive").problem == "LABEL_UNREADABLE"
        assert read_death("失访").problem == "LABEL_UNREADABLE"
        assert read_death("失访", words=parse_words(["death:失访=0"])).value == 0

    def test_a_column_of_one_and_two_is_refused(self) -> None:
        with pytest.raises(UsageError, match=r"LABEL_CODES column status.*--word death:1=0"):
            check_binary_codes(["1", "2", "2.0"], column="status", variable="death", words=parse_words([]))

    def test_a_column_of_one_and_two_is_taken_with_their_meaning(self) -> None:
        words = parse_words(["death:1=0", "death:2=1"])
        check_binary_codes(["1", "2"], column="status", variable="death", words=words)
        assert [read_death(cell, words=words).value for cell in ("1", "2")] == [0, 1]


class TestTime:
    # 365.25 days a year and 12 months: 30.4375 days a month
    @pytest.mark.parametrize(
        ("cell", "unit", "months"),
        [
            ("365.25", "days", 12),
            ("34.5", "months", 34.5),
            ("34,5", "months", 34.5),
            ("0", "days", 0),
            ("730.5天", "days", 24),
        ],
    )
    def test_times_become_months(self, cell: str, unit: str, months: float) -> None:
        assert read_months(cell, unit=unit).value == pytest.approx(months, abs=1e-4)

    @pytest.mark.parametrize(
        ("cell", "unit", "problem"),
        [
            ("-1", "days", "TIME_NEGATIVE"),
            ("1095", "months", "TIME_IMPOSSIBLE"),
            ("34个月", "days", "TIME_UNREADABLE"),
            ("1,095", "days", "TIME_UNREADABLE"),
            (">60", "months", "TIME_UNREADABLE"),
            ("2021-03-04 00:00:00", "days", "TIME_UNREADABLE"),
        ],
    )
    def test_what_cannot_be_a_time_is_an_error(self, cell: str, unit: str, problem: str) -> None:
        assert read_months(cell, unit=unit).problem == problem


class TestDates:
    @pytest.mark.parametrize(
        "cell",
        [
            "2021-03-04",
            "2021-03-04 00:00:00",
            "2021/3/4",
            "2021.3.4",
            "2021年3月4日",
            "20210304",
            "4.3.2021",
            "44259",
            "44259.0",
        ],
    )
    def test_one_day_in_many_forms(self, cell: str) -> None:
        # =DATE(2021,3,4) in Excel is day 44259
        assert read_date(cell) == (date(2021, 3, 4), "")

    def test_a_day_above_twelve_tells_the_order(self) -> None:
        assert read_date("3/25/2021")[0] == read_date("25/3/2021")[0] == date(2021, 3, 25)

    @pytest.mark.parametrize("cell", ["3/4/2021", "2021-02-30", "March", "7"])
    def test_a_date_is_never_guessed(self, cell: str) -> None:
        day, problem = read_date(cell)
        assert day is None
        assert problem


class TestClinical:
    @pytest.mark.parametrize(
        ("cell", "value"), [("61", 61), ("61.0", 61), ("3.25", 3.25), ("3,2", 3.2), ("", None), ("无", None)]
    )
    def test_numbers(self, cell: str, value: float | None) -> None:
        assert read_clinical(cell, ClinicalColumn("bmi", "BMI")).value == value

    @pytest.mark.parametrize(
        ("cell", "problem"), [("<0.5", "VALUE_UNREADABLE"), ("1,234", "VALUE_UNREADABLE"), ("610", "VALUE_IMPOSSIBLE")]
    )
    def test_other_numbers_are_emptied(self, cell: str, problem: str) -> None:
        assert read_clinical(cell, ClinicalColumn("age", "Age")).problem == problem

    def test_levels_words_and_missing_codes(self) -> None:
        lauren = ClinicalColumn("lauren", "L", "categorical", ("intestinal", "diffuse"), ("0",), {"肠": "intestinal"})
        read = [read_clinical(cell, lauren) for cell in ("Diffuse", "肠", "弥漫型", "0", "mixed", "？")]
        assert [one.value for one in read] == ["diffuse", "intestinal", "diffuse", None, None, None]
        assert [one.problem for one in read][3:] == ["", "VALUE_UNREADABLE", "VALUE_UNREADABLE"]

    def test_levels_keep_the_type_of_the_column_map(self) -> None:
        assert read_clinical("2.0", ClinicalColumn("regimen", "R", "ordinal", (2, 3))).value == 2

    def test_without_levels_any_word_is_one(self) -> None:
        assert read_clinical("男", ClinicalColumn("sex", "性别", "categorical")).value == "男"


@pytest.mark.parametrize(("cell", "part"), [("Train", "training"), ("验证集", "validation"), ("external", "test")])
def test_parts_of_a_split(cell: str, part: str) -> None:
    assert read_part(cell).value == part


@pytest.mark.parametrize(("cell", "point"), [("1, -2.5, 3", (1, -2.5, 3)), ("[1 2 3]", (1, 2, 3)), ("1,2", None)])
def test_a_centre_is_three_numbers(cell: str, point: tuple[float, ...] | None) -> None:
    assert read_centre(cell)[0] == point
