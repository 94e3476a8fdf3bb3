"""Spread the work of a cohort over processes."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Final, TypeVar

__all__ = ["map_in_processes"]

#: What the jobs import; the server that workers are forked from does it once.
_IMPORTS: Final = ("gastromap.synthetic.cohort", "gastromap.synthetic.dicom_study", "nibabel", "scipy.ndimage")

_CLOSED: Final = (errno.EBADF, errno.EPIPE, errno.ECONNRESET)

Job = TypeVar("Job")
Result = TypeVar("Result")


def map_in_processes(
    function: Callable[[Job], Result], jobs: Sequence[Job], *, workers: int, chunk: int = 1
) -> Iterator[Result]:
    """Call a function with each job, in processes that share nothing with this one.

    Copies of this process would inherit its locks and signal handlers, and some libraries leave a handler of SIGTERM
    behind with which a copy cannot be ended.

    Parameters
    ----------
    function : callable
        Importable, like the jobs and results.
    jobs : sequence
    workers : int
        Processes.
    chunk : int
        Jobs sent at a time.

    Yields
    ------
    result
        In the order of the jobs. Who stops taking results waits for the jobs that run, and no others begin.

    Raises
    ------
    concurrent.futures.process.BrokenProcessPool
        A process was killed.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(list(_IMPORTS))
    pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_follow_parent)
    try:
        try:
            results = pool.map(function, jobs, chunksize=chunk)
        except OSError as error:
            if error.errno not in _CLOSED:
                raise
            # The pool closes its pipes when a process dies; the next one that is being started then finds them closed.
            msg = "a process was killed while others were started"
            raise BrokenProcessPool(msg) from error
        yield from results
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Leave interrupts to the parent, and end when it does: who was ended by a signal could not tell its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
