"""Pixels, geometry and words behind the page: exact Hounsfield units, readable axes, nothing left unsaid."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from builders.study_result import make_pair_result, make_study_result, make_tumour, make_volume
from PIL import Image

from gastromap.model_card import facts_of
from gastromap.nomogram import NomogramModel, apply
from gastromap.reports.content import report_content
from gastromap.reports.html import render_html
from gastromap.reports.nomogram_chart import FONT, WIDTH, nomogram_chart
from gastromap.reports.nomogram_data import nomogram_controls, nomogram_data
from gastromap.reports.pictures import draw_neighbours
from gastromap.reports.viewer_data import neighbour_indices, packed_hu, viewers_of
from gastromap.results import ClinicalVariables, NomogramOmitted

MODEL = NomogramModel.published()


def unpacked(url: str) -> np.ndarray:
    image = Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,"))))
    return np.asarray(image).astype(int)


class TestPixels:
    def test_hounsfield_units_are_carried_exactly(self):
        hu = np.array([[-1024, -1000, -1, 0, 40, 255, 3071, 30000]], dtype=np.float32)
        packed = packed_hu(hu).astype(int)
        assert (packed[..., 0] * 256 + packed[..., 1] - 1024 == hu).all()
        assert packed[..., 2].max() == 0

    def test_values_that_ct_does_not_hold_are_cut(self):
        packed = packed_hu(np.array([[-3000.0, 99999.0]], dtype=np.float32)).astype(int)
        assert (packed[..., 0] * 256 + packed[..., 1]).tolist() == [[0, 65535]]

    def test_the_box_around_the_body_comes_back_in_its_place(self):
        hu = np.full((12, 60, 80), -1000, dtype=np.float32)
        hu[:, 20:40, 30:60] = np.random.default_rng(3).integers(-100, 200, (12, 20, 30))
        result = make_study_result(volume=make_volume(hu=hu, shape=(60, 80)))
        data = viewers_of(result)["before"]
        top, bottom, left, right = data["box"]
        assert (top, bottom, left, right) == (16, 44, 26, 64)
        for slice_, index in zip(data["slices"], neighbour_indices(result.volume, result.key_slice.index), strict=True):
            part = unpacked(slice_["png"])
            values = part[..., 0] * 256 + part[..., 1]
            assert values.sum() == slice_["sum"]
            assert (values - 1024 == hu[index, top:bottom, left:right]).all()

    def test_a_body_that_fills_the_slice_is_not_cut(self):
        result = make_study_result(volume=make_volume(hu=np.zeros((12, 40, 40), np.float32)))
        assert viewers_of(result)["before"]["box"] == [0, 40, 0, 40]

    def test_air_alone_is_not_cut_to_nothing(self):
        result = make_study_result(volume=make_volume(hu=np.full((12, 40, 40), -1000, np.float32)))
        assert viewers_of(result)["before"]["box"] == [0, 40, 0, 40]

    @pytest.mark.parametrize(("key", "offsets"), [(0, [0, 1, 2]), (1, [-1, 0, 1, 2]), (5, [-2, -1, 0, 1, 2])])
    def test_neighbours_are_those_that_there_are(self, key, offsets):
        result = make_study_result(key=key)
        assert [slice_["offset"] for slice_ in viewers_of(result)["before"]["slices"]] == offsets
        assert len(draw_neighbours(result)) == len(offsets) - 1

    def test_a_volume_from_head_to_feet_is_shown_from_the_feet(self):
        result = make_study_result(orientation=(-1, 0, 0, 0, 1, 0))
        data = viewers_of(result)["before"]
        assert not result.volume.rises_to_head
        assert [slice_["offset"] for slice_ in data["slices"]] == [-2, -1, 0, 1, 2]
        assert data["slices"][0]["number"] == result.key_slice.index_from_feet - 2

    def test_no_patient_is_in_the_data(self):
        text = json.dumps(viewers_of(make_study_result(PatientName="Marked^Name", PatientID="MARK-1")))
        assert "Mark" not in text


CLINICAL = ClinicalVariables(5.2, "poor", "diffuse")


class TestChart:
    def test_marks_lie_at_the_points_of_the_patient(self):
        result = apply(MODEL, rad_score=1.5, clinical=CLINICAL)
        chart = nomogram_chart(result)
        marks = {axis.name: axis.mark for axis in chart.axes if axis.mark is not None}
        names = ("rad_score", "size", "differentiation", "lauren")
        for name, row in zip(names, result.contributions, strict=True):
            assert (marks[name] - chart.left) / (chart.right - chart.left) == pytest.approx(row.points / 100)
        total = result.total_points / MODEL.maximum_points
        for name in ("total", "T2", "T3", "T4"):
            assert (marks[name] - chart.left) / (chart.right - chart.left) == pytest.approx(total)

    @pytest.mark.parametrize("share", [1.0, 0.02])
    def test_no_two_labels_of_an_axis_touch_and_every_level_is_named(self, share):
        coefficients = {name: beta * (1 if name == "rad_score" else share) for name, beta in MODEL.coefficients.items()}
        model = replace(MODEL, coefficients=coefficients)
        chart = nomogram_chart(apply(model, rad_score=-3, clinical=CLINICAL))
        for axis in chart.axes:
            shown = [tick for tick in axis.ticks if tick.label]
            ends = [
                (tick.label_x - len(tick.label) * FONT * 0.3, tick.label_x + len(tick.label) * FONT * 0.3)
                for tick in shown
            ]
            assert all(one[1] < other[0] for one, other in pairwise(ends)), axis.name
            assert ends[0][0] >= 0
            assert ends[-1][1] <= WIDTH
            if axis.name in ("size", "differentiation", "lauren"):
                assert len(shown) == len(axis.ticks)

    def test_rows_do_not_overlap(self):
        chart = nomogram_chart(apply(MODEL, rad_score=0, clinical=CLINICAL))
        for above, below in pairwise(chart.axes):
            assert max(tick.label_y for tick in above.ticks) + 8 < below.title_y
        assert max(tick.label_y for tick in chart.axes[-1].ticks) <= chart.height

    def test_the_controls_begin_with_the_patient(self):
        result = apply(MODEL, rad_score=0.123456789, clinical=ClinicalVariables(4.9, "well", "mixed"))
        controls = {control.name: control for control in nomogram_controls(nomogram_chart(result))}
        assert controls["rad_score"].value == 0.123456789
        assert [controls[name].chosen for name in ("size", "differentiation", "lauren")] == [0, 0, 2]

    def test_levels_of_the_same_effect_are_told_apart(self):
        coefficients = dict.fromkeys(MODEL.coefficients, 0.0) | {"rad_score": 1.0}
        result = apply(replace(MODEL, coefficients=coefficients), rad_score=0, clinical=CLINICAL)
        controls = {control.name: control for control in nomogram_controls(nomogram_chart(result))}
        assert [controls[name].chosen for name in ("size", "differentiation", "lauren")] == [1, 2, 1]

    def test_numbers_survive_json_to_the_last_digit(self):
        data = nomogram_data(nomogram_chart(apply(MODEL, rad_score=0.1, clinical=CLINICAL)))
        read = json.loads(json.dumps(data))
        assert read["pointsPerLogOdds"] == MODEL.points_per_log_odds
        assert read["thresholds"] == list(MODEL.thresholds)


class TestNotAvailable:
    def test_one_study_without_anything_else(self):
        result = make_study_result(
            nomogram=NomogramOmitted(("rad_score", "lauren"), "No nomogram."), rad_score=None, probabilities=None
        )
        rows = dict(report_content(result).unavailable)
        assert rows["Clinical variables"] == "not given: Lauren type"
        assert rows["Rad-score"] == "the model has none"
        assert rows["Nomogram"] == "No nomogram."
        assert rows["Outline and size of the tumour"] == "no outline was sent, and none was drawn"
        assert rows["Comparison before and after treatment"] == "one study was sent"
        assert "not assessed" in rows["N and M category"]

    def test_what_is_there_is_not_listed(self):
        volume = make_volume()
        rows = dict(report_content(replace(make_study_result(volume=volume), tumour=make_tumour(volume))).unavailable)
        assert "Nomogram" not in rows
        assert "Outline and size of the tumour" not in rows

    def test_a_pair_without_outlook_says_why(self):
        rows = dict(report_content(make_pair_result(outlook=False)).unavailable)
        assert rows["Lymph-node metastasis and survival"] == "No longitudinal model was given."


class TestSeries:
    def test_series_that_lost_are_named_with_the_reason(self):
        volume = make_volume()
        loser = replace(volume.series, series_number=7, number_of_slices=40, phase="lost: sharp kernel")
        other = replace(volume.series, series_number=None, phase="lost: something new")
        content = report_content(make_study_result(volume=replace(volume, runners_up=(loser, other))))
        assert content.other_series[0] == ("7", "40", "sharp kernel")
        assert content.other_series[1][0] == "–"
        assert content.other_series[1][2] == "something new"
        assert content.series_reason == "Chosen because 2 of 2 sources with evidence say portal-venous."

    def test_a_named_series_says_that_nothing_was_decided(self):
        volume = make_volume()
        named = replace(volume, series=replace(volume.series, phase="named by the caller"))
        assert "named by the caller" in report_content(make_study_result(volume=named)).series_reason


def test_facts_of_a_model_are_those_of_its_metadata():
    facts = dict(facts_of({"task": "T stage", "eval_metrics": {"data": "400 patients", "macro_auc": 0.9603, "x": 1.0}}))
    assert facts == {"Task": "T stage", "Evaluated on": "400 patients", "Figures": "macro AUC 0.96"}
    assert facts_of({}) == ()


def test_words_cannot_end_the_data_block():
    result = make_study_result()
    data = viewers_of(result)["before"] | {"texts": {"en": {"notice": "</script><script>alert(1)</script>"}}}
    page = render_html(report_content(result), key_slice_png=b"", grad_cam_png=b"", viewers={"before": data})
    assert b"</script><script>alert" not in page
