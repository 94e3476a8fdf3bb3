"""Composition of the operators; no logic of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holoscan.conditions import CountCondition
from monai.deploy.core import Application

from app.options import Options
from gastromap.nomogram import read_clinical
from gastromap.output import OutputFolder
from gastromap.results import ClinicalVariables, StudyResult
from gastromap.run_record import Stopwatch
from gastromap.segmentation.lazy import LazyTumourFinder
from gastromap.staging import TStager
from gastromap.volume import CtVolume
from operators import (
    DicomLoaderOperator,
    GradCamOperator,
    KeySliceOperator,
    NomogramOperator,
    PreprocessingOperator,
    ResultWriterOperator,
    SeriesSelectorOperator,
    TStageOperator,
)

__all__ = ["GastroMapApplication"]


class GastroMapApplication(Application):
    """DICOM study in, staged result out.

    Parameters
    ----------
    options : Options
    stager : TStager
    output : OutputFolder
        Checked before the run.
    watch : Stopwatch
    on_written : callable
        Called with the result and its files when all of them are in place.
    """

    def __init__(
        self,
        *args: Any,
        options: Options,
        stager: TStager,
        output: OutputFolder,
        watch: Stopwatch,
        on_written: Callable[[StudyResult, tuple[Path, ...]], None],
        **kwargs: Any,
    ) -> None:
        self._options = options
        self._stager = stager
        self._output = output
        self._watch = watch
        self._on_written = on_written
        super().__init__(*args, **kwargs)

    def compose(self) -> None:
        """Chain the operators."""
        o, stager, watch = self._options, self._stager, self._watch
        chain = [
            DicomLoaderOperator(
                self, CountCondition(self, 1), folder=o.input, settings=o.settings, watch=watch, name="loader"
            ),
            SeriesSelectorOperator(
                self,
                settings=o.settings,
                series_uid=o.series,
                named_studies=o.studies,
                watch=watch,
                name="selector",
            ),
            KeySliceOperator(
                self,
                requested=o.key_slice,
                finder=LazyTumourFinder.find(o.models, device=stager.device),
                watch=watch,
                name="key_slice",
            ),
            PreprocessingOperator(self, stager=stager, watch=watch, name="preprocessing"),
            TStageOperator(self, stager=stager, watch=watch, name="t_stage"),
            GradCamOperator(self, stager=stager, watch=watch, name="grad_cam"),
            NomogramOperator(self, stager=stager, clinical_of=self._clinical_of, watch=watch, name="nomogram"),
            ResultWriterOperator(
                self, output=self._output, watch=watch, on_written=self._on_written, name="result_writer"
            ),
        ]
        for upstream, downstream in itertools.pairwise(chain):
            self.add_flow(upstream, downstream)

    def _clinical_of(self, volume: CtVolume) -> ClinicalVariables:
        if self._options.clinical is None:
            return ClinicalVariables()
        patient_id = str(volume.sources[0].header.get("PatientID", ""))
        return read_clinical(self._options.clinical, patient_id=patient_id)
