"""The made-up survival table, cohort A as training and B as test, and what R found on it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from gastromap.evaluation.survival.cases import ModelColumns, SurvivalColumns, read_survival
from gastromap.evaluation.table import read_rows

from ..conftest import REFERENCE

MODELS = (ModelColumns("pair"), ModelColumns("baseline only", "baseline_risk", survival="b"))


@pytest.fixture(scope="session")
def survival_file():
    return REFERENCE / "survival.csv"


@pytest.fixture(scope="session")
def r_survival() -> dict:
    return json.loads((REFERENCE / "survival.json").read_text())


@pytest.fixture(scope="session")
def r_public() -> dict:
    """Values that R found on GITSG, TCGA-STAD and its own sets."""
    return json.loads((REFERENCE / "survival_public.json").read_text())


@pytest.fixture(scope="session")
def cohorts(survival_file) -> SimpleNamespace:
    rows = read_rows(survival_file)
    parts = {name: [row for row in rows if row["cohort"] == name] for name in "AB"}
    return SimpleNamespace(
        training_rows=parts["A"],
        rows=parts["B"],
        training=read_survival(parts["A"], SurvivalColumns(), MODELS),
        test=read_survival(parts["B"], SurvivalColumns(), MODELS),
    )
