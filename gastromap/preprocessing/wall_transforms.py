"""Depth profile of the stomach's wall as a MONAI dictionary transform, for bundles."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform

from gastromap.errors import UsageError
from gastromap.preprocessing.transforms import RAS_TO_LPS
from gastromap.preprocessing.volume import PatientGrid, sample_mask
from gastromap.preprocessing.volume_transforms import slices_first
from gastromap.preprocessing.wall import wall_profile

__all__ = ["PrepareWallProfiled", "RandWallCellsd"]

#: Share of a cell from which it is one with tumour.
_TUMOUR_SHARE = 0.25


class PrepareWallProfiled(MapTransform):
    """Profile the wall of a loaded CT with the function that the tumour finder calls.

    Parameters
    ----------
    image_key, label_key : str
        MetaTensors of shape (1, columns, rows, slices) with a RAS affine, as ``LoadImaged`` and ``EnsureChannelFirstd``
        give them: HU, and a mask on the same grid.
    attended_key : str
        Written: where the loss counts.
    tumour, organ : sequence of int
        Values of the mask that make the tumour, and the stomach with it.
    stomach_spacing_mm : sequence of float
        Grid of the coarse network, (slice, row, column): the stomach is not known better when a tumour is looked for.

    Notes
    -----
    Output: image (channels, D, H, W) float16; label (1, D, H, W) uint8, 1 where a quarter of a cell is tumour; attended
    (1, D, H, W) uint8, 0 where there is no wall, or less tumour than that.

    Raises
    ------
    UsageError
        ``MASK_WITHOUT_STOMACH``.
    """

    def __init__(
        self,
        image_key: str = "image",
        label_key: str = "label",
        *,
        attended_key: str = "attended",
        tumour: Sequence[int],
        organ: Sequence[int],
        stomach_spacing_mm: Sequence[float],
    ) -> None:
        super().__init__([image_key, label_key])
        self._attended_key = attended_key
        self._tumour, self._organ = list(tumour), list(organ)
        self._spacing = (float(stomach_spacing_mm[0]), float(stomach_spacing_mm[1]), float(stomach_spacing_mm[2]))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Profile the image, and find the cells of the mask."""
        result = dict(data)
        image_key, label_key = self.keys
        image: MetaTensor = result[image_key]
        affine = RAS_TO_LPS @ np.asarray(image.affine, float)
        hu, mask = slices_first(image), slices_first(result[label_key])
        coarse = PatientGrid.covering(affine, (hu.shape[0], hu.shape[1], hu.shape[2]), self._spacing)
        stomach = sample_mask(np.isin(mask, self._organ), affine, coarse) >= 0.5
        if not stomach.any():
            raise UsageError(
                "MASK_WITHOUT_STOMACH",
                where="mask",
                expected=f"a stomach, values {self._organ}",
                got="none",
                remedy="Outline the stomach, or train without the wall.",
            )
        profile = wall_profile(hu, affine, stomach, coarse)
        share = sample_mask(np.isin(mask, self._tumour), affine, profile.grid)
        label = share >= _TUMOUR_SHARE
        attended = profile.wall & (label | (share == 0))
        result[image_key] = torch.from_numpy(profile.values)
        result[label_key] = torch.from_numpy(label[None].astype(np.uint8))
        result[self._attended_key] = torch.from_numpy(attended[None].astype(np.uint8))
        return result


class RandWallCellsd(MapTransform, RandomizableTransform):
    """Draw cells of one stomach: some with tumour, and others of its wall.

    Parameters
    ----------
    image_key, label_key, attended_key : str
        As :class:`PrepareWallProfiled` writes them.
    count : int
        Cells that are drawn, from a wall with fewer some of them twice.
    tumour : int
        Of them with tumour, be it small or large: otherwise the large ones, which are easily told, are most of what is
        learnt (of 46 synthetic T1, the highest cell lay in 34 instead of 33).

    Notes
    -----
    Output: image (channels, count, 1, 1) float32 and label (1, count, 1, 1) float32. A stomach without wall gives
    cells of zeros without tumour.
    """

    def __init__(
        self,
        image_key: str = "image",
        label_key: str = "label",
        attended_key: str = "attended",
        *,
        count: int = 2048,
        tumour: int = 60,
    ) -> None:
        MapTransform.__init__(self, [image_key, label_key, attended_key])
        RandomizableTransform.__init__(self, 1.0)
        self._count, self._tumour = count, tumour

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The drawn cells."""
        result = dict(data)
        image, label, attended = (torch.as_tensor(result.pop(key)).flatten(1) for key in self.keys)
        counts = attended[0] > 0
        there, others = (torch.nonzero(counts & (label[0] == value))[:, 0] for value in (1, 0))
        drawn = [there[self._draw(len(there), min(self._tumour, self._count))]]
        drawn.append(others[self._draw(len(others), self._count - len(drawn[0]))])
        cells = torch.cat(drawn)
        image_key, label_key, _ = self.keys
        for key, values in ((image_key, image), (label_key, label)):
            out = torch.zeros(len(values), self._count, 1, 1)
            out[:, : len(cells), 0, 0] = values[:, cells].float()
            result[key] = out
        return result

    def _draw(self, among: int, count: int) -> Any:
        if not among:
            return torch.zeros(0, dtype=torch.long)
        return torch.from_numpy(self.R.choice(among, count, replace=count > among))
