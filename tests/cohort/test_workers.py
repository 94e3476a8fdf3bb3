"""A process for each study."""

from __future__ import annotations

import json
import os
import signal
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest

from gastromap.cohort.study import serve
from gastromap.cohort.workers import run_jobs
from gastromap.dicom_input import GateSettings


def square_or_die(job: int, connection: Connection) -> None:
    """Work of a process: the square of a number; at 3 it is killed, at 5 it says what is no result."""
    if job == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    content: dict[str, Any] = {"result": {"status": "ready", "square": job * job}}
    connection.send_bytes(b"no JSON" if job == 5 else json.dumps(content).encode())


def take_memory(job: int, connection: Connection) -> None:
    """Work of a process that asks for so many GiB without touching them, under a limit of 5 GiB."""
    settings = GateSettings(parse_bytes=5 << 30, max_voxels=1)

    def read() -> dict[str, Any]:
        return {"status": "ready", "bytes": np.empty(job << 30, np.uint8).nbytes}

    serve(connection, read, settings=settings)


def test_a_process_that_dies_costs_only_its_study() -> None:
    results: dict[int, dict[str, Any]] = {}
    run_jobs(list(range(8)), work=square_or_die, workers=2, seconds=60, done=results.__setitem__)
    assert sorted(results) == list(range(8))
    for number in (3, 5):
        assert results.pop(number) == {"status": "failed", "message": "the process that read it ended early"}
    assert {number: result["square"] for number, result in results.items()} == {0: 0, 1: 1, 2: 4, 4: 16, 6: 36, 7: 49}


@pytest.mark.parametrize(("gigabytes", "status"), [(1, "ready"), (6, "failed")])
def test_a_process_gets_no_more_memory_than_the_settings_allow(gigabytes: int, status: str) -> None:
    results: dict[int, dict[str, Any]] = {}
    run_jobs([gigabytes], work=take_memory, workers=1, seconds=60, done=results.__setitem__)
    assert results[gigabytes]["status"] == status
