"""Find and read the scans of each patient once: jobs for the new and changed, records of those that are done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gastromap.cohort.findings import Finding
from gastromap.cohort.identities import Identities
from gastromap.cohort.pair_case import PairCase
from gastromap.cohort.pair_columns import PairColumns, is_pattern
from gastromap.cohort.pair_images import MaskRule
from gastromap.cohort.pair_paths import PathFinder, state_of, unnamed_entries
from gastromap.cohort.pair_study import PairJob, work
from gastromap.cohort.reading import Progress, seconds_of
from gastromap.cohort.records import Records
from gastromap.cohort.splitting import SplitPlan
from gastromap.cohort.workers import run_jobs
from gastromap.dicom_input import GateSettings

__all__ = ["PairPlan", "PairReader"]

#: Changes when the images of unchanged scans would.
_FORMAT = 1


@dataclass(frozen=True)
class PairPlan:
    """What is to be prepared, beside the table.

    Attributes
    ----------
    table : Path
        Paths in it may be relative to its folder.
    images : Path or None
        Folder that paths are tried below first.
    out : Path
        Absent, empty, or of an earlier run.
    identities : Path
        File that ties pseudonyms to patients; outside ``out``.
    columns : PairColumns
    rule : MaskRule
    axes : str or None
        Of NIfTI files without orientation, such as ``LPS``.
    split : SplitPlan
    settings : GateSettings
    workers : int
    patient_seconds : float
        A patient who takes longer is given up.
    """

    table: Path
    images: Path | None
    out: Path
    identities: Path
    columns: PairColumns
    rule: MaskRule = field(default_factory=MaskRule)
    axes: str | None = None
    split: SplitPlan = field(default_factory=SplitPlan)
    settings: GateSettings = field(default_factory=GateSettings)
    workers: int = 1
    patient_seconds: float = 900.0


class PairReader:
    """Reads scans and keeps records of them.

    Parameters
    ----------
    plan : PairPlan
    identities : Identities
    """

    def __init__(self, plan: PairPlan, identities: Identities) -> None:
        self.plan = plan
        self.identities = identities
        self.number_read = 0
        self.results: dict[str, Mapping[str, Any]] = {}
        self._records = Records(plan.out)
        roots = [plan.table.parent] if plan.images is None else [plan.images, plan.table.parent]
        self._finder = PathFinder(roots)
        self._paths: dict[str, dict[str, Path]] = {}
        # Workers are as many as the cores already, and each may die of its patient alone.
        self._settings = replace(plan.settings, parse_in_child=False, decode_threads=1)
        self._recipe = repr((_FORMAT, asdict(self._settings), asdict(plan.rule), plan.axes))

    def locate(self, cases: Sequence[PairCase]) -> tuple[list[PairCase], list[Finding]]:
        """Find the files of the patients.

        Parameters
        ----------
        cases : sequence of PairCase

        Returns
        -------
        found : list of PairCase
            Those whose files are all there and nobody else's.
        findings : list of Finding
        """
        found = self._finder.find_all(cell for case in cases for cell in case.files.values())
        findings: list[Finding] = []
        complete = []
        for case in cases:
            patient = self.identities.patient(case.patient_id)
            paths = {key: found[cell] for key, cell in case.files.items()}
            # Names that are made for all patients say nothing about who has a second scan or a mask.
            absent = [key for key, path in paths.items() if path is None and not (key != "image1" and self._made(key))]
            self._paths[patient] = {key: path for key, path in paths.items() if path is not None}
            if absent:
                column = getattr(self.plan.columns, absent[0]) or ""
                message = f"{', '.join(absent)}: no such file or folder, or several that could be meant"
                findings.append(Finding("FILE_MISSING", "left out", message, patient, rows=(case.row,), column=column))
            else:
                complete.append(case)
        shared = self._shared(complete, findings)
        return [case for case in complete if case.patient_id not in shared], findings

    def _made(self, key: str) -> bool:
        return is_pattern(getattr(self.plan.columns, key))

    def _shared(self, cases: Sequence[PairCase], findings: list[Finding]) -> set[str]:
        """Patients who name the file of another one, or one file twice."""
        owners: dict[str, list[tuple[PairCase, str]]] = {}
        for case in cases:
            for key, path in self._paths[self.identities.patient(case.patient_id)].items():
                owners.setdefault(os.path.realpath(path), []).append((case, key))
        bad: set[str] = set()
        for users in owners.values():
            if len(users) < 2:
                continue
            rows = tuple(sorted({case.row for case, _ in users}))
            patient = self.identities.patient(users[0][0].patient_id) if len(rows) == 1 else ""
            if len(rows) > 1:
                message = "rows of different patients name one file"
            else:
                message = f"{' and '.join(key for _, key in users)} are one file or folder"
            findings.append(Finding("CONFLICTING_REQUEST", "left out", message, patient, rows=rows))
            bad |= {case.patient_id for case, _ in users}
        return bad

    def unnamed(self, cells: Iterable[str]) -> list[Finding]:
        """Images that none of these cells names; their names go to the file of identities."""
        named = [path for path in self._finder.find_all(cells).values() if path is not None]
        if self.plan.images is not None:
            roots = [self.plan.images]
        else:
            # The folder of the table may be anybody's home: only folders that hold named files are searched.
            folder = self.plan.table.parent.resolve()
            inside = [path.resolve().relative_to(folder) for path in named if path.resolve().is_relative_to(folder)]
            roots = sorted({folder / path.parts[0] for path in inside if len(path.parts) > 1})
        findings = []
        for root in roots:
            for name, number in unnamed_entries(root, named, besides=[self.plan.out]):
                study = self.identities.study(name)
                self.identities.add_study(study, folder=name)
                message = "no row names this file" if number == 1 else f"no row names this folder of {number} images"
                findings.append(Finding("IMAGES_WITHOUT_ROW", "left out", message, study=study))
        return findings

    def _state(self, case: PairCase, patient: str) -> str:
        paths = self._paths[patient]
        files = sorted((key, str(path), state_of([path])) for key, path in paths.items())
        return self.identities.digest(
            repr((files, sorted(case.series.items()), sorted(case.centres.items()), self._recipe))
        )

    def _kept(self, patient: str, state: str) -> Mapping[str, Any] | None:
        """Result of an earlier run, if it still holds."""
        record = self._records.load(patient)
        if record is None or record["state"] != state:
            return None
        result: Mapping[str, Any] = record["result"]
        there = all((self.plan.out / name).is_file() for name in result.get("files", {}).values())
        return result if there else None

    def read(self, cases: Sequence[PairCase], progress: Progress | None) -> None:
        """Read the patients whose records do not hold any more.

        Parameters
        ----------
        cases : sequence of PairCase
            As :meth:`locate` gives them.
        progress : callable, optional
        """
        states: dict[str, str] = {}
        jobs = []
        for case in cases:
            patient = self.identities.patient(case.patient_id)
            states[patient] = self._state(case, patient)
            for key, path in self._paths[patient].items():
                if not key.startswith("mask"):
                    self._note(patient, key.removeprefix("image"), folder=str(path), patient_id=case.patient_id)
            kept = self._kept(patient, states[patient])
            if kept is None:
                jobs.append(self._job(case, patient))
            else:
                self.results[patient] = kept
        self._records.keep(set(states))
        for partial in (self.plan.out / "images").glob(".*.partial"):
            shutil.rmtree(partial, ignore_errors=True)

        def report() -> None:
            if progress is not None:
                bad = sum(result["status"] != "ready" for result in self.results.values())
                progress(len(self.results), len(cases), bad)

        def done(job: PairJob, result: dict[str, Any]) -> None:
            self._store(job, result, states[job.patient])
            self.number_read += 1
            report()

        report()
        run_jobs(jobs, work=work, workers=self.plan.workers, seconds=self.plan.patient_seconds, done=done)

    def _note(self, patient: str, number: str, **fields: str) -> None:
        """Add to what the file of identities says of a scan."""
        study = f"{patient}-{number}"
        earlier = {
            key: text for key, text in self.identities.studies.get(study, {}).items() if key not in ("kind", "study")
        }
        if fields.get("folder", earlier.get("folder")) != earlier.get("folder"):
            earlier = {}
        self.identities.add_study(study, **{**earlier, **fields, "patient": patient})

    def _job(self, case: PairCase, patient: str) -> PairJob:
        return PairJob(
            patient=patient,
            paths={key: str(path) for key, path in self._paths[patient].items()},
            target=str(self.plan.out / "images" / f".{patient}.partial"),
            settings=self._settings,
            label_key=self.identities.label_key(),
            series=dict(case.series),
            centres=dict(case.centres),
            rule=self.plan.rule,
            axes=self.plan.axes,
        )

    def _store(self, job: PairJob, result: dict[str, Any], state: str) -> None:
        target = Path(job.target)
        files = {}
        for key, name in result.get("files", {}).items():
            folder = "masks" if key.startswith("mask") else "images"
            files[key] = f"{folder}/{job.patient}_{key[-1]}.nii.gz"
            (self.plan.out / folder).mkdir(parents=True, exist_ok=True)
            os.replace(target / name, self.plan.out / files[key])
        shutil.rmtree(target, ignore_errors=True)
        if result["status"] == "ready":
            result["files"] = files
            moments = {number: seconds_of(text) for number, text in result.pop("moments").items()}
            shifted = {n: self.identities.moment(job.patient, s) for n, s in moments.items() if s is not None}
            result["moments"] = shifted
            uids = result.pop("series_uids")
            for number, uid in uids.items():
                self._note(job.patient, number, series_uid=uid)
        self.results[job.patient] = result
        self._records.save(job.patient, {"state": state, "result": result})
