"""A container engine by its command line: docker, or podman with the same arguments."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gastromap.errors import UsageError
from gastromap.packaging.configuration import PackagingError

__all__ = ["Engine", "EngineMissing", "Finished", "Mount", "engine_missing"]

_SHORT_S = 120.0
#: Characters of an engine's complaint worth repeating.
_LONGEST = 200


class EngineMissing(PackagingError):  # noqa: N818 - a state, as in the command's message
    """No container engine can run here; whoever asked may skip."""


def engine_missing(reason: str) -> EngineMissing:
    """Give the error ``ENGINE_MISSING`` with the reason as what was got."""
    return EngineMissing(
        "ENGINE_MISSING",
        where="container engine",
        expected="docker or podman that answers",
        got=reason,
        remedy="On Debian: apt-get install docker.io mmdebstrap, and start it or run as root.",
    )


@dataclass(frozen=True)
class Mount:
    """A folder of the host in a container."""

    source: Path
    target: str
    writable: bool = False

    @property
    def option(self) -> str:
        """Value for ``-v``."""
        return f"{self.source}:{self.target}{'' if self.writable else ':ro'}"


@dataclass(frozen=True)
class Finished:
    """How a container ended.

    Attributes
    ----------
    status : int or None
        Exit status; None if it had to be ended after the time limit.
    output : bytes
        Standard output; ``log`` has both streams.
    """

    status: int | None
    output: bytes
    log: bytes
    seconds: float


@dataclass(frozen=True)
class Engine:
    """Calls of the command line of docker or podman.

    Attributes
    ----------
    program : str
        Path of ``docker`` or ``podman``.
    private : bool
        Whether its images end with it.
    environment : dict
        Added to the environment of the command: DOCKER_HOST of a private engine.
    """

    program: str
    private: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def reach(cls, command: str = "docker", environment: Mapping[str, str] | None = None) -> Engine:
        """Give an engine that answers; DOCKER_HOST counts as always.

        Raises
        ------
        EngineMissing
            ``ENGINE_MISSING``: the command is missing or the engine does not answer.
        """
        path = shutil.which(command)
        if path is None:
            raise engine_missing(f"no {command} command (Debian: apt-get install docker.io)")
        engine = cls(path, environment=dict(environment or {}))
        done = engine._ask("info")
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise engine_missing(f"no reachable container engine: {lines[-1][:_LONGEST] if lines else 'no answer'}")
        return engine

    @property
    def variables(self) -> dict[str, str]:
        """Environment of the command."""
        # The classic builder: Debian's docker.io brings no buildx, and without a network both do the same.
        return {**os.environ, "DOCKER_BUILDKIT": "0", **self.environment}

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
        if log is None:
            done = subprocess.run(command, env=self.variables, capture_output=True, text=True, check=False)  # noqa: S603
            said = done.stderr or done.stdout
        else:
            with log.open("w", encoding="utf-8") as stream:
                done = subprocess.run(  # noqa: S603
                    command, env=self.variables, stdout=stream, stderr=subprocess.STDOUT, text=True, check=False
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

    def _call(self, *arguments: str, timeout_s: float | None = None) -> subprocess.CompletedProcess[bytes]:
        # Arguments go to the engine as they are, without a shell.
        return subprocess.run(  # noqa: S603
            [self.program, *arguments],
            env=self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=timeout_s,
        )

    def _ask(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Call for something that an engine does at once."""
        try:
            return self._call(*arguments, timeout_s=_SHORT_S)
        except subprocess.TimeoutExpired as error:
            what = f"the engine does not answer to {arguments[0]} within {_SHORT_S:g} s"
            raise engine_missing(what) from error

    def inspect(self, image: str) -> dict[str, Any]:
        """Give what the engine knows of an image.

        Raises
        ------
        UsageError
            ``IMAGE_MISSING``; nothing is pulled.
        """
        done = self._ask("image", "inspect", "--", image)
        if done.returncode:
            raise UsageError(
                "IMAGE_MISSING",
                where="image",
                expected="an image that the engine has",
                got="none of that name",
                remedy="Build, load or pull it first.",
            )
        content = json.loads(done.stdout)
        return dict(content[0])

    def history(self, image: str) -> list[str]:
        """Give the commands that made the layers."""
        done = self._ask("history", "--no-trunc", "--format", "{{.CreatedBy}}", "--", image)
        return done.stdout.decode(errors="replace").splitlines()

    def export(self, image: str, target: Path) -> None:
        """Write the files of an image as one tar archive."""
        # The image may have no command; the container is never started.
        made = self._ask("create", "--network", "none", image, "export")
        if made.returncode:
            raise engine_missing("the engine made no container of the image")
        container = made.stdout.decode().strip().splitlines()[-1]
        try:
            if self._call("export", "-o", str(target), container).returncode:
                raise engine_missing("the engine gave no files of the image")
        finally:
            self.remove(container)

    def run(
        self,
        image: str,
        arguments: Sequence[str] = (),
        *,
        options: Sequence[str] = (),
        mounts: Sequence[Mount] = (),
        variables: dict[str, str] | None = None,
        timeout_s: float,
    ) -> Finished:
        """Run a container to its end, or to the time limit, and remove it."""
        name = f"gastromap-check-{uuid.uuid4().hex[:12]}"
        line = self._line(name, image, arguments, options, mounts, variables or {})
        start = time.monotonic()
        try:
            done = self._call("run", *line, timeout_s=timeout_s)
        except subprocess.TimeoutExpired as late:
            parts = (late.stdout or b"", late.stderr or b"")
            return Finished(None, parts[0], b"".join(parts), time.monotonic() - start)
        finally:
            self.remove(name)
        return Finished(done.returncode, done.stdout, done.stdout + done.stderr, time.monotonic() - start)

    def _line(
        self,
        name: str,
        image: str,
        arguments: Sequence[str],
        options: Sequence[str],
        mounts: Sequence[Mount],
        variables: dict[str, str],
    ) -> list[str]:
        volumes = [word for mount in mounts for word in ("-v", mount.option)]
        settings = [word for key, value in variables.items() for word in ("-e", f"{key}={value}")]
        return ["--name", name, *options, *volumes, *settings, image, *arguments]

    def stopped(
        self, image: str, *, options: Sequence[str], mounts: Sequence[Mount], after_s: float, grace_s: int
    ) -> tuple[Finished, float]:
        """Start a container, tell it to stop after a while, and give its end and the seconds the stop took."""
        name = f"gastromap-check-{uuid.uuid4().hex[:12]}"
        line = self._line(name, image, (), options, mounts, {})
        try:
            self._ask("run", "-d", *line)
            time.sleep(after_s)
            start = time.monotonic()
            self._ask("stop", "-t", str(grace_s), name)
            took = time.monotonic() - start
            state = self._ask("inspect", "--format", "{{.State.ExitCode}}", name)
            log = self._ask("logs", name)
            text = state.stdout.decode().strip()
            status = int(text) if text.lstrip("-").isdigit() else None
            return Finished(status, log.stdout, log.stdout + log.stderr, after_s), took
        finally:
            self.remove(name)

    def remove(self, container: str) -> None:
        """Remove a container of ours, running or not."""
        self._ask("rm", "-f", "-v", container)
