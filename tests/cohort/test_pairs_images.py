"""Crops and masks as they come: number types, values, storage orders, headers that disagree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from cohort.pair_builder import AFFINE, SHAPE, ball, save, voxels
from gastromap.cohort.pair_images import MaskRule, PairScan, nifti_scan
from gastromap.cohort.pair_paths import PathFinder
from gastromap.errors import Refusal
from gastromap.nifti import LPS_TO_RAS

PLAIN = MaskRule()


def scan(
    folder: Path, image: Any, mask: Any = None, *, rule: MaskRule = PLAIN, affine: Any = AFFINE, **more: Any
) -> PairScan:
    path = save(folder / "ct.nii.gz", image, affine)
    drawn = None if mask is None else save(folder / "seg.nii.gz", mask, more.pop("mask_affine", affine))
    return nifti_scan(path, drawn, number=1, rule=rule, **more)


def moved(millimetres: float) -> Any:
    affine = AFFINE.copy()
    affine[0, 3] += millimetres
    return affine


class TestImages:
    @pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32, np.float64])
    def test_any_number_type_gives_the_same_scan(self, kind: type, tmp_path: Path) -> None:
        assert np.array_equal(scan(tmp_path, voxels(1).astype(kind)).hu, voxels(1).transpose(2, 1, 0))

    def test_fractions_of_a_unit_are_rounded_and_air_is_the_least(self, tmp_path: Path) -> None:
        values = voxels(1).astype(np.float64) + 0.3
        values[0, 0, 0] = -3024
        found = scan(tmp_path, values).hu
        assert found.min() == -1024
        assert np.abs(found.transpose(2, 1, 0)[1:] - values[1:]).max() <= 0.5

    def test_the_paper_s_crops_have_the_spacing_they_say(self, tmp_path: Path) -> None:
        affine = AFFINE @ np.diag([0.7, 0.7, 5, 1])
        found = scan(tmp_path, voxels(1), affine=affine)
        np.testing.assert_allclose(np.linalg.norm(found.affine_lps[:3, :3], axis=0), [0.7, 0.7, 5], atol=1e-6)

    @pytest.mark.parametrize(
        ("values", "code"),
        [
            (np.where(voxels(1) < -800, np.nan, voxels(1)), "HU_RANGE"),
            (np.clip((voxels(1) + 160) / 400, 0, 1), "HU_RANGE"),
            (np.full(SHAPE, -500), "CONSTANT_IMAGE"),
            (voxels(1)[:, :, :3], "IMAGE_SIZE"),
            (np.stack([voxels(1)] * 2, axis=-1), "NIFTI_GEOMETRY"),
        ],
    )
    def test_what_is_no_ct_is_refused(self, values: Any, code: str, tmp_path: Path) -> None:
        with pytest.raises(Refusal, match=code):
            scan(tmp_path, values.astype(np.float32))

    def test_a_damaged_file_is_refused(self, tmp_path: Path) -> None:
        path = save(tmp_path / "ct.nii.gz", voxels(1))
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(Refusal, match="FILE_UNREADABLE"):
            nifti_scan(path, None, number=1, rule=PLAIN)

    def test_without_an_orientation_it_is_refused_unless_somebody_names_it(self, tmp_path: Path) -> None:
        image = nibabel.Nifti1Image(voxels(1), None)
        image.header.set_zooms((1, 1, 2))
        nibabel.save(image, tmp_path / "ct.nii")
        with pytest.raises(Refusal, match="NIFTI_GEOMETRY"):
            nifti_scan(tmp_path / "ct.nii", None, number=1, rule=PLAIN)
        found = nifti_scan(tmp_path / "ct.nii", None, number=1, rule=PLAIN, axes="RAS")
        assert np.array_equal(found.hu.transpose(2, 1, 0), voxels(1)[::-1, ::-1])
        assert np.linalg.norm(found.affine_lps[:3, 2]) == 2


class TestMaskValues:
    @pytest.mark.parametrize(
        "mask",
        [ball().astype(np.float32), ball() * 255, ball().astype(np.float64) * 0.9999, ball().astype(np.int32) * 3],
    )
    def test_one_value_beside_0_is_the_tumour(self, mask: Any, tmp_path: Path) -> None:
        found = scan(tmp_path, voxels(1), mask)
        assert found.mask is not None
        assert found.mask.dtype == np.uint8
        assert np.array_equal(found.mask.transpose(2, 1, 0), ball())
        assert found.notes == ()

    def test_a_resampled_mask_is_cut_at_one_half_and_reported(self, tmp_path: Path) -> None:
        from scipy import ndimage

        soft = ndimage.gaussian_filter(ball(radius=4.5).astype(np.float32), 0.7)
        found = scan(tmp_path, voxels(1), soft)
        assert found.mask is not None
        assert np.array_equal(found.mask.transpose(2, 1, 0), soft >= 0.5)
        assert found.notes == ("MASK_SOFT",)

    def test_several_values_need_a_name(self, tmp_path: Path) -> None:
        mask = ball(radius=5) + ball(radius=2)
        with pytest.raises(Refusal, match=r"MASK_VALUES mask1.*--mask-label"):
            scan(tmp_path, voxels(1), mask)
        found = scan(tmp_path, voxels(1), mask, rule=MaskRule(label=2))
        assert found.mask is not None
        assert np.array_equal(found.mask.transpose(2, 1, 0), ball(radius=2))

    @pytest.mark.parametrize("value", [-1, np.nan])
    def test_negative_and_missing_values_are_refused(self, value: float, tmp_path: Path) -> None:
        with pytest.raises(Refusal, match="MASK_VALUES"):
            scan(tmp_path, voxels(1), np.where(ball() > 0, 1, value).astype(np.float32))

    def test_an_empty_mask_stays_a_mask(self, tmp_path: Path) -> None:
        found = scan(tmp_path, voxels(1), np.zeros(SHAPE, np.uint8))
        assert found.mask is not None
        assert not found.mask.any()


class TestMaskGrids:
    @pytest.mark.parametrize("axes", ["RAS", "LAS", "PIR", "ASL"])
    def test_a_mask_in_another_storage_order_lies_where_it_did(self, axes: str, tmp_path: Path) -> None:
        from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

        turned: Any = nibabel.Nifti1Image(ball(), AFFINE)
        turned = turned.as_reoriented(ornt_transform(io_orientation(AFFINE), axcodes2ornt(tuple(axes))))
        found = scan(tmp_path, voxels(1), np.asarray(turned.dataobj), mask_affine=turned.affine)
        assert found.mask is not None
        assert np.array_equal(found.mask.transpose(2, 1, 0), ball())
        # A point of the patient, by the affine alone.
        place = LPS_TO_RAS @ found.affine_lps @ [*np.argwhere(found.mask)[0][::-1], 1]
        assert ball()[tuple(np.rint(np.linalg.solve(AFFINE, place)[:3]).astype(int))] == 1

    @pytest.mark.parametrize(("off", "notes"), [(0.0, ()), (1e-4, ()), (0.3, ("MASK_GRID_NEAR",))])
    def test_a_header_less_than_half_a_voxel_off_is_the_same_grid(
        self, off: float, notes: tuple[str, ...], tmp_path: Path
    ) -> None:
        assert scan(tmp_path, voxels(1), ball(), mask_affine=moved(off)).notes == notes

    @pytest.mark.parametrize("affine", [moved(1.0), np.eye(4)])
    def test_a_header_further_off_is_refused_unless_only_the_header_is_wrong(self, affine: Any, tmp_path: Path) -> None:
        with pytest.raises(Refusal, match=r"MASK_GRID mask1.*--mask-by-voxel"):
            scan(tmp_path, voxels(1), ball(), mask_affine=affine)
        found = scan(tmp_path, voxels(1), ball(), mask_affine=affine, rule=MaskRule(by_voxel=True))
        assert found.mask is not None
        assert np.array_equal(found.mask.transpose(2, 1, 0), ball())

    @pytest.mark.parametrize("by_voxel", [False, True])
    def test_another_shape_is_refused(self, by_voxel: bool, tmp_path: Path) -> None:
        with pytest.raises(Refusal, match="MASK_GRID"):
            scan(tmp_path, voxels(1), ball()[1:], rule=MaskRule(by_voxel=by_voxel))

    def test_a_mask_that_is_no_nifti_is_refused(self, tmp_path: Path) -> None:
        path = save(tmp_path / "ct.nii.gz", voxels(1))
        with pytest.raises(Refusal, match="MASK_FORMAT"):
            nifti_scan(path, tmp_path / "seg.dcm", number=1, rule=PLAIN)


class TestPaths:
    def find(self, folder: Path, *cells: str) -> list[str | None]:
        found = PathFinder([folder]).find_all(cells).values()
        return [None if path is None else path.relative_to(folder).as_posix() for path in found]

    def test_of_two_names_that_fold_alike_the_exact_one_counts(self, tmp_path: Path) -> None:
        for name in ("Ab.nii.gz", "aB.nii.gz"):
            (tmp_path / name).touch()
        assert self.find(tmp_path, "aB", "AB") == ["aB.nii.gz", None]

    def test_paths_of_another_machine_keep_their_longest_end(self, tmp_path: Path) -> None:
        for name in ("P1/ct.nii.gz", "P3/ct.nii.gz"):
            (tmp_path / name).parent.mkdir()
            (tmp_path / name).touch()
        cells = ("D:\\data\\P1\\ct.nii.gz", "/mnt/p3/ct.nii.gz", "P3/ct")
        assert self.find(tmp_path, *cells) == ["P1/ct.nii.gz", "P3/ct.nii.gz", "P3/ct.nii.gz"]

    def test_a_missing_folder_is_not_replaced_by_a_file_above_it(self, tmp_path: Path) -> None:
        (tmp_path / "P1").mkdir()
        for name in ("P1/ct.nii.gz", "ct.nii.gz"):
            (tmp_path / name).touch()
        cells = ("D:/data/P1/ct.nii.gz", "D:/data/P2/ct.nii.gz", "P2/ct.nii.gz")
        assert self.find(tmp_path, *cells) == ["P1/ct.nii.gz", None, None]

    def test_a_relative_path_may_begin_with_the_folder_itself(self, tmp_path: Path) -> None:
        (tmp_path / "ct.nii.gz").touch()
        assert self.find(tmp_path, f"{tmp_path.name}/ct.nii.gz", "other/ct.nii.gz") == ["ct.nii.gz", None]
