"""The axes agree with the model; the picture can be written."""

from __future__ import annotations

import pytest

from gastromap.nomogram import NomogramModel, apply, draw_nomogram, nomogram_axes
from gastromap.results import ClinicalVariables


def result_of(model):
    return apply(model, rad_score=0.5, clinical=ClinicalVariables(6, "poor", "mixed"))


class TestAxes:
    def test_the_patient_is_marked_at_the_points_of_the_result(self):
        model = NomogramModel.published()
        result = result_of(model)
        axes = {axis.title: axis for axis in nomogram_axes(model, result)}
        assert axes["Lauren type"].marked == result.contributions[3].points == 0.0
        assert axes["Total points"].marked == axes["P(T4)"].marked == result.total_points

    def test_each_probability_tick_stands_where_the_model_gives_that_probability(self):
        model = NomogramModel.published()
        axes = {axis.title: axis for axis in nomogram_axes(model)}
        for title, first in (("P(T2 or more)", 1), ("P(T3 or more)", 2), ("P(T4)", 3)):
            assert axes[title].ticks
            for place, label in axes[title].ticks:
                assert model.probabilities_of_points(place)[first:].sum() == pytest.approx(float(label))

    def test_ticks_rise_and_the_rad_score_has_one_a_standard_deviation(self):
        axes = nomogram_axes(NomogramModel.published())
        assert all([place for place, _ in axis.ticks] == sorted(place for place, _ in axis.ticks) for axis in axes)
        assert [label for _, label in axes[1].ticks] == ["-3", "-2", "-1", "0", "1", "2", "3"]


def test_the_picture_says_which_nomogram_it_is_and_that_it_is_for_research(tmp_path):
    pytest.importorskip("matplotlib")
    model = NomogramModel.published()
    figure = draw_nomogram(model, result_of(model))
    title = figure.axes[0].get_title(loc="left")
    assert "published" in title
    assert "Research use only" in title
    figure.savefig(tmp_path / "nomogram.png", dpi=40)
    assert (tmp_path / "nomogram.png").stat().st_size > 2000
