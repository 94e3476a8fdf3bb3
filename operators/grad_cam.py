"""Operator: explain the stage."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from gastromap.run_record import Stopwatch
from gastromap.staging import TStager

__all__ = ["GradCamOperator"]


class GradCamOperator(Operator):
    """Receive the ``staged`` case, emit it ``explained`` with the Grad-CAM of the key slice."""

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
        inference, stage = op_input.receive("staged")
        with self._watch.stage("explain"):
            heatmap = self._stager.explain(inference, stage.stage)
        op_output.emit((inference.case, stage, heatmap), "explained")
