"""Operator: make the network's input."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from gastromap.run_record import Stopwatch
from gastromap.staging import TStager

__all__ = ["PreprocessingOperator"]


class PreprocessingOperator(Operator):
    """Receive the ``examinations``, emit the prepared ``cases``: one for each that has a key slice."""

    def __init__(self, fragment: Fragment, *args: Any, stager: TStager, watch: Stopwatch, **kwargs: Any) -> None:
        self._stager = stager
        self._watch = watch
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input("examinations")
        spec.output("cases")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Prepare the key slices and their neighbours."""
        examinations = op_input.receive("examinations")
        with self._watch.stage("preprocess"):
            cases = tuple(self._stager.prepare(e.volume, e.key_slice) for e in examinations if e.key_slice is not None)
        op_output.emit(cases, "cases")
