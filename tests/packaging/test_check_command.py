"""``gastromap check-map``: table, JSON, exit codes; and the context that GastroMAP really stages conforms."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from builders.map_tree import edit_json, write_context

from gastromap.cli import main
from gastromap.packaging.stage import stage

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return write_context(tmp_path / "context")


def test_a_context_that_conforms_ends_with_0(context: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-map", "--tree", str(context)]) == 0
    said = capsys.readouterr().out
    assert "rules: gastromap" in said
    assert said.splitlines()[-1] == "conforms: 0 errors, 0 warnings, 0 notes"


def test_an_error_ends_with_1_and_a_line_with_file_field_expected_found_and_rule(
    context: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The table is as wide as the terminal.
    monkeypatch.setenv("COLUMNS", "200")
    edit_json(context / "map" / "app.json", {"type": None})
    assert main(["check-map", "--tree", str(context)]) == 1
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if line.startswith("error")]
    assert " ".join(line.split()) == (
        "error app.json: type application or service none app-type (MAP specification 1.0.0)"
    )
    assert "does not conform: 1 error, 0 warnings, 0 notes" in said


def test_warnings_alone_conform(context: Path) -> None:
    edit_json(context / "map" / "app.json", {"input": {"path": "input/", "formats": ["file"]}, "note": "mine"})
    assert main(["check-map", "--tree", str(context)]) == 0


def test_wrong_arguments_end_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-map"]) == 2
    assert main(["check-map", "--tree", str(tmp_path)]) == 2
    assert main(["check-map", "a:1", "--input", str(tmp_path / "none")]) == 2
    codes = [line.split()[0] for line in capsys.readouterr().err.splitlines()]
    assert codes == ["NOTHING_TO_CHECK", "TREE_UNKNOWN", "STUDY_MISSING"]


def test_an_image_without_an_engine_ends_with_77_and_says_why_on_the_last_line(
    tmp_path: Path, context: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["check-map", "gastromap:0.1.0", "--tree", str(context), "--no-entrypoint"]) == 77
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "SKIPPED: no docker command (Debian: apt-get install docker.io)"
    assert lines[-2].startswith("conforms as far as it was checked")


def test_the_report_as_json_goes_to_a_file_or_alone_to_the_output(
    context: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["check-map", "--tree", str(context), "--json", str(tmp_path / "report.json")])
    assert json.loads((tmp_path / "report.json").read_text())["conforms"] is True
    capsys.readouterr()
    main(["check-map", "--tree", str(context), "--json", "-"])
    assert json.loads(capsys.readouterr().out)["profile"] == "gastromap"


def test_generic_rules_can_be_asked_for(context: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (context / "models" / "stage" / "models" / "a.pkl").write_bytes(b"x")
    (context / "models" / "stage" / "models" / "a.pkl").chmod(0o644)
    assert main(["check-map", "--tree", str(context)]) == 1
    assert main(["check-map", "--tree", str(context), "--rules", "generic"]) == 0
    assert "rules: generic" in capsys.readouterr().out


def test_files_of_a_deployment_are_held_against_the_version_of_the_tree(
    context: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workflow = str(DEPLOY / "express" / "gastromap.json")
    assert main(["check-map", "--tree", str(context), "--deploy", workflow]) == 0
    for name in ("app", "pkg"):
        edit_json(context / "map" / f"{name}.json", {"version": "0.2.0"})
    assert main(["check-map", "--tree", str(context), "--deploy", workflow]) == 1
    assert "image-tag" in capsys.readouterr().out


@pytest.mark.parametrize("flavour", ["cpu", "gpu"])
def test_the_context_that_is_really_staged_conforms(
    flavour: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage(tmp_path / "context", flavour=flavour)  # type: ignore[arg-type]
    files = [
        str(DEPLOY / name)
        for name in ("express/gastromap.json", "argo/workflow.json", "argo/template.yaml", "mercure/modules.json")
    ]
    code = main(["check-map", "--tree", str(tmp_path / "context"), "--deploy", *files])
    said = capsys.readouterr().out
    assert code == 0, said
    assert "entrypoint    ok" in said


@pytest.mark.slow
def test_the_image_named_by_gastromap_image_conforms(capsys: pytest.CaptureFixture[str]) -> None:
    image = os.environ.get("GASTROMAP_IMAGE")
    if not image:
        pytest.skip("image: GASTROMAP_IMAGE names none; .ci/run builds one and checks it with the command")
    code = main(["check-map", image])
    said = capsys.readouterr().out
    if code == 77:
        pytest.skip(said.splitlines()[-1])
    assert code == 0, said
