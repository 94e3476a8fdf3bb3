"""A container engine: the one that runs here, or a private one for the length of a build.

The private engine (Debian's docker.io, as root) has its own socket and data folder, no bridge and no firewall rules,
since neither build nor runs have a network; it is stopped by its process number.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gastromap.packaging.configuration import PackagingError

__all__ = ["Engine", "EngineMissing", "open_engine"]

_START_SECONDS = 60


class EngineMissing(PackagingError):  # noqa: N818 - a state, as in the command's message
    """No container engine can run here; whoever asked may skip."""


@dataclass(frozen=True)
class Engine:
    """Calls of the command line of docker or podman.

    Attributes
    ----------
    program : str
        ``docker`` or ``podman``.
    private : bool
        Whether its images end with it.
    """

    program: str
    private: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    def call(self, *arguments: str, check: bool = True, log: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command.

        Parameters
        ----------
        *arguments : str
        check : bool
            Whether a status other than 0 is an error.
        log : Path, optional
            File for everything the command says; its output is then not returned.

        Raises
        ------
        PackagingError
            ``ENGINE_FAILED``, with the last line of what it said.
        """
        command = [self.program, *arguments]
        # The classic builder: Debian's docker.io brings no buildx, and without a network both do the same.
        environment = {**os.environ, "DOCKER_BUILDKIT": "0", **self.environment}
        if log is None:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
            said = done.stderr or done.stdout
        else:
            with log.open("w", encoding="utf-8") as stream:
                done = subprocess.run(  # noqa: S603
                    command, env=environment, stdout=stream, stderr=subprocess.STDOUT, text=True, check=False
                )
            said = log.read_text(encoding="utf-8", errors="replace")
        if check and done.returncode:
            lines = said.strip().splitlines() or ["nothing said"]
            raise PackagingError(
                "ENGINE_FAILED",
                where=f"{Path(self.program).name} {arguments[0]}",
                expected="status 0",
                got=f"{done.returncode}: {lines[-1]}",
                remedy="See the lines before it." if log is None else f"See {log}.",
            )
        return done

    def has_image(self, image: str) -> bool:
        """Whether an image of this name is there."""
        return self.call("image", "inspect", image, check=False).returncode == 0

    def python_of(self, image: str) -> tuple[int, int]:
        """Minor version of the python3 in an image."""
        code = "import sys; print(*sys.version_info[:2])"
        done = self.call("run", "--rm", "--network", "none", "--entrypoint", "python3", image, "-c", code)
        major, minor = done.stdout.split()
        return int(major), int(minor)

    def size_of(self, image: str) -> int:
        """Unpacked size of an image in bytes."""
        return int(self.call("image", "inspect", "--format", "{{.Size}}", image).stdout)


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
    for name in found:
        engine = Engine(name)
        if engine.call("info", check=False).returncode == 0:
            yield engine
            return
    if "docker" not in found:
        raise _missing("no docker or podman command")
    if os.getuid() != 0 or shutil.which("dockerd") is None:
        raise _missing("no reachable container engine, and not root with dockerd installed")
    with _private(work) as engine:
        yield engine


def _missing(reason: str) -> EngineMissing:
    return EngineMissing(
        "ENGINE_MISSING",
        where="container engine",
        expected="docker or podman that answers",
        got=reason,
        remedy="On Debian: apt-get install docker.io mmdebstrap, and start it or run as root.",
    )


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
    engine = Engine("docker", private=True, environment={"DOCKER_HOST": socket})
    try:
        deadline = time.monotonic() + _START_SECONDS
        while engine.call("info", check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["nothing said"]
                raise _missing(f"dockerd does not start: {lines[-1]}")
            time.sleep(0.5)
        yield engine
    finally:
        process.terminate()
        process.wait()
        # Gigabytes that nobody else could reach; the log stays.
        for name in ("data", "exec"):
            shutil.rmtree(folder / name, ignore_errors=True)
