"""Shared fixtures: where the real public data lie, if they are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the public data sets; the test is skipped where it is absent."""
    folder = Path(os.environ.get("GASTROMAP_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("real data: GASTROMAP_DATA names no folder and ../shared/data is absent")
    return folder


@pytest.fixture(scope="session")
def synthetic_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small synthetic cohort of one patient: ``studies/*`` with a tumour SEG, ``clinical/*.json``."""
    from gastromap.synthetic.cohort import CohortPlan, write_cohort

    folder = tmp_path_factory.mktemp("synthetic")
    plan = CohortPlan(
        seed=77, format="dicom", centres=(1,), stages=("T3",), matrix=256, thickness_mm=5.0, with_seg=True
    )
    write_cohort(plan, folder, patients=1)
    return folder


@pytest.fixture(scope="session")
def study_folder(synthetic_study: Path) -> Path:
    """DICOM folder of the synthetic study."""
    return next((synthetic_study / "studies").iterdir())


@pytest.fixture(scope="session")
def clinical_file(synthetic_study: Path) -> Path:
    """``clinical.json`` of the synthetic study."""
    return next((synthetic_study / "clinical").iterdir())


@pytest.fixture(scope="session")
def random_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a complete bundle of random weights."""
    from builders.bundle import make_bundle

    return make_bundle(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def synthetic_pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of one synthetic patient before and after treatment: ``studies/*`` with two studies, each with a SEG."""
    from gastromap.synthetic.longitudinal import LongitudinalPlan, write_longitudinal

    folder = tmp_path_factory.mktemp("pair")
    plan = LongitudinalPlan(seed=5, format="dicom", centres=(1,), matrix=256, thickness_mm=5.0, with_seg=True)
    write_longitudinal(plan, folder, patients=1)
    return folder
