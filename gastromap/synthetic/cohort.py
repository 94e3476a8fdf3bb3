"""Make a synthetic cohort: draw patients one by one, write them in a chosen format, resume where a run stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from gastromap.files import write_text
from gastromap.synthetic.cases import STAGES, sample_case
from gastromap.synthetic.cohort_folder import Progress, Written, cohort_folder, require, require_counts
from gastromap.synthetic.export_scan import MATRIX, plan_scan
from gastromap.synthetic.export_tables import clinical_csv, clinical_row, datalist_json, split_cases
from gastromap.synthetic.scanners import CENTRES
from gastromap.synthetic.types import Case, Stage

__all__ = ["CohortPlan", "Format", "clinical_name", "iter_cohort", "write_cohort"]

Format = Literal["dicom", "nifti", "slices"]


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
    whole : bool
        Of format ``nifti``: keep the whole field of view instead of the stomach and its surroundings.
    close : bool
        Of format ``nifti``: only slices of the stomach, reconstructed on a field of view of its own.
    """

    seed: int
    format: Format = "dicom"
    centres: tuple[int, ...] = CENTRES
    stages: tuple[Stage, ...] = STAGES
    matrix: int = MATRIX
    thickness_mm: float | None = None
    with_seg: bool = False
    slices: int = 3
    whole: bool = False
    close: bool = False

    def __post_init__(self) -> None:
        require("seed", "a whole number from 0", self.seed, valid=self.seed >= 0)
        require("format", "dicom, nifti or slices", self.format, valid=self.format in ("dicom", "nifti", "slices"))
        known = bool(self.centres) and set(self.centres) <= set(CENTRES)
        require("centre", "1, 2 or 3", self.centres, valid=known)
        require("stage", "T1, T2, T3 or T4", self.stages, valid=bool(self.stages) and set(self.stages) <= set(STAGES))
        require("matrix", "an even number from 64", self.matrix, valid=self.matrix >= 64 and self.matrix % 2 == 0)
        thickness = self.thickness_mm
        require("thickness", "0.5 to 10 mm", thickness, valid=thickness is None or 0.5 <= thickness <= 10)
        seg_fits = not self.with_seg or self.format == "dicom"
        require("with-seg", "format dicom", self.format, valid=seg_fits)
        require("slices", "1 or 3", self.slices, valid=self.slices in (1, 3))
        require("whole", "format nifti", self.format, valid=not self.whole or self.format == "nifti")
        require("close", "format nifti", self.format, valid=not self.close or self.format == "nifti")
        require("close", "not with whole", "both", valid=not (self.whole and self.close))

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``whole`` and ``close`` only where they are set, because older cohorts do not know them."""
        return {key: value for key, value in asdict(self).items() if value or key not in ("whole", "close")}


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
    require_counts(patients=patients, workers=workers, validation_share=validation_share)
    cases = list(iter_cohort(patients, plan.seed, centres=plan.centres, stages=plan.stages))
    with cohort_folder(out, plan.to_json()) as folder:
        jobs = {case.patient_id: partial(_write_patient, plan, case) for case in cases}
        records = folder.complete(jobs, workers=workers, progress=progress)
        split = split_cases(cases, validation_share=validation_share)
        write_text(out / "clinical.csv", clinical_csv([r["clinical"] for r in records], split))
        write_text(out / "datalist.json", datalist_json([r["datalist"] for r in records], split))


def _write_patient(plan: CohortPlan, case: Case, partial_folder: Path, workers: int) -> Written:
    scan = plan_scan(case, matrix=plan.matrix, thickness_mm=plan.thickness_mm)
    record: dict[str, Any] = {}
    if plan.format == "dicom":
        from gastromap.synthetic.dicom_study import write_clinical_json, write_study

        study = write_study(scan, partial_folder / "study", with_seg=plan.with_seg, workers=workers)
        write_clinical_json(case, partial_folder / "clinical.json")
        record["study"] = asdict(study)
        moves = {"image": ("study", f"studies/{case.patient_id}"), "": ("clinical.json", clinical_name(case))}
    else:
        from gastromap.synthetic.export_nifti import write_close, write_crop, write_key_slices

        image, mask = partial_folder / "image.nii.gz", partial_folder / "mask.nii.gz"
        if plan.format == "slices":
            write_key_slices(scan, image, mask, count=plan.slices)
        elif plan.close:
            write_close(scan, image, mask)
        else:
            write_crop(scan, image, mask, whole=plan.whole)
        moves = {
            "image": ("image.nii.gz", f"images/{case.patient_id}.nii.gz"),
            "mask": ("mask.nii.gz", f"masks/{case.patient_id}.nii.gz"),
        }
    record["clinical"] = clinical_row(scan)
    record["datalist"] = {
        **{key: target for key, (_, target) in moves.items() if key},
        "label": STAGES.index(case.stage),
        "patient_id": case.patient_id,
        "centre": case.centre,
    }
    return Written(record, moves=dict(moves.values()))


def clinical_name(case: Case) -> str:
    """Clinical file of a patient, relative to the cohort."""
    return f"clinical/{case.patient_id}.json"
