"""Operator: read a folder of DICOM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from gastromap.dicom_input import GateSettings, load_folder
from gastromap.run_record import Stopwatch

__all__ = ["DicomLoaderOperator"]


class DicomLoaderOperator(Operator):
    """Emit the ``folder``: every DICOM object of one patient, headers only."""

    def __init__(
        self, fragment: Fragment, *args: Any, folder: Path, settings: GateSettings, watch: Stopwatch, **kwargs: Any
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._watch = watch
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.output("folder")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Read the headers and check the patient."""
        with self._watch.stage("load"):
            folder = load_folder(self._folder, settings=self._settings)
        op_output.emit(folder, "folder")
