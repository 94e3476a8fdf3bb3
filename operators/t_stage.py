"""Operator: stage each case."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from gastromap.run_record import Stopwatch
from gastromap.staging import TStager

__all__ = ["TStageOperator"]


class TStageOperator(Operator):
    """Receive the prepared ``cases``, emit them ``staged``: with outputs and stage."""

    def __init__(self, fragment: Fragment, *args: Any, stager: TStager, watch: Stopwatch, **kwargs: Any) -> None:
        self._stager = stager
        self._watch = watch
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input("cases")
        spec.output("staged")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Run the network and combine the slices."""
        cases = op_input.receive("cases")
        with self._watch.stage("infer"):
            inferences = [self._stager.infer(case) for case in cases]
            staged = tuple((inference, self._stager.stage(inference)) for inference in inferences)
        op_output.emit(staged, "staged")
