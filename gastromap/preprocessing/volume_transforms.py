"""Volumes on the patient's axes as a MONAI dictionary transform, for bundles."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform
from numpy.typing import NDArray
from scipy import ndimage

from gastromap.preprocessing.transforms import RAS_TO_LPS
from gastromap.preprocessing.volume import PatientGrid, sample_ct, sample_mask

__all__ = ["FROM_BYTES", "PrepareCtVolumed", "slices_first"]

#: Prepared volumes are kept as 8 bit, 1.6 HU a step: a whole cohort fits into memory.
FROM_BYTES = 1 / 255


#: MONAI's affines map (slice, row, column) of the prepared array, ours (column, row, slice).
_REVERSED = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])


class PrepareCtVolumed(MapTransform):
    """Bring a loaded CT, and a mask of it, onto the patient's axes with the functions that the application calls.

    Parameters
    ----------
    image_key : str
        MetaTensor of shape (1, columns, rows, slices) in HU with a RAS affine, as ``LoadImaged`` and
        ``EnsureChannelFirstd`` give it.
    label_key : str, optional
        Mask on the grid of the image; records without it get none.
    spacing_mm : sequence of float
        (slice, row, column).
    regions : sequence of sequence of int
        Values of the mask that make each channel of the label, for example ``[[2]]`` for the tumour, or
        ``[[1, 2], [2]]`` for stomach and tumour.
    margin_mm : float, optional
        Cut the volume to the mask (any value) and so much around it; ``None`` keeps all of it.
    multiple : int
        Sides of the grid are multiples of this number.
    attended_key : str, optional
        Written where given: what lies near the organ, which is all that the tumour finder looks at.
    organ : sequence of int, optional
        Values of the mask that make the organ, tumour included; ``None`` attends to everything.
    reach_mm : float
        Half the side of the box around each voxel of the organ that counts as near.

    Notes
    -----
    Output: image (1, D, H, W) uint8, 0 to 255 for the soft-tissue window (multiply by :data:`FROM_BYTES`); label
    (regions, D, H, W) and attended (1, D, H, W) uint8, 0 or 1.
    """

    def __init__(
        self,
        image_key: str = "image",
        label_key: str | None = "label",
        *,
        spacing_mm: Sequence[float],
        regions: Sequence[Sequence[int]] = ((1,),),
        margin_mm: float | None = None,
        multiple: int = 1,
        attended_key: str | None = None,
        organ: Sequence[int] | None = None,
        reach_mm: float = 8.0,
    ) -> None:
        super().__init__([image_key], allow_missing_keys=False)
        self._label_key = label_key
        self._spacing = (float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2]))
        self._regions = [[int(value) for value in region] for region in regions]
        self._margin = margin_mm
        self._multiple = multiple
        self._attended_key = attended_key
        self._organ = None if organ is None else [int(value) for value in organ]
        self._reach = reach_mm

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Prepare the image and its mask."""
        result = dict(data)
        (key,) = self.keys
        image: MetaTensor = result[key]
        affine = RAS_TO_LPS @ np.asarray(image.affine, float)
        hu = slices_first(image)
        mask = slices_first(result[self._label_key]) if self._label_key in result else None
        grid = self._grid(hu, affine, mask)
        scaled = np.round(sample_ct(hu, affine, grid) / FROM_BYTES).astype(np.uint8)
        meta = {k: v for k, v in image.meta.items() if k == "filename_or_obj"}
        target = torch.from_numpy(RAS_TO_LPS @ grid.affine_lps @ _REVERSED)
        result[key] = MetaTensor(torch.from_numpy(scaled)[None], affine=target, meta=meta)
        if mask is not None and self._label_key is not None:
            regions = [sample_mask(np.isin(mask, region), affine, grid) >= 0.5 for region in self._regions]
            label = torch.from_numpy(np.stack(regions).astype(np.uint8))
            result[self._label_key] = MetaTensor(label, affine=target, meta=meta)
            if self._attended_key is not None:
                attended = torch.from_numpy(self._attended(mask, affine, grid))
                result[self._attended_key] = MetaTensor(attended[None], affine=target, meta=meta)
        return result

    def _attended(self, mask: NDArray[np.float32], affine: NDArray[np.float64], grid: PatientGrid) -> NDArray[np.uint8]:
        if self._organ is None:
            return np.ones(grid.shape, np.uint8)
        organ = (sample_mask(np.isin(mask, self._organ), affine, grid) >= 0.5).astype(np.uint8)
        sides = [2 * round(self._reach / step) + 1 for step in grid.spacing_mm]
        near: NDArray[np.uint8] = ndimage.maximum_filter(organ, size=sides)
        return near

    def _grid(
        self, hu: NDArray[np.float32], affine: NDArray[np.float64], mask: NDArray[np.float32] | None
    ) -> PatientGrid:
        shape = (hu.shape[0], hu.shape[1], hu.shape[2])
        if self._margin is None or mask is None or not mask.any():
            return PatientGrid.covering(affine, shape, self._spacing, multiple=self._multiple)
        spacing = np.linalg.norm(affine[:3, :3], axis=0)[::-1]
        start, stop = [], []
        for axis, step in enumerate(spacing):
            used = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
            margin = int(np.ceil(self._margin / step))
            start.append(max(int(used[0]) - margin, 0))
            stop.append(min(int(used[-1]) + margin + 1, shape[axis]))
        cut = affine.copy()
        cut[:3, 3] = affine[:3, 3] + affine[:3, :3] @ np.asarray(start[::-1], float)
        sides = tuple(b - a for a, b in zip(start, stop, strict=True))
        return PatientGrid.covering(cut, (sides[0], sides[1], sides[2]), self._spacing, multiple=self._multiple)


def slices_first(image: MetaTensor) -> NDArray[np.float32]:
    """(1, columns, rows, slices) of NIfTI as (slices, rows, columns)."""
    return np.ascontiguousarray(np.asarray(image[0], np.float32).transpose(2, 1, 0))
