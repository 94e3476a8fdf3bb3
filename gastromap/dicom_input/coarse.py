"""A small volume to look at: every few slices, averaged to pixels of about 2 mm, in patient axes.

It serves questions that need no detail, such as where the liver lies; no result is computed from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CoarseVolume", "coarse_volume", "look_stride"]

_PIXEL_MM = 2.0
_SLICE_MM = (5.0, 10.0)
_FEWEST, _MOST = 18, 48
_AIR_HU, _METAL_HU = -1024, 1500


@dataclass(frozen=True)
class CoarseVolume:
    """Rows run to the back, columns to the left, slices to the head."""

    hu: NDArray[np.float32]  #: shape (slices, rows, columns)
    row_mm: float  #: distance of neighbouring rows
    column_mm: float
    step_mm: float  #: distance of neighbouring slices

    @property
    def pixel_mm2(self) -> float:
        """Area of a pixel."""
        return self.row_mm * self.column_mm

    def halved(self) -> CoarseVolume:
        """Average 2 x 2 pixels."""
        return CoarseVolume(_averaged(self.hu, 2, 2), 2 * self.row_mm, 2 * self.column_mm, self.step_mm)


def look_stride(slices: int, step_mm: float) -> int:
    """Choose how many slices to go on at a time for a look.

    Parameters
    ----------
    slices : int
        Of the series.
    step_mm : float
        Distance of neighbouring slices.

    Returns
    -------
    stride : int
        For steps of 5 to 10 mm: about 18 slices of a short series, at most about 48 of a long one.
    """
    extent = slices * step_mm
    fine, wide = _SLICE_MM
    wanted = max(min(max(extent / _FEWEST, fine), wide), extent / _MOST)
    return max(1, round(wanted / step_mm))


def coarse_volume(hu: NDArray[np.float32], affine_lps: NDArray[np.float64]) -> CoarseVolume:
    """Average the pixels of axial slices and turn them into patient axes.

    Parameters
    ----------
    hu : array, shape (slices, rows, columns)
        Hounsfield units.
    affine_lps : array, shape (4, 4)
        Maps (column, row, slice, 1) to patient coordinates in mm.

    Returns
    -------
    volume : CoarseVolume
    """
    column, row, across = affine_lps[:3, 0], affine_lps[:3, 1], affine_lps[:3, 2]
    if abs(row[0]) > abs(column[0]):  # rows run left-right
        hu, column, row = hu.transpose(0, 2, 1), row, column
    row_mm, column_mm, step_mm = (float(np.linalg.norm(vector)) for vector in (row, column, across))
    down, right = (max(1, round(_PIXEL_MM / mm)) for mm in (row_mm, column_mm))
    flips = tuple(slice(None, None, -1 if along < 0 else 1) for along in (across[2], row[1], column[0]))
    pixels = np.clip(_averaged(hu, down, right), _AIR_HU, _METAL_HU)[flips]
    return CoarseVolume(np.ascontiguousarray(pixels), row_mm * down, column_mm * right, step_mm)


def _averaged(hu: NDArray[np.float32], down: int, right: int) -> NDArray[np.float32]:
    """Mean of blocks; sums of strided views are several times faster than a mean over the axes of a reshaped array."""
    rows, columns = hu.shape[1] // down * down, hu.shape[2] // right * right
    pooled = np.empty((len(hu), rows // down, columns // right), np.float32)
    for source, target in zip(hu, pooled, strict=True):
        lines = sum((source[i:rows:down] for i in range(1, down)), source[:rows:down])
        target[:] = sum((lines[:, i:columns:right] for i in range(1, right)), lines[:, :columns:right])
    pooled /= down * right
    return pooled
