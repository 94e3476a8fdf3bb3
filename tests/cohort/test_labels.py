"""Cells of clinical tables: stages, sizes, levels."""

from __future__ import annotations

import pytest

from gastromap.cohort.labels import parse_words, read_level, read_size_cm, read_stage
from gastromap.errors import UsageError


class TestStage:
    @pytest.mark.parametrize(
        ("cell", "stage"),
        [
            *(("T1", 0), ("t2", 1), ("pT3", 2), ("cT4a", 3), ("pT4b", 3), ("T1a", 0), ("pT1b", 0), ("ypT2", 1)),
            *(
                ("3", 2),
                ("3.0", 2),
                ("4a", 3),
                ("pT3N1M0", 2),
                ("T4aN3bM1", 3),
                ("T3期", 2),
                ("Ｔ３", 2),
                (" p T 3 ", 2),
            ),
        ],
    )
    def test_usual_spellings_are_read(self, cell: str, stage: int) -> None:
        assert read_stage(cell).value == stage

    @pytest.mark.parametrize(
        ("cell", "problem"),
        [
            *(("T5", "STAGE_IMPOSSIBLE"), ("7", "STAGE_IMPOSSIBLE"), ("T4c", "STAGE_IMPOSSIBLE")),
            *(("T1-2", "STAGE_IMPOSSIBLE"), ("33", "STAGE_IMPOSSIBLE"), ("early", "STAGE_IMPOSSIBLE")),
            *(("Tis", "STAGE_NOT_STAGED"), ("T0", "STAGE_NOT_STAGED"), ("pTx", "STAGE_NOT_STAGED")),
            # AJCC 6 divided T2 into a and b; its T2b is the T3 of today.
            *(("T2b", "STAGE_OLD_EDITION"), ("pT3a", "STAGE_OLD_EDITION")),
        ],
    )
    def test_what_is_no_stage_of_the_four_is_named(self, cell: str, problem: str) -> None:
        reading = read_stage(cell)
        assert (reading.value, reading.problem) == (None, problem)

    def test_the_message_never_quotes_a_strange_cell(self) -> None:
        assert "王" not in read_stage("王小明").message

    def test_an_empty_cell_is_missing_not_wrong(self) -> None:
        assert read_stage("  ").problem == ""

    def test_bare_numbers_may_count_from_zero(self) -> None:
        assert [read_stage(cell, codes=0).value for cell in "0123"] == [0, 1, 2, 3]
        assert read_stage("4", codes=0).problem == "STAGE_IMPOSSIBLE"

    def test_a_word_of_the_user_counts(self) -> None:
        assert read_stage("侵及浆膜", words=parse_words(["stage:侵及浆膜=T4"])).value == 3


class TestSize:
    @pytest.mark.parametrize(
        ("cell", "size_cm"),
        [
            *(("3.5", 3.5), ("3,5", 3.5), ("35mm", 3.5), ("3.5 cm", 3.5), ("4×3×1.5cm", 4.0), ("2*5 cm", 5.0)),
            *(("４．５ｃｍ", 4.5), ("35毫米", 3.5), ("3厘米", 3.0), ("4cm×3cm", 4.0)),
        ],
    )
    def test_the_largest_diameter_is_read_in_cm(self, cell: str, size_cm: float) -> None:
        assert read_size_cm(cell, unit="cm").value == pytest.approx(size_cm)

    def test_a_bare_number_has_the_unit_of_the_column(self) -> None:
        assert read_size_cm("35", unit="mm").value == 3.5
        assert read_size_cm("35", unit=None).problem == "VALUE_UNREADABLE"

    @pytest.mark.parametrize("cell", ["0", "350", "41"])
    def test_a_size_no_stomach_has_is_impossible(self, cell: str) -> None:
        assert read_size_cm(cell, unit="cm").problem == "VALUE_IMPOSSIBLE"

    @pytest.mark.parametrize("cell", ["3-4", "large", "3 cm 5 mm", "-3"])
    def test_what_is_no_number_is_not_guessed(self, cell: str) -> None:
        assert read_size_cm(cell, unit="cm").problem == "VALUE_UNREADABLE"


class TestLevels:
    @pytest.mark.parametrize(
        ("cell", "level"),
        [
            *(("高分化", "well"), ("中分化", "moderate"), ("低分化", "poor")),
            ("G3", "poor"),
            ("Poorly-differentiated", "poor"),
        ],
    )
    def test_differentiation_in_english_and_chinese(self, cell: str, level: str) -> None:
        assert read_level("differentiation", cell).value == level

    @pytest.mark.parametrize(
        ("cell", "level"), [("肠型", "intestinal"), ("弥漫型", "diffuse"), ("混合型", "mixed"), ("Diffuse", "diffuse")]
    )
    def test_lauren_in_english_and_chinese(self, cell: str, level: str) -> None:
        assert read_level("lauren", cell).value == level

    def test_a_word_between_two_levels_is_left_to_the_user(self) -> None:
        assert read_level("differentiation", "中低分化").problem == "VALUE_UNREADABLE"
        words = parse_words(["differentiation:中低分化=poor", "lauren:1=intestinal"])
        assert read_level("differentiation", "中低分化", words=words).value == "poor"
        assert read_level("lauren", "1", words=words).value == "intestinal"

    @pytest.mark.parametrize("text", ["lauren:x", "lauren:x=worst", "colour:x=poor", "lauren:=mixed"])
    def test_a_word_of_another_form_is_refused(self, text: str) -> None:
        with pytest.raises(UsageError, match="WORD_INVALID"):
            parse_words([text])
