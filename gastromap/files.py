"""Writing of result files: in one step, never over an earlier result, with one wording of what can go wrong."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from gastromap.errors import OutputError

__all__ = ["check_none_exists", "probe_folder", "unwritable", "write_text"]


def write_text(path: Path, text: str) -> None:
    """Write a file in one step, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def probe_folder(folder: Path) -> None:
    """Write into a folder that exists; raises ``OSError`` if that is not possible."""
    # Modes say nothing to root and nothing about read-only mounts and quotas: only writing tells.
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b"\0")


def check_none_exists(folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder in which one of the names is taken.

    Raises
    ------
    OutputError
        ``OUTPUT_EXISTS``.
    """
    taken = [name for name in names if os.path.lexists(folder / name)]
    if taken:
        raise OutputError(
            "OUTPUT_EXISTS",
            where="output",
            expected="a folder without an earlier result",
            got=f"{taken[0]} in it",
            remedy="Name an empty folder; results are never overwritten.",
        )


def unwritable(
    error: Exception,
    *,
    where: str = "output",
    expected: str = "a folder that files can be written to",
    remedy: str = "Name another folder, or free space and correct its permissions.",
) -> OutputError:
    """Make the error ``OUTPUT_UNWRITABLE`` of what the system said.

    Parameters
    ----------
    error : Exception
        An ``OSError``, or what a library makes of one. Its path stays out of the message: folders are often named
        after patients.
    where, expected, remedy : str
    """
    got = (getattr(error, "strerror", None) or type(error).__name__).lower()
    return OutputError("OUTPUT_UNWRITABLE", where=where, expected=expected, got=got, remedy=remedy)
