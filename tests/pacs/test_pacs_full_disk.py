"""A PACS whose disk fills up while a result arrives: what it has is said, and sending again mends it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders.orthanc_server import USER, running_pacs

from gastromap.pacs import DicomWebSettings, DimseSettings, PacsSettings, remote_of, send_result
from gastromap.pacs.remote import PacsError
from gastromap.pacs.send import result_objects

_DISK = 16 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("full disk: mounting a small one needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("full disk: this computer lets nobody mount one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("protocol", ["dicomweb", "dimse"])
def test_a_full_disk_is_reported_and_the_rest_is_sent_once_there_is_room(
    disk: Path, result: Path, tmp_path: Path, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_PASSWORD", USER[1])
    objects = result_objects(result)
    # Room for the largest object less 100 kB: some of the others still fit.
    largest = max(item.path.stat().st_size for item in objects)
    ballast = disk / "ballast"
    with running_pacs(tmp_path / "orthanc", StorageDirectory=str(disk), StorageCompression=False) as server:
        room = shutil.disk_usage(disk).free
        assert largest < room
        ballast.write_bytes(bytes(room - largest + 100_000))
        remote: DicomWebSettings | DimseSettings = (
            DicomWebSettings(f"{server.url}/dicom-web", username=USER[0], password_env="TEST_PASSWORD")
            if protocol == "dicomweb"
            else DimseSettings("127.0.0.1", server.dicom_port, called_aet="ORTHANC")
        )
        settings = PacsSettings(remote, attempts=2, wait_s=0.1)
        with pytest.raises(PacsError) as fault:
            send_result(result, settings)
        there = len(remote_of(settings).stored(objects))
        assert there < len(objects)
        if there:
            assert fault.value.code == "PACS_HALF_SENT"
            assert fault.value.got.startswith(f"{there}, then PACS_")
        else:
            assert fault.value.code in {"PACS_ANSWER", "PACS_REFUSED", "PACS_STATUS", "PACS_NOT_FOUND"}
        ballast.unlink()
        sent = send_result(result, settings)
    assert (sent.objects, sent.sent) == (len(objects), len(objects) - there)
