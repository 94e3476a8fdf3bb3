"""The stomach's wall by depth: what lies how far from the lumen, averaged along the wall.

A tumour of T1 lies within the wall. What gives it away is that the wall's layers are missing: bright mucosa, and dark
submucosa below it, which are one to two millimetres thick and drown in the noise of a voxel. Averaged over a few
millimetres along the wall, at a given depth, they stand out.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage

from gastromap.preprocessing.morphology import grown, opened
from gastromap.preprocessing.volume import SOFT_TISSUE_HU, PatientGrid, sample_ct, sample_mask

__all__ = ["CELL", "DEPTHS_MM", "WALL_CHANNELS", "WALL_SPACING_MM", "WallProfile", "wall_profile"]

#: (slice, row, column): fine enough for the layers.
WALL_SPACING_MM = (1.0, 0.7, 0.7)
#: Voxels of a cell.
CELL = 4
#: Limits of the depths, from the lumen outwards.
DEPTHS_MM = (0.0, 0.8, 1.6, 2.4, 3.2, 4.0, 5.0, 6.5, 8.5)
#: Standard deviations of the averages along the wall, in mm; 0 is the cell alone.
_ALONG_MM = (0.0, 3.0, 6.0)
#: For each average and depth: mean of the soft tissue, and its share.
WALL_CHANNELS = 2 * (len(DEPTHS_MM) - 1) * len(_ALONG_MM)
#: Fat and gas end, soft tissue begins.
_SOFT_HU = -80.0
#: Gas, and where it ends at the wall, half-way to mucosa in this window; the same of fluid.
_GAS_HU, _GAS_END_HU = -136.0, -20.0
_FLUID_HU, _FLUID_END_HU = (-24.0, 52.0), 60.0
#: Smoothing before the lumen is looked for, and at its border.
_SMOOTH_MM, _BORDER_MM = 1.2, 0.7
_LEAST_LUMEN_ML = 1.0
#: Gas of which a smaller share lies in the stomach is none of its lumen.
_LEAST_INSIDE = 0.3
#: Voxels. What is thinner than twice the first is no lumen; smoothing and this take the second off its border.
_OPENED, _REGROWN = 2, 4
#: Around the stomach, for the wall and the inaccuracy of the stomach.
_MARGIN_MM = 12.0
#: Cells with fewer voxels of the wall are none of it.
_LEAST_VOXELS = 8

_First = TypeVar("_First")
_Second = TypeVar("_Second")


@dataclass(frozen=True)
class WallProfile:
    """Depth profile of the wall in cells of 4 x 4 x 4 voxels.

    Attributes
    ----------
    grid : PatientGrid
        Of the cells, 4 x 2.8 x 2.8 mm.
    values : array of float16, shape (:data:`WALL_CHANNELS`, D, H, W)
        Averages, in each the depths from the lumen outwards, in each two channels: mean of the soft tissue, in hundreds
        of HU above the median of the wall at that depth, and its share, 0 to 1. 0 where there is none.
    wall : array of bool, shape (D, H, W)
        Cells that hold wall.
    """

    grid: PatientGrid
    values: NDArray[np.float16]
    wall: NDArray[np.bool_]


def wall_profile(
    hu: NDArray[np.floating],
    affine_lps: NDArray[np.floating],
    stomach: NDArray[np.bool_],
    stomach_grid: PatientGrid,
) -> WallProfile:
    """Profile of the wall of one stomach.

    Parameters
    ----------
    hu : array, shape (slices, rows, columns)
    affine_lps : array, shape (4, 4)
        (column, row, slice, 1) to mm.
    stomach : array of bool, shape ``stomach_grid.shape``
        Wall and lumen, to within some millimetres; not empty.
    stomach_grid : PatientGrid
    """
    grid = _grid(stomach, stomach_grid)
    low_hu, high_hu = SOFT_TISSUE_HU
    values, organ = _both(
        lambda: sample_ct(hu, affine_lps, grid) * (high_hu - low_hu) + low_hu,
        lambda: sample_mask(stomach, stomach_grid.affine_lps, grid) >= 0.5,
    )
    depth = _depth_mm(values, organ)
    layers = _layers(values, depth)
    wall = layers[:, 0].sum(axis=0) >= _LEAST_VOXELS
    cells = PatientGrid.around(
        grid.point([(n - 1) / 2 for n in grid.shape]),
        tuple(CELL * step for step in grid.spacing_mm),  # type: ignore[arg-type]
        tuple(n // CELL for n in grid.shape),  # type: ignore[arg-type]
    )
    channels = [channel for along in _ALONG_MM for layer in layers for channel in _averaged(layer, along, cells, wall)]
    return WallProfile(cells, np.stack(channels).astype(np.float16), wall)


def _grid(stomach: NDArray[np.bool_], stomach_grid: PatientGrid) -> PatientGrid:
    """Voxels around the stomach, whole cells of them."""
    index = np.argwhere(stomach)
    low, high = (stomach_grid.point(corner) for corner in (index.min(axis=0), index.max(axis=0)))
    return PatientGrid.around_box((low, high), WALL_SPACING_MM, margin_mm=_MARGIN_MM, multiples=(CELL, CELL, CELL))


def _depth_mm(values: NDArray[np.float32], organ: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance from the lumen's border, negative in it."""
    smooth, border = _both(lambda: _smoothed(values, _SMOOTH_MM), lambda: _smoothed(values, _BORDER_MM))
    inside = organ & ~_elsewhere(smooth < _GAS_HU, organ)
    # Half-way between gas and wall is brighter than half-way between gas and fluid, and darker than fluid.
    gas, fluid = _both(
        lambda: _filled_with(smooth < _GAS_HU, border < _GAS_END_HU, inside),
        lambda: _filled_with((smooth > _FLUID_HU[0]) & (smooth < _FLUID_HU[1]), border < _FLUID_END_HU, inside),
    )
    lumen = gas | fluid
    image = SimpleITK.GetImageFromArray(lumen.astype(np.uint8))
    image.SetSpacing(WALL_SPACING_MM[::-1])
    distance = SimpleITK.GetArrayFromImage(
        SimpleITK.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    )
    # Neighbours share the steps of the voxels and the noise of the border; the border itself lies half a voxel outside
    # the last voxel of the lumen.
    return _smoothed(distance, _BORDER_MM) - WALL_SPACING_MM[1] / 2


def _filled_with(content: NDArray[np.bool_], end: NDArray[np.bool_], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Lumen with one content: large pieces of what surely is it, grown up to where it may end."""
    labels, _ = ndimage.label(opened(content & inside, _OPENED))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    large = sizes * np.prod(WALL_SPACING_MM) / 1000 >= _LEAST_LUMEN_ML
    return grown(large[labels], _REGROWN, end & inside)


def _elsewhere(gas: NDArray[np.bool_], organ: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Gas of the lung or the colon, of whose edge some was taken for stomach.

    Not so of fluid: its range is that of a wall beside fat as well, which joins what lies around the stomach.
    """
    labels, count = ndimage.label(opened(gas, _OPENED))
    sizes, inside = (np.bincount(each.ravel(), minlength=count + 1) for each in (labels, labels[organ]))
    other = inside < _LEAST_INSIDE * sizes
    other[0] = False
    return grown(other[labels], _REGROWN, gas)


def _both(first: Callable[[], _First], second: Callable[[], _Second]) -> tuple[_First, _Second]:
    """What two calls give, at the same time: numpy and scipy leave the interpreter to others while they count."""
    with ThreadPoolExecutor(1) as pool:
        later = pool.submit(second)
        return first(), later.result()


def _smoothed(values: NDArray[np.float32], sigma_mm: float) -> NDArray[np.float32]:
    out: NDArray[np.float32] = ndimage.gaussian_filter(
        values, [sigma_mm / step for step in WALL_SPACING_MM], truncate=2.0
    )
    return out


def _layers(values: NDArray[np.float32], depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each depth and cell: voxels, those of soft tissue, and the sum of these, shape (depths, 3, D, H, W)."""
    depths, cells = len(DEPTHS_MM) - 1, tuple(n // CELL for n in values.shape)
    where = np.nonzero((depth > DEPTHS_MM[0]) & (depth <= DEPTHS_MM[-1]))
    layer = np.searchsorted(DEPTHS_MM, depth[where], side="left") - 1
    place = np.ravel_multi_index((layer, *(axis // CELL for axis in where)), (depths, *cells))
    hu = values[where]
    soft = hu > _SOFT_HU
    sums = [
        np.bincount(place, each, minlength=depths * int(np.prod(cells))).reshape(depths, *cells)
        for each in (None, soft, np.where(soft, hu, 0))
    ]
    return np.stack(sums, axis=1).astype(np.float32)


def _averaged(
    layer: NDArray[np.float32], along_mm: float, cells: PatientGrid, wall: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    sigma = [along_mm / step for step in cells.spacing_mm]
    voxels, soft, total = (ndimage.gaussian_filter(each, sigma, truncate=3.0) if along_mm else each for each in layer)
    known = wall & (soft > 0.3)
    mean = total / np.maximum(soft, 1e-2)
    middle = float(np.median(mean[known])) if known.any() else 0.0
    return np.where(known, (mean - middle) / 100, 0), np.where(wall, soft / np.maximum(voxels, 1e-2), 0)
