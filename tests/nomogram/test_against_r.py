"""The fitted nomogram against R ``rms::lrm`` and ``MASS::polr`` (values and versions in ``evaluation/reference``)."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("statsmodels")

from gastromap.evaluation.ranking import ordinal_c_index
from gastromap.evaluation.stages import STAGES
from gastromap.nomogram import fit_nomogram
from gastromap.nomogram.fitting import design_matrix
from gastromap.nomogram.model import COEFFICIENTS
from gastromap.results import ClinicalVariables

REFERENCE = Path(__file__).parents[1] / "evaluation" / "reference"


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def check(table, expected):
    model = fit_nomogram(table)
    coefficients = [model.coefficients[name] for name in COEFFICIENTS]
    errors = [model.standard_errors[name] for name in COEFFICIENTS]
    for software in ("lrm", "polr"):
        theirs = expected[software]
        assert coefficients == pytest.approx(theirs["coefficients"], abs=1e-4), software
        assert model.thresholds == pytest.approx(theirs["thresholds"], abs=1e-4), software
        assert errors == pytest.approx(theirs["standard_errors"], abs=1e-4), software
    rows = zip(table["tumour_size_cm"], table["differentiation"], table["lauren"], strict=True)
    eta = design_matrix(table["rad_score"], [ClinicalVariables(*row) for row in rows]) @ coefficients
    stage = np.array([STAGES.index(name) for name in table["stage"]])
    # lrm puts the linear predictor into bins of 0.002 before it counts pairs.
    assert float(ordinal_c_index(eta, stage)) == pytest.approx(expected["lrm"]["c_index"], abs=1e-3)


def test_coefficients_thresholds_and_standard_errors_equal_r_on_a_made_up_table():
    rows = read_csv(REFERENCE / "nomogram.csv")
    table = {name: [row[name] for row in rows] for name in ("differentiation", "lauren", "stage")}
    table |= {name: [float(row[name]) for row in rows] for name in ("rad_score", "tumour_size_cm")}
    check(table, json.loads((REFERENCE / "synthetic.json").read_text())["nomogram"])


@pytest.mark.realdata
def test_they_equal_r_on_the_released_patients(real_data):
    folder = real_data / "gtrnet_release"
    clinical = read_csv(folder / "clinical_train.csv")
    deep = read_csv(folder / "deep_features_lasso290_train.csv")

    def level(row, prefix, names):
        return next(name for name in names if float(row[f"{prefix}_{name}"]) == 1)

    first = np.array([float(row["DL-515"]) for row in deep])
    table = {
        # One standardised feature in place of the Rad-score: R must not need our score.
        "rad_score": ((first - first.mean()) / first.std()).tolist(),
        "tumour_size_cm": [float(row["Tumor_size"]) for row in clinical],
        "differentiation": [level(row, "Differentiation_status", ("well", "moderate", "poor")) for row in clinical],
        "lauren": [level(row, "Lauren", ("intestinal", "diffuse", "mixed")) for row in clinical],
        "stage": [STAGES[int(row["T_stage"])] for row in deep],
    }
    check(table, json.loads((REFERENCE / "released.json").read_text())["nomogram"])
