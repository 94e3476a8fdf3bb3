"""A PACS that holds the synthetic study."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from builders.orthanc_server import OrthancServer, running_pacs
from builders.study_result import make_study_result

from gastromap.output import write_study


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, study_folder: Path) -> Iterator[OrthancServer]:
    """A running server with the study in it, one a module."""
    with running_pacs(tmp_path_factory.mktemp("archive")) as server:
        server.upload(path for path in sorted(study_folder.rglob("*")) if path.is_file())
        yield server


@pytest.fixture(scope="session")
def study_uid(study_folder: Path) -> str:
    """Study Instance UID of the synthetic study."""
    first = next(path for path in sorted(study_folder.rglob("*")) if path.is_file())
    return str(pydicom.dcmread(first, stop_before_pixels=True).StudyInstanceUID)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results folder of one study."""
    folder = tmp_path_factory.mktemp("result")
    write_study(make_study_result(), folder)
    return folder
