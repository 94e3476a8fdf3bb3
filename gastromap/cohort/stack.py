"""The key slice with its neighbours, as training and application see it: below, key, above."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["KeyStack", "key_stack"]


@dataclass(frozen=True)
class KeyStack:
    """Slices that rise to the head, the key slice at position ``len // 2``.

    Attributes
    ----------
    hu : array, shape (slices, rows, columns), int16
        Hounsfield units; a fraction of a unit, as some rescale slopes give it, is rounded.
    affine_lps : array, shape (4, 4)
    complete : bool
        Whether all neighbours asked for are there.
    """

    hu: NDArray[np.int16] = field(repr=False)
    affine_lps: NDArray[np.float64] = field(repr=False)
    complete: bool = True


def key_stack(hu: NDArray[np.floating], affine_lps: NDArray[np.float64], index: int, *, count: int) -> KeyStack:
    """Cut the stack out of a volume.

    Parameters
    ----------
    hu : array, shape (slices, rows, columns)
    affine_lps : array, shape (4, 4)
        Maps (column, row, slice, 1) to LPS coordinates in mm.
    index : int
        Key slice, counted along the first axis of ``hu``.
    count : {1, 3}

    Returns
    -------
    stack : KeyStack

    Notes
    -----
    Readers take the middle of the stack, ``len // 2``, for the key slice. At the upper end of the volume two slices
    keep it there; at the lower end only the key slice alone does.
    """
    affine = affine_lps.copy()
    if affine[2, 2] < 0:
        affine[:3, 3] += affine[:3, 2] * (len(hu) - 1)
        affine[:3, 2] *= -1
        hu, index = hu[::-1], len(hu) - 1 - index
    below = count // 2 if index >= count // 2 else 0
    above = count // 2 if below == count // 2 else 0
    first, end = index - below, min(index + above + 1, len(hu))
    affine[:3, 3] += affine[:3, 2] * first
    slices = np.rint(hu[first:end]).astype(np.int16)
    return KeyStack(np.ascontiguousarray(slices), affine, complete=end - first == count)
