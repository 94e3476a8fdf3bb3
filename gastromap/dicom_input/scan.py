"""Walk the input folder: which regular files are there, before any of them is parsed.

Links below the root, FIFOs, sockets and devices are never opened: a FIFO would block for ever, a link may lead out
of the folder. Counts and sizes are checked here, on ``lstat`` alone.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gastromap.dicom_input.limits import GateSettings
from gastromap.errors import Refusal, UsageError

__all__ = ["ScannedFile", "ScannedFolder", "identify", "open_regular", "scan_folder"]

#: Bytes of each file that give it its identity in messages; enough to hold all UIDs of an image.
_HEAD_BYTES = 4096


@dataclass(frozen=True)
class ScannedFile:
    """A regular file; ``index`` follows the content, so that renaming the files changes no message."""

    path: str
    size: int
    suffix: str  #: lower case, with the dot
    head: bytes  #: first bytes of the file
    content: bytes  #: digest of head and size
    index: int = 0


@dataclass(frozen=True)
class ScannedFolder:
    """What the walk found."""

    files: tuple[ScannedFile, ...]
    skipped_links: int  #: links, FIFOs, sockets and devices


class _BoundedReader(io.BufferedReader):
    """A file that is never asked for more bytes than it has.

    The parser asks for as many as an element claims, and the memory for them would be taken before the first is read.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most ``size`` bytes."""
        if size is not None and size > _HEAD_BYTES:
            size = min(size, max(0, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


def open_regular(path: str) -> BinaryIO:
    """Open a file for reading if it is still a regular file and no link.

    Parameters
    ----------
    path : str
        As found by the walk.

    Returns
    -------
    stream : binary file

    Raises
    ------
    OSError
        If the file became something else between the walk and now.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        msg = "not a regular file"
        raise OSError(msg)
    return _BoundedReader(io.FileIO(descriptor, "rb"))


def _limit(name: str, maximum: int, value: int) -> Refusal:
    return Refusal(
        "LIMIT_EXCEEDED",
        where="input",
        expected=f"{name} <= {maximum}",
        got=str(value),
        remedy="Split the input or raise the limit in the configuration.",
    )


def _walk(root: str, settings: GateSettings) -> tuple[list[tuple[str, int]], int]:
    found: list[tuple[str, int]] = []
    links = total = 0
    pending = [(root, 1)]
    while pending:
        folder, depth = pending.pop()
        if depth > settings.max_depth:
            raise _limit("folder depth", settings.max_depth, depth)
        with os.scandir(folder) as entries:
            for entry in entries:
                mode = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(mode.st_mode):
                    pending.append((entry.path, depth + 1))
                elif stat.S_ISREG(mode.st_mode):
                    found.append((entry.path, mode.st_size))
                    total += mode.st_size
                    if len(found) > settings.max_files:
                        raise _limit("number of files", settings.max_files, len(found))
                else:
                    links += 1
    if total > settings.max_total_bytes:
        raise _limit("total bytes", settings.max_total_bytes, total)
    return found, links


def identify(path: str, size: int) -> ScannedFile:
    """Read the first bytes of a file that the walk has found.

    Parameters
    ----------
    path : str
    size : int
        In bytes.

    Returns
    -------
    file : ScannedFile
        Without a number.
    """
    try:
        with open_regular(path) as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError:
        # No permission or a bad sector: parsing will meet the same error and report the file as damaged.
        head = b""
    content = hashlib.blake2b(head + size.to_bytes(8, "big"), digest_size=16).digest()
    return ScannedFile(path, size, os.path.splitext(path)[1].lower(), head, content)


def scan_folder(folder: Path, *, settings: GateSettings) -> ScannedFolder:
    """List the regular files below a folder, in an order that does not depend on their names.

    Parameters
    ----------
    folder : Path
        May itself be a link; nothing below it is followed.
    settings : GateSettings
        Caps on number of files, bytes and depth.

    Returns
    -------
    scanned : ScannedFolder

    Raises
    ------
    UsageError
        ``INPUT_NOT_FOUND`` if there is no such folder.
    Refusal
        ``LIMIT_EXCEEDED``.
    """
    root = os.path.realpath(folder)
    if not os.path.isdir(root):
        raise UsageError(
            "INPUT_NOT_FOUND",
            where="input",
            expected="a readable folder",
            got="none of that name",
            remedy="Check the input folder.",
        )
    try:
        found, links = _walk(root, settings)
    except OSError as error:
        raise Refusal(
            "FILE_UNREADABLE",
            where="input",
            expected="every folder to be readable",
            got=type(error).__name__,
            remedy="Check the permissions of the input folder.",
        ) from None
    files = sorted((identify(path, size) for path, size in found), key=lambda file: (file.content, file.suffix))
    numbered = (
        ScannedFile(file.path, file.size, file.suffix, file.head, file.content, index)
        for index, file in enumerate(files, start=1)
    )
    return ScannedFolder(files=tuple(numbered), skipped_links=links)
