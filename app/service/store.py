"""The jobs of the service on disk: none is lost, none is done twice, whatever happens to the process.

One SQLite file with a write-ahead log. A job is claimed by the one statement that changes its state, and its end is
written after its result folder is complete; so after a crash the folder decides.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["Job", "JobStore", "QueueFullError", "State"]

State = Literal["queued", "running", "done", "refused", "failed", "cancelled"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  key TEXT UNIQUE,
  request TEXT NOT NULL,
  state TEXT NOT NULL,
  code TEXT NOT NULL DEFAULT '',
  message TEXT NOT NULL DEFAULT '',
  exit_code INTEGER,
  attempts INTEGER NOT NULL DEFAULT 0,
  created REAL NOT NULL,
  started REAL,
  finished REAL,
  seconds TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, number);
"""


class QueueFullError(Exception):
    """As many jobs wait as are allowed to."""


@dataclass(frozen=True)
class Job:
    """One submission.

    Attributes
    ----------
    id : str
        Random; names the result folder. Nothing in it comes from the patient.
    request : mapping
        What was submitted, checked.
    state : str
        ``queued``, ``running``; then for ever ``done``, ``refused`` (a named reason), ``failed`` or ``cancelled``.
    code, message : str
        Of the refusal or failure: the line that the application prints.
    exit_code : int, optional
        The exit status that the application would have had.
    attempts : int
        How often it was started.
    created, started, finished : float
        Seconds since 1970; None where it has not come to that.
    seconds : mapping
        By stage of the pipeline.
    """

    id: str
    request: Mapping[str, Any]
    state: State
    code: str
    message: str
    exit_code: int | None
    attempts: int
    created: float
    started: float | None
    finished: float | None
    seconds: Mapping[str, float]


class JobStore:
    """Jobs in a SQLite file; safe for several threads.

    Parameters
    ----------
    path : Path
        File; made if missing.
    limit : int
        Jobs that may wait.
    """

    def __init__(self, path: Path, *, limit: int = 100) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.row_factory = sqlite3.Row
        self._database.execute("PRAGMA journal_mode=WAL")
        # A job that was accepted must be there after a power cut too.
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def add(self, request: Mapping[str, Any], *, key: str | None = None) -> tuple[Job, bool]:
        """Accept a job.

        Parameters
        ----------
        request : mapping
            Plain values.
        key : str, optional
            Of the client; a second submission with it gets the first job.

        Returns
        -------
        job : Job
        new : bool

        Raises
        ------
        QueueFullError
        """
        with self._transaction() as database:
            if key is not None:
                known = database.execute("SELECT * FROM jobs WHERE key = ?", (key,)).fetchone()
                if known is not None:
                    return _job(known), False
            waiting = database.execute("SELECT count(*) FROM jobs WHERE state = 'queued'").fetchone()[0]
            if waiting >= self._limit:
                raise QueueFullError
            name = uuid.uuid4().hex
            database.execute(
                "INSERT INTO jobs (id, key, request, state, created) VALUES (?, ?, ?, 'queued', ?)",
                (name, key, json.dumps(dict(request)), time.time()),
            )
            return _job(database.execute("SELECT * FROM jobs WHERE id = ?", (name,)).fetchone()), True

    def get(self, name: str) -> Job | None:
        """Job by its id."""
        with self._lock:
            row = self._database.execute("SELECT * FROM jobs WHERE id = ?", (name,)).fetchone()
        return None if row is None else _job(row)

    def latest(self, count: int) -> list[Job]:
        """The newest jobs, newest first."""
        with self._lock:
            rows = self._database.execute("SELECT * FROM jobs ORDER BY number DESC LIMIT ?", (count,)).fetchall()
        return [_job(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Number of jobs by state."""
        with self._lock:
            rows = self._database.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall()
        return {str(state): int(number) for state, number in rows}

    def claim(self) -> Job | None:
        """Take the oldest waiting job; nobody else gets it."""
        with self._transaction() as database:
            row = database.execute(
                "UPDATE jobs SET state = 'running', attempts = attempts + 1, started = ? "
                "WHERE number = (SELECT min(number) FROM jobs WHERE state = 'queued') RETURNING *",
                (time.time(),),
            ).fetchone()
        return None if row is None else _job(row)

    def finish(
        self,
        name: str,
        state: State,
        *,
        code: str = "",
        message: str = "",
        exit_code: int | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> None:
        """Write the end of a running job; a job that has ended already stays as it is."""
        with self._transaction() as database:
            database.execute(
                "UPDATE jobs SET state = ?, code = ?, message = ?, exit_code = ?, finished = ?, seconds = ? "
                "WHERE id = ? AND state = 'running'",
                (state, code, message, exit_code, time.time(), json.dumps(dict(seconds or {})), name),
            )

    def requeue(self, name: str, *, counted: bool = True) -> None:
        """Put a running job back in its place in the line.

        Parameters
        ----------
        name : str
        counted : bool
            Whether the attempt counts; not one that was ended for a stop of the service.
        """
        with self._transaction() as database:
            database.execute(
                "UPDATE jobs SET state = 'queued', attempts = attempts - ? WHERE id = ? AND state = 'running'",
                (0 if counted else 1, name),
            )

    def cancel(self, name: str) -> bool:
        """Take a waiting job out of the line; False if it no longer waits."""
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE jobs SET state = 'cancelled', finished = ? WHERE id = ? AND state = 'queued'",
                (time.time(), name),
            )
            return changed.rowcount == 1

    def running(self) -> list[Job]:
        """Jobs that were being worked on; after a start those that a crash left behind."""
        with self._lock:
            rows = self._database.execute("SELECT * FROM jobs WHERE state = 'running' ORDER BY number").fetchall()
        return [_job(row) for row in rows]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")


def _job(row: sqlite3.Row) -> Job:
    return Job(
        id=row["id"],
        request=json.loads(row["request"]),
        state=row["state"],
        code=row["code"],
        message=row["message"],
        exit_code=row["exit_code"],
        attempts=row["attempts"],
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        seconds=json.loads(row["seconds"]),
    )
