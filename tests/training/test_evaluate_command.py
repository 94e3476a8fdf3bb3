"""``gastromap evaluate``: the figures a person reads are printed and written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gastromap.cli import main
from gastromap.synthetic.cohort import CohortPlan, write_cohort


def test_auc_accuracy_and_kappa_are_printed_and_written(
    random_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = CohortPlan(seed=31, format="slices", centres=(3,), matrix=128, slices=3)
    write_cohort(plan, tmp_path / "data", patients=8)
    arguments = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--model", str(random_models)]
    assert main(["evaluate", *arguments]) == 0
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    for name, entry in (
        ("macro_auc", written["metrics"]["auc"]["macro"]),
        ("accuracy", written["metrics"]["accuracy"]),
        ("kappa_quadratic", written["metrics"]["kappa"]["quadratic"]),
    ):
        line = next(line for line in printed.splitlines() if line.startswith(name))
        assert line.split()[1] == f"{entry['value']:.3f}"
    assert written["grad_cam"]["cases"] == 8
