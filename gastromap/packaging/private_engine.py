"""The container engine that runs here, or a private one for the length of a build.

The private engine (Debian's docker.io, as root) has its own socket and data folder, no bridge and no firewall rules,
since neither build nor runs have a network; it is stopped by its process number.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gastromap.packaging.engine import Engine, EngineMissing, engine_missing

__all__ = ["open_engine"]

_START_SECONDS = 60


@contextmanager
def open_engine(work: Path, *, programs: Sequence[str] = ("docker", "podman")) -> Iterator[Engine]:
    """Find an engine that answers, or run a private one below ``work`` for the length of the block.

    Yields
    ------
    Engine

    Raises
    ------
    EngineMissing
        ``ENGINE_MISSING``, with the reason.
    """
    found = [name for name in programs if shutil.which(name)]
    engine: Engine | None = None
    for name in found:
        with suppress(EngineMissing):
            engine = Engine.reach(name)
            break
    if engine is not None:
        # Outside the search: what goes wrong with the engine in use is no reason to try the next.
        yield engine
        return
    if "docker" not in found:
        raise engine_missing("no docker or podman command")
    if os.getuid() != 0 or shutil.which("dockerd") is None:
        raise engine_missing("no reachable container engine, and not root with dockerd installed")
    with _private(work) as engine:
        yield engine


@contextmanager
def _private(work: Path) -> Iterator[Engine]:
    folder = work / "engine"
    folder.mkdir(parents=True, exist_ok=True)
    socket = f"unix://{folder / 'docker.sock'}"
    command = [
        *("dockerd", "--host", socket, "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
        *("--pidfile", str(folder / "docker.pid"), "--bridge=none", "--iptables=false"),
    ]
    log = folder / "dockerd.log"
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)  # noqa: S603 - fixed words
    engine = Engine(shutil.which("docker") or "docker", private=True, environment={"DOCKER_HOST": socket})
    try:
        deadline = time.monotonic() + _START_SECONDS
        while engine.call("info", check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["nothing said"]
                raise engine_missing(f"dockerd does not start: {lines[-1]}")
            time.sleep(0.5)
        yield engine
    finally:
        process.terminate()
        process.wait()
        # Gigabytes that nobody else could reach; the log stays.
        for name in ("data", "exec"):
            shutil.rmtree(folder / name, ignore_errors=True)
