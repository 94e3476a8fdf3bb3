"""Erosion and dilation of large masks by a voxel and its six neighbours.

The same voxels as :mod:`scipy.ndimage` gives, which takes four to ten times as long on ten million of them: it visits
voxels one by one, while here whole arrays are shifted against each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["grown", "opened"]

_Mask = NDArray[np.bool_]


def opened(mask: _Mask, times: int) -> _Mask:
    """Erode so many times, then dilate as often; what lies outside the array is not in the mask.

    Parameters
    ----------
    mask : array of bool, shape (D, H, W)
    times : int
    """
    out = mask
    for _ in range(times):
        out = _eroded(out)
    for _ in range(times):
        out = _dilated(out)
    return out


def grown(mask: _Mask, times: int, within: _Mask) -> _Mask:
    """Dilate so many times, each time no further than ``within``.

    Parameters
    ----------
    mask, within : array of bool, shape (D, H, W)
        Of the mask, everything stays.
    times : int
    """
    out = mask
    for _ in range(times):
        out = (_dilated(out) & within) | out
    return out


def _dilated(mask: _Mask) -> _Mask:
    out = mask.copy()
    for axis in range(mask.ndim):
        after, before = _neighbours(axis, mask.ndim)
        out[after] |= mask[before]
        out[before] |= mask[after]
    return out


def _eroded(mask: _Mask) -> _Mask:
    out = mask.copy()
    for axis in range(mask.ndim):
        after, before = _neighbours(axis, mask.ndim)
        out[after] &= mask[before]
        out[before] &= mask[after]
        ends: list[slice | list[int]] = [slice(None)] * mask.ndim
        ends[axis] = [0, -1]
        out[tuple(ends)] = False
    return out


def _neighbours(axis: int, dimensions: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """All but the first, and all but the last along an axis."""
    everything = [slice(None)] * dimensions
    after, before = list(everything), list(everything)
    after[axis], before[axis] = slice(1, None), slice(None, -1)
    return tuple(after), tuple(before)
