"""Small synthetic cohorts: DICOM studies with a tumour SEG, and slices of the same patients as `synth` has them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gastromap.synthetic.cohort import CohortPlan, write_cohort

SEED, PATIENTS = 5, 4


def _write(folder: Path, **plan: Any) -> Path:
    write_cohort(CohortPlan(seed=SEED, matrix=64, thickness_mm=5.0, **plan), folder, patients=plan_patients(plan))
    return folder


def plan_patients(plan: dict[str, Any]) -> int:
    return PATIENTS if plan["format"] == "dicom" else 12


@pytest.fixture(scope="session")
def dicom_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("dicom"), format="dicom", with_seg=True)


@pytest.fixture(scope="session")
def slice_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve patients; the first four are those of the DICOM cohort."""
    return _write(tmp_path_factory.mktemp("slices"), format="slices")


@pytest.fixture(scope="session")
def clinical_rows(slice_cohort: Path) -> list[dict[str, str]]:
    with (slice_cohort / "clinical.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[[Sequence[dict[str, Any]]], Path]:
    def write(rows: Sequence[dict[str, Any]], name: str = "table.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        with path.open("w", encoding=encoding, newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


def records_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Records of a datalist by patient, with their split."""
    content = json.loads((folder / "datalist.json").read_text())
    return {
        record["patient_id"]: {**record, "split": split}
        for split in ("training", "validation", "test")
        for record in content[split]
    }


def findings_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "reconciliation.csv").open(encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream))


def identities_of(path: Path) -> dict[str, str]:
    """Pseudonym to identifier of the table."""
    with path.open() as stream:
        return {row["patient"]: row["patient_id"] for row in csv.DictReader(stream) if row["kind"] == "patient"}
