"""A fresh process that reads one folder with one reader: ``python -m benchmarks.reading_child READER FOLDER``.

Prints the memory that reading took beyond what was in use after the imports. Its wall time is the cold time of the
reader. For dcm2niix the program is started and the memory is that of the program.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.readers import DCM2NIIX, READERS, convert_with_dcm2niix
from benchmarks.usage import children_peak_bytes, memory_bytes, reset_peak

__all__ = ["main"]


def main(reader: str, folder: str) -> int:
    """Read, print one line of JSON, return the exit status."""
    if reader == DCM2NIIX:
        with tempfile.TemporaryDirectory(prefix="gastromap-bench-") as scratch:
            convert_with_dcm2niix(Path(folder), Path(scratch))
        print(json.dumps({"peak_bytes": children_peak_bytes(), "helpers_peak_bytes": 0}))
        return 0
    read = READERS[reader]()
    reset_peak()
    before, helpers_before = memory_bytes()[0], children_peak_bytes()
    series = read(Path(folder))
    peak, helpers = memory_bytes()[1], children_peak_bytes()
    # A process that the imports had started and that grew no further is none of the reader.
    helpers = helpers if helpers > helpers_before else 0
    print(json.dumps({"peak_bytes": peak - before, "helpers_peak_bytes": helpers, "volume_bytes": series.hu.nbytes}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
