"""A finder that costs nothing until the first volume without a marked tumour comes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gastromap.model_card import WEIGHTS_NAME

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from gastromap.segmentation.finder import TumourFinder, TumourFinding

__all__ = ["SEGMENTATION_BUNDLE", "LazyTumourFinder"]

SEGMENTATION_BUNDLE = "gastric_tumor_segmentation"


class LazyTumourFinder:
    """A finder whose networks are read when the first volume comes: most studies bring a segmentation of their own.

    Parameters
    ----------
    bundle : Path
        Its folder.
    device : torch.device
    """

    def __init__(self, bundle: Path, *, device: torch.device) -> None:
        self._bundle, self._device = bundle, device
        self._finder: TumourFinder | None = None

    @classmethod
    def find(cls, models: Path, *, device: torch.device) -> LazyTumourFinder | None:
        """Finder of the bundle below the folder of bundles; None where it is not there or has no weights."""
        folder = models / SEGMENTATION_BUNDLE
        return cls(folder, device=device) if (folder / "models" / WEIGHTS_NAME).is_file() else None

    @property
    def loaded(self) -> TumourFinder:
        """The finder itself.

        Raises
        ------
        ModelError
            As of :meth:`TumourFinder.of_bundle`.
        """
        if self._finder is None:
            from gastromap.segmentation.finder import TumourFinder

            self._finder = TumourFinder.of_bundle(self._bundle, device=self._device)
        return self._finder

    def __call__(self, hu: NDArray[np.floating], affine_lps: NDArray[np.floating]) -> TumourFinding:
        """As :class:`TumourFinder`."""
        return self.loaded(hu, affine_lps)
