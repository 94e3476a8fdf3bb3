"""Throw-away processes in which other people's bytes are parsed and decoded before, or instead of, in this one.

A header can be made so that parsing it takes gigabytes or hours, and a damaged compressed picture can abort the decoder
and the process with it. The child has limits on time and memory and dies of such a file; this process lives and says
which file it was. A child stays for the next request; after a failure it is replaced. What it answers are numbers and
pixels, never objects: nothing that a file has done to the parser there can be unpacked here.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from gastromap.dicom_input.limits import GateSettings

__all__ = ["Child", "ChildFailedError", "borrowed_child"]

_MODULE = f"{__package__}.child_main"
_PIPE_BYTES = 1 << 20
#: Idle children kept for the next request.
_MOST_SPARE = 4


class ChildFailedError(Exception):
    """A child did not survive a request.

    Parameters
    ----------
    reason : {"time", "memory", "crash"}
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Child:
    """One process that waits for requests; not to be shared by threads."""

    def __init__(self) -> None:
        # The paths of this process, without the working folder: modules must not come from there.
        paths = [os.path.abspath(path) if path else os.getcwd() for path in sys.path]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            cwd="/",
        )
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        assert self._process.stdout is not None  # noqa: S101
        self._requests, self._answers = self._process.stdin, self._process.stdout
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(self._answers, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._rest = bytearray()
        self._deadline = 0.0

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can take a request."""
        return self._process.poll() is None

    def ask(self, request: Mapping[str, Any], *, settings: GateSettings) -> None:
        """Send a request; its answers must come within ``settings.parse_seconds``.

        Raises
        ------
        ChildFailedError
        """
        self._deadline = time.monotonic() + settings.parse_seconds
        message = json.dumps({**request, "settings": asdict(settings)}).encode() + b"\n"
        try:
            self._requests.write(message)
            self._requests.flush()
        except OSError:
            raise ChildFailedError("crash") from None

    def line(self) -> str:
        """Wait for a line of answer.

        Raises
        ------
        ChildFailedError
        """
        while (end := self._rest.find(b"\n")) < 0:
            self._receive()
        text = self._rest[:end].decode("ascii", "replace")
        del self._rest[: end + 1]
        if text == "memory":
            raise ChildFailedError("memory")
        return text

    def content(self, count: int) -> bytes:
        """Wait for bytes of answer.

        Raises
        ------
        ChildFailedError
        """
        while len(self._rest) < count:
            self._receive()
        content = bytes(self._rest[:count])
        del self._rest[:count]
        return content

    def _receive(self) -> None:
        left = max(0.0, self._deadline - time.monotonic())
        if not select.select([self._answers], [], [], left)[0]:
            raise ChildFailedError("time")
        content = os.read(self._answers.fileno(), _PIPE_BYTES)
        if not content:
            raise ChildFailedError("crash")
        self._rest += content

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._requests, self._answers):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


_lock = threading.Lock()
_spare: list[Child] = []


@contextlib.contextmanager
def borrowed_child() -> Iterator[Child]:
    """Lend a child that nobody else uses; it is killed if the block raises.

    Yields
    ------
    child : Child
    """
    with _lock:
        child = _spare.pop() if _spare else None
    if child is None or not child.alive:
        child = Child()
    try:
        yield child
    except BaseException:
        child.end()
        raise
    with _lock:
        keep = len(_spare) < _MOST_SPARE
        if keep:
            _spare.append(child)
    if not keep:
        child.end()


# A forked copy of this process could not share the pipes.
os.register_at_fork(after_in_child=_spare.clear)


@atexit.register
def _end_all() -> None:
    while _spare:
        _spare.pop().end()
