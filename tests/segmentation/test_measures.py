"""Sizes of masks against closed forms and SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK

from gastromap.segmentation.measures import largest_component, measure_tumour, slice_areas_mm2

_SPACING = (2.0, 0.8, 0.8)


def _points(shape: tuple[int, int, int]) -> np.ndarray:
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    return (index - (np.array(shape) - 1) / 2) * _SPACING


def test_an_ellipsoid_has_the_volume_axis_and_thickness_of_the_formula() -> None:
    points = _points((41, 101, 101))
    half = np.array([20.0, 12.0, 30.0])
    mask = ((points / half) ** 2).sum(axis=-1) <= 1
    found = measure_tumour(mask, _SPACING, np.full(mask.shape, 90.0))
    assert found.volume_ml == pytest.approx(4 / 3 * np.pi * np.prod(half) / 1000, rel=0.01)
    assert found.long_axis_mm == pytest.approx(60, abs=1.0)
    assert found.thickness_mm == pytest.approx(24, abs=1.5)
    assert found.fat_contact == 0


def test_a_curved_wall_is_as_thick_as_the_wall_and_not_as_its_chord() -> None:
    points = _points((15, 121, 121))
    radius = np.linalg.norm(points[..., 1:], axis=-1)
    wall = (radius >= 30) & (radius <= 38) & (points[..., 1] > 0)
    assert measure_tumour(wall, _SPACING, np.zeros(wall.shape)).thickness_mm == pytest.approx(8, abs=1.0)


def test_the_long_axis_of_one_slice_is_the_feret_diameter_of_simpleitk() -> None:
    rng = np.random.default_rng(4)
    points = _points((1, 80, 80))
    mask = np.zeros((1, 80, 80), bool)
    for _ in range(6):
        mask |= np.linalg.norm(points - (0, *rng.uniform(-20, 20, 2)), axis=-1) < 6
    image = SimpleITK.GetImageFromArray(mask[0].astype(np.uint8))
    image.SetSpacing((0.8, 0.8))
    shape = SimpleITK.LabelShapeStatisticsImageFilter()
    shape.ComputeFeretDiameterOn()
    shape.Execute(image)
    # SimpleITK measures between pixel centres; the diagonal of a pixel is 1.13 mm.
    assert 0 < measure_tumour(mask, _SPACING, points[..., 0]).long_axis_mm - shape.GetFeretDiameter(1) <= 1.14


def test_contact_with_fat_is_the_share_of_the_surface_that_fat_covers() -> None:
    points = _points((21, 61, 61))
    mask = np.abs(points).max(axis=-1) < 12
    hu = np.where(points[..., 2] > 0, -90.0, 10.0)
    assert measure_tumour(mask, _SPACING, hu).fat_contact == pytest.approx(0.5, abs=0.05)


def test_a_single_voxel_is_measured_too() -> None:
    mask = np.zeros((3, 3, 3), bool)
    mask[1, 1, 1] = True
    found = measure_tumour(mask, _SPACING, np.zeros(mask.shape))
    assert found.long_axis_mm == pytest.approx(np.hypot(0.8, 0.8))
    assert found.volume_ml == pytest.approx(0.00128)
    assert slice_areas_mm2(mask, _SPACING).tolist() == pytest.approx([0, 0.64, 0])


def test_of_several_parts_the_largest_stays_and_nothing_stays_nothing() -> None:
    mask = np.zeros((5, 9, 9), bool)
    mask[1, 1:3, 1:3] = True
    mask[3, 4:8, 4:8] = True
    assert largest_component(mask).sum() == 16
    assert not largest_component(np.zeros_like(mask)).any()
