"""Work spread over processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from gastromap.synthetic.processes import map_in_processes


@pytest.fixture
def deaf_to_sigterm() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    yield
    signal.signal(signal.SIGTERM, before)


def test_results_come_in_the_order_of_the_jobs() -> None:
    assert list(map_in_processes(abs, range(-20, 0), workers=2, chunk=3)) == list(range(20, 0, -1))


@pytest.mark.usefixtures("deaf_to_sigterm")
def test_a_process_does_not_inherit_a_handler_with_which_it_could_not_be_ended() -> None:
    """The application leaves one behind: Holoscan's. A cohort written after it never ended."""
    found = list(map_in_processes(signal.getsignal, [signal.SIGTERM] * 2, workers=2))
    assert found == [signal.SIG_DFL] * 2


def test_a_process_that_was_killed_is_an_error_and_no_endless_wait() -> None:
    with pytest.raises(BrokenProcessPool):
        list(map_in_processes(os._exit, [9, 9], workers=2))


@pytest.mark.parametrize(("number", "error"), [(errno.EBADF, BrokenProcessPool), (errno.EAGAIN, OSError)])
def test_one_killed_while_the_next_is_started_is_the_same_error(
    number: int, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(ProcessPoolExecutor, "submit", fail)
    with pytest.raises(error):
        list(map_in_processes(abs, [1, 2], workers=2))


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_when_the_run_itself_is_ended_no_process_of_it_is_left_behind(by: signal.Signals) -> None:
    code = (
        "import time; from gastromap.synthetic.processes import map_in_processes; "
        "list(map_in_processes(time.sleep, [90, 90], workers=2))"
    )
    run = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        # The run, its fork server, two workers; the tracker of shared resources is a fifth.
        _until(lambda: len(_session(run.pid)) >= 4)
        run.send_signal(by)
        run.wait(timeout=30)
        _until(lambda: not _session(run.pid))
    finally:
        for left in _session(run.pid):
            os.kill(left, signal.SIGKILL)


def _session(leader: int) -> list[int]:
    """Living processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == leader and state != "Z":
            found.append(int(stat.parent.name))
    return found


def _until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_who_stops_taking_results_waits_only_for_the_jobs_that_run() -> None:
    results = map_in_processes(time.sleep, [0.0] + [0.5] * 40, workers=2)
    next(results)
    begin = time.monotonic()
    results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - begin < 5
