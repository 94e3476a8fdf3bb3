"""The application between PACS and PACS: one command pulls, stages and sends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders.orthanc_server import USER, OrthancServer

from app.__main__ import main
from gastromap.errors import ExitCode


@pytest.fixture
def settings(tmp_path: Path, archive: OrthancServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEST_PASSWORD", USER[1])
    path = tmp_path / "pacs.yaml"
    path.write_text(archive.settings + "wait_s: 0.1\n")
    return path


def test_a_study_is_pulled_staged_and_sent_back(
    archive: OrthancServer, settings: Path, study_uid: str, random_models: Path, tmp_path: Path
) -> None:
    before = set(archive.ids("instances"))
    words = ["--pacs", str(settings), "--study", study_uid, "-m", str(random_models), "-o", str(tmp_path / "out")]
    assert main(words) == ExitCode.OK
    content = json.loads((tmp_path / "out" / "result.json").read_text())
    assert content["input"]["series"]["study_instance_uid"] == study_uid
    made = {file["sop_instance_uid"] for file in content["files"] if file["sop_instance_uid"]}
    assert len(set(archive.ids("instances")) - before) == len(made)
    assert made <= set(archive.files())
    assert len(archive.ids("studies")) == 1


def test_a_study_that_is_not_there_leaves_no_result(
    settings: Path, tmp_path: Path, random_models: Path, capsys
) -> None:
    words = ["--pacs", str(settings), "--study", "1.2.3", "-m", str(random_models), "-o", str(tmp_path / "out")]
    assert main(words) == ExitCode.PACS
    assert capsys.readouterr().err.startswith("PACS_NO_STUDY")
    assert not (tmp_path / "out").exists()


def test_a_result_that_cannot_be_sent_stays(
    settings: Path, study_folder: Path, random_models: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("TEST_PASSWORD", "wrong")
    words = ["--pacs", str(settings), "-i", str(study_folder), "-m", str(random_models), "-o", str(tmp_path / "out")]
    assert main(words) == ExitCode.PACS
    assert "PACS_CREDENTIALS" in capsys.readouterr().err
    assert (tmp_path / "out" / "result.json").is_file()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--study", "1.2"], "ARGUMENT_MISSING"),
        (["--study", "1.2", "--pacs", "nowhere.yaml", "-i", "."], "ARGUMENTS"),
        (["-i", "tests", "--pacs", "nowhere.yaml"], "PACS_SETTINGS"),
    ],
)
def test_arguments_that_do_not_fit_are_named(tmp_path: Path, words: list[str], code: str, capsys, request) -> None:
    request.getfixturevalue("monkeypatch").chdir(Path(__file__).resolve().parents[2])
    assert main([*words, "-o", str(tmp_path / "out")]) == ExitCode.USAGE
    assert capsys.readouterr().err.startswith(code)
