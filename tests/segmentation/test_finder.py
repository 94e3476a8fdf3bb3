"""The way from a volume to a finding, with networks that read the answer from the Hounsfield units.

What real weights find is measured elsewhere; here every place, size and orientation is known.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gastromap.preprocessing.volume import VolumeProfile
from gastromap.segmentation.finder import TumourFinder
from gastromap.segmentation.limits import FinderLimits
from gastromap.segmentation.stomach import FinderNetwork

_WATER, _TUMOUR, _FAT = 10.0, 180.0, -100.0


def _scaled(hu: float) -> float:
    return (hu + 160) / 400


class _ReadsHounsfield(nn.Module):
    """Logits of regions, each with one of the given HU, sharp at the middle between neighbours."""

    def __init__(self, *regions: tuple[float, ...]) -> None:
        super().__init__()
        self.levels = [[_scaled(value) for value in region] for region in regions]

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat(
            [torch.stack([20 - 200 * (image - level).abs() for level in region]).amax(0) for region in self.levels],
            dim=1,
        )


def _finder(**limits: object) -> TumourFinder:
    return TumourFinder(
        FinderNetwork(
            _ReadsHounsfield((_WATER, _TUMOUR), (_TUMOUR,)),
            VolumeProfile((4.0, 4.0, 4.0), (48, 96, 96), ("stomach", "tumour")),
        ),
        FinderNetwork(_ReadsHounsfield((_TUMOUR,)), VolumeProfile((2.0, 1.0, 1.0), (64, 128, 128))),
        FinderLimits(**limits),  # type: ignore[arg-type]
        device=torch.device("cpu"),
    )


def points_of(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Patient coordinates (x, y, z) of every voxel, shape (slices, rows, columns, 3)."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)[..., ::-1]
    return index @ affine[:3, :3].T + affine[:3, 3]


def _volume(affine: np.ndarray, shape: tuple[int, int, int], balls: list[tuple[tuple[float, ...], float, float]]):
    points = points_of(affine, shape)
    hu = np.full(shape, _FAT)
    for centre, radius, value in balls:
        hu[np.linalg.norm(points - centre, axis=-1) < radius] = value
    return hu


_FEET_TO_HEAD = np.array([[0.9, 0, 0, -90], [0, 0.9, 0, -90], [0, 0, 3.0, -60], [0, 0, 0, 1.0]])
_PRONE_HEAD_FIRST = np.array([[-0.9, 0, 0, 90], [0, -0.9, 0, 90], [0, 0, -3.0, 60], [0, 0, 0, 1.0]])
_SHAPE = (40, 200, 200)
#: The tumour touches the stomach.
_STOMACH, _LESION = ((-30.0, -20.0, 0.0), 35.0, _WATER), ((5.0, 10.0, 12.0), 15.0, _TUMOUR)


@pytest.mark.parametrize("affine", [_FEET_TO_HEAD, _PRONE_HEAD_FIRST], ids=["supine", "prone"])
def test_the_tumour_is_found_where_it_is_and_as_large_as_it_is(affine: np.ndarray) -> None:
    hu = _volume(affine, _SHAPE, [_STOMACH, _LESION])
    found = _finder()(hu, affine)
    assert found.found
    truth = hu == _TUMOUR
    assert 2 * (found.mask & truth).sum() / (found.mask.sum() + truth.sum()) > 0.9
    assert found.centre_lps == pytest.approx(_LESION[0], abs=1.0)
    assert found.measures is not None
    assert found.measures.long_axis_mm == pytest.approx(30, abs=3)
    assert found.key_index is not None
    z = affine[2, 2] * found.key_index + affine[2, 3]
    assert z == pytest.approx(12, abs=3)


def test_the_larger_of_two_is_taken() -> None:
    small = ((-60.0, -40.0, -10.0), 9.0, _TUMOUR)
    hu = _volume(_FEET_TO_HEAD, _SHAPE, [_STOMACH, _LESION, small])
    assert _finder()(hu, _FEET_TO_HEAD).centre_lps == pytest.approx(_LESION[0], abs=1.0)


def test_a_small_part_in_the_stomach_is_taken_before_a_larger_one_that_only_touches_it() -> None:
    """As the edge of the liver may, which the coarse network does not take for stomach."""
    centre, radius = np.asarray(_STOMACH[0]), _STOMACH[1]
    beside = (tuple(np.add(centre, (radius + 12.5, 0.0, 0.0))), 12.0, _TUMOUR)
    inside = (tuple(np.add(centre, (0.0, radius - 8.0, 0.0))), 8.0, _TUMOUR)
    finder = _finder()
    stomachs: list[Tensor] = []
    # What the coarse network says of the stomach alone it says of all.
    coarse = finder._stomach._network
    coarse.register_forward_hook(lambda _network, _given, output: (stomachs.append(output), stomachs[0])[1])
    assert finder(_volume(_FEET_TO_HEAD, _SHAPE, [_STOMACH]), _FEET_TO_HEAD).reason == "no tumour found"
    found = finder(_volume(_FEET_TO_HEAD, _SHAPE, [_STOMACH, beside, inside]), _FEET_TO_HEAD)
    assert found.centre_lps == pytest.approx(inside[0], abs=2.0)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_the_wall_network_can_prefer_the_smaller_of_two(weight: float) -> None:
    small = ((-60.0, -40.0, -10.0), 9.0, _TUMOUR)
    finder = _finder(wall_weight=weight)

    def near_the_small_one(_hu, _affine, stomach, stomach_grid, grid):
        assert stomach.shape == stomach_grid.shape
        distance = np.linalg.norm(points_of(grid.affine_lps, grid.shape) - small[0], axis=-1)
        return np.where(distance < 6, 4.0, -6.0)

    finder._wall = near_the_small_one
    found = finder(_volume(_FEET_TO_HEAD, _SHAPE, [_STOMACH, _LESION, small]), _FEET_TO_HEAD)
    assert found.centre_lps == pytest.approx((small if weight else _LESION)[0], abs=1.0)
    assert found.sure


def test_a_tumour_that_the_wall_network_alone_sees_is_found_where_it_says() -> None:
    hu = _volume(_FEET_TO_HEAD, _SHAPE, [_STOMACH])
    centre, radius = np.add(_STOMACH[0], (0.0, _STOMACH[1], 0.0)), 8.0

    def a_ball(_hu, _affine, _stomach, _stomach_grid, grid):
        distance = np.linalg.norm(points_of(grid.affine_lps, grid.shape) - centre, axis=-1)
        return np.clip(radius + 1 - distance, -6, 4).astype(np.float32)

    step = float(np.linalg.norm(_FEET_TO_HEAD[:3, 2]))
    cases = (
        ({"wall_sure": 3.0}, ""),
        ({"wall_sure": 5.0}, "no tumour found"),
        ({"wall_sure": None}, "no tumour found"),
        # No part of its own from this distance of the slices on.
        ({"wall_sure": 3.0, "thick_mm": step}, "no tumour found"),
        ({"wall_sure": 3.0, "thick_mm": step + 0.1}, ""),
    )
    for limits, reason in cases:
        finder = _finder(wall_weight=1.0, wall_drop=3.0, wall_alone=10.0, **limits)
        finder._wall = a_ball
        found = finder(hu, _FEET_TO_HEAD)
        assert found.reason == reason
        if found.found:
            assert not found.sure
            assert found.centre_lps == pytest.approx(centre, abs=1.0)
            assert found.measures is not None
            assert found.measures.volume_ml == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.1)


def test_what_does_not_reach_the_stomach_is_no_tumour_of_it() -> None:
    elsewhere = ((60.0, 60.0, -30.0), 15.0, _TUMOUR)
    hu = _volume(_FEET_TO_HEAD, _SHAPE, [_STOMACH, elsewhere])
    assert _finder()(hu, _FEET_TO_HEAD).reason == "no tumour found"


def test_a_tumour_larger_than_a_window_is_drawn_whole() -> None:
    long = [((x, 0.0, 0.0), 12.0, _TUMOUR) for x in np.arange(-20.0, 45.0, 4.0)]
    hu = _volume(_FEET_TO_HEAD, _SHAPE, [((-45.0, -15.0, 0.0), 30.0, _WATER), *long])
    found = _finder(window=(32, 64, 64))(hu, _FEET_TO_HEAD)
    drawn, true = (np.flatnonzero(mask.any(axis=(0, 1))) for mask in (found.mask, hu == _TUMOUR))
    # From end to end; the slices at its edge, which share voxels with the fat, are left out.
    assert (drawn[0], drawn[-1]) == pytest.approx((true[0], true[-1]), abs=2)
    assert found.mask.sum() == pytest.approx((hu == _TUMOUR).sum(), rel=0.2)


def test_windows_far_from_the_stomach_are_not_computed_which_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stomach lies aslant in its box, so that corners of the box hold none of it."""
    aslant = [((x, x, x / 3), 14.0, _WATER) for x in np.arange(-55.0, 56.0, 4.0)]
    hu = _volume(_FEET_TO_HEAD, _SHAPE, [*aslant, ((10.0, 12.0, 4.0), 10.0, _TUMOUR)])
    calls: dict[bool, int] = {}
    masks = {}
    for skipping in (True, False):
        finder = _finder(window=(16, 32, 32))
        windows: list[Tensor] = []
        finder._fine.register_forward_hook(lambda _network, given, _output, seen=windows: seen.extend(given[0]))
        if not skipping:
            monkeypatch.setattr(finder, "_looked_at", lambda window, fine=finder._fine: fine(window[:, :1]))
        masks[skipping] = finder(hu, _FEET_TO_HEAD).mask
        calls[skipping] = len(windows)
    assert masks[True].any()
    assert np.array_equal(masks[True], masks[False])
    assert calls[True] < 0.8 * calls[False]


@pytest.mark.parametrize(
    ("balls", "reason"),
    [([_STOMACH], "no tumour found"), ([_LESION], "no stomach found"), ([], "no stomach found")],
    ids=["stomach alone", "no stomach", "nothing"],
)
def test_without_tumour_or_stomach_it_says_so_and_measures_nothing(balls: list, reason: str) -> None:
    found = _finder()(_volume(_FEET_TO_HEAD, _SHAPE, balls), _FEET_TO_HEAD)
    assert (found.found, found.reason, found.measures, found.key_index) == (False, reason, None, None)
    assert not found.mask.any()


def test_the_box_of_the_stomach_is_that_of_the_ball_less_its_poles() -> None:
    finder = _finder()
    box = finder.stomach_box(_volume(_PRONE_HEAD_FIRST, _SHAPE, [_STOMACH]), _PRONE_HEAD_FIRST)
    assert box is not None
    low, high = np.sort(np.asarray(box), axis=0)
    centre, radius = np.asarray(_STOMACH[0]), _STOMACH[1]
    # Two of a hundred voxels of a ball lie beyond 0.84 of its radius, counted from the middle along one axis.
    assert low == pytest.approx(centre - 0.84 * radius, abs=4.1)
    assert high == pytest.approx(centre + 0.84 * radius, abs=4.1)
    assert finder.stomach_box(_volume(_FEET_TO_HEAD, _SHAPE, [_LESION]), _FEET_TO_HEAD) is None


def test_what_is_too_small_or_too_uncertain_is_no_tumour() -> None:
    hu = _volume(_FEET_TO_HEAD, _SHAPE, [_STOMACH, _LESION])
    assert _finder(volume_ml=30.0)(hu, _FEET_TO_HEAD).reason == "no tumour found"
    assert _finder(probability=1.0, doubtful_probability=1.0)(hu, _FEET_TO_HEAD).reason == "no tumour found"


class TestDoubt:
    """A network that gives 0.55 for what it takes for tumour."""

    _HU = 140.4

    def _volume(self, *others: tuple[float, float, float]) -> np.ndarray:
        places = [(_LESION[0], _LESION[1], self._HU), *((place, 6.0, self._HU) for place in others)]
        return _volume(_FEET_TO_HEAD, _SHAPE, [_STOMACH, *places])

    def test_a_doubtful_part_is_the_tumour_where_nothing_else_is_marked(self) -> None:
        found = _finder(probability=0.7)(self._volume(), _FEET_TO_HEAD)
        assert found.found
        assert found.probability == pytest.approx(0.55, abs=0.05)
        assert found.centre_lps == pytest.approx(_LESION[0], abs=1.0)

    def test_but_not_where_several_places_are_marked(self) -> None:
        hu = self._volume((-30.0, -20.0, 0.0), (-50.0, -20.0, 0.0), (-30.0, -40.0, 0.0))
        assert _finder(probability=0.7, doubtful_parts=4)(hu, _FEET_TO_HEAD).found
        assert _finder(probability=0.7, doubtful_parts=3)(hu, _FEET_TO_HEAD).reason == "no tumour found"

    def test_nor_where_most_of_what_is_marked_lies_elsewhere(self) -> None:
        hu = self._volume((-30.0, -20.0, 0.0), (-50.0, -20.0, 0.0), (-30.0, -40.0, 0.0))
        assert _finder(probability=0.7, doubtful_share=0.7)(hu, _FEET_TO_HEAD).found
        assert _finder(probability=0.7, doubtful_share=0.9)(hu, _FEET_TO_HEAD).reason == "no tumour found"

    def test_nor_below_the_smallest_probability(self) -> None:
        finder = _finder(probability=0.7, doubtful_probability=0.65)
        assert finder(self._volume(), _FEET_TO_HEAD).reason == "no tumour found"


def test_a_spike_of_the_outline_does_not_move_the_key_slice() -> None:
    hu = _volume(_FEET_TO_HEAD, _SHAPE, [_STOMACH, _LESION])
    rows, columns = (np.arange(n) * 0.9 - 90 for n in _SHAPE[1:])
    x, y, z = _LESION[0]
    # A plate of two slices at the lower end of the ball, larger than any section of it.
    spike = [19, 20]
    hu[spike] = np.where(np.hypot(rows[:, None] - y, columns[None] - x) < 17, _TUMOUR, hu[spike])
    found = _finder()(hu, _FEET_TO_HEAD)
    areas = found.mask.sum(axis=(1, 2))
    assert int(np.argmax(areas)) in spike
    assert found.key_index is not None
    assert 3.0 * found.key_index - 60 == pytest.approx(z, abs=6)
