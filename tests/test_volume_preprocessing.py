"""Sampling of volumes on the patient's axes, against SimpleITK, MONAI and linear fields."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation

from gastromap.preprocessing.transforms import RAS_TO_LPS
from gastromap.preprocessing.volume import PatientGrid, sample_ct, sample_mask, to_source

_SUPINE = np.array([[0.8, 0, 0, -70], [0, 0.7, 0, -40], [0, 0, 1.5, 12], [0, 0, 0, 1.0]])
_PRONE_HEAD_TO_FEET = np.array([[-0.8, 0, 0, 70], [0, -0.7, 0, 40], [0, 0, -1.5, 80], [0, 0, 0, 1.0]])


def _tilted() -> np.ndarray:
    angle = np.deg2rad(17)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([0.8, 0.7, 1.5])
    affine[:3, 3] = (-30, -20, 5)
    return affine


def _field(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """HU that rise linearly along all three axes of the patient."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)[..., ::-1]
    return (index @ affine[:3, :3].T + affine[:3, 3]) @ np.array([0.6, -0.9, 1.1])


@pytest.mark.parametrize("affine", [_SUPINE, _PRONE_HEAD_TO_FEET, _tilted()], ids=["supine", "prone", "tilted"])
@pytest.mark.parametrize("spacing", [(2.0, 1.0, 1.0), (4.0, 4.0, 4.0), (1.0, 0.5, 0.5)])
def test_a_linear_field_keeps_its_place_in_the_patient(affine: np.ndarray, spacing: tuple[float, float, float]) -> None:
    shape = (40, 60, 70)
    hu = _field(affine, shape)
    centre = affine[:3, :3] @ (np.array(shape[::-1]) / 2) + affine[:3, 3]
    grid = PatientGrid.around(centre, spacing, (6, 5, 4))
    found = sample_ct(hu, affine, grid, window_hu=(-500, 500)) * 1000 - 500
    expected = _field(grid.affine_lps, grid.shape)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_without_a_change_of_scale_it_equals_simpleitk() -> None:
    rng = np.random.default_rng(0)
    hu = rng.normal(40, 60, (20, 24, 28)).astype(np.float32)
    affine = _tilted()
    grid = PatientGrid.around((-18.0, -16.0, 22.0), (1.5, 0.75, 0.85), (9, 11, 13))
    image = SimpleITK.GetImageFromArray(np.clip((hu + 160) / 400, 0, 1))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    reference = SimpleITK.Image(list(grid.shape[::-1]), SimpleITK.sitkFloat32)
    reference.SetSpacing(list(grid.spacing_mm[::-1]))
    reference.SetOrigin(list(grid.origin_lps))
    expected = SimpleITK.GetArrayFromImage(
        SimpleITK.Resample(image, reference, SimpleITK.Transform(), SimpleITK.sitkLinear)
    )
    inside = expected > 0
    assert inside.mean() > 0.5
    np.testing.assert_allclose(sample_ct(hu, affine, grid)[inside], expected[inside], atol=1e-5)


def test_the_axes_are_those_that_monai_calls_spl() -> None:
    rng = np.random.default_rng(1)
    hu = rng.uniform(-160, 240, (6, 8, 10)).astype(np.float32)
    ras = RAS_TO_LPS @ _PRONE_HEAD_TO_FEET
    turned = Orientation(axcodes="SPL")(MetaTensor(torch.from_numpy(hu.T.copy())[None], affine=torch.from_numpy(ras)))
    grid = PatientGrid.covering(_PRONE_HEAD_TO_FEET, hu.shape, (1.5, 0.7, 0.8))
    assert grid.shape == tuple(turned.shape[1:])
    np.testing.assert_allclose(sample_ct(hu, _PRONE_HEAD_TO_FEET, grid), (turned[0].numpy() + 160) / 400, atol=1e-5)


def test_a_coarse_voxel_is_the_mean_of_what_it_covers() -> None:
    rng = np.random.default_rng(2)
    hu = rng.normal(40, 50, (8, 12, 16))
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    grid = PatientGrid((1.5, 1.5, 1.5), (4.0, 4.0, 4.0), (2, 3, 4))
    expected = np.clip((hu + 160) / 400, 0, 1).reshape(2, 4, 3, 4, 4, 4).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(sample_ct(hu, affine, grid), expected, atol=1e-5)


def test_outside_of_the_source_there_is_nothing() -> None:
    hu = np.full((4, 4, 4), 100.0)
    far = PatientGrid((100.0, 100.0, 100.0), (1.0, 1.0, 1.0), (3, 3, 3))
    assert not sample_ct(hu, np.eye(4), far).any()
    half = sample_ct(hu, np.eye(4), PatientGrid((-10.0, 0.0, 0.0), (1.0, 1.0, 1.0), (4, 4, 14)))
    assert not half[..., :9].any()
    np.testing.assert_allclose(half[..., 10:], 0.65, atol=1e-6)


@pytest.mark.parametrize("affine", [_SUPINE, _PRONE_HEAD_TO_FEET, _tilted()], ids=["supine", "prone", "tilted"])
def test_a_mask_keeps_volume_and_centre_there_and_back(affine: np.ndarray) -> None:
    shape = (50, 80, 90)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)[..., ::-1]
    points = index @ affine[:3, :3].T + affine[:3, 3]
    centre = affine[:3, :3] @ np.array([45, 40, 25]) + affine[:3, 3]
    ball = np.linalg.norm(points - centre, axis=-1) < 14
    grid = PatientGrid.around(centre + np.array([3, -2, 1]), (2.0, 1.0, 1.0), (32, 64, 64))
    there = sample_mask(ball, affine, grid)
    assert (there >= 0.5).sum() * 2.0 == pytest.approx(4 / 3 * np.pi * 14**3, rel=0.02)
    back = to_source(there, grid, affine, shape) >= 0.5
    assert 2 * (back & ball).sum() / (back.sum() + ball.sum()) > 0.97


def test_the_covering_grid_holds_every_voxel_and_has_the_asked_multiples() -> None:
    grid = PatientGrid.covering(_tilted(), (40, 60, 70), (4.0, 4.0, 4.0), multiple=8)
    assert all(side % 8 == 0 for side in grid.shape)
    index = np.array([[c, r, s] for c in (0, 69) for r in (0, 59) for s in (0, 39)])
    points = index @ _tilted()[:3, :3].T + _tilted()[:3, 3]
    low, high = grid.point((-0.5, -0.5, -0.5)), grid.point(np.array(grid.shape) - 0.5)
    assert (points >= low).all()
    assert (points <= high).all()
