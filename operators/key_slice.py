"""Operator: find the slice with the largest tumour cross-section."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from gastromap.examination import examine_all
from gastromap.run_record import Stopwatch

if TYPE_CHECKING:
    from gastromap.segmentation.lazy import LazyTumourFinder

__all__ = ["KeySliceOperator"]


class KeySliceOperator(Operator):
    """Receive ``scans`` (folder and volumes), emit ``examinations``: each volume with key slice and tumour."""

    def __init__(
        self,
        fragment: Fragment,
        *args: Any,
        requested: Sequence[str] = (),
        finder: LazyTumourFinder | None = None,
        watch: Stopwatch,
        **kwargs: Any,
    ) -> None:
        self._requested = requested
        self._finder = finder
        self._watch = watch
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input("scans")
        spec.output("examinations")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Take the slice named with the call or by a SEG, RTSTRUCT or key object, else that of the model."""
        folder, volumes = op_input.receive("scans")
        with self._watch.stage("key slice"):
            examinations = examine_all(folder, volumes, requested=self._requested, finder=self._finder)
        op_output.emit(examinations, "examinations")
