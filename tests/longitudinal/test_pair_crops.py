"""Crops of pairs: where they lie, what they hold, what the random transforms leave alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.pairs import PATCH, SPACING, ball, save, write_pairs

from gastromap.errors import UsageError
from gastromap.preprocessing.pair import CtScan, crop_centre, crop_scan
from gastromap.preprocessing.pair_augmentation import RandomPaird
from gastromap.preprocessing.pair_transforms import AssemblePaird, PreparePaird, pair_preprocessing
from gastromap.preprocessing.volume import VolumeProfile
from gastromap.training.pair_datalist import read_pair_datalist

_PROFILE = VolumeProfile(SPACING, PATCH)


def scan(
    side_voxels: int = 36, *, mask_at: tuple[int, int, int] | None = None, empty_mask: bool = False, **options: Any
) -> CtScan:
    """Water at 4 mm, first voxel at the origin; a marked voxel (slice, row, column)."""
    hu = np.zeros((side_voxels,) * 3, np.int16)
    mask = np.zeros(hu.shape, np.uint8) if mask_at or empty_mask else None
    if mask is not None and mask_at:
        mask[mask_at] = 1
    return CtScan(hu, np.diag([4.0, 4.0, 4.0, 1.0]), mask, **options)


class TestCentre:
    def test_a_centre_that_was_given_comes_first(self) -> None:
        assert crop_centre(scan(mask_at=(1, 2, 3), centre_lps=(7.0, 8.0, 9.0))) == (7.0, 8.0, 9.0)

    def test_then_the_middle_of_the_mask(self) -> None:
        assert crop_centre(scan(mask_at=(1, 2, 3))) == (12.0, 8.0, 4.0)

    @pytest.mark.parametrize("empty_mask", [True, False])
    def test_then_that_of_an_image_that_is_a_crop_also_after_a_complete_response(self, empty_mask: bool) -> None:
        assert crop_centre(scan(36, empty_mask=empty_mask)) == (70.0, 70.0, 70.0)

    def test_a_whole_examination_without_any_is_refused(self) -> None:
        with pytest.raises(UsageError, match=r"CROP_CENTRE followup: .* got none of them, and a side of 164 mm"):
            crop_centre(scan(41, role="followup"))


class TestCrop:
    def test_the_mask_lies_in_the_middle_and_outside_the_scan_is_0(self) -> None:
        crop = crop_scan(scan(mask_at=(2, 18, 18)), _PROFILE)
        assert crop.image.shape == PATCH
        assert crop.mask is not None
        # An even side has its middle between two voxels: each holds half of the marked one, in all three axes.
        found = np.argwhere(crop_scan(scan(mask_at=(2, 18, 18)), VolumeProfile(SPACING, (31, 31, 31))).mask)
        np.testing.assert_array_equal(found, [[15, 15, 15]])
        # 0 HU is 160 of 400: 102 of 255.
        assert set(np.unique(crop.image)) == {0, 102}
        assert (crop.image[:13] == 0).all()
        assert (crop.image[14:] == 102).all()

    def test_a_margin_leaves_the_middle_as_it_is(self) -> None:
        rng = np.random.default_rng(1)
        hu, mask = ball(rng, 6.0)
        whole = CtScan(hu, np.diag([4.0, 4.0, 4.0, 1.0]), mask)
        small, large = crop_scan(whole, _PROFILE), crop_scan(whole, _PROFILE, margin_mm=7.0)
        assert large.image.shape == (36, 36, 36)
        np.testing.assert_array_equal(large.image[2:-2, 2:-2, 2:-2], small.image)

    def test_a_mask_of_another_shape_is_refused(self) -> None:
        wrong = CtScan(np.zeros((8, 8, 8)), np.eye(4), np.zeros((8, 8, 9)))
        with pytest.raises(UsageError, match="MASK_GRID"):
            crop_scan(wrong, _PROFILE)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"), training=6, validation=1, test=1)


class TestRecords:
    def test_absent_scans_masks_and_labels_are_marked_as_absent(self, pairs: Path) -> None:
        records = read_pair_datalist(pairs)["training"]
        prepare = pair_preprocessing(_PROFILE)
        full, unmasked, alone = (prepare(dict(records[index])) for index in (3, 4, 5))
        assert full["present"].tolist() == unmasked["present"].tolist() == [True, True]
        assert alone["present"].tolist() == [True, False]
        assert set(full["masks"].unique().tolist()) == {0.0, 1.0}
        assert (unmasked["masks"][1] == -1).all()
        assert not alone["image"][1].any()
        labels = [prepare(dict(record))["label"] for record in records[:2]]
        assert torch.isnan(labels[0]).tolist() == [True, False, False]
        assert torch.isnan(labels[1]).tolist() == [False, True, True]

    def test_training_and_application_read_the_same_crop(self, pairs: Path) -> None:
        record = read_pair_datalist(pairs)["test"][0]
        keys = [key for key in ("image1", "mask1", "image2", "mask2") if key in record]
        loaded = pair_preprocessing(_PROFILE).transforms[:2]
        item: Any = dict(record)
        for transform in loaded:
            item = transform(item)
        assert all(key in item for key in keys)
        wide = PreparePaird(spacing_mm=SPACING, patch=PATCH, margin_mm=8.0)(item)
        assert torch.equal(
            AssemblePaird(patch=PATCH)(wide)["image"], pair_preprocessing(_PROFILE)(dict(record))["image"]
        )

    def test_a_followup_that_is_a_copy_is_refused(self, tmp_path: Path) -> None:
        hu, _ = ball(np.random.default_rng(2), 5.0)
        save(tmp_path / "a.nii.gz", hu)
        save(tmp_path / "b.nii.gz", hu)
        record = {"patient_id": "P", "image1": "a.nii.gz", "image2": "b.nii.gz", "lnm": 1}
        (tmp_path / "datalist.json").write_text(json.dumps({"training": [record]}))
        with pytest.raises(UsageError, match="FOLLOWUP_COPY"):
            PreparePaird(spacing_mm=SPACING, patch=PATCH)(_loaded(read_pair_datalist(tmp_path)["training"][0]))

    def test_a_mask_in_another_place_than_its_image_is_refused(self, tmp_path: Path) -> None:
        hu, mask = ball(np.random.default_rng(2), 5.0)
        save(tmp_path / "a.nii.gz", hu)
        save(tmp_path / "m.nii.gz", mask, np.diag([-4.0, -4.0, 5.0, 1.0]))
        record = {"patient_id": "P", "image1": str(tmp_path / "a.nii.gz"), "mask1": str(tmp_path / "m.nii.gz")}
        with pytest.raises(UsageError, match="MASK_GRID baseline"):
            PreparePaird(spacing_mm=SPACING, patch=PATCH)(_loaded(record))


def _loaded(record: dict[str, Any]) -> Any:
    item: Any = record
    for transform in pair_preprocessing(_PROFILE).transforms[:2]:
        item = transform(item)
    return item


_STILL: dict[str, Any] = {
    "scale": 0.0, "rotate_degrees": 0.0, "shift_mm": 0.0, "hu_shift": 0.0, "gain": 0.0, "noise_hu": 0.0,
    "blur_probability": 0.0, "drop_mask": 0.0, "flip_axes": (),
}  # fmt: skip


def prepared(second_radius: float = 4.0) -> dict[str, Any]:
    rng = np.random.default_rng(4)
    item: dict[str, Any] = {"patient_id": "P", "label": [0.0, 0.0, 1.0]}
    for number, radius in ((1, 8.0), (2, second_radius)):
        hu, mask = ball(rng, radius)
        crop = crop_scan(CtScan(hu, np.diag([4.0, 4.0, 4.0, 1.0]), mask), _PROFILE, margin_mm=8.0)
        item[f"image{number}"] = torch.from_numpy(crop.image)
        item[f"mask{number}"] = torch.from_numpy(crop.mask)
    return item


def drawn(seed: int, **changes: Any) -> dict[str, Any]:
    random = RandomPaird(spacing_mm=SPACING, patch=PATCH, **{**_STILL, **changes})
    random.set_random_state(seed=seed)
    return random(prepared())


class TestAugmentation:
    def test_without_any_chance_it_is_the_crop(self) -> None:
        found, expected = drawn(0), AssemblePaird(patch=PATCH)(prepared())
        torch.testing.assert_close(found["image"], expected["image"], atol=1e-5, rtol=0)
        assert torch.equal(found["masks"], expected["masks"])

    def test_the_same_seed_gives_the_same_views(self) -> None:
        random = {"rotate_degrees": 10.0, "shift_mm": 6.0, "noise_hu": 10.0, "drop_mask": 0.5}
        one, same, other = (drawn(seed, **random)["image"] for seed in (1, 1, 2))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)

    def test_scaling_keeps_the_ratio_of_the_volumes(self) -> None:
        # Large balls, because a mask holds whole voxels.
        distance = np.linalg.norm(np.stack(np.meshgrid(*(np.arange(60) - 29.3,) * 3, indexing="ij")), axis=0)
        item: dict[str, Any] = {"patient_id": "P", "label": [0.0] * 3}
        for number, radius in ((1, 24.0), (2, 14.0)):
            item[f"image{number}"] = item[f"mask{number}"] = torch.from_numpy((distance < radius).astype(np.uint8))
        still = torch.tensor([4 / 3 * np.pi * radius**3 for radius in (24.0, 14.0)])
        random = RandomPaird(spacing_mm=(1.0, 1.0, 1.0), patch=(60, 60, 60), **{**_STILL, "scale": 0.1})
        random.set_random_state(seed=0)
        growth = torch.stack([random(item)["masks"].sum(dim=(1, 2, 3)) / still for _ in range(8)])
        torch.testing.assert_close(growth[:, 1], growth[:, 0], atol=0.03, rtol=0, check_dtype=False)
        assert 0.9**3 - 0.01 <= float(growth.min()) < 0.9
        assert 1.1 < float(growth.max()) <= 1.1**3 + 0.01

    def test_both_scans_are_flipped_or_none(self) -> None:
        still = drawn(0)["image"]
        seen = set()
        for seed in range(8):
            image = drawn(seed, flip_axes=(2,))["image"]
            flipped = [torch.allclose(image[scan], still[scan].flip(2), atol=1e-5) for scan in (0, 1)]
            same = [torch.allclose(image[scan], still[scan], atol=1e-5) for scan in (0, 1)]
            assert flipped in ([True, True], [False, False])
            assert same == [not value for value in flipped]
            seen.add(flipped[0])
        assert seen == {True, False}

    def test_shifts_are_drawn_for_each_scan_and_stay_in_their_range(self) -> None:
        def middles(masks: torch.Tensor) -> torch.Tensor:
            return torch.stack([(mask > 0).nonzero().float().mean(dim=0) for mask in masks]) * 4.0

        still = middles(drawn(0)["masks"])
        moves = torch.stack([middles(drawn(seed, shift_mm=6.0)["masks"]) - still for seed in range(6)])
        # Nearest neighbours: half a voxel more or less.
        assert float(moves.abs().max()) <= 6 + 2
        assert float((moves[:, 0] - moves[:, 1]).abs().max()) > 2

    def test_rotation_is_rigid_in_mm_on_voxels_that_are_no_cubes(self) -> None:
        grid = np.stack(np.meshgrid(*(np.arange(40) - 19.5,) * 3, indexing="ij"), axis=-1)
        # A rod along the rows: 60 mm long. Turned by 45 degrees it keeps its length in mm.
        rod = (np.abs(grid[..., 1]) < 15) & (np.hypot(grid[..., 0], grid[..., 2]) < 3)
        whole = CtScan(np.where(rod, 200, -200), np.diag([2.0, 2.0, 2.0, 1.0]), rod)
        profile = VolumeProfile((4.0, 2.0, 2.0), (20, 40, 40))
        crop = crop_scan(whole, profile)
        assert crop.mask is not None
        item = {"image1": torch.from_numpy(crop.image), "mask1": torch.from_numpy(crop.mask), "patient_id": "P"}
        options = {**_STILL, "rotate_degrees": 45.0}
        for seed in range(3):
            random = RandomPaird(spacing_mm=profile.spacing_mm, patch=profile.patch, **options)
            random.set_random_state(seed=seed)
            mask = random({**item, "label": [0.0] * 3})["masks"][0]
            points = (mask > 0).nonzero().numpy() * np.array(profile.spacing_mm)
            spread = np.sqrt(np.linalg.eigvalsh(np.cov(points.T))[-1] * 12)
            assert spread == pytest.approx(60, rel=0.08)

    def test_levels_move_by_what_was_asked_and_nothing_outside_the_scan(self) -> None:
        still = drawn(0)["image"]
        image = drawn(3, hu_shift=10.0, gain=0.0)["image"]
        inside = (still > 0.1) & (still < 0.9)
        for scan in (0, 1):
            change = (image[scan] - still[scan])[inside[scan]] * 400
            assert float(change.max() - change.min()) < 0.01
            assert abs(float(change.mean())) <= 10
        assert not image[still == 0].any()

    def test_dropped_masks_are_not_given(self) -> None:
        assert (drawn(0, drop_mask=1.0)["masks"] == -1).all()
