"""Which slice stands for an examination in pictures and references."""

from __future__ import annotations

import numpy as np

from gastromap.results import Examination

__all__ = ["shown_index"]


def shown_index(examination: Examination) -> int:
    """Index of the key slice; without one, of the slice through the crop of the longitudinal model, else the middle.

    Parameters
    ----------
    examination : Examination
        After treatment, where there may be no tumour and so no key slice.
    """
    if examination.key_slice is not None:
        return examination.key_slice.index
    last = len(examination.volume.sources) - 1
    if examination.crop_centre_lps is None:
        return last // 2
    place = np.linalg.inv(examination.volume.affine_lps) @ [*examination.crop_centre_lps, 1.0]
    return int(np.clip(np.rint(place[2]), 0, last))
