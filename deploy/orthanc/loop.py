"""Stage every study with CT that arrives in an Orthanc, and store the results beside it.

Runs in GastroMAP's image (see compose.yaml) or beside a checkout, with the standard library only. It asks Orthanc for
studies that are complete (change ``StableStudy``), fetches their images, starts the application, and stores the DICOM
results: all of them or none. What was done to a study is kept as metadata of the study in Orthanc, so that a restart
repeats nothing and images that arrive later are staged again. The log holds Orthanc's identifiers, which are hashes.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Orthanc", "main", "stage_study"]

#: Metadata of a study from 1024 on are free for users.
_METADATA = 4711
#: What the application reads; its own results come back as other kinds, or are listed in the metadata.
_MODALITIES = frozenset({"CT", "SEG", "RTSTRUCT", "KO"})
_REFUSED = 3
_TIMEOUT_S = 60.0
_log = logging.getLogger("gastromap.loop")


class Orthanc:
    """The REST interface of an Orthanc.

    Parameters
    ----------
    url : str
        Address, ``http://orthanc:8042``.
    user, password : str
        Empty without authentication.
    """

    def __init__(self, url: str, user: str = "", password: str = "") -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError("ORTHANC_URL: expected http:// or https://, got something else. Correct it.")
        self._url = url.rstrip("/")
        self._headers = {"Expect": ""}
        if user:
            self._headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send one request.

        Raises
        ------
        OSError
            Without a connection or with a status other than 2xx.
        """
        request = urllib.request.Request(self._url + path, data=body, method=method, headers=self._headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310  -- checked above
            return bytes(answer.read())

    def get(self, path: str) -> Any:
        """Read JSON."""
        return json.loads(self.call("GET", path))

    def record(self, study: str) -> dict[str, Any]:
        """Read what was done to a study; nothing so far gives an empty record."""
        try:
            return dict(json.loads(self.call("GET", f"/studies/{study}/metadata/{_METADATA}")))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return {}
            raise

    def keep(self, study: str, record: dict[str, Any]) -> None:
        """Keep what was done to a study."""
        self.call("PUT", f"/studies/{study}/metadata/{_METADATA}", json.dumps(record).encode())


@dataclass(frozen=True)
class _Input:
    instances: tuple[str, ...]
    has_ct: bool

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.instances).encode()).hexdigest()


def _input_of(orthanc: Orthanc, study: str, results: Sequence[str]) -> _Input:
    instances: list[str] = []
    has_ct = False
    for series in orthanc.get(f"/studies/{study}/series"):
        modality = series.get("MainDicomTags", {}).get("Modality")
        if modality in _MODALITIES:
            ours = [item for item in series["Instances"] if item not in set(results)]
            has_ct = has_ct or (modality == "CT" and bool(ours))
            instances += ours
    return _Input(tuple(sorted(instances)), has_ct)


def stage_study(orthanc: Orthanc, study: str, command: Sequence[str], stop: threading.Event) -> str:
    """Stage one study if it holds CT that was not staged yet.

    Parameters
    ----------
    orthanc : Orthanc
    study : str
        Orthanc's identifier.
    command : sequence of str
        Start of the application.
    stop : threading.Event
        Ends the application when it is set; the study is then left for the next start.

    Returns
    -------
    str
        ``staged``, ``refused``, ``failed``, ``stopped``, ``known`` or ``no CT``.

    Raises
    ------
    OSError
        If Orthanc does not answer.
    """
    record = orthanc.record(study)
    if record.get("input") == "":
        record = _forget_half(orthanc, study, record)
    given = _input_of(orthanc, study, record.get("results", []))
    if not given.has_ct:
        return "no CT"
    if record.get("input") == given.digest:
        return "known"
    with tempfile.TemporaryDirectory(prefix="gastromap-") as folder:
        source, target = Path(folder, "input"), Path(folder, "output")
        source.mkdir()
        target.mkdir()
        for number, instance in enumerate(given.instances):
            Path(source, f"{number:06d}.dcm").write_bytes(orthanc.call("GET", f"/instances/{instance}/file"))
        status, last = _run(command, source, target, stop)
        if status is None:
            return "stopped"
        if status:
            _log.warning("study %s: status %d: %s", study, status, last)
            if status == _REFUSED:
                # The same images would be refused again.
                orthanc.keep(study, {"input": given.digest, "status": status, "results": record.get("results", [])})
            return "refused" if status == _REFUSED else "failed"
        results = _store(orthanc, study, sorted(target.rglob("*.dcm")), record.get("results", []))
    orthanc.keep(study, {"input": given.digest, "status": 0, "results": results})
    return "staged"


def _run(command: Sequence[str], source: Path, target: Path, stop: threading.Event) -> tuple[int | None, str]:
    paths = {"HOLOSCAN_INPUT_PATH": str(source), "HOLOSCAN_OUTPUT_PATH": str(target)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603  -- the operator's own command
            command, env={**os.environ, **paths}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        while process.poll() is None:
            if stop.wait(0.2):
                process.terminate()
                process.wait()
                return None, ""
        log.seek(0)
        lines = log.read().decode(errors="replace").strip().splitlines()
    return process.returncode, lines[-1] if lines else ""


def _store(orthanc: Orthanc, study: str, files: Sequence[Path], earlier: Sequence[str]) -> list[str]:
    """Store the results; the record says at each moment which are there, and by its empty ``input`` that some miss."""
    stored: list[str] = []
    for path in files:
        stored.append(str(json.loads(orthanc.call("POST", "/instances", path.read_bytes()))["ID"]))
        orthanc.keep(study, {"input": "", "results": list(earlier), "half": stored})
    return [*earlier, *stored]


def _forget_half(orthanc: Orthanc, study: str, record: dict[str, Any]) -> dict[str, Any]:
    """Delete what was stored before a run broke off: half a result could be taken for a whole one."""
    for instance in record.get("half", []):
        try:
            orthanc.call("DELETE", f"/instances/{instance}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
    record = {"results": record.get("results", [])}
    orthanc.keep(study, record)
    return record


def _follow(orthanc: Orthanc, command: Sequence[str], stop: threading.Event, *, once: bool, pause_s: float) -> None:
    since = 0
    while not stop.is_set():
        try:
            page = orthanc.get(f"/changes?since={since}&limit=100")
            for change in page["Changes"]:
                if change["ChangeType"] == "StableStudy" and not stop.is_set():
                    _one(orthanc, change["ID"], command, stop)
                since = int(change["Seq"])
            done = bool(page["Done"])
        except OSError as error:
            # Orthanc starts later than this, or was restarted; where it stands in the changes is kept.
            _log.warning("Orthanc: expected an answer, got %s. Trying again.", type(error).__name__)
            done = False
            stop.wait(pause_s)
            continue
        if done:
            if once:
                return
            stop.wait(pause_s)


def _one(orthanc: Orthanc, study: str, command: Sequence[str], stop: threading.Event) -> None:
    try:
        outcome = stage_study(orthanc, study, command, stop)
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        outcome = "deleted"
    _log.info("study %s: %s", study, outcome)


def main(argv: Sequence[str] | None = None) -> int:
    """Follow an Orthanc until told to stop.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program name.
    """
    parser = argparse.ArgumentParser(
        description="Stage every study with CT that arrives in an Orthanc.",
        epilog="environment: ORTHANC_URL, ORTHANC_USER, ORTHANC_PASSWORD, HOLOSCAN_APPLICATION. Research use only.",
    )
    application = os.environ.get("HOLOSCAN_APPLICATION", "/opt/holoscan/app")
    parser.add_argument("--command", default=f"{shlex.quote(sys.executable)} {shlex.quote(application)}")
    parser.add_argument("--once", action="store_true", help="end when no more studies wait")
    parser.add_argument(
        "--pause", type=float, default=2.0, metavar="S", help="between questions (default: %(default)s)"
    )
    given = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    names = ("ORTHANC_URL", "ORTHANC_USER", "ORTHANC_PASSWORD")
    url, user, password = (os.environ.get(name, "") for name in names)
    try:
        orthanc = Orthanc(url or "http://localhost:8042", user, password)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    _follow(orthanc, shlex.split(given.command), stop, once=given.once, pause_s=given.pause)
    return 0


if __name__ == "__main__":
    sys.exit(main())
