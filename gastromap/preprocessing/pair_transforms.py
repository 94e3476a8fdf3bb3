"""Pairs of scans as MONAI dictionary transforms: the fixed part, which is cached, and the two ways to end it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Transform
from numpy.typing import NDArray
from torch import Tensor

from gastromap.errors import UsageError
from gastromap.preprocessing.pair import CtScan, crop_scan
from gastromap.preprocessing.transforms import RAS_TO_LPS
from gastromap.preprocessing.volume import VolumeProfile
from gastromap.preprocessing.volume_transforms import FROM_BYTES, slices_first

__all__ = ["AssemblePaird", "PreparePaird", "assembled", "pair_preprocessing"]

_ROLES = ("baseline", "followup")
#: In the mask channel where no mask was given, as in the network.
NO_MASK = -1.0


class PreparePaird(Transform):
    """Crop the loaded scans of a record with the function that the application calls.

    Parameters
    ----------
    spacing_mm : sequence of float
        (slice, row, column).
    patch : sequence of int
        Voxels that the network reads.
    margin_mm : float
        Kept round them for the random transforms.

    Notes
    -----
    Input: ``image1``, ``mask1``, ``image2``, ``mask2`` as ``LoadImaged`` and ``EnsureChannelFirstd`` give them (all but
    ``image1`` may be absent), ``center1``, ``center2`` (DICOM patient coordinates, mm). Output: images and masks as
    uint8 Tensors (D, H, W), see :class:`gastromap.preprocessing.pair.PairCrop`.

    Raises ``UsageError`` with ``CROP_CENTRE``, ``MASK_GRID`` or ``FOLLOWUP_COPY``.
    """

    def __init__(self, *, spacing_mm: Sequence[float], patch: Sequence[int], margin_mm: float = 0.0) -> None:
        self._profile = VolumeProfile.from_mapping({"spacing_mm": spacing_mm, "patch": patch})
        self._margin = margin_mm

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Crop the scans that are there."""
        result = dict(data)
        loaded: list[NDArray[np.float32]] = []
        for number, role in enumerate(_ROLES, start=1):
            if f"image{number}" not in result:
                continue
            scan = _scan(result, number, role)
            loaded.append(np.asarray(scan.hu, np.float32))
            crop = crop_scan(scan, self._profile, margin_mm=self._margin)
            result[f"image{number}"] = torch.from_numpy(crop.image)
            if crop.mask is not None:
                result[f"mask{number}"] = torch.from_numpy(crop.mask)
        if len(loaded) == 2 and np.array_equal(loaded[0], loaded[1]):
            raise UsageError(
                "FOLLOWUP_COPY",
                where="followup",
                expected="another scan than before treatment",
                got="the same voxels",
                remedy="Name the second scan, or leave image2 out.",
            )
        return result


class AssemblePaird(Transform):
    """End a record without chance: the middle of the crops as network input; see :func:`assembled`.

    Parameters
    ----------
    patch : sequence of int
        (slices, rows, columns).
    """

    def __init__(self, *, patch: Sequence[int]) -> None:
        self._patch = tuple(int(n) for n in patch)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[str, Any]:
        """Network input of the record."""
        images, masks = [], []
        for number in (1, 2):
            image, mask = data.get(f"image{number}"), data.get(f"mask{number}")
            images.append(None if image is None else self._middle(image).float() * FROM_BYTES)
            masks.append(None if image is None or mask is None else self._middle(mask).float())
        return assembled(data, images, masks, self._patch)

    def _middle(self, crop: Tensor) -> Tensor:
        start = [(have - want) // 2 for have, want in zip(crop.shape, self._patch, strict=True)]
        return crop[tuple(slice(a, a + n) for a, n in zip(start, self._patch, strict=True))]


def assembled(
    record: Mapping[Hashable, Any],
    images: Sequence[Tensor | None],
    masks: Sequence[Tensor | None],
    shape: Sequence[int],
) -> dict[str, Any]:
    """Item of a batch.

    Parameters
    ----------
    record : mapping
        ``label`` (LNM, death, months; NaN where missing) and ``patient_id`` are kept.
    images, masks : two Tensors or None
        Before and after treatment.
    shape : (D, H, W)

    Returns
    -------
    dict
        ``image`` (2, D, H, W), ``present`` (2,) bool, ``masks`` (2, D, H, W; -1 where none was given), ``label`` (3,).
    """
    size = tuple(int(n) for n in shape)
    return {
        "image": torch.stack([torch.zeros(size) if x is None else x for x in images]),
        "present": torch.tensor([x is not None for x in images]),
        "masks": torch.stack([torch.full(size, NO_MASK) if x is None else x for x in masks]),
        "label": torch.as_tensor(record["label"], dtype=torch.float32),
        "patient_id": str(record["patient_id"]),
    }


def pair_preprocessing(profile: VolumeProfile) -> Compose:
    """From the files of a record to the network's input, without chance: for publishing and prediction."""
    keys = ["image1", "mask1", "image2", "mask2"]
    return Compose(
        [
            LoadImaged(keys=keys, reader="NibabelReader", allow_missing_keys=True),
            EnsureChannelFirstd(keys=keys, allow_missing_keys=True),
            PreparePaird(spacing_mm=profile.spacing_mm, patch=profile.patch),
            AssemblePaird(patch=profile.patch),
        ]
    )


def _scan(record: Mapping[Hashable, Any], number: int, role: str) -> CtScan:
    image: MetaTensor = record[f"image{number}"]
    mask: MetaTensor | None = record.get(f"mask{number}")
    if mask is not None and not np.allclose(mask.affine, image.affine, atol=1e-2):
        raise UsageError(
            "MASK_GRID",
            where=role,
            expected="a mask in the place of its image",
            got="another affine",
            remedy="Draw the mask on the image it belongs to.",
        )
    centre = record.get(f"center{number}")
    return CtScan(
        hu=slices_first(image),
        affine_lps=RAS_TO_LPS @ np.asarray(image.affine, float),
        mask=None if mask is None else slices_first(mask),
        centre_lps=None if centre is None else (float(centre[0]), float(centre[1]), float(centre[2])),
        role=role,
    )
