"""Composition of the operators; no logic of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holoscan.conditions import CountCondition
from monai.deploy.core import Application

from app.options import Options
from gastromap.comparison import LazyPredictor
from gastromap.output import OutputFolder
from gastromap.pipeline import clinical_of
from gastromap.results import ClinicalVariables, StudyResult
from gastromap.run_record import Stopwatch
from gastromap.segmentation.lazy import LazyTumourFinder
from gastromap.staging import TStager
from gastromap.volume import CtVolume
from operators import (
    DicomLoaderOperator,
    GradCamOperator,
    KeySliceOperator,
    LongitudinalOperator,
    NomogramOperator,
    PreprocessingOperator,
    ResultWriterOperator,
    SeriesSelectorOperator,
    TStageOperator,
)

__all__ = ["GastroMapApplication"]


class GastroMapApplication(Application):
    """One or two DICOM studies in, staged result out.

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
        finder = LazyTumourFinder.find(o.models, device=stager.device)
        predictor = LazyPredictor.find(o.models, device=stager.device)
        loader = DicomLoaderOperator(
            self, CountCondition(self, 1), folder=o.input, settings=o.settings, watch=watch, name="loader"
        )
        selector = SeriesSelectorOperator(
            self,
            settings=o.settings,
            series_uids=o.series,
            named_studies=o.studies,
            only=o.only,
            watch=watch,
            name="selector",
        )
        key_slice = KeySliceOperator(self, requested=o.key_slices, finder=finder, watch=watch, name="key_slice")
        preprocessing = PreprocessingOperator(self, stager=stager, watch=watch, name="preprocessing")
        t_stage = TStageOperator(self, stager=stager, watch=watch, name="t_stage")
        grad_cam = GradCamOperator(self, stager=stager, watch=watch, name="grad_cam")
        nomogram = NomogramOperator(self, stager=stager, clinical_of=self._clinical_of, watch=watch, name="nomogram")
        longitudinal = LongitudinalOperator(self, predictor=predictor, finder=finder, watch=watch, name="longitudinal")
        writer = ResultWriterOperator(
            self,
            output=self._output,
            language=o.language,
            watch=watch,
            on_written=self._on_written,
            name="result_writer",
        )
        for upstream, downstream in itertools.pairwise((loader, selector, key_slice)):
            self.add_flow(upstream, downstream)
        self.add_flow(key_slice, preprocessing, {("examinations", "examinations")})
        self.add_flow(key_slice, longitudinal, {("examinations", "examinations")})
        self.add_flow(key_slice, nomogram, {("examinations", "examinations")})
        for upstream, downstream in itertools.pairwise((preprocessing, t_stage, grad_cam)):
            self.add_flow(upstream, downstream)
        self.add_flow(grad_cam, nomogram, {("explained", "explained")})
        self.add_flow(nomogram, writer, {("findings", "findings")})
        self.add_flow(longitudinal, writer, {("outlook", "outlook")})

    def _clinical_of(self, volume: CtVolume) -> ClinicalVariables:
        return clinical_of(self._options.clinical, volume)
