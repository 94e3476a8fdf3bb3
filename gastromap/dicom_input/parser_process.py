"""A child process with limits on time and memory reads every header before this process does.

A header can be made so that parsing it takes gigabytes or hours. The child meets such a file first and dies of it; what
it has passed is then parsed here in the same way, one file behind, so that the second reading costs little time. The
child gets paths and answers with numbers: nothing that was read comes back from it, so that a parser that was led
astray by a file cannot tell this process anything false.

The process stays for the next folder; after a failure it is replaced.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import resource
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TextIO

from gastromap.dicom_input.image import ct_image
from gastromap.dicom_input.labels import quiet_pydicom
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.parse import parse_file
from gastromap.dicom_input.scan import ScannedFile, identify

__all__ = ["ParserFailedError", "passed_files", "start_parser"]

_MEMORY = "memory"
_GIB = 1024**3


class ParserFailedError(Exception):
    """The child did not survive a file.

    Parameters
    ----------
    position : int
        Of the file in the sequence that was given.
    expected, got : str
        For the message of a refusal.
    """

    def __init__(self, position: int, expected: str, got: str) -> None:
        super().__init__(got)
        self.position = position
        self.expected = expected
        self.got = got


# --- this process ---------------------------------------------------------------------------------------------------
_lock = threading.Lock()
_spare: subprocess.Popen[bytes] | None = None


def start_parser() -> None:
    """Start the child now, so that its imports run while this process does something else."""
    child = _take()
    _give_back(child)


def passed_files(files: Sequence[ScannedFile], *, settings: GateSettings) -> Iterator[int]:
    """Let the child parse files one after the other.

    Parameters
    ----------
    files : sequence of ScannedFile
    settings : GateSettings
        ``parse_seconds`` for all files together and ``parse_bytes`` of address space.

    Yields
    ------
    position : int
        Of each file as soon as the child has parsed it, in order.

    Raises
    ------
    ParserFailedError
    """
    child = _take()
    assert child.stdin is not None  # noqa: S101 - for the type checker
    assert child.stdout is not None  # noqa: S101
    request = {
        "files": [(file.path, file.size) for file in files],
        "settings": asdict(settings),
    }
    deadline = time.monotonic() + settings.parse_seconds
    passed = 0
    try:
        child.stdin.write(json.dumps(request).encode() + b"\n")
        child.stdin.flush()
        rest = b""
        while passed < len(files):
            rest += _read(child.stdout.fileno(), deadline)
            *lines, rest = rest.split(b"\n")
            for line in lines:
                if line != b"%d" % passed:
                    raise _Stopped(line.decode("ascii", "replace"))
                yield passed
                passed += 1
    except _Stopped as stop:
        _end(child)
        raise _failure(passed, str(stop), settings) from None
    except OSError:
        _end(child)
        raise _failure(passed, "", settings) from None
    except BaseException:
        _end(child)
        raise
    _give_back(child)


class _Stopped(Exception):  # noqa: N818 - not an error by itself; it carries the reason to the caller
    """The child has said or shown that it cannot go on."""


def _failure(position: int, reason: str, settings: GateSettings) -> ParserFailedError:
    if reason == "time":
        return ParserFailedError(position, f"seconds for all headers <= {settings.parse_seconds:g}", "more")
    if reason == _MEMORY:
        return ParserFailedError(position, f"memory for all headers <= {settings.parse_bytes / _GIB:g} GiB", "more")
    return ParserFailedError(position, "headers that can be parsed", "a crash of the parser")


def _read(descriptor: int, deadline: float) -> bytes:
    ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
    if not ready:
        raise _Stopped("time")
    content = os.read(descriptor, 65536)
    if not content:
        raise _Stopped("")
    return content


def _take() -> subprocess.Popen[bytes]:
    global _spare
    with _lock:
        child, _spare = _spare, None
    if child is not None and child.poll() is None:
        return child
    # The paths of this process, without the working folder: modules must not come from there.
    paths = [os.path.abspath(path) if path else os.getcwd() for path in sys.path]
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-m", __spec__.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        cwd="/",
    )


def _give_back(child: subprocess.Popen[bytes]) -> None:
    global _spare
    with _lock:
        spare, _spare = _spare, child
    if spare is not None:
        _end(spare)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def _forget() -> None:
    """Leave the child to the process that started it: two could not talk to it at once."""
    global _spare
    _spare = None


os.register_at_fork(after_in_child=_forget)


@atexit.register
def _end_spare() -> None:
    if _spare is not None:
        _end(_spare)


# --- the child ------------------------------------------------------------------------------------------------------
def _serve(requests: TextIO, answers: TextIO) -> None:
    for line in requests:
        request = json.loads(line)
        settings = GateSettings(**request["settings"])
        _limit(settings)
        # All are kept until the last is read, as the caller keeps them: the limit is on their sum.
        kept = []
        with quiet_pydicom():
            for position, (path, size) in enumerate(request["files"]):
                try:
                    parsed = parse_file(identify(path, size), settings=settings)
                    kept.append((parsed, ct_image(parsed) if parsed.kind == "ct" else None))
                except MemoryError:
                    kept.clear()
                    answers.write(f"{_MEMORY}\n")
                    answers.flush()
                    return
                answers.write(f"{position}\n")
                answers.flush()


def _limit(settings: GateSettings) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    space = settings.parse_bytes if hard == resource.RLIM_INFINITY else min(settings.parse_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (space, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # If the caller is gone nobody watches the clock.
    used = time.process_time() + settings.parse_seconds
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    seconds = int(used) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds if hard == resource.RLIM_INFINITY else min(seconds, hard), hard))


if __name__ == "__main__":
    _serve(sys.stdin, sys.stdout)
