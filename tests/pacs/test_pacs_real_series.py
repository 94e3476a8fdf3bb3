"""Public series of scanners, between PACS and PACS: pulled, staged on a slice named by the caller, sent back."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pydicom
import pytest
from builders.orthanc_server import USER, OrthancServer, running_pacs
from pydicom.misc import is_dicom

from app.__main__ import main
from gastromap.errors import ExitCode

pytestmark = pytest.mark.realdata


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Arguments of the application for a server and a study."""
    monkeypatch.setenv("TEST_PASSWORD", USER[1])

    def of(server: OrthancServer, study_uid: str) -> list[str]:
        (tmp_path / "pacs.yaml").write_text(server.settings + "wait_s: 0.1\n")
        return ["--pacs", str(tmp_path / "pacs.yaml"), "--study", study_uid, "-o", str(tmp_path / "out")]

    return of


def slices_of(folder: Path) -> dict[str, tuple[Path, pydicom.Dataset]]:
    """Files of the study that has most of them in a folder, by SOP Instance UID."""
    files = [item for item in sorted(folder.iterdir()) if item.is_file() and is_dicom(item)]
    read = [(path, pydicom.dcmread(path)) for path in files]
    study, _ = Counter(str(header.StudyInstanceUID) for _, header in read).most_common(1)[0]
    return {str(item[1].SOPInstanceUID): item for item in read if item[1].StudyInstanceUID == study}


@pytest.mark.parametrize("study", ["tcga_coad_ay4070", "cptac_pda_c3l00189"])
def test_a_real_series_is_pulled_staged_and_every_object_comes_back(
    study: str, real_data: Path, random_models: Path, tmp_path: Path, words
) -> None:
    images = slices_of(real_data / "ct" / study / "dicom")
    header = next(iter(images.values()))[1]
    with running_pacs(tmp_path / "pacs") as server:
        server.upload(path for path, _ in images.values())
        given = words(server, str(header.StudyInstanceUID))
        named = ["--series", str(header.SeriesInstanceUID), "--key-slice", "15", "-m", str(random_models)]
        assert main([*given, *named]) == ExitCode.OK
        back = server.datasets()
    content = json.loads((tmp_path / "out" / "result.json").read_text())
    assert content["key_slice"]["index_from_feet"] == 15
    made = {uid: item for uid, item in back.items() if uid not in images}
    assert set(made) == {file["sop_instance_uid"] for file in content["files"] if file["sop_instance_uid"]}
    assert set(back) == set(images) | set(made)
    for path in (tmp_path / "out").rglob("*.dcm"):
        written = pydicom.dcmread(path)
        assert back[str(written.SOPInstanceUID)] == written, written.SeriesDescription
    for uid, (_, original) in images.items():
        assert back[uid] == original
    assert {(item.PatientID, item.StudyInstanceUID) for item in made.values()} == {
        (header.PatientID, header.StudyInstanceUID)
    }


def test_a_real_series_with_gaps_is_refused_and_the_pacs_gets_nothing(
    real_data: Path, random_models: Path, tmp_path: Path, words, capsys: pytest.CaptureFixture[str]
) -> None:
    images = slices_of(real_data / "ct" / "tcga_lihc_bca10x_messy" / "dicom")
    header = next(iter(images.values()))[1]
    with running_pacs(tmp_path / "pacs") as server:
        server.upload(path for path, _ in images.values())
        before = set(server.ids("instances"))
        given = words(server, str(header.StudyInstanceUID))
        assert main([*given, "--key-slice", "20", "-m", str(random_models)]) == ExitCode.REFUSED
        assert set(server.ids("instances")) == before
    assert capsys.readouterr().err.startswith("GAP")
    assert not (tmp_path / "out").exists()
