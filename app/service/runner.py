"""Takes jobs from the store and has them worked on, one at a time."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from app.service.store import Job, JobStore, State
from app.service.worker import Answer, Worker, WorkerDiedError
from gastromap.errors import ExitCode, GastromapError

__all__ = ["Runner"]

_log = logging.getLogger(__name__)
_RESULT = "result.json"
#: A study that ended the worker so often is the cause.
_MAX_ATTEMPTS = 2
_RESTART_SECONDS = (1.0, 5.0, 30.0)


class Runner:
    """A thread between store and worker.

    Parameters
    ----------
    store : JobStore
    worker : Worker
    output_root : Path
        Each job gets a folder in it, named by its id.
    study_seconds : float, optional
        A study that takes longer is ended and has failed.
    on_end : callable, optional
        Called with each job and its answer.
    """

    def __init__(
        self,
        store: JobStore,
        worker: Worker,
        output_root: Path,
        *,
        study_seconds: float | None = None,
        on_end: Callable[[Job, Answer], None] = lambda job, answer: None,
    ) -> None:
        self._store, self._worker, self._root = store, worker, output_root
        self._study_seconds = study_seconds
        self._on_end = on_end
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="runner", daemon=True)
        self.ready = False
        self.fault: str = ""  #: line of the error for which there is no worker
        self.resident_bytes = 0
        self.restarts = 0

    def folder(self, job_id: str) -> Path:
        """Result folder of a job."""
        return self._root / job_id

    def start(self) -> None:
        """Settle what an earlier process left behind, then work."""
        for job in self._store.running():
            self._settle(job)
        self._thread.start()

    def wake(self) -> None:
        """Say that a job has come."""
        self._wake.set()

    def stop(self, *, grace_seconds: float) -> None:
        """End after the study in hand, or give it back to the line after so long."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(grace_seconds)
        if self._thread.is_alive():
            _log.warning("the study in hand goes back to the line")
            self._worker.stop(gently=False)
            self._thread.join(grace_seconds)
        self._worker.stop()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            if not self._worker.alive and not self._started():
                return
            job = self._store.claim()
            if job is None:
                self._wake.wait(1.0)
                self._wake.clear()
                continue
            self._work(job)

    def _started(self) -> bool:
        """Start the worker; again and again if it dies on the way, but not if its models cannot be read."""
        while not self._stopping.is_set():
            try:
                self._worker.start()
            except GastromapError as error:
                self.fault = str(error)
                _log.error("%s", error)
                return False
            except WorkerDiedError:
                pause = _RESTART_SECONDS[min(self.restarts, len(_RESTART_SECONDS) - 1)]
                self.restarts += 1
                _log.warning("the worker died while loading; once more in %g s", pause)
                self._stopping.wait(pause)
                continue
            self.ready = True
            return True
        return False

    def _work(self, job: Job) -> None:
        if not self._complete(job):
            # What a killed process left behind has no result.json and is no result.
            shutil.rmtree(self.folder(job.id), ignore_errors=True)
        started = time.perf_counter()
        try:
            answer = self._worker.run(job.request, self.folder(job.id), timeout_seconds=self._study_seconds)
        except WorkerDiedError:
            self.restarts += 1
            if self._stopping.is_set():
                self._store.requeue(job.id, counted=False)
                return
            late = self._study_seconds is not None and time.perf_counter() - started >= self._study_seconds
            self._settle(job, late=late)
            return
        self.resident_bytes = answer.resident_bytes
        state: State = {"done": "done", "refused": "refused"}.get(answer.state, "failed")  # type: ignore[assignment]
        self._end(job, state, answer)

    def _settle(self, job: Job, *, late: bool = False) -> None:
        """Decide about a job whose worker is gone: the folder knows whether it was done, the PACS what it has."""
        if self._complete(job) and not job.request.get("send"):
            self._end(job, "done", Answer("done"))
        elif self._complete(job) and job.attempts >= _MAX_ATTEMPTS:
            line = "PACS_HALF_SENT run: expected the result sent, got an end of the process. Run gastromap send on it."
            self._end(job, "done", Answer("done", "PACS_HALF_SENT", line, int(ExitCode.PACS)))
        elif late:
            self._fail(job, "STUDY_TIMEOUT", f"an end within {self._study_seconds:g} s", "none")
        elif job.attempts >= _MAX_ATTEMPTS:
            self._fail(job, "WORKER_DIED", "the study to end", f"{job.attempts} ends of the process that staged it")
        else:
            self._store.requeue(job.id)

    def _complete(self, job: Job) -> bool:
        return (self.folder(job.id) / _RESULT).is_file()

    def _fail(self, job: Job, code: str, expected: str, got: str) -> None:
        line = f"{code} run: expected {expected}, got {got}. Stage the study with python -m app and report the fault."
        self._end(job, "failed", Answer("failed", code, line, int(ExitCode.INTERNAL)))

    def _end(self, job: Job, state: State, answer: Answer) -> None:
        if state != "done":
            shutil.rmtree(self.folder(job.id), ignore_errors=True)
        self._store.finish(
            job.id,
            state,
            code=answer.code,
            message=answer.message,
            exit_code=answer.exit_code,
            seconds=answer.seconds,
        )
        self._on_end(job, answer)
