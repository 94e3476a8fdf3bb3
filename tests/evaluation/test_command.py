"""``gastromap evaluate`` on a predictions table: what it prints, writes and refuses."""

from __future__ import annotations

import json

import pytest

from gastromap.cli import main


def test_one_command_evaluates_stages_endpoints_readers_and_subgroups(cases_file, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["evaluate", "--predictions", str(cases_file), "--out", str(out), "--resamples", "50"]
    arguments += ["--endpoint", "node metastasis=node:1,node_score,0.4", "--case", "case", "--versus", str(cases_file)]
    arguments += ["--reader", "A=reader_A,assisted_A", "--reader", "B=reader_B", "--subgroup", "sex"]
    arguments += ["--subgroup", "age:50,70", "--title", "Centre 3", "--name", "GTRNet"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    found = json.loads((out / "evaluation.json").read_text())
    assert f"accuracy           {found['stages']['metrics']['accuracy']['value']:.3f}" in printed
    assert [endpoint["name"] for endpoint in found["endpoints"]] == ["T3 or T4", "node metastasis"]
    assert found["readers"]["agreement"]["alone"]["pairs"][0]["first"] == "A"
    assert [group["column"] for group in found["subgroups"]] == ["sex", "age"]
    assert found["comparison"]["names"] == ["GTRNet", "second model"]
    assert "Centre 3" in (out / "report.html").read_text()


def test_columns_are_named_by_the_user(cases_file, tmp_path):
    text = cases_file.read_text()
    for old, new in (("PatientID", "ID"), ("prob_T", "p"), ("stage,", "pT,")):
        text = text.replace(old, new, 1 if old != "prob_T" else -1)
    (tmp_path / "p.csv").write_text(text)
    arguments = [
        "evaluate",
        "--predictions",
        str(tmp_path / "p.csv"),
        "--out",
        str(tmp_path / "out"),
        "--resamples",
        "20",
    ]
    named = ["--truth", "pT", "--probabilities", "p1,p2,p3,p4", "--patient", "ID"]
    assert main([*arguments, *named]) == 0
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["stages"]["patients"] == 140


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["--predictions", "CASES", "--data", "x"],
        ["--data", "x", "--reader", "A=reader_A"],
        ["--predictions", "CASES", "--endpoint", "node"],
        ["--predictions", "CASES", "--endpoint", "n=node,node_score,high"],
        ["--predictions", "CASES", "--reader", "A"],
        ["--predictions", "CASES", "--reader", "A=reader_A", "--reader", "A=reader_B"],
        ["--predictions", "CASES", "--subgroup", "age:old"],
        ["--predictions", "CASES", "--truth", "absent"],
        ["--predictions", "absent.csv"],
        ["--predictions", "CASES", "--resamples", "0"],
        ["--predictions", "CASES", "--positive", "T9"],
    ],
)
def test_wrong_arguments_end_with_one_line_and_leave_no_result(given, cases_file, tmp_path, capsys):
    given = [str(cases_file) if word == "CASES" else word for word in given]
    assert main(["evaluate", *given, "--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert line.startswith(("EVALUATE_ARGUMENTS", "PREDICTIONS_INVALID"))
    assert not (tmp_path / "out" / "evaluation.json").exists()


def test_an_earlier_result_is_refused_before_any_work(cases_file, tmp_path, capsys):
    (tmp_path / "report.html").write_text("x")
    assert main(["evaluate", "--predictions", str(cases_file), "--out", str(tmp_path)]) == 12
    assert capsys.readouterr().err.startswith("OUTPUT_EXISTS output: ")
