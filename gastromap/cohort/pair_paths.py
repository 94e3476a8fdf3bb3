"""Find the files that the cells of a table name, as people write paths, and those that no row names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from gastromap.cohort.spreadsheet import identifier, plain

__all__ = ["PathFinder", "state_of", "unnamed_entries"]

_SUFFIXES = (".nii.gz", ".nii")
_DICOM_SUFFIXES = ("", ".dcm", ".ima")


class PathFinder:
    """Finds what cells name below some folders.

    Parameters
    ----------
    roots : sequence of Path
        Tried in their order.

    Notes
    -----
    Paths may have slashes of either kind, a drive, a network name, quotes; they may lack ``.nii.gz``, or differ from
    the name on disk in width, letter case and composition of letters. Of a path of another machine, the longest end
    that exists below a root counts; but not one that is shorter than the ends of its neighbours: where
    ``D:/data/P1/ct.nii`` is ``P1/ct.nii``, ``D:/data/P2/ct.nii`` is no ``ct.nii`` without a folder.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = tuple(roots)
        self._listed: dict[Path, dict[str, list[str]]] = {}

    def find_all(self, cells: Iterable[str]) -> dict[str, Path | None]:
        """Find files or folders; None where there is none, or several that could be meant.

        Parameters
        ----------
        cells : iterable of str

        Returns
        -------
        found : dict
            Cell to path.
        """
        found = {cell: self._find(cell) for cell in cells}
        dropped = {start for _, start in found.values() if start}
        # Folded like names, a beginning of another one says where the data lay on the other machine.
        too_short = {start for start in dropped if any(start[:k] in dropped for k in range(1, len(start)))}
        return {cell: None if start in too_short else path for cell, (path, start) in found.items()}

    def _find(self, cell: str) -> tuple[Path | None, tuple[str, ...]]:
        """Path, and the beginning of the cell that was left out for it."""
        text = cell.strip().strip("\"'").strip()
        absolute = Path(text).expanduser()
        if absolute.is_absolute() and absolute.exists():
            return absolute, ()
        foreign = re.match(r"[A-Za-z]:|[\\/~]", text) is not None
        parts = [part for part in re.split(r"[\\/]+", re.sub(r"^[A-Za-z]:", "", text)) if part not in ("", ".")]
        for start in range(len(parts)):
            left_out = tuple(map(_key, parts[:start]))
            for root in self._roots:
                # A relative path may begin with the name of the folder itself.
                if start and not foreign and left_out != tuple(map(_key, root.resolve().parts[-start:])):
                    continue
                found = self._below(root, parts[start:])
                if found is not None:
                    return found, left_out if foreign else ()
        return None, ()

    def _below(self, root: Path, parts: Sequence[str]) -> Path | None:
        path = root
        for part in parts[:-1]:
            entry = ".." if part == ".." else self._entry(path, [part])
            if entry is None:
                return None
            path = path / entry
        last = parts[-1]
        stem = next((last[: -len(suffix)] for suffix in _SUFFIXES if last.lower().endswith(suffix)), identifier(last))
        name = self._entry(path, [last]) or self._entry(path, [stem + suffix for suffix in _SUFFIXES])
        return None if name is None else path / name

    def _entry(self, folder: Path, names: Sequence[str]) -> str | None:
        """Name on disk of the first of these names."""
        if folder not in self._listed:
            listed: dict[str, list[str]] = {}
            try:
                entries = sorted(os.listdir(folder))
            except OSError:
                entries = []
            for entry in entries:
                listed.setdefault(_key(entry), []).append(entry)
            self._listed[folder] = listed
        for name in names:
            found = self._listed[folder].get(_key(name), [])
            if name in found or len(found) == 1:
                return name if name in found else found[0]
        return None


def _key(name: str) -> str:
    return plain(name).casefold()


def _files(path: Path) -> Iterator[str]:
    if path.is_dir():
        for parent, _, names in os.walk(path):
            yield from (os.path.join(parent, name) for name in names)
    else:
        yield str(path)


def state_of(paths: Iterable[Path]) -> str:
    """Text that changes when a file of these is added, removed or written."""
    count = size = latest = 0
    for path in paths:
        for file in _files(path):
            state = os.stat(file)
            count, size, latest = count + 1, size + state.st_size, max(latest, state.st_mtime_ns)
    return f"{count} {size} {latest}"


def unnamed_entries(root: Path, named: Iterable[Path], *, besides: Iterable[Path] = ()) -> list[tuple[str, int]]:
    """Images below a folder that nobody names.

    Parameters
    ----------
    root : Path
    named : iterable of Path
        Files and folders.
    besides : iterable of Path
        Folders that are not looked at.

    Returns
    -------
    entries : list of (str, int)
        Path below ``root`` of a NIfTI file, or of a folder of which nothing is named, and the number of images in it.
    """
    taken = {os.path.abspath(path) for path in (*named, *besides)}
    above = {str(parent) for path in taken for parent in Path(path).parents}
    found: list[tuple[str, int]] = []

    def look(folder: str) -> None:
        for entry in sorted(os.scandir(folder), key=lambda one: one.name):
            path = os.path.join(folder, entry.name)
            if path in taken:
                continue
            if not entry.is_dir(follow_symlinks=False):
                number = int(entry.name.lower().endswith(_SUFFIXES))
            elif path in above:
                look(path)
                continue
            else:
                number = sum(map(_is_image, _files(Path(path))))
            if number:
                found.append((os.path.relpath(path, root).replace(os.sep, "/"), number))

    look(os.path.abspath(root))
    return found


def _is_image(path: str) -> bool:
    name = os.path.basename(path).lower()
    return name.endswith(_SUFFIXES) or (os.path.splitext(name)[1] in _DICOM_SUFFIXES and not name.startswith("."))
