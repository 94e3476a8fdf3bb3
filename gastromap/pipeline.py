"""The whole way of one input folder to its results, for callers that keep the models loaded.

The same calls in the same order as the operators make them; a test holds both against each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from gastromap.bundle import Bundle
from gastromap.comparison import LazyPredictor, predict_outlook, study_result
from gastromap.dicom_input import GateSettings, NamedStudies, build_volume, load_folder, select_time_points
from gastromap.dicom_input.studies import Role
from gastromap.examination import examine_all
from gastromap.nomogram import read_clinical, with_measured_size
from gastromap.output import OutputFolder, write_study
from gastromap.reports.catalogue import Language
from gastromap.results import ClinicalVariables, StudyResult
from gastromap.run_record import Stopwatch
from gastromap.segmentation.lazy import LazyTumourFinder
from gastromap.staging import TStager
from gastromap.volume import CtVolume

__all__ = ["StudyPipeline", "StudyRequest", "clinical_of"]


@dataclass(frozen=True)
class StudyRequest:
    """What is asked about one input folder; the fields are the options of the application.

    Attributes
    ----------
    input : Path
        Folder with the DICOM files of one study, or of the studies before and after treatment.
    settings : GateSettings
    key_slices, series : tuple of str
        Named by the caller.
    studies : NamedStudies
    only : {"baseline", "followup"}, optional
    clinical : Path, optional
    """

    input: Path
    settings: GateSettings = field(default_factory=GateSettings)
    key_slices: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    studies: NamedStudies = field(default_factory=NamedStudies)
    only: Role | None = None
    clinical: Path | None = None


class StudyPipeline:
    """Models that stage one study after the other.

    Parameters
    ----------
    models : Path
        Folder of the bundles.
    device : torch.device
    language : {"en", "zh"}
        Of the reports for people.
    """

    def __init__(self, models: Path, *, device: torch.device, language: Language = "en") -> None:
        self._language: Language = language
        self._stager = TStager(Bundle.find(models), device=device)
        self._finder = LazyTumourFinder.find(models, device=device)
        self._predictor = LazyPredictor.find(models, device=device)

    def __call__(
        self, request: StudyRequest, output: OutputFolder, *, watch: Stopwatch | None = None
    ) -> tuple[StudyResult, tuple[Path, ...]]:
        """Stage one input folder and write its results: all of them or none.

        Parameters
        ----------
        request : StudyRequest
        output : OutputFolder
            Of :func:`gastromap.output.prepare_output`.
        watch : Stopwatch, optional

        Returns
        -------
        result : StudyResult
        files : tuple of Path
            ``result.json`` last.

        Raises
        ------
        GastromapError
            As the application ends with; nothing was written.
        """
        watch = watch or Stopwatch()
        stager = self._stager
        with watch.stage("load"):
            folder = load_folder(request.input, settings=request.settings)
        with watch.stage("select"):
            selected = select_time_points(
                folder,
                settings=request.settings,
                series_uids=request.series,
                named_studies=request.studies,
                only=request.only,
            )
        with watch.stage("volume"):
            volumes = tuple(build_volume(series, settings=request.settings) for series in selected)
        with watch.stage("key slice"):
            examinations = examine_all(folder, volumes, requested=request.key_slices, finder=self._finder)
        with watch.stage("preprocess"):
            cases = [stager.prepare(e.volume, e.key_slice) for e in examinations if e.key_slice is not None]
        with watch.stage("infer"):
            inferences = [stager.infer(case) for case in cases]
            stages = [stager.stage(inference) for inference in inferences]
        with watch.stage("explain"):
            explained = [
                (inference.case, stage, stager.explain(inference, stage.stage))
                for inference, stage in zip(inferences, stages, strict=True)
            ]
        with watch.stage("nomogram"):
            clinical = with_measured_size(clinical_of(request.clinical, volumes[0]), examinations[0].tumour)
            nomogram = stager.nomogram(stages[0], clinical)
        outlook = None
        if len(examinations) == 2:
            with watch.stage("longitudinal"):
                outlook = predict_outlook(*examinations, predictor=self._predictor, finder=self._finder)
        result = study_result(examinations, explained, nomogram=nomogram, outlook=outlook, run=watch.record())
        with watch.stage("write"):
            return result, write_study(result, output, language=self._language)


def clinical_of(path: Path | None, volume: CtVolume) -> ClinicalVariables:
    """Clinical variables of the patient of a volume; empty without a file.

    Raises
    ------
    UsageError
        As of :func:`gastromap.nomogram.read_clinical`.
    """
    if path is None:
        return ClinicalVariables()
    return read_clinical(path, patient_id=str(volume.sources[0].header.get("PatientID", "")))
