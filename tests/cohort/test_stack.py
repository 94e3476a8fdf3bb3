"""The key slice lies in the middle of its stack, whatever the direction of the volume and wherever it lies."""

from __future__ import annotations

import numpy as np
import pytest

from gastromap.cohort.stack import key_stack


def volume(*, falling: bool) -> tuple[np.ndarray, np.ndarray]:
    """Six slices that hold their own z, 5 mm apart from z = 100."""
    z = 100 + 5.0 * np.arange(6)
    hu = np.broadcast_to(z[:, None, None], (6, 4, 4)).astype(np.float32)
    affine = np.diag([0.7, 0.7, 5.0, 1.0])
    affine[2, 3] = 100
    if falling:
        hu, affine[2, 2], affine[2, 3] = hu[::-1], -5.0, 125
    return hu, affine


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize(
    ("from_feet", "count", "expected"),
    [(2, 3, [105, 110, 115]), (2, 1, [110]), (5, 3, [120, 125]), (0, 3, [100])],
)
def test_slices_rise_to_the_head_with_the_key_slice_where_readers_look(
    from_feet: int, count: int, expected: list[int], *, falling: bool
) -> None:
    hu, affine = volume(falling=falling)
    stack = key_stack(hu, affine, 5 - from_feet if falling else from_feet, count=count)
    assert stack.hu[:, 0, 0].tolist() == expected
    assert stack.hu[len(expected) // 2, 0, 0] == 100 + 5 * from_feet
    assert stack.complete == (len(expected) == count)
    # The affine says the same of each slice as its content.
    assert [float((stack.affine_lps @ [0, 0, k, 1])[2]) for k in range(len(expected))] == expected


def test_fractions_of_a_unit_are_rounded_not_cut() -> None:
    assert key_stack(np.full((1, 2, 2), -0.6, np.float32), np.eye(4), 0, count=1).hu.max() == -1
