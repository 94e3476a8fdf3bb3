"""Treatment, response, nodes and survival of synthetic patients, without images; what can be known of them at best."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gastromap.evaluation.ranking import binary_auc
from gastromap.evaluation.survival.weighted import harrell_c
from gastromap.synthetic.cases import sample_case
from gastromap.synthetic.export_tables import split_by_stratum
from gastromap.synthetic.followup import nodes_in_fat, refilled_stomach, treated_nodes
from gastromap.synthetic.longitudinal_tables import split_visits
from gastromap.synthetic.oracle import Oracle, describe, oracle_of, truth_row
from gastromap.synthetic.phantom import Phantom
from gastromap.synthetic.survival import (
    WEIBULL_SCALE_MONTHS,
    WEIBULL_SHAPE,
    draw_outcome,
    log_hazard,
    weibull_survival,
)
from gastromap.synthetic.visits import Visits, iter_longitudinal


@pytest.fixture(scope="module")
def everybody() -> list[Visits]:
    return list(iter_longitudinal(3000, 7))


@pytest.fixture(scope="module")
def oracle(everybody: list[Visits]) -> Oracle:
    return oracle_of([truth_row(v, node_before_mm=0.0, node_after_mm=0.0) for v in everybody])


class TestConcordance:
    # Three patients by hand: A dies at 1, B is lost at 2, C dies at 3. Comparable: A before B, A before C.
    @pytest.mark.parametrize(
        ("risk", "expected"), [((3, 2, 1), 1.0), ((2, 3, 1), 0.5), ((1, 2, 3), 0.0), ((1, 1, 0), 0.75)]
    )
    def test_three_patients_by_hand(self, risk: tuple[int, ...], expected: float) -> None:
        assert harrell_c([1, 2, 3], [True, False, True], risk) == expected

    def test_it_equals_scikit_survival(self, everybody: list[Visits]) -> None:
        metrics = pytest.importorskip("sksurv.metrics")
        some = everybody[:500]
        months = np.array([v.course.outcome.os_months for v in some])
        death = np.array([v.course.outcome.death for v in some])
        risk = np.round([v.course.hazard.total for v in some], 1)  # with ties
        assert harrell_c(months, death, risk) == pytest.approx(
            metrics.concordance_index_censored(death, months, risk)[0], abs=1e-12
        )

    def test_a_negated_score_gives_the_rest_to_one(self) -> None:
        rng = np.random.default_rng(0)
        months, death, risk = rng.exponential(size=80), rng.random(80) < 0.6, rng.normal(size=80)
        assert harrell_c(months, death, -risk) == pytest.approx(1 - harrell_c(months, death, risk))


class TestSurvival:
    def test_the_formula_at_its_median(self) -> None:
        for total in (-1.0, 0.0, 1.5):
            median = WEIBULL_SCALE_MONTHS * (np.log(2) * np.exp(-total)) ** (1 / WEIBULL_SHAPE)
            assert weibull_survival(median, total) == pytest.approx(0.5)

    def test_a_unit_of_log_hazard_raises_the_cumulative_hazard_by_e(self) -> None:
        ratio = np.log(weibull_survival([10, 50], 1.3)) / np.log(weibull_survival([10, 50], 0.3))
        assert ratio == pytest.approx(np.e)

    @pytest.mark.parametrize("total", [-0.5, 1.0])
    def test_kaplan_meier_of_many_draws_is_the_weibull_curve(self, total: float) -> None:
        estimator = pytest.importorskip("sksurv.nonparametric")
        rng = np.random.default_rng(3)
        drawn = [draw_outcome(total, rng) for _ in range(6000)]
        death = np.array([outcome.death for outcome in drawn])
        time, curve = estimator.kaplan_meier_estimator(death, np.array([outcome.os_months for outcome in drawn]))
        for months in (6, 12, 24, 48, 72):
            seen = curve[np.searchsorted(time, months, side="right") - 1]
            # Three standard errors of 6,000 patients, more where most are already censored.
            assert seen == pytest.approx(float(weibull_survival(months, total)), abs=0.025), months

    def test_the_parts_of_the_hazard_add_up(self) -> None:
        case = replace(sample_case(1, 1, centre=1, stage="T4"), age_years=72, lauren="diffuse")
        bad = log_hazard(case, node_positive=True, log_volume_ratio=-0.35)
        good = log_hazard(case, node_positive=False, log_volume_ratio=-1.3)
        assert bad.shrinkage - good.shrinkage == pytest.approx(1.3)
        assert bad.nodes > good.nodes == 0
        assert bad.total == pytest.approx(bad.stage + bad.nodes + bad.shrinkage + bad.age + bad.lauren)
        assert bad.total - bad.visible == pytest.approx(bad.age + bad.lauren)

    def test_about_60_percent_are_censored(self, oracle: Oracle) -> None:
        assert 0.55 < 1 - oracle.deaths / oracle.patients < 0.65


class TestOracle:
    def test_more_of_the_truth_ranks_better(self, oracle: Oracle) -> None:
        assert oracle.c_full >= oracle.c_visible > oracle.c_shrinkage > 0.7

    def test_the_second_scan_is_worth_more_than_a_tenth_of_c(self, oracle: Oracle) -> None:
        # With 200 test patients and 80 deaths the standard error of C is about 0.03.
        assert oracle.c_visible - oracle.c_stage_and_nodes > 0.1

    def test_the_bar_is_80_percent_of_the_way(self, oracle: Oracle) -> None:
        assert oracle.c_to_reach == pytest.approx(0.5 + 0.8 * (oracle.c_visible - 0.5))

    def test_the_table_has_a_column_a_part(self, oracle: Oracle) -> None:
        lines = describe({"all": oracle, "test": oracle}).splitlines()
        assert lines[0].split() == ["all", "test"]
        assert f"{oracle.c_full:.3f}" in lines[5]
        assert len({len(line) for line in lines}) == 1


class TestCourse:
    def test_the_response_has_few_complete_and_few_growing_tumours(self, everybody: list[Visits]) -> None:
        response = np.array([v.course.response for v in everybody])
        assert np.exp(np.median(response)) == pytest.approx(0.28, abs=0.03)
        assert 0.05 < np.mean([v.course.complete for v in everybody]) < 0.12
        assert 0.05 < (response > 0).mean() < 0.12

    def test_nobody_gains_positive_nodes_or_depth(self, everybody: list[Visits]) -> None:
        for v in everybody:
            assert v.course.positive_nodes <= v.case.positive_nodes
            assert v.course.ypt <= v.case.stage
            assert v.course.node_positive == (v.course.ypn != "N0")

    # UICC, 8th edition: N1 1-2, N2 3-6, N3 7 and more.
    @pytest.mark.parametrize(("nodes", "category"), [(0, "N0"), (1, "N1"), (2, "N1"), (3, "N2"), (6, "N2"), (7, "N3")])
    def test_the_n_category_counts_nodes(self, everybody: list[Visits], nodes: int, category: str) -> None:
        assert replace(everybody[0].course, positive_nodes=nodes).ypn == category

    def test_between_two_fifths_and_half_keep_metastases(self, everybody: list[Visits]) -> None:
        assert 0.4 < np.mean([v.course.node_positive for v in everybody]) < 0.5

    def test_missing_second_scans_have_their_share_and_no_reason(self) -> None:
        drawn = list(iter_longitudinal(2000, 5, missing_followup=0.25))
        lost = np.array([not v.followed for v in drawn])
        assert lost.mean() == pytest.approx(0.25, abs=0.03)
        risk = np.array([v.course.hazard.total for v in drawn])
        assert binary_auc(risk, lost) == pytest.approx(0.5, abs=0.045)
        assert [v.course for v in drawn[:50]] == [v.course for v in iter_longitudinal(50, 5)]


class TestNodes:
    def test_size_alone_finds_70_percent_at_80_percent_specificity(self, everybody: list[Visits]) -> None:
        rng, size, label = np.random.default_rng(0), [], []
        for v in everybody[:500]:
            before = Phantom(v.case)._stomach
            nodes = treated_nodes(before, refilled_stomach(before, rng), v.case, v.course, rng)
            size.append(nodes[:, 3].max())
            label.append(v.course.node_positive)
        size, label = np.array(size), np.array(label)
        limit = np.quantile(size[~label], 0.8)
        assert np.mean(size[label] > limit) == pytest.approx(0.70, abs=0.08)
        assert 0.75 < binary_auc(size, label) < 0.88

    def test_hidden_nodes_come_to_light_and_others_stay(self) -> None:
        axis = np.arange(-30, 31, 3.0, dtype=np.float32)
        z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
        fat = x > 0
        hidden, seen, outside = (-9, 0, 0, 4, 90), (18, 6, 6, 4, 90), (-50, 0, 0, 4, 90)
        placed = nodes_in_fat(np.array([hidden, seen, outside], float), np.stack([x, y, z]), fat, step_mm=3.0)
        assert placed[1:] == pytest.approx(np.array([seen, outside], float))
        assert placed[0, 0] - 4 > 0
        assert np.linalg.norm(placed[0, :3] - hidden[:3]) < 21

    def test_most_nodes_lie_in_fat_after_treatment(self, everybody: list[Visits]) -> None:
        free = []
        for v in everybody[:4]:
            phantom = v.followup(matrix=64).phantom
            stomach = phantom._stomach
            gap = np.linalg.norm(stomach.nodes[:, None, :3] - stomach.line[None], axis=2) - stomach.radii
            near = np.all(np.abs(phantom.nodes[:, :3] - phantom.tumour_site_mm) < 60, axis=1)
            free += list(gap.min(axis=1)[near] > 0)
        assert np.mean(free) > 0.85


class TestSplit:
    def test_metastasis_and_death_have_their_share_in_the_validation(self, everybody: list[Visits]) -> None:
        split = split_visits(everybody, validation_share=0.2)
        for lnm in (False, True):
            for death in (False, True):
                part = [
                    split[v.case.patient_id]
                    for v in everybody
                    if v.case.centre != 3 and (v.course.node_positive, v.course.outcome.death) == (lnm, death)
                ]
                assert part.count("validation") == round(0.2 * len(part))
        assert {split[v.case.patient_id] for v in everybody if v.case.centre == 3} == {"test"}

    def test_everybody_gets_one_part(self) -> None:
        people = [(f"p{i}", 1 + i % 3, i % 4) for i in range(50)]
        assert set(split_by_stratum(people, seed=0, validation_share=0.3)) == {name for name, _, _ in people}
