"""Enhancement of aorta, liver and kidneys, found in a coarse volume by robust statistics, without a trained model.

The aorta is looked for where anatomy puts it, in front of the spine and left of the middle. The liver is the largest
homogeneous soft-tissue region of the right half. The kidneys are the compact regions beside the spine that are about
as bright as the aorta. All are medians over many voxels, so that single wrong slices do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gastromap.dicom_input.aorta import AortaTrack, follow_aorta
from gastromap.dicom_input.coarse import CoarseVolume, coarse_volume

__all__ = ["Enhancement", "measure_enhancement"]

Mask = NDArray[np.bool_]

_BODY_HU, _BONE_HU = -250.0, 220.0
_LEAST_BODY_MM2, _LEAST_BONE_MM2 = 10_000.0, 240.0
_VERTEBRA_RIGHT_MM = 10.0
_SOFT_HU = (20.0, 220.0)
#: Steepest change inside the liver in HU a mm, and its least volume after opening.
_STEEPEST, _LEAST_LIVER_ML = 3.5, 350.0
#: Beside the middle of the vertebral body, nearest and farthest; from its front edge: to the front, to the back.
_KIDNEY_MM = (24.0, 95.0, 25.0, 60.0)
_KIDNEY_ML, _MOST_KIDNEY_SD = (25.0, 380.0), 35.0
_IN_PLANE = np.zeros((3, 3, 3), bool)
_IN_PLANE[1] = True
_CROSS = np.zeros((3, 3, 3), bool)
_CROSS[1, 1, :] = _CROSS[1, :, 1] = True


@dataclass(frozen=True)
class Enhancement:
    """What was found; ``None`` where an organ was not."""

    aorta_hu: float | None
    aorta_slices: int  #: in which the aorta was followed
    aorta_mm: float  #: length of the body over which it was followed
    aorta_spread_hu: float | None  #: interquartile range over the slices
    prevertebral_hu: float | None  #: lowest decile, over the levels of the liver, of the brightest before it
    liver_hu: float | None
    liver_ml: float
    liver_spread_hu: float | None  #: interquartile range over the voxels, noise included
    kidney_hu: float | None  #: cortex and medulla together; not found while they differ much, in the first minute


def measure_enhancement(hu: NDArray[np.float32], affine_lps: NDArray[np.float64]) -> Enhancement:
    """Find aorta, liver and kidneys and measure them.

    Parameters
    ----------
    hu : array, shape (slices, rows, columns)
        Hounsfield units of axial slices, best 5 to 10 mm apart (:func:`gastromap.dicom_input.coarse.look_stride`).
    affine_lps : array, shape (4, 4)
        Maps (column, row, slice, 1) to patient coordinates in mm.

    Returns
    -------
    enhancement : Enhancement
    """
    volume = coarse_volume(hu, affine_lps)
    half = volume.halved()
    body = _body(half.hu)
    spine = _spine(volume, body)
    liver, levels, millilitres = _liver(half, body)
    track = follow_aorta(volume, spine) if spine is not None else AortaTrack(np.empty(0), np.empty(0))
    before_spine = track.brightest_hu[levels] if len(track.brightest_hu) else np.empty(0)
    before_spine = before_spine[~np.isnan(before_spine)]
    kidneys = np.empty(0, np.float32)
    if spine is not None and len(track.hu) and len(liver):
        # Brighter than the liver beside them, and than the cava and the gut without oral contrast.
        darkest = max(0.8 * float(np.median(track.hu)), 1.2 * float(np.median(liver)), 90.0)
        kidneys = _kidneys(half, body, spine * (volume.row_mm, volume.column_mm), darkest)
    return Enhancement(
        aorta_hu=float(np.median(track.hu)) if len(track.hu) else None,
        aorta_slices=len(track.hu),
        aorta_mm=len(track.hu) * volume.step_mm,
        aorta_spread_hu=_quartile_range(track.hu),
        prevertebral_hu=float(np.percentile(before_spine, 10)) if len(before_spine) else None,
        liver_hu=float(np.median(liver)) if len(liver) else None,
        liver_ml=millilitres,
        liver_spread_hu=_quartile_range(liver),
        kidney_hu=float(np.median(kidneys)) if len(kidneys) else None,
    )


def _quartile_range(values: NDArray[np.floating]) -> float | None:
    return float(np.subtract(*np.percentile(values, [75, 25]))) if len(values) else None


def _filled(mask: Mask) -> Mask:
    """Fill the holes of every slice at once: what is not joined to the border of its slice."""
    labels, count = ndimage.label(~mask, _CROSS)
    outside = np.zeros(count + 1, bool)
    for border in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        outside[border.ravel()] = True
    outside[0] = False  # the mask itself
    return ~outside[labels]


def _body(hu: NDArray[np.float32]) -> Mask:
    """Largest thing above air in each slice, holes filled; the table falls off by the opening."""
    opened = ndimage.binary_opening(hu > _BODY_HU, _CROSS, iterations=2)
    labels, count = ndimage.label(opened, _IN_PLANE)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    largest = [int(present[np.argmax(sizes[present])]) for present in map(np.unique, labels)]
    return _filled((labels == np.array(largest)[:, None, None]) & (labels > 0))


def _spine(volume: CoarseVolume, body: Mask) -> NDArray[np.float64] | None:
    """Front edge (row) and middle (column) of the vertebral body in each slice, smoothed along z; (slices, 2).

    Parameters
    ----------
    volume : CoarseVolume
    body : array
        On half the matrix.
    """
    places = np.full((len(volume.hu), 2), np.nan)
    for index, (level, inside) in enumerate(zip(volume.hu, body, strict=True)):
        if inside.sum() * 4 * volume.pixel_mm2 < _LEAST_BODY_MM2:
            continue
        rows = 2 * np.flatnonzero(inside.any(axis=1))
        middle = 2 * _median_index(inside.sum(axis=0))
        top = int(rows[0] + 0.4 * (rows[-1] - rows[0]))
        left = max(0, middle - int(60 / volume.column_mm))
        window = level[top : rows[-1] + 2, left : middle + int(60 / volume.column_mm)]
        bone = _filled((window > _BONE_HU)[None])[0]
        if bone.sum() * volume.pixel_mm2 >= _LEAST_BONE_MM2:
            centre = _median_index(bone.sum(axis=0))
            places[index] = top + _front(bone, centre, volume), left + centre
    known = ~np.isnan(places[:, 0])
    if known.sum() < max(3, 0.3 * len(places)):
        return None
    levels = np.arange(len(places))
    for axis in (0, 1):
        filled = np.interp(levels, levels[known], places[known, axis])
        places[:, axis] = ndimage.median_filter(filled, size=min(5, len(filled)), mode="nearest")
    return places


def _median_index(weights: NDArray[np.integer]) -> int:
    total = np.cumsum(weights)
    return int(np.searchsorted(total, total[-1] / 2))


def _front(bone: Mask, centre: int, grid: CoarseVolume) -> int:
    """Go forwards from the widest row while the bone reaches to the right as a vertebra does, and no aorta."""
    reach = int(25 / grid.column_mm)
    right = bone[:, max(0, centre - reach) : centre + 1]
    width = np.where(right.any(axis=1), right.shape[1] - right.argmax(axis=1), 0) * grid.column_mm
    wide = width >= _VERTEBRA_RIGHT_MM
    row, gap = int(width.argmax()), max(1, int(8 / grid.row_mm))
    while row > 0 and wide[max(0, row - gap) : row].any():
        row = max(0, row - gap) + int(wide[max(0, row - gap) : row].argmax())
    return row


def _liver(volume: CoarseVolume, body: Mask) -> tuple[NDArray[np.float32], Mask, float]:
    """HU of the inner voxels of the largest even soft-tissue region of the right half, its levels and volume in ml."""
    nothing = np.empty(0, np.float32), np.zeros(len(body), bool)
    columns = np.flatnonzero(body.any(axis=(0, 1)))
    if not len(columns):
        return *nothing, 0.0
    middle = int(columns.mean())
    hu, inside = volume.hu[:, :, :middle], body[:, :, :middle]
    if min(hu.shape) < 2:
        return *nothing, 0.0
    smooth = ndimage.gaussian_filter(hu, (0, 0.6, 0.6))
    steep = np.hypot(np.gradient(smooth, volume.row_mm, axis=1), np.gradient(smooth, volume.column_mm, axis=2))
    soft = (smooth > _SOFT_HU[0]) & (smooth < _SOFT_HU[1]) & (steep < _STEEPEST) & inside
    labels, count = ndimage.label(ndimage.binary_opening(soft, np.ones((1, 3, 3), bool)))
    if not count:
        return *nothing, 0.0
    sizes = np.bincount(labels.ravel())[1:]
    millilitres = float(sizes.max()) * volume.pixel_mm2 * volume.step_mm / 1000
    if millilitres < _LEAST_LIVER_ML:
        return *nothing, millilitres
    region = labels == 1 + int(np.argmax(sizes))
    return hu[region], region.any(axis=(1, 2)), millilitres


def _kidneys(volume: CoarseVolume, body: Mask, spine_mm: NDArray[np.float64], darkest: float) -> NDArray[np.float32]:
    """HU of the compact bright regions beside the vertebral bodies; gut with oral contrast lies in front of them."""
    near, far, before, behind = _KIDNEY_MM
    y = np.arange(volume.hu.shape[1])[None, :, None] * volume.row_mm - spine_mm[:, 0, None, None]
    x = np.abs(np.arange(volume.hu.shape[2])[None, None, :] * volume.column_mm - spine_mm[:, 1, None, None])
    window = (y > -before) & (y < behind) & (x > near) & (x < far) & body
    smooth = ndimage.uniform_filter(volume.hu, (1, 3, 3))
    # Bone and urine with contrast are brighter than twice the aorta.
    bright = (smooth > darkest) & (volume.hu < max(300.0, 2 * darkest)) & window
    labels, count = ndimage.label(ndimage.binary_opening(bright, np.ones((1, 3, 3), bool)))
    if not count:
        return np.empty(0, np.float32)
    sizes = np.bincount(labels.ravel())[1:] * volume.pixel_mm2 * volume.step_mm / 1000
    chosen = [
        label
        for label in 1 + np.argsort(-sizes)[:4]
        if _KIDNEY_ML[0] <= sizes[label - 1] <= _KIDNEY_ML[1] and volume.hu[labels == label].std() < _MOST_KIDNEY_SD
    ]
    values: NDArray[np.float32] = volume.hu[np.isin(labels, chosen)]
    return values
