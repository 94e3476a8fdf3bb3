"""Our chain on one study: the functions that the operators call, in their order, with their stopwatch."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.inputs import StudyInput
from gastromap.dicom_input import GateSettings, build_volume, load_folder, select_series
from gastromap.key_slice import find_key_slice
from gastromap.nomogram import read_clinical
from gastromap.output import prepare_output, write_study
from gastromap.results import ClinicalVariables, StudyResult
from gastromap.run_record import Stopwatch
from gastromap.staging import TStager

__all__ = ["StudyRun", "run_study"]


@dataclass(frozen=True)
class StudyRun:
    """Seconds by stage with ``total`` and ``CPU``, and what the plain chain is told so that it does the same work."""

    seconds: dict[str, float]
    series_uid: str
    key_position_mm: float  #: z of the key slice
    stage: str


def run_study(study: StudyInput, stager: TStager) -> StudyRun:
    """Stage one study from DICOM files to all results in a new folder.

    Parameters
    ----------
    study : StudyInput
    stager : TStager
        Loaded before: the seconds are those of a process that stays.
    """
    settings, watch = GateSettings(), Stopwatch()
    processor = time.process_time()
    with tempfile.TemporaryDirectory(prefix="gastromap-bench-") as scratch, watch.stage("total"):
        output = prepare_output(Path(scratch) / "result")
        with watch.stage("load"):
            folder = load_folder(study.folder, settings=settings)
        with watch.stage("select"):
            selected = select_series(folder, settings=settings, series_uid=study.series_uid)
        with watch.stage("volume"):
            volume = build_volume(selected, settings=settings)
        with watch.stage("key slice"):
            key_slice = find_key_slice(folder, volume, requested=study.key_slice)
        with watch.stage("preprocess"):
            case = stager.prepare(volume, key_slice)
        with watch.stage("infer"):
            inference = stager.infer(case)
            stage = stager.stage(inference)
        with watch.stage("explain"):
            heatmap = stager.explain(inference, stage.stage)
        with watch.stage("nomogram"):
            clinical = ClinicalVariables()
            if study.clinical is not None:
                patient_id = str(volume.sources[0].header.get("PatientID", ""))
                clinical = read_clinical(study.clinical, patient_id=patient_id)
            nomogram = stager.nomogram(stage, clinical)
        result = StudyResult(
            volume=volume,
            key_slice=key_slice,
            stage=stage,
            grad_cam=heatmap,
            nomogram=nomogram,
            run=watch.record(),
            warnings=volume.warnings,
        )
        with watch.stage("write"):
            write_study(result, output)
    watch.seconds["CPU"] = time.process_time() - processor
    return StudyRun(
        seconds=watch.seconds,
        series_uid=volume.series.series_instance_uid,
        key_position_mm=key_slice.position_mm,
        stage=stage.stage,
    )
