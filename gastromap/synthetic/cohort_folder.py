"""The folder of a cohort: which cohort it holds, which patients are finished, how a stopped run goes on.

Each patient is written beside its place and moved there when complete, and its record is written last: a record
means that the patient is finished. Tables are made from the records at the end, so that neither the number of
processes nor an interruption changes a byte.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gastromap.errors import OutputError, UsageError
from gastromap.files import write_text
from gastromap.synthetic.processes import map_in_processes

__all__ = ["CohortFolder", "Progress", "WritePatient", "Written", "cohort_folder", "require", "require_counts"]

#: Called with finished and all patients.
Progress = Callable[[int, int], None]

_PLAN_FILE = "cohort.json"


@dataclass(frozen=True)
class Written:
    """What was written of one patient."""

    record: dict[str, Any]  #: for the tables; JSON
    moves: dict[str, str] = field(default_factory=dict)  #: path in the partial folder to path in the cohort


#: Writes one patient into an empty folder, with so many processes of its own.
WritePatient = Callable[[Path, int], Written]


def require(name: str, expected: str, got: object, *, valid: bool) -> None:
    """Refuse an argument that is not valid.

    Raises
    ------
    UsageError
        ``SYNTH_ARGUMENT``.
    """
    if not valid:
        remedy = "Correct the argument."
        raise UsageError("SYNTH_ARGUMENT", where=name, expected=expected, got=str(got), remedy=remedy)


def require_counts(*, patients: int, workers: int, validation_share: float) -> None:
    """Refuse what no cohort can be written with.

    Raises
    ------
    UsageError
        ``SYNTH_ARGUMENT``.
    """
    require("patients", "a whole number from 1", patients, valid=patients >= 1)
    require("workers", "a whole number from 1", workers, valid=workers >= 1)
    require("validation share", "0 to below 1", validation_share, valid=0 <= validation_share < 1)


@contextmanager
def cohort_folder(out: Path, plan: Mapping[str, Any]) -> Iterator[CohortFolder]:
    """Open the folder of a cohort.

    Parameters
    ----------
    out : Path
        Empty, absent, or a folder of the same plan.
    plan : mapping
        What decides the content, beside the number of patients; JSON.

    Yields
    ------
    folder : CohortFolder

    Raises
    ------
    UsageError
        ``COHORT_DIFFERS``.
    OutputError
        ``OUTPUT_UNWRITABLE``, also for what is written to the folder inside the block.
    """
    try:
        _claim(out, json.loads(json.dumps(plan)))
        yield CohortFolder(out)
    except OSError as error:
        raise OutputError(
            "OUTPUT_UNWRITABLE",
            where="output folder",
            expected="a folder that can be written",
            got=error.strerror or type(error).__name__,
            remedy="Check space and permissions, then repeat the command: finished patients are kept.",
        ) from error


@dataclass(frozen=True)
class CohortFolder:
    """A folder that holds this cohort, or none yet."""

    path: Path

    def complete(
        self, patients: Mapping[str, WritePatient], *, workers: int, progress: Progress | None = None
    ) -> list[dict[str, Any]]:
        """Write the patients that are missing.

        Parameters
        ----------
        patients : mapping
            Patient ID to the function that writes the patient.
        workers : int
            Processes.
        progress : callable, optional
            Called with (finished, all) after each patient.

        Returns
        -------
        records : list of dict
            One a patient, in the order of ``patients``.
        """
        todo = [name for name in patients if not self._record(name).exists()]
        finished = len(patients) - len(todo)
        _report(progress, finished, len(patients))
        # Processes go to the patients; a single one uses them inside.
        inside = workers if len(todo) == 1 else 1
        jobs = [(self, name, patients[name], inside) for name in todo]
        for done, _ in enumerate(_run(jobs, workers), start=finished + 1):
            _report(progress, done, len(patients))
        shutil.rmtree(self.path / ".partial", ignore_errors=True)
        return [json.loads(self._record(name).read_text(encoding="utf-8")) for name in patients]

    def write(self, name: str, writer: WritePatient, *, workers: int) -> None:
        """Write one patient, then its record."""
        partial = self.path / ".partial" / name
        # What a stopped run left behind is incomplete by definition.
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        written = writer(partial, workers)
        for source, target in written.moves.items():
            _move(partial / source, self.path / target)
        shutil.rmtree(partial)
        write_text(self._record(name), json.dumps(written.record, indent=1) + "\n")

    def _record(self, name: str) -> Path:
        return self.path / "records" / f"{name}.json"


_Job = tuple[CohortFolder, str, WritePatient, int]


def _report(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _run(jobs: list[_Job], workers: int) -> Iterator[None]:
    if workers == 1 or len(jobs) < 2:
        yield from map(_write, jobs)
        return
    yield from map_in_processes(_write, jobs, workers=workers)


def _write(job: _Job) -> None:
    folder, name, writer, workers = job
    folder.write(name, writer, workers=workers)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        # Moved, but stopped before its record was written: a folder cannot be replaced in one step.
        shutil.rmtree(target)
    os.replace(source, target)


def _claim(out: Path, wanted: dict[str, Any]) -> None:
    """Write the plan into an empty folder, or check that the folder holds the same one."""
    found = None
    if (out / _PLAN_FILE).is_file():
        try:
            found = json.loads((out / _PLAN_FILE).read_text(encoding="utf-8"))
        except ValueError:
            found = {}
        differing = sorted(key for key in {*wanted, *found} if key not in found or found[key] != wanted.get(key))
        got = "other " + ", ".join(differing)
    elif out.is_dir() and any(out.iterdir()):
        found, got = {}, "other files"
    if found is None:
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / _PLAN_FILE, json.dumps(wanted, indent=1) + "\n")
    elif found != wanted:
        raise UsageError(
            "COHORT_DIFFERS",
            where="output folder",
            expected="an empty folder or one of the same cohort",
            got=got,
            remedy="Choose another folder or repeat the earlier arguments.",
        )
