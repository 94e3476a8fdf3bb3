"""Enhancement of aorta, liver and kidneys, found in the volume by robust statistics, without a trained model.

The aorta is looked for where anatomy puts it, in front of the spine and left of the middle: a homogeneous disc of 7 to
18 mm radius with an edge on most sides, followed from slice to slice. The liver is the largest homogeneous soft-tissue
region of the right half. The kidneys are the compact bright regions on both sides of the spine. All are medians or
percentiles over many voxels, so that single wrong slices do not matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Enhancement", "measure_enhancement"]

Array = NDArray[np.float32]

_PIXEL_MM = 2.0
_SLICE_MM = 5.0
_BODY_HU = -250.0
_BONE_HU = 220.0
_RAYS = 16
_RADII_MM = np.arange(3.0, 21.0, 1.5)
_CONTRAST_HU = 95.0
_LEAST_TRACK, _VESSEL_SPREAD = 8, 14.0  # vertebrae with contrast-like HU are less even
_LEAST_EDGE = 0.55  #: part of the rays that must meet an edge
_LEAST_LIVER_ML = 350.0
_LEAST_KIDNEY_ML, _MOST_KIDNEY_ML = 25.0, 380.0


@dataclass(frozen=True)
class Enhancement:
    """What was found; ``None`` where an organ was not."""

    aorta_hu: float | None
    aorta_slices: int  #: slices of about 5 mm in which the aorta was followed
    aorta_spread_hu: float | None  #: interquartile range over the slices
    liver_hu: float | None
    liver_ml: float
    liver_spread_hu: float | None  #: interquartile range over the voxels, noise included
    kidney_hu: float | None  #: median of the kidneys
    kidney_contrast_hu: float | None  #: 90th minus 25th percentile: cortex against medulla


def measure_enhancement(hu: NDArray[np.float32], affine_lps: NDArray[np.float64]) -> Enhancement:
    """Find aorta and liver and measure them.

    Parameters
    ----------
    hu : array, shape (slices, rows, columns)
        Hounsfield units of an axial volume.
    affine_lps : array, shape (4, 4)
        Maps (column, row, slice, 1) to patient coordinates in mm.

    Returns
    -------
    enhancement : Enhancement
    """
    volume, step_mm = _coarse(hu, affine_lps)
    body = _body(volume)
    spine = _spine(volume, body)
    aorta = _aorta(volume, spine) if spine is not None else np.empty(0)
    liver, liver_ml = _liver(volume, body, step_mm)
    kidneys = _kidneys(volume, body, spine, step_mm) if spine is not None else np.empty(0, np.float32)
    return Enhancement(
        aorta_hu=float(np.median(aorta)) if len(aorta) else None,
        aorta_slices=len(aorta),
        aorta_spread_hu=float(np.subtract(*np.percentile(aorta, [75, 25]))) if len(aorta) else None,
        liver_hu=float(np.median(liver)) if len(liver) else None,
        liver_ml=liver_ml,
        liver_spread_hu=float(np.subtract(*np.percentile(liver, [75, 25]))) if len(liver) else None,
        kidney_hu=float(np.median(kidneys)) if len(kidneys) else None,
        kidney_contrast_hu=float(np.subtract(*np.percentile(kidneys, [90, 25]))) if len(kidneys) else None,
    )


def _coarse(hu: NDArray[np.float32], affine: NDArray[np.float64]) -> tuple[Array, float]:
    """Average to about 2 x 2 x 5 mm; rows run to the back, columns to the left, slices to the head."""
    column, row, across = affine[:3, 0], affine[:3, 1], affine[:3, 2]
    source = hu
    if abs(row[0]) > abs(column[0]):  # rows run left-right
        source, column, row = source.transpose(0, 2, 1), row, column
    step = float(np.linalg.norm(across))
    thin = max(1, round(_SLICE_MM / step))
    factors = [max(1, round(_PIXEL_MM / float(np.linalg.norm(v)))) for v in (row, column)]
    depth, rows, columns = (n // f for n, f in zip(source.shape, (thin, *factors), strict=True))
    blocks = source[: depth * thin, : rows * factors[0], : columns * factors[1]]
    blocks = blocks.reshape(depth, thin, rows, factors[0], columns, factors[1])
    volume = np.clip(blocks.mean(axis=(1, 3, 5), dtype=np.float32), -1024, 1500)
    flips = tuple(slice(None, None, -1 if v < 0 else 1) for v in (across[2], row[1], column[0]))
    # Equal pixels make the discs of the aorta search round.
    zoom = [float(np.linalg.norm(v)) * f / _PIXEL_MM for v, f in ((row, factors[0]), (column, factors[1]))]
    resampled: Array = ndimage.zoom(volume[flips], (1, *zoom), order=1, grid_mode=True, mode="nearest")
    return resampled, step * thin


def _body(volume: Array) -> NDArray[np.bool_]:
    """Largest thing above fat-free air in each slice, holes filled; the table falls off by the opening."""
    body = np.zeros(volume.shape, bool)
    for index, level in enumerate(volume):
        labels, count = ndimage.label(ndimage.binary_opening(level > _BODY_HU, iterations=4))
        if count:
            largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
            body[index] = ndimage.binary_fill_holes(labels == largest)
    return body


def _spine(volume: Array, body: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Front edge (row) and middle (column) of the vertebral body in each slice, smoothed along z; (slices, 2)."""
    places = np.full((len(volume), 2), np.nan)
    for index, (level, inside) in enumerate(zip(volume, body, strict=True)):
        if inside.sum() < 2500:  # 100 cm2
            continue
        rows, columns = np.nonzero(inside)
        middle, back = float(np.median(columns)), float(np.percentile(rows, 98))
        front = float(np.percentile(rows, 2))
        bone = (level > _BONE_HU) & inside
        bone[: int(front + 0.4 * (back - front))] = False
        bone[:, : max(0, int(middle - 30))] = False
        bone[:, int(middle + 30) :] = False
        bone = ndimage.binary_fill_holes(bone)
        weight, width = bone.sum(axis=0), bone.sum(axis=1)
        if weight.sum() < 60:
            continue
        centre = float(np.median(np.repeat(np.arange(len(weight)), weight)))
        # Forwards from the widest row while it stays wide: a bright aorta touches the vertebra, but is narrower.
        row = int(np.argmax(width))
        while row > 0 and width[row - 1] >= 0.4 * width.max():
            row -= 1
        places[index] = float(row), centre
    known = ~np.isnan(places[:, 0])
    if known.sum() < max(3, 0.3 * len(volume)):
        return None
    levels = np.arange(len(volume))
    for axis in (0, 1):
        filled = np.interp(levels, levels[known], places[known, axis])
        places[:, axis] = ndimage.median_filter(filled, size=min(9, len(filled)), mode="nearest")
    return places


def _aorta(volume: Array, spine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median HU of the aorta in each slice where it was found on the best track."""
    angles = 2 * np.pi * np.arange(_RAYS) / _RAYS
    radii = _RADII_MM / _PIXEL_MM
    found = [_discs(level, front, middle, angles, radii) for level, (front, middle) in zip(volume, spine, strict=True)]
    # A crus of the diaphragm looks like an aorta without contrast: where there is a vessel with contrast, it counts.
    bright = _best_track([[disc for disc in discs if disc[3] >= _CONTRAST_HU] for discs in found])
    even = len(bright) >= _LEAST_TRACK and float(np.subtract(*np.percentile(bright, [75, 25]))) <= _VESSEL_SPREAD
    return bright if even else _best_track([[disc for disc in discs if disc[3] < _CONTRAST_HU] for discs in found])


def _discs(
    level: Array, front: float, middle: float, angles: NDArray[np.float64], radii: NDArray[np.float64]
) -> list[tuple[float, float, float, float]]:
    """Candidates of one slice: (score, row, column, HU), best first."""
    low_row, high_row = max(0, int(front - 25)), min(level.shape[0], int(front + 12))
    low_column, high_column = max(0, int(middle - 6)), min(level.shape[1], int(middle + 22))
    rows, columns = np.mgrid[low_row:high_row, low_column:high_column]
    rows, columns = rows.ravel().astype(float), columns.ravel().astype(float)
    mean = ndimage.uniform_filter(level, 5)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(level * level, 5) - mean * mean, 0))
    at = (rows.astype(int), columns.astype(int))
    keep = (spread[at] < 30) & (mean[at] > 15) & (mean[at] < 600)
    rows, columns = rows[keep], columns[keep]
    if not len(rows):
        return []
    value = mean[rows.astype(int), columns.astype(int)]
    # Nearest pixels: interpolation would cost five times as much and move no edge by more than a millimetre.
    ys = np.rint(rows[:, None, None] + np.sin(angles)[None, :, None] * radii).astype(np.intp)
    xs = np.rint(columns[:, None, None] + np.cos(angles)[None, :, None] * radii).astype(np.intp)
    rays = level[np.clip(ys, 0, level.shape[0] - 1), np.clip(xs, 0, level.shape[1] - 1)]
    # An edge: half way to fat, to lung or to bone, whichever comes first.
    drop = np.maximum(25.0, 0.25 * (value + 60))[:, None, None]
    edge = np.abs(rays - value[:, None, None]) > drop
    first = np.where(edge.any(axis=2), edge.argmax(axis=2), len(radii) - 1)
    distance = _RADII_MM[first]
    good = edge.any(axis=2) & (distance >= 6) & (distance <= 18)
    share = good.mean(axis=1)
    typical = np.median(distance, axis=1)
    uneven = np.mean(np.abs(distance - typical[:, None]), axis=1) / typical
    # A centre has the same distance on opposite sides.
    off = np.hypot((distance * np.cos(angles)).mean(axis=1), (distance * np.sin(angles)).mean(axis=1)) / typical
    score = share - 0.8 * uneven - 0.8 * off
    # The cava lies beside it and is never brighter, except for a moment after an injection into the leg.
    score += 0.001 * np.minimum(value, 300)
    score[(share < _LEAST_EDGE) | (typical < 7) | (typical > 17)] = -1
    best = np.argsort(-score)[:20]
    return [(float(score[i]), float(rows[i]), float(columns[i]), float(value[i])) for i in best if score[i] > 0.2]


def _best_track(candidates: list[list[tuple[float, float, float, float]]]) -> NDArray[np.float64]:
    """Viterbi over the slices: high scores, small steps, equal HU; a slice may be left out."""
    scores: dict[tuple[int, int], tuple[float, tuple[int, int] | None]] = {}
    for index, group in enumerate(candidates):
        for number, (score, row, column, value) in enumerate(group):
            total, came_from = score, None
            for back in (1, 2, 3):
                if index - back < 0:
                    break
                for other, (_, r, c, v) in enumerate(candidates[index - back]):
                    move = math.hypot(row - r, column - c) * _PIXEL_MM
                    if move > 6.0 * back or abs(value - v) > 25 + 0.1 * abs(v):
                        continue
                    cost = 0.02 * move + 0.01 * abs(value - v) + 0.3 * (back - 1)
                    candidate = scores[index - back, other][0] + score - cost
                    if candidate > total:
                        total, came_from = candidate, (index - back, other)
            scores[index, number] = (total, came_from)
    if not scores:
        return np.empty(0)
    place: tuple[int, int] | None = max(scores, key=lambda key: scores[key][0])
    values = []
    while place is not None:
        values.append(candidates[place[0]][place[1]][3])
        place = scores[place][1]
    return np.asarray(values)


def _liver(volume: Array, body: NDArray[np.bool_], step_mm: float) -> tuple[NDArray[np.float32], float]:
    """HU of the inner voxels of the largest homogeneous soft-tissue region of the right half, and its volume."""
    smooth = ndimage.gaussian_filter(volume, (0.4, 1.2, 1.2))
    columns = np.flatnonzero(body.any(axis=(0, 1)))
    if not len(columns):
        return np.empty(0, np.float32), 0.0
    middle = int(columns.mean())
    smooth, inside = smooth[:, :, :middle], body[:, :, :middle]
    steep = np.hypot(*np.gradient(smooth, axis=(1, 2)))
    soft = (smooth > 20) & (smooth < 220) & (steep < 9) & inside
    soft = ndimage.binary_opening(soft, np.ones((1, 7, 7), bool))
    labels, count = ndimage.label(soft)
    if not count:
        return np.empty(0, np.float32), 0.0
    sizes = np.bincount(labels.ravel())[1:]
    millilitres = float(sizes.max()) * _PIXEL_MM**2 * step_mm / 1000
    if millilitres < _LEAST_LIVER_ML:
        return np.empty(0, np.float32), millilitres
    inner: NDArray[np.float32] = volume[:, :, :middle][labels == 1 + int(np.argmax(sizes))]
    return inner, millilitres


def _kidneys(volume: Array, body: NDArray[np.bool_], spine: NDArray[np.float64], step_mm: float) -> NDArray[np.float32]:
    """HU of the compact bright regions beside the vertebral bodies; gut with oral contrast lies in front of them."""
    window = np.zeros(volume.shape, bool)
    for index, (front, middle) in enumerate(spine):
        rows = slice(max(0, int(front - 8)), int(front + 30))
        window[index, rows, max(0, int(middle - 45)) : max(0, int(middle - 13))] = True
        window[index, rows, int(middle + 13) : int(middle + 45)] = True
    smooth = ndimage.gaussian_filter(volume, (0.4, 1.0, 1.0))
    # Brighter than muscle in every phase with contrast, darker than bone; the kidney without contrast is not wanted.
    bright = (smooth > 95) & (smooth < 280) & window & body
    bright = ndimage.binary_opening(bright, np.ones((1, 7, 7), bool))
    labels, count = ndimage.label(bright)
    if not count:
        return np.empty(0, np.float32)
    sizes = np.bincount(labels.ravel())[1:] * _PIXEL_MM**2 * step_mm / 1000
    chosen = [
        label
        for label in 1 + np.argsort(-sizes)[:4]
        if _LEAST_KIDNEY_ML <= sizes[label - 1] <= _MOST_KIDNEY_ML and float(np.std(volume[labels == label])) < 55
    ]
    values: NDArray[np.float32] = volume[np.isin(labels, chosen)]
    return values
