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
    def test_memory_is_limited_and_the_file_named(self, tmp_path: Path) -> None:
        _insert_items(make_series().write(tmp_path)[7], 200_000)
        refusal = refusal_of(tmp_path, parse_bytes=250 * 1024**2)
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
        with child_process.borrowed_child():
            pass
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

    def test_no_child_is_left_when_the_program_ends(self) -> None:
        program = (
            "from gastromap.dicom_input import child_process\n"
            "with child_process.borrowed_child(): pass\n"
            "print(child_process._spare[0].pid)"
        )
        run = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=os.getcwd()
        )
        with pytest.raises(ProcessLookupError):
            os.kill(int(run.stdout), 0)


class TestShortHeaders:
    def test_they_need_no_child(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def none() -> None:
            pytest.fail("a child was asked")

        monkeypatch.setattr(guarded_parse, "borrowed_child", none)
        make_series().write(tmp_path)
        assert len(load_folder(tmp_path, settings=GateSettings()).images) == 20

    def test_a_long_one_gives_the_same_facts_by_either_way(self, tmp_path: Path) -> None:
        paths = make_series(PatientComments="x" * 9000).write(tmp_path / "a")
        _insert_items(paths[7], 6_000)
        assert paths[7].read_bytes().index(b"\xe0\x7f\x10\x00OW") > 64 * 1024
        direct = load_folder(tmp_path / "a", settings=GateSettings(parse_in_child=False))
        guarded = load_folder(tmp_path / "a", settings=GateSettings())
        assert [image.parsed.pixels for image in direct.images] == [image.parsed.pixels for image in guarded.images]
        assert len(direct.images) == len(guarded.images) == 20

    def test_many_short_ones_together_go_to_the_child(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(guarded_parse, "_MOST_SHORT_BYTES", 3000)
        asked: list[int] = []
        ask = child_process.Child.ask

        def noted(child: child_process.Child, request: dict[str, list[object]], *, settings: GateSettings) -> None:
            asked.append(len(request["parse"]))
            ask(child, request, settings=settings)

        monkeypatch.setattr(child_process.Child, "ask", noted)
        make_series().write(tmp_path)
        assert len(load_folder(tmp_path, settings=GateSettings()).images) == 20
        assert 10 < asked[0] < 20
