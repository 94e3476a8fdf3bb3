"""Labels of synthetic patients: marginals, balance, repeatability."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from gastromap.synthetic.cases import STAGES, sample_case
from gastromap.synthetic.cohort import iter_cohort
from gastromap.synthetic.scanners import sample_scanner
from gastromap.synthetic.types import Case


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(iter_cohort(2000, 7))


class TestMarginals:
    # doi 10.1038/s41746-025-02002-5, Table 1, as quoted in the design of the cohort; tolerances are three standard
    # errors of 2,000 patients, rounded up.
    def test_age_is_62_with_sd_9_5(self, cases: list[Case]) -> None:
        age = np.array([case.age_years for case in cases])
        assert age.mean() == pytest.approx(62, abs=0.7)
        assert age.std() == pytest.approx(9.5, abs=0.5)

    def test_69_percent_are_men(self, cases: list[Case]) -> None:
        assert np.mean([case.sex == "M" for case in cases]) == pytest.approx(0.69, abs=0.035)

    @pytest.mark.parametrize(("third", "share"), [("lower", 0.58), ("middle", 0.27), ("upper", 0.15)])
    def test_thirds(self, cases: list[Case], third: str, share: float) -> None:
        assert np.mean([case.third == third for case in cases]) == pytest.approx(share, abs=0.035)

    def test_size_is_3_9_with_sd_2_4(self, cases: list[Case]) -> None:
        size = np.array([case.size_cm for case in cases])
        assert size.mean() == pytest.approx(3.9, abs=0.2)
        assert size.std() == pytest.approx(2.4, abs=0.25)
        assert size.min() >= 0.8
        assert size.max() <= 12

    @pytest.mark.parametrize(("stage", "median"), [("T1", 2.0), ("T2", 2.9), ("T3", 4.2), ("T4", 5.5)])
    def test_size_grows_with_stage(self, cases: list[Case], stage: str, median: float) -> None:
        assert np.median([case.size_cm for case in cases if case.stage == stage]) == pytest.approx(median, rel=0.1)

    def test_sizes_of_t2_and_t3_overlap(self, cases: list[Case]) -> None:
        t2 = np.array([case.size_cm for case in cases if case.stage == "T2"])
        t3 = np.array([case.size_cm for case in cases if case.stage == "T3"])
        larger = np.mean(t2[:, None] > t3[None, :])
        assert 0.2 < larger < 0.4  # chance that a T2 tumour is the larger one; 0.5 would be no difference

    @pytest.mark.parametrize(("stage", "share"), [("T1", 0.15), ("T2", 0.40), ("T3", 0.65), ("T4", 0.80)])
    def test_node_positivity(self, cases: list[Case], stage: str, share: float) -> None:
        assert np.mean([case.node_positive for case in cases if case.stage == stage]) == pytest.approx(share, abs=0.07)

    def test_positive_nodes_are_counted_only_where_nodes_are_positive(self, cases: list[Case]) -> None:
        assert all((case.positive_nodes > 0) == case.node_positive for case in cases)


class TestDraws:
    def test_stages_are_balanced_in_every_block_of_four(self, cases: list[Case]) -> None:
        for first in range(0, 2000, 4):
            assert {case.stage for case in cases[first : first + 4]} == set(STAGES)

    def test_each_centre_has_all_stages(self, cases: list[Case]) -> None:
        counts = Counter((case.centre, case.stage) for case in cases)
        assert len(counts) == 12
        assert min(counts.values()) > 120

    def test_the_stage_cannot_be_read_from_the_number(self, cases: list[Case]) -> None:
        assert len({case.stage for case in cases[::4]}) == 4

    def test_the_same_numbers_give_the_same_patient(self) -> None:
        assert sample_case(3, 17, centre=2) == sample_case(3, 17, centre=2)
        assert sample_case(3, 17, centre=2) != sample_case(4, 17, centre=2)

    def test_a_patient_does_not_depend_on_the_size_of_the_cohort(self) -> None:
        assert list(iter_cohort(5, 1)) == list(iter_cohort(9, 1))[:5]

    def test_an_asked_for_stage_is_given(self) -> None:
        assert sample_case(1, 1, centre=1, stage="T4").stage == "T4"
        assert {case.stage for case in iter_cohort(12, 1, stages=("T2", "T3"))} == {"T2", "T3"}

    def test_the_patient_id_says_synthetic(self) -> None:
        assert sample_case(1, 1, centre=1).patient_id.startswith("SYNTHETIC")


class TestScanners:
    # doi 10.1038/s41746-025-02002-5, Table 4: slice thickness of the three centres.
    @pytest.mark.parametrize(("centre", "thickness"), [(1, {1.0, 1.5, 3.0, 5.0}), (2, {3.0}), (3, {1.0, 1.5, 2.0})])
    def test_thickness_by_centre(self, centre: int, thickness: set[float]) -> None:
        drawn = {sample_scanner(sample_case(1, n, centre=centre)).slice_thickness_mm for n in range(1, 60)}
        assert drawn == thickness

    def test_a_second_date_draws_its_own_scanner(self) -> None:
        case = sample_case(1, 1, centre=1)
        assert sample_scanner(case) == sample_scanner(case)
        assert sample_scanner(case) != sample_scanner(case, stream="followup scanner")
