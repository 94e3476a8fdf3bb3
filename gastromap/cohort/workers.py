"""Run each study in a process of its own, several at a time; a process that dies or hangs costs only its study.

A pool would not do: ``multiprocessing.Pool`` waits for ever for a worker that was killed, and
``concurrent.futures`` gives up all studies with it. The processes are forked from a server that has imported the
gate, so that a new one costs milliseconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection as connections
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

__all__ = ["run_jobs"]

_LONGEST_ANSWER = 1 << 20
#: What reading a study imports late, half a second each time if the server has not done it once for all.
_LATE_IMPORTS = ("nibabel", "scipy.ndimage", "scipy.special")


Job = TypeVar("Job")


@dataclass
class _Running(Generic[Job]):
    job: Job
    process: Any
    deadline: float


def run_jobs(
    jobs: Sequence[Job],
    *,
    work: Callable[[Job, Connection], None],
    workers: int,
    seconds: float,
    answer: Callable[[Job, str], Any] = lambda _job, _patient_id: None,
    done: Callable[[Job, dict[str, Any]], None],
) -> None:
    """Run jobs until all are done.

    Parameters
    ----------
    jobs : sequence
    work : callable
        What a process does with a job, see :func:`gastromap.cohort.study.serve`.
    workers : int
        Processes at a time.
    seconds : float
        A job that takes longer is ended.
    answer : callable
        Called in this process with a job and the PatientID its images carry; gives the request, if the job asks.
    done : callable
        Called in this process with a job and its result, in the order in which they end. A job that did not survive
        has the status ``failed``.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([work.__module__, *_LATE_IMPORTS])
    waiting = list(reversed(jobs))
    running: dict[Connection, _Running[Job]] = {}

    def finish(connection: Connection, result: dict[str, Any]) -> None:
        one = running.pop(connection)
        connection.close()
        if result["status"] == "failed":
            one.process.kill()
        one.process.join()
        one.process.close()
        done(one.job, result)

    try:
        while waiting or running:
            while waiting and len(running) < workers:
                mine, theirs = context.Pipe()
                job = waiting.pop()
                process = context.Process(target=work, args=(job, theirs), daemon=True)
                process.start()
                theirs.close()
                running[mine] = _Running(job, process, time.monotonic() + seconds)
            left = min(one.deadline for one in running.values()) - time.monotonic()
            for ready in connections.wait(list(running), timeout=max(0.0, left)):
                assert isinstance(ready, Connection)  # noqa: S101 - for the type checker
                result = _talk(ready, running[ready].job, answer)
                if result is not None:
                    finish(ready, result)
            late = [connection for connection, one in running.items() if one.deadline <= time.monotonic()]
            for connection in late:
                finish(connection, {"status": "failed", "message": f"not read within {seconds:g} s"})
    finally:
        for connection, one in running.items():
            one.process.kill()
            one.process.join()
            connection.close()


def _talk(connection: Connection, job: Job, answer: Callable[[Job, str], Any]) -> dict[str, Any] | None:
    """Take one message of a worker; give its result if that is what it was."""
    try:
        message = json.loads(connection.recv_bytes(_LONGEST_ANSWER))
        if "patient_id" in message:
            connection.send_bytes(json.dumps(answer(job, str(message["patient_id"]))).encode())
            return None
        result = message["result"]
        return result if isinstance(result, dict) and "status" in result else _crashed()
    except (OSError, EOFError, ValueError, TypeError, KeyError):
        return _crashed()


def _crashed() -> dict[str, Any]:
    return {"status": "failed", "message": "the process that read it ended early"}
