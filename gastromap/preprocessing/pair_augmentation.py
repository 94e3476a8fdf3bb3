"""Random transforms of pairs: what may differ between two dates differs, what is the signal does not.

Size change and enhancement are the signal, so both scans get the same scaling and the same flips. Position, rotation
and the scanner's levels do differ between the dates, so they are drawn for each scan. Nothing is elastic, which would
change volumes, and the dates are never swapped.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import Randomizable, Transform
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional

from gastromap.preprocessing.pair_transforms import assembled
from gastromap.preprocessing.volume import SOFT_TISSUE_HU
from gastromap.preprocessing.volume_transforms import FROM_BYTES

__all__ = ["RandomPaird"]

_LOW, _HIGH = SOFT_TISSUE_HU
_RANGE = _HIGH - _LOW


class RandomPaird(Randomizable, Transform):
    """End a record of :class:`gastromap.preprocessing.pair_transforms.PreparePaird` with a random view of it.

    Parameters
    ----------
    spacing_mm, patch : sequences of three
        As of ``PreparePaird``.
    flip_axes : sequence of int
        Of (slice, row, column); each is flipped in half of the draws, in both scans.
    scale : float
        Both scans grow or shrink by up to this share.
    rotate_degrees, shift_mm : float
        Largest angle about each axis and largest shift along each, drawn for each scan.
    hu_shift, gain, noise_hu : float
        Largest shift of the levels, largest relative change, largest standard deviation of noise; for each scan.
    blur_probability : float
        Of a slight blur (standard deviation up to 0.7 voxels), for each scan.
    drop_mask : float
        Probability that a scan's mask counts as not given.
    """

    def __init__(
        self,
        *,
        spacing_mm: Sequence[float],
        patch: Sequence[int],
        flip_axes: Sequence[int] = (2,),
        scale: float = 0.1,
        rotate_degrees: float = 10.0,
        shift_mm: float = 6.0,
        hu_shift: float = 10.0,
        gain: float = 0.05,
        noise_hu: float = 12.0,
        blur_probability: float = 0.2,
        drop_mask: float = 0.5,
    ) -> None:
        super().__init__()
        self._spacing = np.asarray(spacing_mm, float)
        self._patch = tuple(int(n) for n in patch)
        self._flip_axes = tuple(int(axis) for axis in flip_axes)
        self._scale = scale
        self._rotate, self._shift = rotate_degrees, shift_mm
        self._hu_shift, self._gain, self._noise = hu_shift, gain, noise_hu
        self._blur, self._drop_mask = blur_probability, drop_mask

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[str, Any]:
        """One draw."""
        shared = np.diag([-1.0 if axis in self._flip_axes and self.R.random() < 0.5 else 1.0 for axis in range(3)])
        shared /= self.R.uniform(1 - self._scale, 1 + self._scale)
        images: list[Tensor | None] = []
        masks: list[Tensor | None] = []
        for number in (1, 2):
            crop, mask = data.get(f"image{number}"), data.get(f"mask{number}")
            if crop is None:
                images.append(None)
                masks.append(None)
                continue
            grid = self._sampling(shared, tuple(crop.shape))
            images.append(self._levels(_sampled(crop.float() * FROM_BYTES, grid)))
            dropped = self.R.random() < self._drop_mask
            # At one half, as crops are made: nearest neighbours would round a change of size to whole voxels.
            masks.append(None if mask is None or dropped else (_sampled(mask.float(), grid) >= 0.5).float())
        return assembled(data, images, masks, self._patch)

    def _sampling(self, shared: NDArray[np.float64], shape: tuple[int, ...]) -> Tensor:
        """Where in a crop each voxel of the output lies, in torch's coordinates; shape (1, D, H, W, 3)."""
        angles = self.R.uniform(-self._rotate, self._rotate, 3)
        move = self.R.uniform(-self._shift, self._shift, 3)
        turned = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ shared
        # From -1 ... 1 over voxel centres to mm from the middle, and back.
        to_mm = self._spacing * (np.asarray(self._patch) - 1) / 2
        from_mm = 2 / (self._spacing * (np.asarray(shape) - 1))
        matrix = from_mm[:, None] * turned * to_mm
        theta = np.concatenate([matrix, (from_mm * move)[:, None]], axis=1)
        # Torch counts (column, row, slice).
        theta = np.concatenate([theta[::-1, 2::-1], theta[::-1, 3:]], axis=1)
        return functional.affine_grid(
            torch.from_numpy(np.ascontiguousarray(theta)).float()[None], [1, 1, *self._patch], align_corners=True
        )

    def _levels(self, image: Tensor) -> Tensor:
        gain = 1 + self.R.uniform(-self._gain, self._gain)
        shift = self.R.uniform(-self._hu_shift, self._hu_shift)
        values = ((image * _RANGE + _LOW) * gain + shift - _LOW) / _RANGE
        if self.R.random() < self._blur:
            values = torch.from_numpy(ndimage.gaussian_filter(values.numpy(), self.R.uniform(0.2, 0.7)))
        noise = self.R.standard_normal(image.shape).astype(np.float32) * self.R.uniform(0, self._noise) / _RANGE
        # What lies below the window or beyond the scan stays 0, as in a crop without noise.
        return torch.where(image > 0, (values + torch.from_numpy(noise)).clamp(0, 1), 0.0)


def _sampled(crop: Tensor, grid: Tensor) -> Tensor:
    out = functional.grid_sample(crop[None, None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return out[0, 0]
