"""Operator: find the slice with the largest tumour cross-section."""

from __future__ import annotations

from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from gastromap.key_slice import find_key_slice
from gastromap.run_record import Stopwatch

__all__ = ["KeySliceOperator"]


class KeySliceOperator(Operator):
    """Receive a ``scan`` (folder and volume), emit the ``target`` (volume and key slice)."""

    def __init__(self, fragment: Fragment, *args: Any, requested: str | None, watch: Stopwatch, **kwargs: Any) -> None:
        self._requested = requested
        self._watch = watch
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input("scan")
        spec.output("target")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Take the slice named with the call, or the one a SEG, RTSTRUCT or key object names."""
        folder, volume = op_input.receive("scan")
        with self._watch.stage("key slice"):
            key_slice = find_key_slice(folder, volume, requested=self._requested)
        op_output.emit((volume, key_slice), "target")
