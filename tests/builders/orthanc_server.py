"""A real Orthanc on this computer for tests: Debian's package, loopback only, its data in a temporary folder."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["USER", "running_orthanc"]

USER = ("gastromap", "trial")
_START_S = 30.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_orthanc(folder: Path, *, stable_age_s: int = 1) -> Iterator[str]:
    """Start an Orthanc and give its address; the test is skipped where the program is missing."""
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("no Orthanc on this machine (Debian: apt-get install orthanc)")
    http = _free_port()
    settings = {
        "Name": "test",
        "HttpPort": http,
        "DicomPort": _free_port(),
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER[0]: USER[1]},
        "StableAge": stable_age_s,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [],
    }
    (folder / "storage").mkdir(parents=True)
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("wb") as log:
        server = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + _START_S
            while True:
                try:
                    socket.create_connection(("127.0.0.1", http), timeout=1).close()
                    break
                except OSError:
                    assert server.poll() is None, (folder / "orthanc.log").read_text()[-2000:]
                    assert time.monotonic() < deadline, "Orthanc does not answer"
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{http}"
        finally:
            server.terminate()
            server.wait(30)
