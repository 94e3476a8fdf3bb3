"""Size of a tumour mask: volume, long axis, wall thickness, contact with fat, area by slice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

__all__ = ["TOUCHING", "TumourMeasures", "largest_component", "measure_tumour", "slice_areas_mm2"]

#: Voxels that share a face, an edge or a corner are one part.
TOUCHING = np.ones((3, 3, 3), np.bool_)
#: Fat in CT; the lower end leaves gas out.
_FAT_HU = (-150.0, -30.0)
#: How far from the tumour's surface its neighbourhood reaches.
_NEIGHBOURHOOD_MM = 2.0


@dataclass(frozen=True)
class TumourMeasures:
    """Sizes of one tumour mask.

    Attributes
    ----------
    volume_ml : float
    long_axis_mm : float
        Longest diameter in one axial slice, as RECIST 1.1 measures it (doi 10.1016/j.ejca.2008.10.026).
    thickness_mm : float
        Diameter of the largest ball inside the mask: the thickness of the wall where it is thickest.
    fat_contact : float
        Share of the tumour's neighbourhood (2 mm) that is fat, 0 to 1. Outside the serosa lies fat, inside the lumen
        water or gas: a tumour that reaches the outer border has more of it.
    """

    volume_ml: float
    long_axis_mm: float
    thickness_mm: float
    fat_contact: float


def measure_tumour(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float], hu: NDArray[np.floating]
) -> TumourMeasures:
    """Measure a mask whose rows and columns lie in axial planes.

    Parameters
    ----------
    mask : array of bool, shape (slices, rows, columns)
        Not empty.
    spacing_mm : (slice, row, column)
    hu : array, shape of the mask
        Hounsfield units.
    """
    return TumourMeasures(
        volume_ml=float(mask.sum() * np.prod(spacing_mm) / 1000),
        long_axis_mm=max(_diameter(plane, spacing_mm[1:]) for plane in mask if plane.any()),
        thickness_mm=_thickness(mask, spacing_mm),
        fat_contact=_fat_contact(mask, spacing_mm, hu),
    )


def largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest connected part (by faces, edges and corners); an empty mask stays empty."""
    labels, count = ndimage.label(mask, structure=TOUCHING)
    if count < 2:
        return mask
    kept: NDArray[np.bool_] = labels == int(np.argmax(np.bincount(labels.ravel())[1:])) + 1
    return kept


def slice_areas_mm2(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Area of the mask in each slice, shape (slices,)."""
    areas: NDArray[np.float64] = mask.sum(axis=(1, 2)) * (spacing_mm[1] * spacing_mm[2])
    return areas


def _diameter(plane: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> float:
    """Longest distance of two points of the outline, pixel edge to pixel edge."""
    rows, columns = np.nonzero(plane)
    # All four corners of each pixel: a single pixel has a diagonal, not the length zero.
    corners = np.concatenate(
        [np.stack([rows + dr, columns + dc], axis=1) for dr in (-0.5, 0.5) for dc in (-0.5, 0.5)]
    ) * np.asarray(spacing_mm)
    try:
        corners = corners[ConvexHull(corners).vertices]
    except QhullError:
        corners = np.unique(corners, axis=0)
    return float(pdist(corners).max())


def _thickness(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> float:
    padded = np.pad(mask[_box(mask, (0, 0, 0))], 1)
    inside = ndimage.distance_transform_edt(padded, sampling=spacing_mm)
    # The distance runs to the centre of the first voxel outside; the border lies half a voxel before it.
    return float(max(2 * inside.max() - min(spacing_mm), min(spacing_mm)))


def _fat_contact(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float], hu: NDArray[np.floating]) -> float:
    box = _box(mask, tuple(int(np.ceil(_NEIGHBOURHOOD_MM / step)) + 1 for step in spacing_mm))
    distance = ndimage.distance_transform_edt(~mask[box], sampling=spacing_mm)
    shell = (distance > 0) & (distance <= max(_NEIGHBOURHOOD_MM, *spacing_mm))
    fat = shell & (hu[box] > _FAT_HU[0]) & (hu[box] < _FAT_HU[1])
    return float(fat.sum() / shell.sum()) if shell.any() else 0.0


def _box(mask: NDArray[np.bool_], margin: tuple[int, ...]) -> tuple[slice, slice, slice]:
    """Part of an array around a mask."""
    boxes = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        boxes.append(
            slice(max(int(used[0]) - margin[axis], 0), min(int(used[-1]) + margin[axis] + 1, mask.shape[axis]))
        )
    return boxes[0], boxes[1], boxes[2]
