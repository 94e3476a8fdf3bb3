"""``gastromap audit`` on a datalist of pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cohort.pair_builder import save
from gastromap.cli import main
from gastromap.synthetic.export_crop import render_cube, write_cube
from gastromap.synthetic.visits import iter_longitudinal


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cubes of three synthetic patients, both dates."""
    folder = tmp_path_factory.mktemp("cubes")
    for number, visits in enumerate(iter_longitudinal(3, seed=4), start=1):
        for date, scan in ((1, visits.baseline()), (2, visits.followup())):
            write_cube(
                render_cube(scan, pixel_mm=2.0, step_mm=24.0), folder / f"{number}_{date}.nii.gz", folder / "m.nii.gz"
            )
    return folder


@pytest.fixture
def content(rendered: Path) -> dict[str, Any]:
    entries = [
        {"patient_id": f"P{n}", "image1": str(rendered / f"{n}_1.nii.gz"), "image2": str(rendered / f"{n}_2.nii.gz"),
         "lnm": n % 2, "death": 0, "os_months": 12.0 * n, "clinical": {}}
        for n in (1, 2, 3)
    ]  # fmt: skip
    return {"meta": {"schema": 1}, "training": entries[:2], "validation": [], "test": entries[2:]}


def audited(
    content: dict[str, Any], folder: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, list[str]]]:
    (folder / "datalist.json").write_text(json.dumps(content))
    code = main(["audit", str(folder), "--json", "--quiet"])
    return code, {one["code"]: one["examples"] for one in json.loads(capsys.readouterr().out)["findings"]}


def test_two_dates_of_a_patient_are_no_duplicates(content: dict[str, Any], tmp_path: Path, capsys: Any) -> None:
    assert audited(content, tmp_path, capsys) == (0, {})


def test_a_patient_on_both_sides_is_found(content: dict[str, Any], tmp_path: Path, capsys: Any) -> None:
    content["test"][0]["patient_id"] = "P1"
    assert set(audited(content, tmp_path, capsys)[1]) == {"PATIENT_ON_BOTH_SIDES"}


def test_a_noisy_copy_of_the_first_scan_is_no_second_one(
    content: dict[str, Any], rendered: Path, tmp_path: Path, capsys: Any
) -> None:
    import nibabel

    first: Any = nibabel.load(rendered / "2_1.nii.gz")
    noise = np.random.default_rng(0).normal(0, 10, first.shape)
    copy = save(tmp_path / "copy.nii.gz", np.asarray(first.dataobj) + noise, first.affine)
    content["training"][1]["image2"] = str(copy)
    assert audited(content, tmp_path, capsys) == (4, {"FOLLOWUP_IS_COPY": ["training 2 scan 2"]})


def test_a_second_scan_of_another_patient_is_found(content: dict[str, Any], tmp_path: Path, capsys: Any) -> None:
    content["test"][0]["image2"] = content["training"][1]["image2"]
    code, found = audited(content, tmp_path, capsys)
    assert code == 4
    assert found["NEAR_DUPLICATES_ACROSS"] == ["training 2 scan 2 and test 1 scan 2 (r = 1.000)"]


def test_an_entry_without_any_label_is_found_and_one_with_survival_is_not(
    content: dict[str, Any], tmp_path: Path, capsys: Any
) -> None:
    for entry in content["training"]:
        del entry["lnm"]
    del content["training"][1]["death"]
    assert audited(content, tmp_path, capsys)[1] == {"LABEL_MISSING": ["training 2 scan 1"]}


def test_impossible_values_of_the_clinical_table_are_found(
    content: dict[str, Any], tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "clinical.csv").write_text("patient_id,lnm,death,os_months,interval_days\nP1,1,0,-3,60\nP2,2,0,1,0\n")
    code, found = audited(content, tmp_path, capsys)
    assert (code, set(found)) == (4, {"CLINICAL_IMPOSSIBLE"})
