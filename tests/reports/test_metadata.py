"""``metadata.json``: flat, from ``result.json``, nothing of the patient."""

from __future__ import annotations

import json

import pytest
from builders.study_result import make_pair_result, make_study_result

from gastromap.output import write_study
from gastromap.reports.json_result import result_as_json
from gastromap.reports.metadata import metadata_of


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metadata")
    write_study(make_pair_result(PatientName="ZZMARKZZ"), folder)
    return folder


def read(folder, name):
    return json.loads((folder / f"{name}.json").read_text())


def test_it_is_one_level_of_text_numbers_and_truth_values(written):
    facts = read(written, "metadata")
    assert all(isinstance(value, str | float | int | bool) for value in facts.values())
    assert all(name == name.lower() and name.replace("_", "").isalnum() for name in facts)
    assert "ZZMARKZZ" not in json.dumps(facts)


def test_its_values_are_those_of_the_result(written):
    facts, result = read(written, "metadata"), read(written, "result")
    assert facts == metadata_of(result)
    outlook = result["comparison"]["outlook"]
    assert facts["stage"] == result["stage"]["label"]
    assert facts["confidently_staged"] is result["stage"]["staged"]
    assert [facts[f"probability_t{n}"] for n in range(1, 5)] == list(result["stage"]["probabilities"].values())
    assert facts["node_metastasis_probability"] == outlook["lnm_probability"]
    assert facts["followup_tumour_volume_ml"] == result["comparison"]["followup"]["tumour"]["volume_ml"]
    assert facts["change_volume_ml"] == result["comparison"]["changes"][0]["relative"]
    assert facts["interval_days"] == result["comparison"]["interval_days"]


def test_what_is_not_known_has_no_key():
    facts = metadata_of(result_as_json(make_study_result()))
    assert facts["compared"] is False
    assert not [name for name in facts if name.startswith(("tumour_", "followup_", "change_", "node_"))]


def test_a_missing_outlook_is_said():
    facts = metadata_of(result_as_json(make_pair_result(outlook=False)))
    assert (facts["compared"], facts["outlook"]) == (True, False)
    assert "risk_group" not in facts
