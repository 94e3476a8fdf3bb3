"""Parse files in this process only after a child process has survived them.

The second reading goes one file behind the first, so that it costs little time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gastromap.dicom_input.child_process import ChildFailedError, borrowed_child
from gastromap.dicom_input.labels import Labels
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.parse import ParsedFile, parse_file
from gastromap.dicom_input.scan import ScannedFile
from gastromap.errors import Refusal

__all__ = ["parse_files"]

_GIB = 1024**3


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
    if not files:
        return
    if not settings.parse_in_child:
        for file in files:
            yield parse_file(file, settings=settings)
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
