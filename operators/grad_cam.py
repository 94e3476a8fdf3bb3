"""Operator: explain each stage."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from gastromap.run_record import Stopwatch
from gastromap.staging import TStager

__all__ = ["GradCamOperator"]


class GradCamOperator(Operator):
    """Receive the ``staged`` cases, emit them ``explained`` with the Grad-CAM of their key slice."""

    def __init__(self, fragment: Fragment, *args: Any, stager: TStager, watch: Stopwatch, **kwargs: Any) -> None:
        self._stager = stager
        self._watch = watch
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input("staged")
        spec.output("explained")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Compute the map for the predicted stage."""
        staged = op_input.receive("staged")
        with self._watch.stage("explain"):
            explained = tuple(
                (inference.case, stage, self._stager.explain(inference, stage.stage)) for inference, stage in staged
            )
        op_output.emit(explained, "explained")
