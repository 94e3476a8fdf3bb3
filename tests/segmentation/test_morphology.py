"""Erosion and dilation give the voxels of scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from gastromap.preprocessing.morphology import grown, opened


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("times", [1, 2, 4])
def test_opening_and_growing_give_the_voxels_of_scipy(share: float, times: int) -> None:
    rng = np.random.default_rng(3)
    mask = rng.random((23, 31, 17)) < share
    within = rng.random(mask.shape) < 0.7
    assert np.array_equal(opened(mask, times), ndimage.binary_opening(mask, iterations=times))
    seeds = rng.random(mask.shape) < 0.01
    assert np.array_equal(grown(seeds, times, within), ndimage.binary_dilation(seeds, iterations=times, mask=within))


def test_what_lies_outside_the_array_is_not_in_the_mask() -> None:
    everything = np.ones((9, 9, 9), np.bool_)
    assert not opened(~everything, 2).any()
    assert not opened(everything[:4], 2).any()
    assert opened(everything, 2)[2:-2, 2:-2, 2:-2].all()
    assert not opened(everything, 2)[0, 0, 0]
