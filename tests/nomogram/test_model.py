"""The published nomogram against arithmetic by hand, and its point scale against its own definition."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from gastromap.errors import ModelError, UsageError
from gastromap.nomogram import NomogramModel, apply
from gastromap.results import ClinicalVariables, NomogramOmitted, NomogramResult

WORST = ClinicalVariables(tumour_size_cm=6.0, differentiation="poor", lauren="diffuse")
REFERENCE = ClinicalVariables(tumour_size_cm=2.0, differentiation="well", lauren="intestinal")


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def applied(rad_score: float, clinical: ClinicalVariables, model: NomogramModel | None = None) -> NomogramResult:
    result = apply(model or NomogramModel.published(), rad_score=rad_score, clinical=clinical)
    assert isinstance(result, NomogramResult)
    return result


class TestPublishedProbabilities:
    def test_the_reference_patient_has_the_probabilities_of_the_thresholds_alone(self):
        # Table 3 of doi 10.1038/s41746-025-02002-5: thresholds -3.20, -1.17, 1.24; eta = 0.
        p = applied(0.0, REFERENCE).probabilities
        assert p["T1"] == pytest.approx(logistic(-3.20))
        assert p["T2"] == pytest.approx(logistic(-1.17) - logistic(-3.20))
        assert p["T3"] == pytest.approx(logistic(1.24) - logistic(-1.17))
        assert p["T4"] == pytest.approx(1 - logistic(1.24))

    def test_a_patient_with_every_risk_factor_follows_the_sum_of_table_3(self):
        # 0.87 * 1.5 + 0.69 + 1.15 + 1.06 = 4.205
        result = applied(1.5, WORST)
        assert sum(row.log_odds for row in result.contributions) == pytest.approx(4.205)
        assert result.probabilities["T4"] == pytest.approx(logistic(4.205 - 1.24))
        assert result.stage == "T4"

    def test_moderate_differentiation_and_mixed_type_use_their_own_coefficients(self):
        result = applied(0.0, ClinicalVariables(4.9, "moderate", "mixed"))
        assert [row.log_odds for row in result.contributions] == pytest.approx([0.0, 0.0, 0.22, -0.08])

    @pytest.mark.parametrize(("size_cm", "log_odds"), [(4.99, 0.0), (5.0, 0.69), (40.0, 0.69)])
    def test_size_counts_from_five_centimetres_on(self, size_cm, log_odds):
        row = applied(0.0, ClinicalVariables(size_cm, "well", "intestinal")).contributions[1]
        assert (row.name, row.log_odds) == ("Tumour size", log_odds)

    @pytest.mark.parametrize("rad_score", [-900.0, -3.0, 0.3, 3.0, 900.0])
    def test_probabilities_add_up_to_one_and_never_leave_their_range(self, rad_score):
        p = list(applied(rad_score, WORST).probabilities.values())
        assert sum(p) == pytest.approx(1.0, abs=1e-12)
        assert min(p) >= 0

    def test_very_small_probabilities_keep_their_digits_at_both_ends(self):
        # Far out in a tail the logistic function is the exponential function.
        model = NomogramModel.published()
        assert model.stage_probabilities(40.0)[1] == pytest.approx(
            math.exp(-1.17 - 40) - math.exp(-3.20 - 40), rel=1e-9
        )
        assert model.stage_probabilities(-40.0)[2] == pytest.approx(
            math.exp(1.17 - 40) - math.exp(-1.24 - 40), rel=1e-9
        )

    def test_a_higher_rad_score_never_lowers_the_probability_of_advanced_stages(self):
        advanced = [sum(list(applied(s, REFERENCE).probabilities.values())[2:]) for s in np.linspace(-5, 5, 41)]
        assert np.all(np.diff(advanced) > 0)

    def test_the_result_names_its_variant_and_its_source(self):
        result = applied(0.0, REFERENCE)
        assert result.variant == "published"
        assert "Table 3" in result.source


class TestSizeText:
    @pytest.mark.parametrize(
        ("size_cm", "origin", "text"),
        [
            (4.2, "given", "4.2 cm (< 5 cm)"),
            (4.2371, "auto", "4.2 cm (< 5 cm), measured in the automatic mask"),
            (4.96, "seg", "4.9 cm (< 5 cm), measured in the segmentation"),
            (5.0, "seg", "5.0 cm (≥ 5 cm), measured in the segmentation"),
        ],
    )
    def test_a_size_that_nobody_gave_says_where_it_was_measured(self, size_cm, origin, text):
        clinical = ClinicalVariables(size_cm, "well", "intestinal", size_origin=origin)
        assert applied(0.0, clinical).contributions[1].value == text


class TestPoints:
    def test_the_rad_score_spans_the_hundred_points(self):
        # Its range of effects is 0.87 * 6 = 5.22, all others are below 1.2.
        assert applied(-3.0, REFERENCE).contributions[0].points == 0.0
        assert applied(3.0, REFERENCE).contributions[0].points == pytest.approx(100.0)

    def test_points_of_the_categories_by_hand(self):
        points = {row.name: row.points for row in applied(0.0, WORST).contributions}
        assert points["Rad-score"] == pytest.approx(50.0)
        assert points["Tumour size"] == pytest.approx(100 * 0.69 / 5.22)
        assert points["Differentiation"] == pytest.approx(100 * 1.15 / 5.22)
        # The lowest Lauren type is mixed at -0.08, not the reference.
        assert points["Lauren type"] == pytest.approx(100 * (1.06 + 0.08) / 5.22)

    @pytest.mark.parametrize("rad_score", [-3.0, -1.2, 0.0, 2.7, 3.0])
    def test_total_points_lead_back_to_the_probabilities(self, rad_score):
        model = NomogramModel.published()
        result = applied(rad_score, WORST)
        axis = model.probabilities_of_points(result.total_points)
        assert axis == pytest.approx(list(result.probabilities.values()), abs=1e-12)

    def test_a_tick_of_the_probability_axis_lies_where_that_probability_is_reached(self):
        model = NomogramModel.published()
        place = model.points_of_probability(0.3, at_least="T3")
        assert model.probabilities_of_points(place)[2:].sum() == pytest.approx(0.3)

    def test_a_score_beyond_the_axis_keeps_its_probability_and_stops_at_the_end_of_the_axis(self):
        result = applied(4.0, REFERENCE)
        assert result.probabilities["T4"] == pytest.approx(logistic(4 * 0.87 - 1.24))
        assert result.contributions[0].points == pytest.approx(100.0)
        assert "beyond the axis" in result.contributions[0].value

    def test_a_negative_coefficient_still_gives_points_from_zero_up(self):
        published = NomogramModel.published()
        turned = NomogramModel(
            variant="refit",
            source="test",
            coefficients={**published.coefficients, "lauren_diffuse": -1.06},
            thresholds=published.thresholds,
        )
        assert applied(0.0, WORST, turned).contributions[3].points == 0.0
        assert applied(0.0, REFERENCE, turned).contributions[3].points == pytest.approx(100 * 1.06 / 5.22)


class TestMissing:
    def test_each_missing_variable_is_named(self):
        result = apply(NomogramModel.published(), rad_score=None, clinical=ClinicalVariables(lauren="mixed"))
        assert isinstance(result, NomogramOmitted)
        assert result.missing == ("rad_score", "tumour_size_cm", "differentiation")
        assert (
            result.reason == "No nomogram, because the Rad-score, the tumour size and the differentiation are missing."
        )

    def test_a_score_that_is_not_a_number_is_missing(self):
        result = apply(NomogramModel.published(), rad_score=math.nan, clinical=WORST)
        assert isinstance(result, NomogramOmitted)
        assert result.missing == ("rad_score",)

    def test_an_unknown_category_is_refused_rather_than_taken_as_reference(self):
        unknown = ClinicalVariables(3.0, "signet", "diffuse")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="CLINICAL_INVALID"):
            apply(NomogramModel.published(), rad_score=0.0, clinical=unknown)


class TestFile:
    def test_a_saved_model_loads_as_the_same_model_and_gives_the_same_bytes(self, tmp_path):
        model = NomogramModel.published()
        model.save(tmp_path / "a.json")
        again = NomogramModel.load(tmp_path / "a.json")
        again.save(tmp_path / "b.json")
        assert again == model
        assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("thresholds", [1, 0, 2]),
            ("thresholds", [1, 2]),
            ("thresholds", "abc"),
            ("coefficients", {"rad_score": 1}),
            ("coefficients", []),
            ("variant", "mine"),
            ("variant", ["published"]),
            ("format", "gastromap-nomogram/9"),
            ("rad_score_range_sd", [3, -3]),
            ("rad_score_range_sd", [3]),
            ("patients", True),
        ],
    )
    def test_a_damaged_model_is_refused_by_code(self, tmp_path, key, value):
        NomogramModel.published().save(tmp_path / "a.json")
        content = json.loads((tmp_path / "a.json").read_text()) | {key: value}
        (tmp_path / "a.json").write_text(json.dumps(content))
        with pytest.raises(ModelError, match="NOMOGRAM_INVALID"):
            NomogramModel.load(tmp_path / "a.json")

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1, "format": 2}', '{"a": NaN}', "[" * 100_000])
    def test_text_that_is_no_model_is_refused_by_code(self, tmp_path, text):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ModelError, match="NOMOGRAM_INVALID"):
            NomogramModel.load(tmp_path / "a.json")

    def test_an_absent_file_is_refused_without_its_path(self, tmp_path):
        with pytest.raises(ModelError, match="no such file") as caught:
            NomogramModel.load(tmp_path / "secret.json")
        assert "secret" not in str(caught.value)

    def test_a_model_without_any_effect_has_no_point_scale_and_is_refused(self):
        published = NomogramModel.published()
        with pytest.raises(ModelError, match="effect"):
            NomogramModel("refit", "test", dict.fromkeys(published.coefficients, 0.0), published.thresholds)
