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
