"""A training takes patients on both sides only where its configuration says so in words."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from gastromap.errors import UsageError
from gastromap.training import read_datalist, with_leakage_notice

WORDS = "I know that patients are on both sides"


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    record = {"image": "a.nii.gz", "label": 1, "patient_id": "Li^Si"}
    (tmp_path / "datalist.json").write_text(json.dumps({"training": [record], "validation": [record], "test": []}))
    return tmp_path


def test_a_leaking_datalist_is_refused(leaking: Path) -> None:
    with pytest.raises(UsageError, match="PATIENT_ON_BOTH_SIDES"):
        read_datalist(leaking)


def test_the_words_accept_it_and_the_log_says_so_without_a_name(
    leaking: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert len(read_datalist(leaking, accept_leakage=WORDS)["training"]) == 1
    assert "1 of 1 patients of validation also in training" in caplog.text
    assert "Li^Si" not in caplog.text


@pytest.mark.parametrize("other", ["yes", "true", WORDS.lower(), ""])
def test_no_other_word_does(leaking: Path, other: str) -> None:
    with pytest.raises(UsageError, match="LEAKAGE_WORDS"):
        read_datalist(leaking, accept_leakage=other)


def test_the_words_excuse_nothing_else(leaking: Path) -> None:
    (leaking / "datalist.json").write_text(json.dumps({"training": [{"image": "a", "label": 7, "patient_id": "a"}]}))
    with pytest.raises(UsageError, match="DATALIST_INVALID"):
        read_datalist(leaking, accept_leakage=WORDS)


def test_the_notice_of_the_model_says_it() -> None:
    assert with_leakage_notice("Local.", None) == "Local."
    assert "both sides" in with_leakage_notice("Local.", WORDS)


def test_the_bundle_asks_for_the_words() -> None:
    from monai.bundle import ConfigParser

    folder = Path(__file__).parents[2] / "bundles" / "gastric_tstage_classification" / "configs"
    content = ConfigParser.load_config_file(folder / "train.yaml")
    assert content["accept_leakage"] is None
    assert "accept_leakage=@accept_leakage" in content["datalist"]
    assert any("with_leakage_notice(@notice, @accept_leakage)" in line for line in content["initialize"])
