"""The process that stages studies for the service: models loaded once, one study at a time.

It is a process of its own, so that a crash in a native library or a study that hangs ends that study and not the
service. Parent and worker speak through a pipe; the worker ends when its parent is gone.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gastromap.errors import ExitCode, GastromapError, Refusal
from gastromap.reports.catalogue import Language

if TYPE_CHECKING:
    from gastromap.run_record import Stopwatch

__all__ = ["Answer", "Worker", "WorkerDiedError"]

_log = logging.getLogger(__name__)
_STOP_SECONDS = 10.0


class WorkerDiedError(Exception):
    """The worker ended without an answer."""


@dataclass(frozen=True)
class Answer:
    """How a study ended; the words are those of the application."""

    state: str  #: ``done``, ``refused`` or ``failed``
    code: str = ""
    message: str = ""
    exit_code: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    resident_bytes: int = 0


class Worker:
    """Handle of the process.

    Parameters
    ----------
    models : Path
    device : str
        As of the application.
    threads : int
        Of torch; 0 leaves it to torch.
    language : {"en", "zh"}
        Of the reports.
    """

    def __init__(self, models: Path, *, device: str = "auto", threads: int = 0, language: Language = "en") -> None:
        self._arguments = (str(models), device, threads, language)
        # A forked child would share locks and threads with a server that has both.
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None
        self._pipe: Connection | None = None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.is_alive()

    def start(self) -> None:
        """Start the process and wait until its models are loaded.

        Raises
        ------
        GastromapError
            If they cannot be loaded.
        WorkerDiedError
        """
        self.stop()
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_work, args=(theirs, *self._arguments), daemon=True)
        self._process.start()
        theirs.close()
        answer = self._receive(None)
        if isinstance(answer, GastromapError):
            raise answer

    def run(self, request: Mapping[str, Any], output: Path, *, timeout_seconds: float | None) -> Answer:
        """Stage one study.

        Parameters
        ----------
        request : mapping
            Plain values of :class:`gastromap.pipeline.StudyRequest`.
        output : Path
            Result folder.
        timeout_seconds : float, optional
            The worker is ended after so long.

        Raises
        ------
        WorkerDiedError
            It died or was ended; nothing was written, or all of it (then ``result.json`` is there).
        """
        if self._pipe is None or not self.alive:
            raise WorkerDiedError
        self._pipe.send((dict(request), str(output)))
        answer: Answer = self._receive(timeout_seconds)
        return answer

    def _receive(self, timeout_seconds: float | None) -> Any:
        assert self._pipe is not None  # noqa: S101 -- asked after start
        end = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        try:
            while not self._pipe.poll(0.2):
                if not self.alive and not self._pipe.poll(0):
                    raise WorkerDiedError
                if end is not None and time.monotonic() > end:
                    raise WorkerDiedError
            return self._pipe.recv()
        except (EOFError, OSError) as error:
            raise WorkerDiedError from error
        except WorkerDiedError:
            self.stop(gently=False)
            raise

    def stop(self, *, gently: bool = True) -> None:
        """End the process."""
        if self._process is None:
            return
        if gently and self._pipe is not None and self.alive:
            try:
                self._pipe.send(None)
            except OSError:
                _log.debug("the worker is gone")
            self._process.join(_STOP_SECONDS)
        if self._process.is_alive():
            self._process.kill()
        self._process.join(_STOP_SECONDS)
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None


def _work(pipe: Connection, models: str, device: str, threads: int, language: Language) -> None:
    """Body of the process."""
    # Ctrl-C and docker stop reach the whole group; the parent decides when a study may still end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    from app.__main__ import quiet

    quiet("WARNING")
    try:
        pipeline = _pipeline(models, device, threads, language)
    except GastromapError as error:
        pipe.send(error)
        return
    pipe.send("ready")
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        if task is None:
            return
        pipe.send(_answer(pipeline, *task))


def _pipeline(models: str, device: str, threads: int, language: Language) -> Any:
    import torch

    from gastromap.pipeline import StudyPipeline
    from gastromap.staging import best_device

    if threads:
        torch.set_num_threads(threads)
    return StudyPipeline(Path(models), device=best_device(device), language=language)


def _answer(pipeline: Any, request: Mapping[str, Any], output: str) -> Answer:
    from gastromap.run_record import Stopwatch

    watch = Stopwatch()
    start = time.perf_counter()
    code, message, exit_code, state = "", "", int(ExitCode.OK), "done"
    target = Path(output)
    try:
        # A worker that died while it sent has left a whole result.
        if not (target / "result.json").is_file():
            _stage(pipeline, request, target, watch)
        if request.get("send"):
            from gastromap.pacs import read_pacs_settings, send_result

            with watch.stage("send"):
                send_result(target, read_pacs_settings(Path(request["pacs"])))
    except GastromapError as error:
        code, message, exit_code = error.code, str(error), int(error.exit_code)
        if not (target / "result.json").is_file():
            state = "refused" if isinstance(error, Refusal) or error.exit_code == ExitCode.USAGE else "failed"
    except Exception as error:  # noqa: BLE001 -- the last door: a name, never a text that could quote the patient
        code, exit_code, state = "INTERNAL", int(ExitCode.INTERNAL), "failed"
        message = f"INTERNAL run: expected no fault, got {type(error).__name__}. Report it."
    watch.seconds["total"] = time.perf_counter() - start
    return Answer(state, code, message, exit_code, dict(watch.seconds), _resident_bytes())


def _stage(pipeline: Any, request: Mapping[str, Any], target: Path, watch: Stopwatch) -> None:
    from app.service.requests import study_request
    from gastromap.output import prepare_output
    from gastromap.pacs import fetched_studies, read_pacs_settings

    with ExitStack() as stack:
        if "studies" in request:
            with watch.stage("fetch"):
                settings = read_pacs_settings(Path(request["pacs"]))
                source = stack.enter_context(fetched_studies(request["studies"], settings))
        else:
            source = Path(request["folder"])
        folder = prepare_output(target)
        try:
            pipeline(study_request(request, source), folder, watch=watch)
        except BaseException:
            folder.discard()
            raise


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
