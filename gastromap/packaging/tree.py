"""A tree of files that comes out the same each time: modes and times set, a digest over names, modes and contents."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

__all__ = ["DEFAULT_EPOCH", "normalise", "source_date_epoch", "tree_digest"]

#: 1 January 2026 UTC: a fixed time for files where SOURCE_DATE_EPOCH names none.
DEFAULT_EPOCH = 1767225600


def source_date_epoch() -> int:
    """Time of all files in seconds since 1970: SOURCE_DATE_EPOCH (reproducible-builds.org), else a fixed one."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    return int(text) if text.isdecimal() else DEFAULT_EPOCH


def normalise(root: Path, *, epoch: int, executable: Collection[str] = ()) -> None:
    """Give files 0644, folders 0755 and everything one time.

    An image keeps the modes of its context, and a file that only its owner may read is lost to an arbitrary user.

    Parameters
    ----------
    root : Path
    epoch : int
        Seconds since 1970.
    executable : collection of str
        Paths below ``root``, with ``/``, that get 0755 too.
    """
    for path in [*_paths(root), root]:
        if path.is_symlink():
            os.utime(path, (epoch, epoch), follow_symlinks=False)
            continue
        relative = path.relative_to(root).as_posix()
        path.chmod(0o755 if path.is_dir() or relative in executable else 0o644)
        os.utime(path, (epoch, epoch))


def tree_digest(root: Path) -> str:
    """SHA-256 over the sorted names of a tree with kind, mode and content of each.

    Owners and times do not count: the first depend on who builds, the second are set.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path in _paths(root):
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            kind, content = "link", hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()
        elif stat.S_ISDIR(found.st_mode):
            kind, content = "folder", ""
        else:
            with path.open("rb") as stream:
                kind, content = "file", hashlib.file_digest(stream, "sha256").hexdigest()
        line = f"{path.relative_to(root).as_posix()}\0{kind}\0{stat.S_IMODE(found.st_mode):o}\0{content}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _paths(root: Path) -> Iterator[Path]:
    """Everything below a folder, sorted by path; what a link points to is not entered."""
    found: list[Path] = []
    for folder, folders, files in os.walk(root):
        found += [Path(folder, name) for name in (*folders, *files)]
    yield from sorted(found, key=lambda path: path.relative_to(root).as_posix())
