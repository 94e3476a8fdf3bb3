"""The preprocessing as a MONAI dictionary transform, for bundles."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from gastromap.preprocessing.slice import PreprocessingProfile, SlicePreprocessing

__all__ = ["RAS_TO_LPS", "PrepareCtSliced"]

#: NIfTI counts x to the right and y to the front, DICOM to the left and to the back.
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


class PrepareCtSliced(MapTransform):
    """Prepare one slice of a loaded CT image with :class:`SlicePreprocessing`, the object the application uses.

    Parameters
    ----------
    keys : keys of images loaded by ``LoadImaged`` and made channel first
        MetaTensor of shape (1, columns, rows, slices) or (1, columns, rows) in HU, with a RAS affine.
    profile : str
        ``paper`` or ``released``.
    mask_key : str, optional
        Mask on the grid of the first image; it is sampled like the image, as the share of each pixel, 0 to 1.
        Records without it get an empty one.
    offset : int
        Slice relative to the middle one: 0 is the key slice of a stack written by ``gastromap synth``.

    Notes
    -----
    Output: Tensor (channels, size, size) with the metadata of the source, so that savers still know the file.
    """

    def __init__(
        self, keys: KeysCollection, *, profile: str = "paper", mask_key: str | None = None, offset: int = 0
    ) -> None:
        super().__init__(keys)
        self._prepare = SlicePreprocessing(PreprocessingProfile.named(profile))
        self._mask_key = mask_key
        self._offset = offset

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Prepare the images under the keys."""
        result = dict(data)
        for key in self.key_iterator(result):
            image: MetaTensor = result[key]
            affine = RAS_TO_LPS @ np.asarray(image.affine, float)
            prepared = self._prepare(self._slice(image), affine)
            if self._mask_key is not None:
                mask = result.get(self._mask_key)
                result[self._mask_key] = (
                    torch.zeros(1, *prepared.tensor.shape[-2:])
                    if mask is None
                    else prepared.to_network(self._slice(mask) > 0)
                )
            meta = {k: v for k, v in image.meta.items() if k == "filename_or_obj"}
            result[key] = MetaTensor(prepared.tensor, affine=torch.eye(4, dtype=torch.float64), meta=meta)
        return result

    def _slice(self, image: MetaTensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        volume = np.asarray(image[0], np.float32)
        if volume.ndim == 3:
            volume = volume[..., volume.shape[2] // 2 + self._offset]
        # NIfTI arrays are [column, row]; the preprocessing takes [row, column].
        return volume.T
