"""Read the studies of a cohort once: jobs for those that are new or changed, records of those that are done."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gastromap.cohort.identities import Identities
from gastromap.cohort.matching import Case, Columns, Roster
from gastromap.cohort.records import Records
from gastromap.cohort.resolving import Record
from gastromap.cohort.splitting import SplitPlan
from gastromap.cohort.study import InputKind, Request, StudyJob, work
from gastromap.cohort.units import Matcher, MatchRule, Unit
from gastromap.cohort.workers import run_jobs
from gastromap.dicom_input import GateSettings

__all__ = ["PreparePlan", "Progress", "StudyReader", "seconds_of"]

#: Changes when the image of an unchanged study would.
_FORMAT = 1

#: Called with finished studies, all studies, and those that were refused or failed.
Progress = Callable[[int, int, int], None]


@dataclass(frozen=True)
class PreparePlan:
    """What is to be prepared, beside the table.

    Attributes
    ----------
    images : Path
        Folder of the studies.
    out : Path
        Absent, empty, or of an earlier run.
    identities : Path
        File that ties pseudonyms to patients; outside ``out``.
    columns : Columns
    kind : {"dicom", "nifti", "png"}
    match : {"patient-id", "name", "image"}
    depth : int
        Level of the study folders below ``images``.
    slices : {3, 1}
        Key slice with its neighbours, or alone.
    split : SplitPlan
    settings : GateSettings
    png_spacing_mm, png_window : float or None, (float, float)
        As in :func:`gastromap.cohort.files.read_png`.
    workers : int
    study_seconds : float
        A study that takes longer is given up.
    """

    images: Path
    out: Path
    identities: Path
    columns: Columns
    kind: InputKind = "dicom"
    match: MatchRule = "patient-id"
    depth: int = 1
    slices: int = 3
    split: SplitPlan = field(default_factory=SplitPlan)
    settings: GateSettings = field(default_factory=GateSettings)
    png_spacing_mm: float | None = None
    png_window: tuple[float, float] = (50.0, 350.0)
    workers: int = 1
    study_seconds: float = 900.0


class StudyReader:
    """Reads studies and keeps their records.

    Parameters
    ----------
    plan : PreparePlan
    identities : Identities
    roster : Roster
    """

    def __init__(self, plan: PreparePlan, identities: Identities, roster: Roster) -> None:
        self.plan = plan
        self.identities = identities
        self.matcher = Matcher(roster.cases, plan.match)
        self.number_read = 0
        self._records = Records(plan.out)
        self._results: dict[str, Mapping[str, Any]] = {}
        # Workers are as many as the cores already, and each may die of its study alone.
        settings = replace(plan.settings, parse_in_child=False, decode_threads=1)
        self._settings = settings
        self._recipe = repr((_FORMAT, asdict(settings), plan.kind, plan.slices, plan.png_spacing_mm, plan.png_window))

    def _study(self, unit: Unit) -> str:
        return self.identities.study(unit.name)

    def _patient_id(self, unit: Unit) -> str:
        return self.identities.studies.get(self._study(unit), {}).get("patient_id", "")

    def _state(self, unit: Unit, case: Case | None) -> dict[str, str]:
        request = None if case is None else (case.request, case.patient_id)
        return {
            "study": self.identities.digest(f"{unit.name} {unit.state} {self._recipe}"),
            "request": self.identities.digest(json.dumps(request)),
        }

    def _kept(self, unit: Unit) -> Mapping[str, Any] | None:
        """Result of an earlier run, if it still holds."""
        record = self._records.load(self._study(unit))
        if record is None:
            return None
        state, result = record["state"], record["result"]
        case, _ = self.matcher.find(unit, self._patient_id(unit))
        now = self._state(unit, case)
        # A study refused before its patient was known asks for nothing.
        if state["study"] != now["study"] or (record.get("asked", True) and state["request"] != now["request"]):
            return None
        if result["status"] == "ready" and not (self.plan.out / result["image"]).is_file():
            return None
        return dict(result)

    def read(self, units: tuple[Unit, ...], progress: Progress | None) -> None:
        """Read the studies whose records do not hold any more.

        Parameters
        ----------
        units : tuple of Unit
        progress : callable, optional
        """
        todo: dict[str, Unit] = {}
        for unit in units:
            kept = self._kept(unit)
            if kept is None:
                todo[self._study(unit)] = unit
            else:
                self._results[self._study(unit)] = kept
        asked: set[str] = set()

        def report() -> None:
            if progress is not None:
                bad = sum(result["status"] in ("refused", "failed") for result in self._results.values())
                progress(len(self._results), len(units), bad)

        def answer(job: StudyJob, patient_id: str) -> Request:
            unit = todo[job.study]
            asked.add(job.study)
            case, _ = self.matcher.find(unit, patient_id)
            patient = "" if case is None else self.identities.patient(case.patient_id)
            self.identities.add_study(job.study, folder=unit.name, patient_id=patient_id, patient=patient)
            return None if case is None else case.request

        def done(job: StudyJob, result: dict[str, Any]) -> None:
            self._store(todo[job.study], result, asked=job.study in asked)
            self.number_read += 1
            report()

        report()
        run_jobs(
            [self._job(unit) for unit in todo.values()],
            work=work,
            workers=self.plan.workers,
            seconds=self.plan.study_seconds,
            answer=answer,
            done=done,
        )

    def _target(self, study: str) -> Path:
        return self.plan.out / "images" / f".{study}.partial.nii.gz"

    def _job(self, unit: Unit) -> StudyJob:
        study = self._study(unit)
        return StudyJob(
            study=study,
            path=str(unit.path),
            kind=self.plan.kind,
            target=str(self._target(study)),
            settings=self._settings,
            label_key=self.identities.label_key(),
            slices=self.plan.slices,
            png_spacing_mm=self.plan.png_spacing_mm,
            png_window=self.plan.png_window,
        )

    def _store(self, unit: Unit, result: dict[str, Any], *, asked: bool) -> None:
        study, patient_id = self._study(unit), self._patient_id(unit)
        if not asked:
            self.identities.add_study(study, folder=unit.name)
        case, _ = self.matcher.find(unit, patient_id)
        if result["status"] == "ready" and case is not None:
            patient = self.identities.patient(case.patient_id)
            uids = {name: str(result.pop(name, "")) for name in ("series_uid", "key_slice_uid")}
            self.identities.add_study(study, folder=unit.name, patient_id=patient_id, patient=patient, **uids)
            seconds = seconds_of(str(result.pop("moment", "")))
            result["moment"] = None if seconds is None else self.identities.moment(patient, seconds)
            result["image"] = f"images/{patient}_{study}.nii.gz"
            os.replace(self._target(study), self.plan.out / result["image"])
        else:
            self._target(study).unlink(missing_ok=True)
        self._results[study] = result
        self._records.save(study, {"state": self._state(unit, case), "asked": asked, "result": result})

    def records(self, units: tuple[Unit, ...]) -> Iterator[Record]:
        """Yield what was found in each study, after :meth:`read`."""
        for unit in units:
            study, patient_id = self._study(unit), self._patient_id(unit)
            case, zeros = self.matcher.find(unit, patient_id)
            yield Record(
                study=study,
                case=case,
                patient="" if case is None else self.identities.patient(case.patient_id),
                identity=self.identities.digest(patient_id) if patient_id else "",
                zeros=zeros,
                result=self._results[study],
            )


def seconds_of(moment: str) -> float | None:
    """Seconds of a date and a time as DICOM writes them; None where there is no date."""
    date, _, time = moment.partition(" ")
    try:
        # Many archives empty the time; the date alone still gives the order of studies of different days.
        stamp = f"{date}{(time.split('.')[0] + '000000')[:6]}"
        return datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
