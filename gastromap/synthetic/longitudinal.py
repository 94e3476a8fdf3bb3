"""Make a longitudinal cohort: two dates a patient with labels, split, table, and the truth in a folder of its own."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gastromap.files import write_text
from gastromap.synthetic.cohort import CohortPlan, clinical_name
from gastromap.synthetic.cohort_folder import Progress, Written, cohort_folder, require, require_counts
from gastromap.synthetic.export_crop import render_cube, write_cube
from gastromap.synthetic.export_scan import MATRIX, Scan
from gastromap.synthetic.export_tables import clinical_csv
from gastromap.synthetic.longitudinal_tables import longitudinal_datalist, split_visits, visits_row
from gastromap.synthetic.oracle import Oracle, oracle_of, truth_csv, truth_row
from gastromap.synthetic.types import Stage
from gastromap.synthetic.visits import FOLLOWUP, TREATED_STAGES, Visits, iter_longitudinal, largest_node_mm

__all__ = ["LongitudinalPlan", "write_longitudinal"]


@dataclass(frozen=True)
class LongitudinalPlan(CohortPlan):
    """What decides the content of a longitudinal cohort, beside the number of patients.

    Attributes
    ----------
    missing_followup : float
        Share of patients without second scan, 0 to below 1.
    """

    stages: tuple[Stage, ...] = TREATED_STAGES
    missing_followup: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require("format", "dicom or nifti with two dates", self.format, valid=self.format in ("dicom", "nifti"))
        share = self.missing_followup
        require("missing follow-up", "0 to below 1", share, valid=0 <= share < 1)


def write_longitudinal(
    plan: LongitudinalPlan,
    out: Path,
    *,
    patients: int,
    workers: int = 1,
    validation_share: float = 0.2,
    progress: Progress | None = None,
) -> dict[str, Oracle]:
    """Write a longitudinal cohort with its tables.

    Parameters
    ----------
    plan, out, patients, workers, validation_share, progress
        As of :func:`gastromap.synthetic.cohort.write_cohort`.

    Returns
    -------
    oracle : dict
        Best reachable figures of ``all`` patients and of each part of the split that is not empty.

    Raises
    ------
    UsageError
        ``SYNTH_ARGUMENT`` or ``COHORT_DIFFERS``.
    OutputError
        ``OUTPUT_UNWRITABLE``.
    """
    require_counts(patients=patients, workers=workers, validation_share=validation_share)
    everybody = list(
        iter_longitudinal(
            patients, plan.seed, centres=plan.centres, stages=plan.stages, missing_followup=plan.missing_followup
        )
    )
    with cohort_folder(out, {"longitudinal": True, **plan.to_json()}) as folder:
        jobs = {visits.case.patient_id: partial(_write_patient, plan, visits) for visits in everybody}
        records = folder.complete(jobs, workers=workers, progress=progress)
        split = split_visits(everybody, validation_share=validation_share)
        table = clinical_csv([record["clinical"] for record in records], split)
        write_text(out / "clinical.csv", table)
        write_text(out / "datalist.json", longitudinal_datalist(everybody, records, split, table=table))
        truth = [record["truth"] for record in records]
        parts = {"all": truth}
        for part in ("training", "validation", "test"):
            parts[part] = [row for row in truth if split[row["patient_id"]] == part]
        oracle = {part: oracle_of(rows) for part, rows in parts.items() if rows}
        write_text(out / "oracle" / "patients.csv", truth_csv(truth))
        write_text(out / "oracle" / "best_reachable.json", _json(oracle))
    return oracle


def _json(oracle: dict[str, Oracle]) -> str:
    plain = {
        part: {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(figures).items()}
        for part, figures in oracle.items()
    }
    return json.dumps(plain, indent=1) + "\n"


def _write_patient(plan: LongitudinalPlan, visits: Visits, folder: Path, workers: int) -> Written:
    case = visits.case
    options: dict[str, Any] = {"matrix": plan.matrix, "thickness_mm": plan.thickness_mm}
    scans = {"baseline": visits.baseline(**options), FOLLOWUP: visits.followup(**options)}
    sizes = {name: largest_node_mm(scan) for name, scan in scans.items()}
    if not visits.followed:
        del scans[FOLLOWUP]
    record: dict[str, Any] = {}
    moves: dict[str, str] = {}
    files: dict[str, str] = {}
    if plan.format == "dicom":
        from gastromap.synthetic.dicom_study import write_clinical_json, write_study

        for number, (name, scan) in enumerate(scans.items(), start=1):
            days = visits.course.interval_days if name == FOLLOWUP else 0
            study = write_study(scan, folder / "studies" / name, days=days, with_seg=plan.with_seg, workers=workers)
            record[f"study{number}"] = asdict(study)
            files[f"image{number}"] = f"studies/{case.patient_id}/{name}"
            if plan.with_seg:
                files[f"mask{number}"] = f"studies/{case.patient_id}/{name}/S900/I0001.dcm"
        write_clinical_json(case, folder / "clinical.json")
        moves = {"studies": f"studies/{case.patient_id}", "clinical.json": clinical_name(case)}
    else:
        for number, (name, scan) in enumerate(scans.items(), start=1):
            image, mask = f"{name}.nii.gz", f"{name}_mask.nii.gz"
            cube = render_cube(scan, pixel_mm=MATRIX / plan.matrix)
            write_cube(cube, folder / image, folder / mask)
            files[f"image{number}"] = moves[image] = f"images/{case.patient_id}_{name}.nii.gz"
            files[f"mask{number}"] = moves[mask] = f"masks/{case.patient_id}_{name}.nii.gz"
    record["clinical"] = visits_row(visits, files, _scanners(scans))
    record["truth"] = truth_row(visits, node_before_mm=sizes["baseline"], node_after_mm=sizes[FOLLOWUP])
    return Written(record, moves)


def _scanners(scans: dict[str, Scan]) -> dict[str, str | float]:
    columns: dict[str, str | float] = {}
    for number, name in enumerate(("baseline", FOLLOWUP), start=1):
        scanner = scans[name].scanner if name in scans else None
        columns[f"scanner_model{number}"] = scanner.model if scanner else ""
        columns[f"slice_thickness_mm{number}"] = scanner.slice_thickness_mm if scanner else ""
    return columns
