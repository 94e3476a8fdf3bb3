"""Rows of a table become cases: copies, conflicts, requests."""

from __future__ import annotations

import pytest

from gastromap.cohort.matching import Columns, Roster, read_roster
from gastromap.cohort.spreadsheet import Table
from gastromap.errors import UsageError


def roster(*rows: tuple[str, ...], **columns: object) -> Roster:
    names = ("ID", "pT", "size", "series", "file")
    cells = tuple((k, dict(zip(names, (*row, *[""] * 4), strict=False))) for k, row in enumerate(rows, start=2))
    return read_roster(Table(names, cells), Columns(patient="ID", stage="pT", **columns), pseudonym=lambda p: f"P-{p}")  # type: ignore[arg-type]


def codes(found: Roster) -> list[tuple[str, tuple[int, ...]]]:
    return [(finding.code, finding.rows) for finding in found.findings]


class TestRowsOfOnePatient:
    def test_copies_count_once(self) -> None:
        found = roster(("7", "T3"), ("7.0 ", "T3"))
        assert codes(found) == [("DUPLICATE_ROWS", (2, 3))]
        assert [case.label for case in found.cases] == [2]

    def test_different_stages_leave_the_patient_out(self) -> None:
        found = roster(("7", "T3"), ("7", "T2"), ("8", "T1"))
        assert [case.label for case in found.cases] == [None, 0]
        assert codes(found) == [("CONFLICTING_STAGE", (2, 3))]

    def test_different_sizes_leave_the_size_empty(self) -> None:
        found = roster(("7", "T3", "3"), ("7", "T3", "4"), size="size", size_unit="cm")
        assert found.cases[0].clinical.tumour_size_cm is None
        assert codes(found) == [("CONFLICTING_VALUES", (2, 3))]

    def test_what_one_row_leaves_open_another_may_say(self) -> None:
        found = roster(("7", "", "3", "1.2.3"), ("7", "T3", "", ""), size="size", size_unit="cm", series="series")
        (case,) = found.cases
        assert (case.label, case.clinical.tumour_size_cm, case.series) == (2, 3.0, "1.2.3")

    def test_two_series_are_a_conflict(self) -> None:
        found = roster(("7", "T3", "", "1.2"), ("7", "T3", "", "1.3"), series="series")
        assert [case.label for case in found.cases] == [None]
        assert codes(found) == [("CONFLICTING_REQUEST", (2, 3))]


class TestImagesInAColumn:
    def test_a_patient_may_have_several(self) -> None:
        found = roster(("7", "T3", "", "", "a.png"), ("7", "T3", "", "", "b.png"), image="file")
        assert [(case.image, case.rows) for case in found.cases] == [("a.png", (2,)), ("b.png", (3,))]

    def test_two_rows_of_a_patient_that_name_one_image_give_one_case(self) -> None:
        found = roster(
            ("7", "T3", "3", "", "a.png"), ("7", "T3", "", "", "a.png"), image="file", size="size", size_unit="cm"
        )
        assert [case.image for case in found.cases] == ["a.png"]

    def test_an_image_of_two_patients_belongs_to_nobody(self) -> None:
        found = roster(("7", "T3", "", "", "a.png"), ("8", "T1", "", "", "a.png"), image="file")
        assert found.cases == ()
        assert codes(found) == [("CONFLICTING_REQUEST", (2, 3))]


def test_clinical_stages_among_pathological_ones_are_said() -> None:
    assert codes(roster(("1", "pT3"), ("2", "cT3"))) == [("STAGE_KINDS_MIXED", ())]


def test_stages_after_treatment_are_said_and_kept() -> None:
    found = roster(("1", "ypT3"))
    assert found.cases[0].label == 2
    assert codes(found) == [("STAGE_AFTER_THERAPY", (2,))]


def test_the_cell_that_cannot_be_read_goes_to_the_private_list_only() -> None:
    found = roster(("1", "王小明"))
    assert [cell.cell for cell in found.bad_cells] == ["王小明"]
    assert "王小明" not in repr(found.findings)


def test_sizes_without_a_unit_are_refused() -> None:
    with pytest.raises(UsageError, match="SIZE_UNIT"):
        roster(("1", "T3", "35"), size="size")
