"""A real Orthanc on this computer for tests: Debian's package, loopback only, its data in a temporary folder."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
import requests

__all__ = ["USER", "OrthancServer", "https_in_front", "running_orthanc", "running_pacs"]

USER = ("gastromap", "trial")
_START_S = 30.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class OrthancServer:
    """A server that answers.

    Attributes
    ----------
    url : str
        REST; DICOMweb lies below ``/dicom-web``.
    dicom_port : int
        Its title is ``ORTHANC``; it knows ``GASTROMAP`` at ``listen_port``.
    """

    url: str
    dicom_port: int
    listen_port: int
    process: subprocess.Popen[bytes]

    def upload(self, files: Iterable[Path]) -> None:
        """Put files into it by REST."""
        for path in files:
            requests.post(f"{self.url}/instances", data=path.read_bytes(), auth=USER, timeout=30).raise_for_status()

    def ids(self, level: str) -> list[str]:
        """Orthanc's own identifiers of all ``patients``, ``studies``, ``series`` or ``instances``."""
        answer = requests.get(f"{self.url}/{level}", auth=USER, timeout=30)
        answer.raise_for_status()
        found: list[str] = answer.json()
        return found

    def files(self) -> dict[str, bytes]:
        """Every instance as a file, by SOP Instance UID."""
        found = {}
        for name in self.ids("instances"):
            content = requests.get(f"{self.url}/instances/{name}/file", auth=USER, timeout=30).content
            found[str(pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True).SOPInstanceUID)] = content
        return found

    def datasets(self) -> dict[str, pydicom.Dataset]:
        """Every instance as a dataset, by SOP Instance UID."""
        return {uid: pydicom.dcmread(io.BytesIO(content)) for uid, content in self.files().items()}

    @property
    def settings(self) -> str:
        """First line of a settings file, by DICOMweb; the password is to stand in ``TEST_PASSWORD``."""
        return f"dicomweb: {{url: '{self.url}/dicom-web', username: {USER[0]}, password_env: TEST_PASSWORD}}\n"


@contextmanager
def running_orthanc(folder: Path, *, stable_age_s: int = 1) -> Iterator[str]:
    """Start an Orthanc and give its address; the test is skipped where the program is missing."""
    with _started(folder, {"DicomServerEnabled": False, "StableAge": stable_age_s}) as server:
        yield server.url


@contextmanager
def running_pacs(folder: Path, **settings: object) -> Iterator[OrthancServer]:
    """Start an Orthanc with DICOMweb and a DICOM port that knows who calls; skipped where either is missing."""
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    if not plugin.exists():
        pytest.skip("no DICOMweb plug-in on this machine (Debian: apt-get install orthanc-dicomweb)")
    listen = _free_port()
    own = {
        "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": False,
        "DicomAlwaysAllowFind": False,
        "DicomAlwaysAllowGet": False,
        "DicomModalities": {"app": {"AET": "GASTROMAP", "Host": "127.0.0.1", "Port": listen}},
        "Plugins": [str(plugin)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "OverwriteInstances": False,
    }
    with _started(folder, {**own, **settings}, listen_port=listen) as server:
        yield server


@contextmanager
def _started(folder: Path, own: Mapping[str, object], *, listen_port: int = 0) -> Iterator[OrthancServer]:
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("no Orthanc on this machine (Debian: apt-get install orthanc)")
    http, dicom = _free_port(), _free_port()
    settings = {
        "Name": "test",
        "HttpPort": http,
        "DicomPort": dicom,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER[0]: USER[1]},
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [],
        **own,
    }
    (folder / "storage").mkdir(parents=True, exist_ok=True)
    (folder / "orthanc.json").write_text(json.dumps(settings))
    # Without it every small answer of the DICOM port waits for the one before.
    environment = {**os.environ, "TCP_NODELAY": "1"}
    with (folder / "orthanc.log").open("wb") as log:
        server = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log, env=environment)
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
            yield OrthancServer(f"http://127.0.0.1:{http}", dicom, listen_port, server)
        finally:
            server.terminate()
            server.wait(30)


@contextmanager
def https_in_front(url: str, certificate: Path) -> Iterator[str]:
    """Give an https address that hands everything on, as the web server before a PACS does.

    Orthanc's own HTTPS (1.10.1) ends with a segmentation fault at the first request.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    inside = int(url.rsplit(":", 1)[1])
    loop = asyncio.new_event_loop()

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", inside)
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))

    server = loop.run_until_complete(asyncio.start_server(hand_on, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _end(server: asyncio.Server) -> None:
    """Take no more, and let go of the connections that are still open."""
    server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    with suppress(OSError):
        writer.close()
