"""The aorta with contrast in a coarse volume: a disc in front of the spine, followed from slice to slice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gastromap.dicom_input.coarse import CoarseVolume

__all__ = ["AortaTrack", "follow_aorta"]

Floats = NDArray[np.float64]

_RAYS = 16
_RADII_MM = np.arange(3.0, 21.0, 1.5)
_ANGLES = 2 * np.pi * np.arange(_RAYS) / _RAYS
_LEAST_HU, _MOST_HU = 80.0, 650.0
#: Part of the rays that must meet an edge, and a fall in HU: the marrow of a vertebra has bone around it, which rises.
_LEAST_EDGE, _LEAST_FALL = 0.55, 0.5
_RADIUS_MM = (5.0, 17.0)
_LEAST_SCORE, _MOST_DISCS = 0.2, 20
#: From the front of the vertebral body: to the front, to the back; from its middle: to the right, to the left.
_WINDOW_MM = (45.0, 8.0, 14.0, 46.0)
#: Half the width of a vertebral body, and what its front edge may be wrong by.
_VERTEBRA_MM, _FRONT_MM = 18.0, 8.0
_LONGEST_GAP_MM = 24.0


@dataclass(frozen=True)
class AortaTrack:
    """What was seen in front of the spine."""

    hu: Floats  #: of the aorta in each slice where it was followed
    brightest_hu: Floats  #: of any even patch of about 6 mm in each slice of the volume; NaN where there is none


def follow_aorta(volume: CoarseVolume, spine: Floats) -> AortaTrack:
    """Find the best chain of discs with contrast.

    Parameters
    ----------
    volume : CoarseVolume
    spine : array, shape (slices, 2)
        Row of the front edge and column of the middle of the vertebral body.

    Returns
    -------
    track : AortaTrack
        Empty ``hu`` if there is no disc of 80 HU or more.
    """
    discs, brightest = [], []
    for level, (front, middle) in zip(volume.hu, spine, strict=True):
        found, highest = _discs(level, front * volume.row_mm, middle * volume.column_mm, volume)
        discs.append(found)
        brightest.append(highest)
    return AortaTrack(hu=_best_track(discs, volume.step_mm), brightest_hu=np.array(brightest))


def _discs(level: NDArray[np.float32], front_mm: float, middle_mm: float, grid: CoarseVolume) -> tuple[Floats, float]:
    """Return the best candidates of a slice as rows (score, y mm, x mm, HU), and the brightest even patch."""
    before, behind, right, left = _WINDOW_MM
    reach = _RADII_MM[-1]
    rows = _within(front_mm - before - reach, front_mm + behind + reach, grid.row_mm, level.shape[0])
    columns = _within(middle_mm - right - reach, middle_mm + left + reach, grid.column_mm, level.shape[1])
    window = level[rows, columns]
    if min(window.shape) < 3:
        return np.empty((0, 4)), np.nan
    y = (np.arange(rows.start, rows.stop) * grid.row_mm)[:, None]
    x = (np.arange(columns.start, columns.stop) * grid.column_mm)[None, :]
    size = [2 * max(1, round(2.5 / mm)) + 1 for mm in (grid.row_mm, grid.column_mm)]
    mean = ndimage.uniform_filter(window, size)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(window * window, size) - mean * mean, 0))
    inside = (np.abs(y - front_mm + (before - behind) / 2) <= (before + behind) / 2) & (x >= middle_mm - right)
    inside &= (x <= middle_mm + left) & ((y < front_mm - _FRONT_MM) | (x > middle_mm + _VERTEBRA_MM))
    even = inside & (spread < np.maximum(20, 0.1 * mean)) & (mean < _MOST_HU)
    brightest = float(mean[even].max()) if even.any() else np.nan
    at = np.nonzero(even & (mean > _LEAST_HU))
    score = _disc_scores(window, mean[at], at, grid)
    best = np.argsort(-score)[:_MOST_DISCS]
    best = best[score[best] > _LEAST_SCORE]
    i, j = at[0][best], at[1][best]
    return np.column_stack([score[best], y[i, 0], x[0, j], mean[i, j]]), brightest


def _within(low_mm: float, high_mm: float, pixel_mm: float, length: int) -> slice:
    start = min(max(int(low_mm / pixel_mm), 0), length)
    return slice(start, min(max(int(high_mm / pixel_mm) + 1, start), length))


def _disc_scores(
    window: NDArray[np.float32],
    value: NDArray[np.float32],
    at: tuple[NDArray[np.intp], ...],
    grid: CoarseVolume,
) -> Floats:
    """Judge each place as the centre of a disc; -1 for none."""
    # Nearest pixels: interpolation would cost five times as much and move no edge by more than a millimetre.
    down = np.rint(np.sin(_ANGLES)[:, None] * _RADII_MM / grid.row_mm).astype(np.intp)
    right = np.rint(np.cos(_ANGLES)[:, None] * _RADII_MM / grid.column_mm).astype(np.intp)
    rows = np.clip(at[0][:, None, None] + down, 0, window.shape[0] - 1)
    columns = np.clip(at[1][:, None, None] + right, 0, window.shape[1] - 1)
    change = window[rows, columns] - value[:, None, None]
    # An edge: a quarter of the way to fat, to lung or to bone, whichever comes first.
    edge = np.abs(change) > np.maximum(25.0, 0.25 * (value + 60))[:, None, None]
    met = edge.any(axis=2)
    first = np.where(met, edge.argmax(axis=2), len(_RADII_MM) - 1)
    distance = _RADII_MM[first]
    good = met & (distance >= 4) & (distance <= 18)
    falls = good & (np.take_along_axis(change, first[:, :, None], axis=2)[:, :, 0] < 0)
    share = good.mean(axis=1)
    typical = np.median(distance, axis=1)
    uneven = np.mean(np.abs(distance - typical[:, None]), axis=1) / typical
    # A centre has the same distance on opposite sides.
    off = np.hypot((distance * np.cos(_ANGLES)).mean(axis=1), (distance * np.sin(_ANGLES)).mean(axis=1)) / typical
    # The cava lies beside it and is never brighter, except for a moment after an injection into the leg.
    score: Floats = share - 0.8 * uneven - 0.8 * off + 0.001 * np.minimum(value, 300)
    low, high = _RADIUS_MM
    fits = (share >= _LEAST_EDGE) & (falls.mean(axis=1) >= _LEAST_FALL) & (typical >= low) & (typical <= high)
    return np.where(fits, score, -1.0)


def _best_track(slices: list[Floats], step_mm: float) -> Floats:
    """HU along the best chain (Viterbi): high scores, small steps, equal HU; slices may be left out."""
    totals: list[Floats] = []
    origins: list[NDArray[np.intp]] = []  #: slice and number of the disc before, or -1
    best, end = 0.0, None
    for index, discs in enumerate(slices):
        total, origin = discs[:, 0].copy(), np.full((len(discs), 2), -1)
        for back in (1, 2, 3):
            before = slices[index - back] if index >= back else discs[:0]
            if not len(before) or not len(discs) or (back > 1 and back * step_mm > _LONGEST_GAP_MM):
                continue
            move = np.hypot(*(discs[:, None, axis] - before[None, :, axis] for axis in (1, 2)))
            change = np.abs(discs[:, None, 3] - before[None, :, 3])
            gain = totals[index - back] - 0.02 * move - 0.01 * change - 0.3 * (back - 1)
            gain[(move > 3 + 0.6 * back * step_mm) | (change > 18 + 0.1 * before[None, :, 3])] = -np.inf
            choice = gain.argmax(axis=1)
            candidate = discs[:, 0] + gain[np.arange(len(discs)), choice]
            better = candidate > total
            total[better] = candidate[better]
            origin[better] = np.column_stack([np.full(len(discs), index - back), choice])[better]
        totals.append(total)
        origins.append(origin)
        if len(total) and total.max() > best:
            best, end = float(total.max()), (index, int(total.argmax()))
    values = []
    while end is not None:
        index, number = end
        values.append(slices[index][number, 3])
        before_index, before_number = origins[index][number]
        end = (int(before_index), int(before_number)) if before_index >= 0 else None
    return np.array(values)
