"""The service as a process of its own, for tests and for the endurance run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from benchmarks.inputs import REPOSITORY

__all__ = ["ENDED", "ServiceProcess"]

#: States that a study never leaves.
ENDED = frozenset({"done", "refused", "failed", "cancelled"})


class ServiceProcess:
    """Handle of the service, on a free port.

    Parameters
    ----------
    folder : Path
        Gets ``in`` (input root) and ``out`` (output root).
    models : Path
        Folder of the bundles.
    options : str
        More arguments of ``python -m app serve``.
    """

    def __init__(self, folder: Path, models: Path, *options: str) -> None:
        self.inputs, self.outputs = folder / "in", folder / "out"
        self.inputs.mkdir(exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._command = [
            *(sys.executable, "-m", "app", "serve", "-i", str(self.inputs), "-o", str(self.outputs)),
            *("-m", str(models), "--port", str(self.port), *options),
        ]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)
        self.process: Any = None

    def start(self, *, wait: bool = True) -> ServiceProcess:
        """Start it, and wait until its models are loaded."""
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        # A group of its own, so that a kill can take the worker along as a crash of the machine would.
        self.process = subprocess.Popen(self._command, cwd=REPOSITORY, env=environment, start_new_session=True)
        if wait:
            self.until(lambda: self.client.get("/health/ready").status_code == 200, seconds=120)
        return self

    def kill(self) -> None:
        """Kill -9 it and its worker."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def stop(self) -> int:
        """Ask it to end; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return int(self.process.wait(60))

    def until(self, happened: Callable[[], bool], *, seconds: float) -> None:
        """Wait until something has happened; a refused connection has not.

        Raises
        ------
        RuntimeError
            If the service has ended, or the time has.
        """
        end = time.monotonic() + seconds
        while True:
            try:
                if happened():
                    return
            except httpx.TransportError:
                time.sleep(0.1)
            if self.process.poll() is not None or time.monotonic() > end:
                msg = "the service has ended" if self.process.poll() is not None else "it did not happen in time"
                raise RuntimeError(msg)
            time.sleep(0.1)

    def submit(self, folder: str, *, key: str | None = None, **more: Any) -> dict[str, Any]:
        """Submit a folder below the input root; returns the job."""
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = self.client.post("/studies", json={"folder": folder, **more}, headers=headers)
        if answer.status_code not in (200, 202):
            raise RuntimeError(answer.text)
        return answer.json()  # type: ignore[no-any-return]

    def ended(self, job: dict[str, Any], *, seconds: float = 120) -> dict[str, Any]:
        """Wait for the end of a job; returns it."""
        self.until(lambda: self.client.get(f"/studies/{job['id']}").json()["state"] in ENDED, seconds=seconds)
        return self.client.get(f"/studies/{job['id']}").json()  # type: ignore[no-any-return]
