"""result.json against its published schema."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from builders.study_result import (
    FOLLOWUP_STUDY_UID,
    PROBABILITIES_AFTER,
    STUDY_UID,
    make_pair_result,
    make_study_result,
    make_tumour,
    make_volume,
)

from gastromap.reports.json_result import SCHEMA_PATH, WrittenFile, result_as_json, write_json
from gastromap.results import NomogramOmitted

SCHEMA = json.loads(SCHEMA_PATH.read_text())
OMITTED = NomogramOmitted(("lauren",), "The nomogram needs all of its predictors.")


def described(schema: dict, path: str = "") -> list[str]:
    """Paths of properties without a description."""
    gaps = []
    for name, part in schema.get("properties", {}).items():
        gaps += [f"{path}/{name}"] if not part.get("description") else []
        gaps += described(part, f"{path}/{name}")
    for key in ("items", *(() if isinstance(schema.get("additionalProperties"), bool) else ("additionalProperties",))):
        if isinstance(schema.get(key), dict):
            gaps += described(schema[key], f"{path}[]")
    for part in (*schema.get("oneOf", []), *schema.get("$defs", {}).values()):
        gaps += described(part, path)
    return gaps


class TestSchema:
    def test_it_is_valid_json_schema_2020_12(self):
        assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        jsonschema.Draft202012Validator.check_schema(SCHEMA)

    def test_every_field_is_described(self):
        assert described(SCHEMA) == []

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"nomogram": OMITTED, "rad_score": None},
            {"staged": False, "reasons": ("The slices disagree.",), "prediction_set": ()},
            {"role": "followup", "key": 0, "warnings": ("LOSSY", "LOSSY")},
        ],
    )
    def test_a_result_validates(self, tmp_path, options):
        write_json(make_study_result(**options), tmp_path / "result.json")
        stored = json.loads((tmp_path / "result.json").read_text())
        jsonschema.Draft202012Validator(SCHEMA).validate(stored)

    @pytest.mark.parametrize("path", [("stage", "staged"), ("notice",), ("key_slice", "sop_instance_uid"), ("files",)])
    def test_a_missing_field_does_not_validate(self, path):
        document = result_as_json(make_study_result())
        part = document
        for key in path[:-1]:
            part = part[key]
        del part[path[-1]]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(SCHEMA).validate(document)


class TestContent:
    def test_numbers_survive_the_file_exactly(self, tmp_path):
        result = make_study_result(probabilities={"T1": 0.1, "T2": 0.2, "T3": 1 / 3, "T4": 1 - 0.3 - 1 / 3})
        write_json(result, tmp_path / "r.json")
        stored = json.loads((tmp_path / "r.json").read_text())
        assert stored["stage"]["probabilities"] == dict(result.stage.probabilities)
        assert stored["key_slice"]["index_from_feet"] == 5
        assert stored["input"]["series"]["study_instance_uid"] == STUDY_UID

    def test_neither_header_values_nor_paths_of_the_settings_are_in_it(self):
        text = json.dumps(
            result_as_json(make_study_result(config={"input": Path("/data/Muster"), "deep": [Path("x")]}))
        )
        for mark in ("Muster", "P-0001", "A-77", "19600102", "20240305", "2024-03-05", "Referrer", "101500"):
            assert mark not in text

    def test_nan_is_never_written(self, tmp_path):
        with pytest.raises(ValueError, match="JSON"):
            write_json(make_study_result(rad_score=float("nan")), tmp_path / "r.json")

    def test_files_are_listed_with_size_and_hash(self):
        (item,) = result_as_json(make_study_result(), files=(WrittenFile("a.txt", b"abc"),))["files"]
        # FIPS 180-4, example for "abc"
        assert item["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        assert item["bytes"] == 3


PAIRS = {
    "usual": {},
    "nothing found": {"tumour_after": False},
    "no outlook": {"outlook": False},
    "not staged": {"stage_after": {"staged": False, "reasons": ("The slices disagree.",), "prediction_set": ()}},
    "dates missing": {"comparison": {"interval_days": None, "changes": ()}},
}


class TestTumourAndComparison:
    @pytest.mark.parametrize("case", PAIRS)
    def test_a_pair_validates(self, tmp_path, case):
        write_json(make_pair_result(**PAIRS[case]), tmp_path / "result.json")
        jsonschema.Draft202012Validator(SCHEMA).validate(json.loads((tmp_path / "result.json").read_text()))

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            (("comparison",), "extra"),
            (("comparison", "followup"), "patient"),
            (("comparison", "outlook"), "maps"),
            (("comparison", "outlook", "survival"), "late"),
            (("tumour",), "mask"),
        ],
    )
    def test_a_field_that_nobody_described_does_not_validate(self, path, name):
        document = result_as_json(make_pair_result())
        part = document
        for key in path:
            part = part[key]
        part[name] = 1
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(SCHEMA).validate(document)

    @pytest.mark.parametrize("origin", ["seg", "auto"])
    def test_the_size_of_one_study_is_in_it_and_the_mask_is_not(self, origin):
        volume = make_volume()
        result = replace(make_study_result(volume=volume), tumour=make_tumour(volume, origin=origin))
        document = result_as_json(result)
        jsonschema.Draft202012Validator(SCHEMA).validate(document)
        size = document["tumour"]
        assert (size["long_axis_mm"], size["volume_ml"], size["thickness_mm"]) == (52.4, 38.2, 14.6)
        assert (size["model"] is None) == (size["probability"] is None) == (origin == "seg")
        assert document["comparison"] is None

    def test_both_examinations_have_the_same_shape(self):
        document = result_as_json(make_pair_result())
        followup = document["comparison"]["followup"]
        assert followup["input"].keys() == document["input"].keys()
        assert followup["key_slice"].keys() == document["key_slice"].keys()
        assert document["comparison"]["stage"].keys() == document["stage"].keys()
        assert followup["input"]["series"]["study_instance_uid"] == FOLLOWUP_STUDY_UID
        assert document["input"]["series"]["study_instance_uid"] == STUDY_UID
        assert document["comparison"]["stage"]["probabilities"] == PROBABILITIES_AFTER

    def test_the_change_is_relative_to_the_size_before(self):
        changes = {change["name"]: change for change in result_as_json(make_pair_result())["comparison"]["changes"]}
        assert changes["volume_ml"]["relative"] == pytest.approx(14.0 / 38.2 - 1)
        assert changes["long_axis_mm"]["relative"] == pytest.approx((33.1 - 52.4) / 52.4)

    def test_the_stage_after_treatment_is_never_a_plain_ct(self):
        block = json.dumps(result_as_json(make_pair_result())["comparison"])
        assert "ycT2" in block
        assert re.search(r"(?<!y)cT[1-4]", block) is None

    def test_no_header_value_of_either_study_is_in_it(self):
        text = json.dumps(result_as_json(make_pair_result()))
        for mark in ("Muster", "P-0001", "A-77", "A-91", "20240305", "20240620", "2024-06-20", "065Y"):
            assert mark not in text
