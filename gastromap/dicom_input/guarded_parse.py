"""Parse files with short headers at once, the others only after a child process has survived them.

What a short header can cost is bounded by its length, and almost all headers are short. The second reading of the
others goes one file behind the child, so that it costs little time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gastromap.dicom_input.child_process import ChildFailedError, borrowed_child
from gastromap.dicom_input.labels import Labels
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.parse import ParsedFile, parse_file, parse_short
from gastromap.dicom_input.scan import ScannedFile
from gastromap.errors import Refusal

__all__ = ["parse_files"]

_GIB = 1024**3
#: Of short headers together; the parsed form takes up to a hundred times as much.
_MOST_SHORT_BYTES = 16 * 1024**2


def parse_files(files: Sequence[ScannedFile], *, settings: GateSettings, labels: Labels) -> Iterator[ParsedFile]:
    """Parse files in order.

    Parameters
    ----------
    files : sequence of ScannedFile
    settings : GateSettings
        ``parse_seconds`` is for all files together, ``parse_bytes`` for all their headers.
    labels : Labels
        Names the file in a refusal.

    Yields
    ------
    parsed : ParsedFile

    Raises
    ------
    Refusal
        ``LIMIT_EXCEEDED``: the child did not survive a file.
    """
    if not settings.parse_in_child:
        yield from (parse_file(file, settings=settings) for file in files)
        return
    short = _short(files, settings)
    long = _guarded([file for file, parsed in zip(files, short, strict=True) if parsed is None], settings, labels)
    for parsed in short:
        yield next(long) if parsed is None else parsed


def _short(files: Sequence[ScannedFile], settings: GateSettings) -> list[ParsedFile | None]:
    found: list[ParsedFile | None] = []
    left = _MOST_SHORT_BYTES
    for file in files:
        parsed = parse_short(file, settings=settings) if left > 0 else None
        found.append(parsed)
        if parsed is not None and parsed.header is not None:
            left -= file.size if parsed.pixels is None else parsed.pixels.offset
    return found


def _guarded(files: Sequence[ScannedFile], settings: GateSettings, labels: Labels) -> Iterator[ParsedFile]:
    if not files:
        return
    passed = 0
    try:
        with borrowed_child() as child:
            child.ask({"parse": [(file.path, file.size) for file in files]}, settings=settings)
            for passed, file in enumerate(files):
                if child.line() != str(passed):
                    raise ChildFailedError("crash")
                yield parse_file(file, settings=settings)
    except ChildFailedError as failure:
        raise _refusal(failure.reason, labels.file(files[passed].index, files[passed].content), settings) from None


def _refusal(reason: str, where: str, settings: GateSettings) -> Refusal:
    expected, got = {
        "time": (f"seconds for all headers <= {settings.parse_seconds:g}", "more"),
        "memory": (f"memory for all headers <= {settings.parse_bytes / _GIB:g} GiB", "more"),
    }.get(reason, ("headers that can be parsed", "a crash of the parser"))
    return Refusal(
        "LIMIT_EXCEEDED",
        where=where,
        expected=expected,
        got=got,
        remedy="Split the input or raise the limit in the configuration.",
    )
