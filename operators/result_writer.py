"""Operator: write the result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from gastromap.comparison import study_result
from gastromap.output import OutputFolder, write_study
from gastromap.reports.catalogue import Language
from gastromap.results import StudyResult
from gastromap.run_record import Stopwatch

__all__ = ["ResultWriterOperator"]


class ResultWriterOperator(Operator):
    """Receive ``findings`` and ``outlook`` and write reports and DICOM objects: all of them or none."""

    def __init__(
        self,
        fragment: Fragment,
        *args: Any,
        output: OutputFolder,
        watch: Stopwatch,
        on_written: Callable[[StudyResult, tuple[Path, ...]], None],
        language: Language = "en",
        **kwargs: Any,
    ) -> None:
        self._output = output
        self._language = language
        self._watch = watch
        self._on_written = on_written
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input("findings")
        spec.input("outlook")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Assemble the study result and hand it to the writers."""
        explained, nomogram = op_input.receive("findings")
        examinations, outlook = op_input.receive("outlook")
        result = study_result(examinations, explained, nomogram=nomogram, outlook=outlook, run=self._watch.record())
        with self._watch.stage("write"):
            files = write_study(result, self._output, language=self._language)
        self._on_written(result, files)
