"""A tiny synthetic cohort that training, evaluation and inference can run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from gastromap.synthetic.cohort import CohortPlan, write_cohort


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of 24 patients of all centres, 8 of them in the test split; key slices only."""
    folder = tmp_path_factory.mktemp("cohort")
    plan = CohortPlan(seed=4242, format="slices", centres=(1, 2, 3), matrix=128, slices=1)
    write_cohort(plan, folder, patients=24, validation_share=0.3)
    return folder
