"""The gate in one call, for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gastromap.dicom_input import GateSettings, build_volume, load_folder, select_series
from gastromap.volume import CtVolume

#: Fixed, so that messages of two runs can be compared.
KEY = b"test"


def read_volume(folder: Path, *, series_uid: str | None = None, **limits: object) -> CtVolume:
    settings = GateSettings(**limits)  # type: ignore[arg-type]
    content = load_folder(folder, settings=settings, label_key=KEY)
    selected = select_series(content, settings=settings, series_uid=series_uid)
    return build_volume(selected, settings=settings)


@pytest.fixture(scope="session")
def read() -> Callable[..., CtVolume]:
    return read_volume
