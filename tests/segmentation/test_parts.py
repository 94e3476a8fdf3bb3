"""Which of the marked parts is the tumour, and whether it is sure enough, on maps drawn by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gastromap.segmentation.limits import FinderLimits
from gastromap.segmentation.parts import MarkedPart, heaviest_part, is_tumour

_SHAPE = (20, 30, 30)
_CORE = np.ones(_SHAPE, np.bool_)
_LARGE, _SMALL, _THIRD = np.s_[4:10, 4:10, 4:10], np.s_[12:15, 20:23, 20:23], np.s_[4:8, 20:24, 4:8]
_LIMITS = FinderLimits(alone_share=0.9, wall_weight=1.0, wall_drop=1.5, wall_alone=5.0, wall_sure=3.0)


def _map(empty: float, **parts: float) -> np.ndarray:
    out = np.full(_SHAPE, empty, np.float32)
    for name, value in parts.items():
        out[{"large": _LARGE, "small": _SMALL, "third": _THIRD}[name]] = value
    return out


def _where(part: MarkedPart | None) -> np.ndarray:
    assert part is not None
    return part.values >= 0.5


def _filled(where: object) -> np.ndarray:
    out = np.zeros(_SHAPE, np.bool_)
    out[where] = True
    return out


def test_the_heaviest_is_taken_and_the_others_are_taken_out() -> None:
    part = heaviest_part(_map(0.1, large=0.7, small=0.9), _CORE, FinderLimits())
    assert (_where(part) == _filled(_LARGE)).all()
    assert part is not None
    assert part.probability == pytest.approx(0.7)
    assert part.count == 2
    assert part.values[_SMALL].max() == 0
    assert part.values[0, 0, 0] == pytest.approx(0.1)


def test_of_maps_without_anything_marked_there_is_none() -> None:
    assert heaviest_part(_map(0.2), _CORE, FinderLimits()) is None
    assert heaviest_part(_map(0.2), _CORE, replace(_LIMITS, wall_alone=0.0), _map(-6, small=2)) is None


def test_a_part_that_the_wall_network_alone_marks_is_taken_where_it_is_surer_than_the_others_weigh() -> None:
    values = _map(0.1, large=0.6)
    # The large one: ln(216 x 0.36) + 1 = 5.4. The small one: ln 5 and its logit, 4.6 or 6.1.
    for logit, taken in ((3.0, _LARGE), (4.5, _SMALL)):
        wall = _map(-6, large=1.0, small=logit)
        part = heaviest_part(values, _CORE, _LIMITS, wall)
        assert (_where(part) == _filled(taken)).all()
        assert part is not None
        assert part.by_wall_alone == (taken is _SMALL)
        # Its highest logit lies 1.5 above its border, where the threshold of 0.5 is.
        assert part.probability == pytest.approx(0.6 if taken is _LARGE else 1 / (1 + np.exp(-1.5)))
        assert part.count == 1


def test_without_a_weight_of_its_own_it_does_not_count() -> None:
    limits = replace(_LIMITS, wall_alone=0.0)
    assert heaviest_part(_map(0.1), _CORE, limits, _map(-6, small=9)) is None
    part = heaviest_part(_map(0.1, large=0.6), _CORE, limits, _map(-6, small=9))
    assert (_where(part) == _filled(_LARGE)).all()


def test_what_both_mark_keeps_the_outline_of_the_fine_network() -> None:
    wall = _map(-6)
    wall[2:12, 2:12, 2:12] = 5.0
    part = heaviest_part(_map(0.1, large=0.7), _CORE, _LIMITS, wall)
    assert (_where(part) == _filled(_LARGE)).all()
    assert part is not None
    assert not part.by_wall_alone
    assert part.wall_logit == 5.0


def test_a_few_voxels_of_the_fine_network_do_not_take_the_place_of_what_the_wall_network_marks() -> None:
    values = _map(0.1)
    values[_LARGE][0, 0, :2] = 0.6  # weighs 0.72
    wall = _map(-6, large=5.0)
    for least, taken in ((5.0, _filled(_LARGE)), (0.5, values >= 0.5)):
        part = heaviest_part(values, _CORE, replace(_LIMITS, wall_alone=least), wall)
        assert (_where(part) == taken).all()
        assert part is not None
        assert part.by_wall_alone == (least == 5.0)


def test_the_border_of_a_part_of_the_wall_network_lies_so_far_below_its_highest_logit() -> None:
    """Between the voxels too, since neighbours below it keep their value."""
    wall = np.broadcast_to(np.linspace(5.0, -5.0, 21)[:20, None, None], _SHAPE).astype(np.float32)
    part = heaviest_part(_map(0.0), _CORE, _LIMITS, wall)
    assert part is not None
    profile = part.values[:, 5, 5]
    first = int(np.argmax(profile < 0.5))
    border = first - (0.5 - profile[first]) / (profile[first - 1] - profile[first])
    assert 5.0 - 0.5 * border == pytest.approx(5.0 - _LIMITS.wall_drop, abs=0.05)


def test_where_the_wall_network_is_sure_its_part_reaches_down_to_a_logit() -> None:
    """A fixed fall would leave the middle of the tumour alone."""
    wall = np.broadcast_to(np.linspace(9.0, -9.0, 20)[:, None, None], _SHAPE).astype(np.float32)
    sizes = {}
    for top in (9.0, 1.5):
        part = heaviest_part(_map(0.0), _CORE, replace(_LIMITS, wall_border=1.0), np.minimum(wall, top))
        assert part is not None
        sizes[top] = _where(part).any(axis=(1, 2)).sum()
    fall = heaviest_part(_map(0.0), _CORE, _LIMITS, np.minimum(wall, 1.5))
    assert fall is not None
    # 9 of 20 layers lie above a logit of 1; the fall of a low one goes further than that.
    assert sizes[9.0] == pytest.approx(9, abs=1)
    assert sizes[1.5] == _where(fall).any(axis=(1, 2)).sum() > sizes[9.0]


def test_of_what_the_wall_network_marks_the_place_of_the_highest_logit_in_the_stomach_counts() -> None:
    core = _CORE.copy()
    core[_LARGE] = False
    wall = _map(-6, small=6.0, third=5.5, large=8.0)
    part = heaviest_part(_map(0.0), core, _LIMITS, wall)
    assert (_where(part) == _filled(_SMALL)).all()


_PART = MarkedPart(
    values=np.zeros(_SHAPE, np.float32), probability=0.5, share=0.1, count=3, wall_logit=-np.inf, by_wall_alone=False
)


@pytest.mark.parametrize(
    ("facts", "tumour"),
    [
        ({}, False),
        ({"probability": 0.6}, True),
        ({"probability": 0.6, "count": 90}, True),
        ({"share": 0.5}, True),
        ({"share": 0.5, "count": 90}, False),
        ({"share": 0.91, "count": 90}, True),
        ({"share": 0.91, "count": 90, "probability": 0.4}, False),
        ({"share": 0.91, "count": 90, "probability": 0.4, "wall_logit": 3.0}, True),
        ({"wall_logit": 3.0}, True),
        ({"wall_logit": 2.9}, False),
        ({"wall_logit": 3.0, "count": 90}, False),
        ({"wall_logit": 3.0, "by_wall_alone": True}, True),
        ({"wall_logit": 2.9, "by_wall_alone": True, "probability": 0.9}, False),
    ],
)
def test_what_is_sure_or_doubtful_but_alone_or_sure_by_its_wall_is_a_tumour(
    facts: dict[str, float], tumour: bool
) -> None:
    assert is_tumour(replace(_PART, **facts), _LIMITS) is tumour


def test_without_a_limit_the_wall_network_makes_no_tumour() -> None:
    assert not is_tumour(replace(_PART, wall_logit=20.0), replace(_LIMITS, wall_sure=None))


def test_in_thick_slices_the_part_of_the_wall_network_has_a_weight_of_its_own() -> None:
    limits = replace(_LIMITS, wall_alone_thick=2.0, thick_mm=2.5)
    assert limits.for_step(2.4) == limits
    assert limits.for_step(2.5) == replace(limits, wall_alone=2.0)
    assert _LIMITS.for_step(5.0) == _LIMITS
