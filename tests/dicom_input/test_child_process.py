"""Headers made to exhaust a parser end as a refusal that names the file, and the next folder is read as ever."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicom_input.series_builder import make_series
from gastromap.dicom_input import GateSettings, child_process, guarded_parse, load_folder
from gastromap.errors import Refusal
from gastromap.volume import CtVolume


def _insert_items(path: Path, count: int) -> None:
    """Put a private sequence of many empty items before the pixels: few bytes a piece in the file, many in memory."""
    content = path.read_bytes()
    at = content.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    sequence = struct.pack("<HH2sHI", 0x0029, 0x1010, b"SQ", 0, 0xFFFFFFFF)
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    path.write_bytes(content[:at] + sequence + item * count + end + content[at:])


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    folder = tmp_path / "hostile"
    _insert_items(make_series().write(folder)[7], 60_000)
    return folder


def refusal_of(folder: Path, **limits: object) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        load_folder(folder, settings=GateSettings(**limits))  # type: ignore[arg-type]
    assert refusal.value.code == "LIMIT_EXCEEDED"
    return refusal.value


class TestLimits:
    def test_memory_is_limited_and_the_file_named(self, hostile: Path) -> None:
        refusal = refusal_of(hostile, parse_bytes=235 * 1024**2)
        assert refusal.where.startswith("file ")
        assert "memory" in refusal.expected

    def test_time_is_limited_and_the_file_named(self, hostile: Path) -> None:
        refusal = refusal_of(hostile, parse_seconds=0.4)
        assert refusal.where.startswith("file ")
        assert "seconds" in refusal.expected

    def test_within_the_limits_the_same_series_is_read(self, hostile: Path, read: Callable[..., CtVolume]) -> None:
        assert len(read(hostile).sources) == 20


class TestAfterFailure:
    def test_the_next_folder_is_read(self, hostile: Path, tmp_path: Path, read: Callable[..., CtVolume]) -> None:
        refusal_of(hostile, parse_seconds=0.3)
        make_series().write(tmp_path / "sound")
        assert len(read(tmp_path / "sound").sources) == 20

    def test_a_child_that_was_killed_between_two_folders_is_replaced(
        self, tmp_path: Path, read: Callable[..., CtVolume]
    ) -> None:
        make_series().write(tmp_path)
        child_process.start_child()
        for child in child_process._spare:
            os.kill(child.pid, signal.SIGKILL)
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert len(read(tmp_path).sources) == 20

    def test_a_child_that_dies_of_a_file_is_a_refusal(self, hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # A crash inside a C library cannot be provoked at will; a signal ends the process in the same way.
        @contextlib.contextmanager
        def dying() -> Iterator[child_process.Child]:
            with child_process.borrowed_child() as child:
                subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -SEGV {child.pid}"])
                yield child

        monkeypatch.setattr(guarded_parse, "borrowed_child", dying)
        assert "crash" in refusal_of(hostile).got

    def test_no_child_is_left_when_the_program_ends(self, tmp_path: Path) -> None:
        make_series().write(tmp_path)
        program = (
            "import sys; from pathlib import Path\n"
            "from gastromap.dicom_input import GateSettings, child_process, load_folder\n"
            "load_folder(Path(sys.argv[1]), settings=GateSettings())\n"
            "print(child_process._spare[0].pid)"
        )
        run = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, cwd=os.getcwd()
        )
        with pytest.raises(ProcessLookupError):
            os.kill(int(run.stdout), 0)
