"""Operator: make the network's input."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from gastromap.run_record import Stopwatch
from gastromap.staging import TStager

__all__ = ["PreprocessingOperator"]


class PreprocessingOperator(Operator):
    """Receive the ``target``, emit the prepared ``case``."""

    def __init__(self, fragment: Fragment, *args: Any, stager: TStager, watch: Stopwatch, **kwargs: Any) -> None:
        self._stager = stager
        self._watch = watch
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input("target")
        spec.output("case")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Prepare the key slice and its neighbours."""
        volume, key_slice = op_input.receive("target")
        with self._watch.stage("preprocess"):
            case = self._stager.prepare(volume, key_slice)
        op_output.emit(case, "case")
