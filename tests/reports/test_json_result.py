"""result.json against its published schema."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from builders.study_result import STUDY_UID, make_study_result

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
