"""From a CT before or after treatment to the crop that the longitudinal network reads: one rule for training and use.

A crop is a cube of fixed physical size round the tumour, along the patient's axes. It is never resized: the change of
size is what the network is to see.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gastromap.errors import UsageError
from gastromap.preprocessing.volume import PatientGrid, VolumeProfile, mask_centre, point_at, sample_ct, sample_mask
from gastromap.preprocessing.volume_transforms import FROM_BYTES

__all__ = ["LARGEST_CROP_MM", "CtScan", "PairCrop", "crop_centre", "crop_scan"]

#: An image without a longer side was cut round the tumour already.
LARGEST_CROP_MM: Final = 160.0

_Point = tuple[float, float, float]


@dataclass(frozen=True)
class CtScan:
    """One examination of a patient.

    Attributes
    ----------
    hu : array, shape (slices, rows, columns)
        Hounsfield units.
    affine_lps : array, shape (4, 4)
        (column, row, slice, 1) to mm.
    mask : array, shape (slices, rows, columns), optional
        Not zero is tumour. An empty mask is a finding (nothing left to see); ``None`` says that nobody looked.
    centre_lps : (x, y, z), optional
        Of the crop, mm.
    role : str
        For messages: ``baseline`` or ``followup``.
    """

    hu: NDArray[Any] = field(repr=False)
    affine_lps: NDArray[np.floating] = field(repr=False)
    mask: NDArray[Any] | None = field(default=None, repr=False)
    centre_lps: _Point | None = None
    role: str = "scan"


@dataclass(frozen=True)
class PairCrop:
    """A scan as the network reads it.

    Attributes
    ----------
    image : array of uint8, shape ``grid.shape``
        0 to 255 for the window; times ``FROM_BYTES`` it is the input of the network, in training and application alike.
        0 outside the scan.
    mask : array of uint8, shape ``grid.shape``, optional
        1 tumour.
    grid : PatientGrid
        Where the crop lies.
    """

    image: NDArray[np.uint8] = field(repr=False)
    mask: NDArray[np.uint8] | None = field(repr=False)
    grid: PatientGrid


def crop_centre(scan: CtScan) -> _Point:
    """Middle of the crop: the centre that was given, else that of the mask, else that of an image that is a crop.

    Raises
    ------
    UsageError
        ``CROP_CENTRE``: none of them.
    """
    if scan.centre_lps is not None:
        return scan.centre_lps
    affine = np.asarray(scan.affine_lps, float)
    if scan.mask is not None and scan.mask.any():
        return mask_centre(scan.mask, affine)
    sides = np.linalg.norm(affine[:3, :3], axis=0)[::-1] * scan.hu.shape
    if sides.max() > LARGEST_CROP_MM:
        raise UsageError(
            "CROP_CENTRE",
            where=scan.role,
            expected=f"a centre, a tumour mask, or an image of {LARGEST_CROP_MM:g} mm a side at most",
            got=f"none of them, and a side of {sides.max():.0f} mm",
            remedy="Mark the tumour, let the segmentation find it, or give the centre (center1, center2).",
        )
    return point_at(affine, [(n - 1) / 2 for n in scan.hu.shape])


def crop_scan(scan: CtScan, profile: VolumeProfile, *, margin_mm: float = 0.0) -> PairCrop:
    """Cut a scan as the network wants it.

    Parameters
    ----------
    scan : CtScan
    profile : VolumeProfile
        ``patch`` voxels of ``spacing_mm``.
    margin_mm : float
        More on every side, rounded up to whole voxels: room for shifted and rotated crops in training.

    Raises
    ------
    UsageError
        ``CROP_CENTRE``; ``MASK_GRID`` if the mask has another shape than the image.
    """
    if scan.hu.ndim != 3 or (scan.mask is not None and scan.mask.shape != scan.hu.shape):
        raise UsageError(
            "MASK_GRID",
            where=scan.role,
            expected="an image (slices, rows, columns) and a mask of the same shape",
            got=f"{scan.hu.shape} and {None if scan.mask is None else scan.mask.shape}",
            remedy="Draw the mask on the image it belongs to.",
        )
    sides = [
        n + 2 * int(np.ceil(margin_mm / step - 1e-9)) for n, step in zip(profile.patch, profile.spacing_mm, strict=True)
    ]
    grid = PatientGrid.around(crop_centre(scan), profile.spacing_mm, (sides[0], sides[1], sides[2]))
    scaled = sample_ct(scan.hu, scan.affine_lps, grid, window_hu=profile.window_hu)
    image = np.round(scaled / FROM_BYTES).astype(np.uint8)
    mask = None
    if scan.mask is not None:
        mask = (sample_mask(scan.mask, scan.affine_lps, grid) >= 0.5).astype(np.uint8)
    return PairCrop(image, mask, grid)
