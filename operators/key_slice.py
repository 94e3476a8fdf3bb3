"""Operator: find the slice with the largest tumour cross-section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from gastromap.key_slice import find_key_slice
from gastromap.run_record import Stopwatch
from gastromap.volume import CtVolume

if TYPE_CHECKING:
    from gastromap.segmentation.finder import TumourFinding
    from gastromap.segmentation.lazy import LazyTumourFinder

__all__ = ["KeySliceOperator"]


class KeySliceOperator(Operator):
    """Receive a ``scan`` (folder and volume), emit the ``target`` (volume and key slice)."""

    def __init__(
        self,
        fragment: Fragment,
        *args: Any,
        requested: str | None,
        finder: LazyTumourFinder | None,
        watch: Stopwatch,
        **kwargs: Any,
    ) -> None:
        self._requested = requested
        self._finder = finder
        self._watch = watch
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input("scan")
        spec.output("target")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Take the slice named with the call or by a SEG, RTSTRUCT or key object, else that of the model."""
        folder, volume = op_input.receive("scan")
        with self._watch.stage("key slice"):
            find = None if self._finder is None else self._find
            key_slice = find_key_slice(folder, volume, requested=self._requested, find_tumour=find)
        op_output.emit((volume, key_slice), "target")

    def _find(self, volume: CtVolume) -> TumourFinding:
        assert self._finder is not None  # noqa: S101 -- asked only where there is one
        with self._watch.stage("segmentation"):
            return self._finder(volume.hu, volume.affine_lps)
