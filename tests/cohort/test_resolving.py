"""Which study a patient gets, where there are several."""

from __future__ import annotations

from typing import Any

import pytest

from gastromap.cohort.matching import Case
from gastromap.cohort.resolving import Record, resolve
from gastromap.results import ClinicalVariables


def case(patient: str, label: int | None = 2) -> Case:
    return Case(patient, (2,), label, ClinicalVariables())


def record(study: str, of: Case | None, *, status: str = "ready", identity: str = "", **result: Any) -> Record:
    usable = {
        "status": status,
        "message": "CODE where",
        "code": "CODE",
        "warnings": [],
        "complete": True,
        "pixels": study,
        "moment": None,
    }
    return Record(study, of, "" if of is None else f"P-{of.patient_id}", identity, False, {**usable, **result})


def chosen(*records: Record, cases: tuple[Case, ...]) -> tuple[list[str], set[tuple[str, str]]]:
    resolved = resolve([(f"P-{one.patient_id}", one) for one in cases], records)
    return [found.study for _, found in resolved.chosen], {(f.code, f.effect) for f in resolved.findings}


A, B = case("a"), case("b")


class TestSeveralStudies:
    def test_the_earliest_is_used_because_the_stage_is_that_before_treatment(self) -> None:
        records = record("late", A, moment=20.0), record("early", A, moment=10.0)
        assert chosen(*records, cases=(A,)) == (["early"], {("SEVERAL_STUDIES", "kept")})

    @pytest.mark.parametrize("moments", [(None, 10.0), (10.0, 10.0), (None, None)])
    def test_without_dates_that_differ_the_patient_is_left_out(self, moments: tuple[Any, Any]) -> None:
        records = [record(f"s{k}", A, moment=moment) for k, moment in enumerate(moments)]
        assert chosen(*records, cases=(A,)) == ([], {("SEVERAL_STUDIES", "left out")})

    def test_copies_of_one_study_count_as_one(self) -> None:
        records = record("one", A, pixels="same"), record("two", A, pixels="same")
        assert chosen(*records, cases=(A,)) == (["one"], {("SEVERAL_STUDIES", "kept")})

    def test_a_refused_study_beside_a_usable_one_is_said_aloud(self) -> None:
        records = record("good", A), record("bad", A, status="refused")
        assert chosen(*records, cases=(A,)) == (["good"], {("SEVERAL_STUDIES", "kept"), ("STUDY_REFUSED", "left out")})


class TestMixUps:
    def test_the_same_pixels_for_two_patients_leave_out_both(self) -> None:
        records = record("one", A, pixels="same"), record("two", B, pixels="same")
        assert chosen(*records, cases=(A, B)) == ([], {("SAME_IMAGES", "left out")})

    def test_one_identity_behind_two_patients_of_the_table_is_said(self) -> None:
        records = record("one", A, identity="x"), record("two", B, identity="x")
        assert chosen(*records, cases=(A, B)) == (["one", "two"], {("SHARED_PATIENT_ID", "kept")})

    def test_images_without_a_row_and_rows_without_images(self) -> None:
        assert chosen(record("one", None, status="no row"), cases=(A,)) == (
            [],
            {("IMAGES_WITHOUT_ROW", "left out"), ("ROW_WITHOUT_IMAGES", "left out")},
        )

    def test_a_patient_without_a_stage_is_not_chosen(self) -> None:
        unknown = case("c", label=None)
        assert chosen(record("one", unknown), cases=(unknown,)) == ([], set())
