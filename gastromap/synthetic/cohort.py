"""Make a synthetic cohort: draw patients one by one, write them in a chosen format, resume where a run stopped.

Each patient is written beside its place and moved there when complete, and its record is written last: a record
means that the patient is finished. Tables are made from the records at the end, so that neither the number of
processes nor an interruption changes a byte.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from gastromap.errors import OutputError, UsageError
from gastromap.files import write_text
from gastromap.synthetic.cases import STAGES, sample_case
from gastromap.synthetic.export_scan import MATRIX, plan_scan
from gastromap.synthetic.export_tables import clinical_csv, clinical_row, datalist_json, split_cases
from gastromap.synthetic.scanners import CENTRES
from gastromap.synthetic.types import Case, Stage

__all__ = ["CohortPlan", "Format", "iter_cohort", "write_cohort"]

Format = Literal["dicom", "nifti", "slices"]
#: Called with finished and all patients.
Progress = Callable[[int, int], None]

_PLAN_FILE = "cohort.json"


@dataclass(frozen=True)
class CohortPlan:
    """What decides the content of a cohort, beside the number of patients.

    Attributes
    ----------
    seed : int
        Not negative.
    format : {'dicom', 'nifti', 'slices'}
        A DICOM study, a crop around the stomach, or the key slice with its neighbours.
    centres : tuple of int
        Patients take turns. Centre 3 is the external test.
    stages : tuple of str
        Balanced; all four by default.
    matrix : int
        Rows and columns, even; the field of view stays.
    thickness_mm : float, optional
        Replaces the slice thickness of the centres.
    with_seg : bool
        Add a tumour DICOM SEG to each study.
    slices : {3, 1}
        Of format ``slices``: the key slice with its neighbours, or alone.
    """

    seed: int
    format: Format = "dicom"
    centres: tuple[int, ...] = CENTRES
    stages: tuple[Stage, ...] = STAGES
    matrix: int = MATRIX
    thickness_mm: float | None = None
    with_seg: bool = False
    slices: int = 3

    def __post_init__(self) -> None:
        _require("seed", "a whole number from 0", self.seed, valid=self.seed >= 0)
        _require("format", "dicom, nifti or slices", self.format, valid=self.format in ("dicom", "nifti", "slices"))
        known = bool(self.centres) and set(self.centres) <= set(CENTRES)
        _require("centre", "1, 2 or 3", self.centres, valid=known)
        _require("stage", "T1, T2, T3 or T4", self.stages, valid=bool(self.stages) and set(self.stages) <= set(STAGES))
        _require("matrix", "an even number from 64", self.matrix, valid=self.matrix >= 64 and self.matrix % 2 == 0)
        thickness = self.thickness_mm
        _require("thickness", "0.5 to 10 mm", thickness, valid=thickness is None or 0.5 <= thickness <= 10)
        seg_fits = not self.with_seg or self.format == "dicom"
        _require("with-seg", "format dicom", self.format, valid=seg_fits)
        _require("slices", "1 or 3", self.slices, valid=self.slices in (1, 3))


def _require(name: str, expected: str, got: object, *, valid: bool) -> None:
    if not valid:
        remedy = "Correct the argument."
        raise UsageError("SYNTH_ARGUMENT", where=name, expected=expected, got=str(got), remedy=remedy)


def iter_cohort(
    patients: int, seed: int, *, centres: Sequence[int] = CENTRES, stages: Sequence[Stage] = STAGES
) -> Iterator[Case]:
    """Draw patients lazily; :func:`plan_scan` gives the images of each.

    Parameters
    ----------
    patients : int
        How many, from 1. The first patients of a larger cohort are those of a smaller one.
    seed : int
        Seed of the cohort.
    centres : sequence of int
        Patients take turns.
    stages : sequence of str
        All four are balanced in a random order; a selection takes turns within each centre.

    Yields
    ------
    case : Case
    """
    for number in range(1, patients + 1):
        turn, place = divmod(number - 1, len(centres))
        stage = None if set(stages) == set(STAGES) else stages[turn % len(stages)]
        yield sample_case(seed, number, centre=centres[place], stage=stage)


def write_cohort(
    plan: CohortPlan,
    out: Path,
    *,
    patients: int,
    workers: int = 1,
    validation_share: float = 0.2,
    progress: Progress | None = None,
) -> None:
    """Write a cohort with its tables.

    Parameters
    ----------
    plan : CohortPlan
        What to write.
    out : Path
        Empty, absent, or a folder of the same plan: finished patients are kept, missing ones added.
    patients : int
        From 1.
    workers : int
        Processes.
    validation_share : float
        Part of the patients of centres 1 and 2 that go to ``validation`` in ``datalist.json``.
    progress : callable, optional
        Called with (finished, all) after each patient.

    Raises
    ------
    UsageError
        ``SYNTH_ARGUMENT`` or ``COHORT_DIFFERS``.
    OutputError
        ``OUTPUT_UNWRITABLE``.
    """
    _require("patients", "a whole number from 1", patients, valid=patients >= 1)
    _require("workers", "a whole number from 1", workers, valid=workers >= 1)
    _require("validation share", "0 to below 1", validation_share, valid=0 <= validation_share < 1)
    cases = list(iter_cohort(patients, plan.seed, centres=plan.centres, stages=plan.stages))
    try:
        _claim(out, plan)
        todo = [case for case in cases if not _record_path(out, case).exists()]
        _report(progress, patients - len(todo), patients)
        # Processes go to the patients; a single study uses them inside.
        inside = workers if len(todo) == 1 else 1
        for done, _ in enumerate(_run([(plan, out, case, inside) for case in todo], workers), start=1):
            _report(progress, patients - len(todo) + done, patients)
        shutil.rmtree(out / ".partial", ignore_errors=True)
        records = [json.loads(_record_path(out, case).read_text(encoding="utf-8")) for case in cases]
        split = split_cases(cases, validation_share=validation_share)
        write_text(out / "clinical.csv", clinical_csv([r["clinical"] for r in records], split))
        write_text(out / "datalist.json", datalist_json([r["datalist"] for r in records], split))
    except OSError as error:
        raise OutputError(
            "OUTPUT_UNWRITABLE",
            where="output folder",
            expected="a folder that can be written",
            got=error.strerror or type(error).__name__,
            remedy="Check space and permissions, then repeat the command: finished patients are kept.",
        ) from error


def _report(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _run(jobs: list[tuple[CohortPlan, Path, Case, int]], workers: int) -> Iterator[None]:
    if workers == 1 or len(jobs) < 2:
        yield from map(_write_patient, jobs)
        return
    with get_context().Pool(min(workers, len(jobs))) as pool:
        yield from pool.imap_unordered(_write_patient, jobs)


def _write_patient(job: tuple[CohortPlan, Path, Case, int]) -> None:
    plan, out, case, workers = job
    scan = plan_scan(case, matrix=plan.matrix, thickness_mm=plan.thickness_mm)
    record: dict[str, Any] = {}
    partial = out / ".partial" / case.patient_id
    # What a stopped run left behind is incomplete by definition.
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    if plan.format == "dicom":
        from gastromap.synthetic.dicom_study import write_clinical_json, write_study

        study = write_study(scan, partial / "study", with_seg=plan.with_seg, workers=workers)
        write_clinical_json(case, partial / "clinical.json")
        record["study"] = asdict(study)
        moves = {"image": ("study", f"studies/{case.patient_id}"), "": ("clinical.json", _clinical_name(case))}
    else:
        from gastromap.synthetic.export_nifti import write_crop, write_key_slices

        image, mask = partial / "image.nii.gz", partial / "mask.nii.gz"
        if plan.format == "slices":
            write_key_slices(scan, image, mask, count=plan.slices)
        else:
            write_crop(scan, image, mask)
        moves = {
            "image": ("image.nii.gz", f"images/{case.patient_id}.nii.gz"),
            "mask": ("mask.nii.gz", f"masks/{case.patient_id}.nii.gz"),
        }
    for source, target in moves.values():
        _move(partial / source, out / target)
    record["clinical"] = clinical_row(scan)
    record["datalist"] = {
        **{key: target for key, (_, target) in moves.items() if key},
        "label": STAGES.index(case.stage),
        "patient_id": case.patient_id,
        "centre": case.centre,
    }
    shutil.rmtree(partial)
    write_text(_record_path(out, case), json.dumps(record, indent=1) + "\n")


def _clinical_name(case: Case) -> str:
    return f"clinical/{case.patient_id}.json"


def _record_path(out: Path, case: Case) -> Path:
    return out / "records" / f"{case.patient_id}.json"


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        # Moved, but stopped before its record was written: a folder cannot be replaced in one step.
        shutil.rmtree(target)
    os.replace(source, target)


def _claim(out: Path, plan: CohortPlan) -> None:
    """Write the plan into an empty folder, or check that the folder holds the same one."""
    wanted = json.loads(json.dumps(asdict(plan)))
    found = None
    if (out / _PLAN_FILE).is_file():
        try:
            found = json.loads((out / _PLAN_FILE).read_text(encoding="utf-8"))
        except ValueError:
            found = {}
        got = "other " + ", ".join(sorted(key for key in wanted if found.get(key) != wanted[key]))
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
