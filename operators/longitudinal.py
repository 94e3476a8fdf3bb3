"""Operator: compare two examinations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from gastromap.comparison import LazyPredictor, predict_outlook
from gastromap.run_record import Stopwatch

if TYPE_CHECKING:
    from gastromap.segmentation.lazy import LazyTumourFinder

__all__ = ["LongitudinalOperator"]


class LongitudinalOperator(Operator):
    """Receive the ``examinations``, emit them with the ``outlook`` of a pair (None for one study)."""

    def __init__(
        self,
        fragment: Fragment,
        *args: Any,
        predictor: LazyPredictor | None = None,
        finder: LazyTumourFinder | None = None,
        watch: Stopwatch,
        **kwargs: Any,
    ) -> None:
        self._predictor = predictor
        self._finder = finder
        self._watch = watch
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input("examinations")
        spec.output("outlook")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Predict node metastasis and survival from baseline and follow-up."""
        examinations = op_input.receive("examinations")
        outlook = None
        if len(examinations) == 2:
            with self._watch.stage("longitudinal"):
                outlook = predict_outlook(*examinations, predictor=self._predictor, finder=self._finder)
        op_output.emit((examinations, outlook), "outlook")
