"""Operator: stage one case."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from gastromap.run_record import Stopwatch
from gastromap.staging import TStager

__all__ = ["TStageOperator"]


class TStageOperator(Operator):
    """Receive the prepared ``case``, emit it ``staged``: with outputs and stage."""

    def __init__(self, fragment: Fragment, *args: Any, stager: TStager, watch: Stopwatch, **kwargs: Any) -> None:
        self._stager = stager
        self._watch = watch
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input("case")
        spec.output("staged")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Run the network once and combine the slices."""
        case = op_input.receive("case")
        with self._watch.stage("infer"):
            inference = self._stager.infer(case)
            stage = self._stager.stage(inference)
        op_output.emit((inference, stage), "staged")
