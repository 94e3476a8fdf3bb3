"""The other side of ``child_process``: read requests from standard input, parse or decode, answer.

A request is one line of JSON. ``{"parse": [[path, size], ...]}`` is answered by a line with the position of each file
as soon as it is parsed; ``{"decode": [path, size]}`` by ``pixels N`` and N bytes, or ``fault REASON``. Where the memory
does not suffice the answer is ``memory``.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any, BinaryIO

from gastromap.dicom_input.decode import PixelError, decode_compressed
from gastromap.dicom_input.image import ct_image
from gastromap.dicom_input.labels import quiet_pydicom
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.parse import parse_file
from gastromap.dicom_input.process_limits import limit_memory, lower_limit
from gastromap.dicom_input.scan import identify


def _parse(files: list[tuple[str, int]], settings: GateSettings, answers: BinaryIO) -> None:
    # All are kept until the last is read, as the caller keeps them: the limit is on their sum.
    kept = []
    for position, (path, size) in enumerate(files):
        parsed = parse_file(identify(path, size), settings=settings)
        kept.append((parsed, ct_image(parsed) if parsed.kind == "ct" else None))
        answers.write(b"%d\n" % position)
        answers.flush()


def _decode(file: tuple[str, int], settings: GateSettings, answers: BinaryIO) -> None:
    parsed = parse_file(identify(*file), settings=settings)
    try:
        if parsed.header is None:
            raise PixelError("unreadable")
        values = decode_compressed(ct_image(parsed)).tobytes()
    except PixelError as fault:
        answers.write(b"fault %s\n" % str(fault).encode("ascii", "replace"))
    else:
        answers.write(b"pixels %d\n" % len(values))
        answers.write(values)
    answers.flush()


def _limit(settings: GateSettings) -> None:
    limit_memory(settings.parse_bytes)
    # If the caller is gone nobody watches the clock.
    lower_limit(resource.RLIMIT_CPU, int(time.process_time() + settings.parse_seconds) + 1)


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    for line in requests:
        request: dict[str, Any] = json.loads(line)
        settings = GateSettings(**request["settings"])
        _limit(settings)
        try:
            with quiet_pydicom():
                if "parse" in request:
                    _parse(request["parse"], settings, answers)
                else:
                    _decode(request["decode"], settings, answers)
        except MemoryError:
            answers.write(b"memory\n")
            answers.flush()


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
