"""The phantom: Hounsfield units of the tissues, depth of the tumour, repeatability."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from gastromap.synthetic.acquisition import acquire
from gastromap.synthetic.cases import sample_case
from gastromap.synthetic.phantom import Phantom
from gastromap.synthetic.scanners import sample_scanner
from gastromap.synthetic.types import PixelGrid, Stage

GRID = PixelGrid(256, 256, 1.5)
STAGES: tuple[Stage, ...] = ("T1", "T2", "T3", "T4")


def make_phantom(stage: Stage = "T3", number: int = 1) -> Phantom:
    return Phantom(sample_case(31, number, centre=1, stage=stage))


class TestTissue:
    def test_the_body_is_fat_around_soft_tissue_around_bone_in_air(self) -> None:
        hu = make_phantom().render(0.0, GRID)
        assert hu.min() >= -1024
        assert hu[0, 0] == -1000
        share = [float(((hu > low) & (hu < high)).mean()) for low, high in ((-130, -70), (20, 250), (250, 1000))]
        assert share[0] > 0.08
        assert share[1] > 0.12
        assert 0.002 < share[2] < 0.05

    def test_contrast_passes_from_the_aorta_to_the_veins(self) -> None:
        phantom = make_phantom()
        arterial, portal, delayed = (phantom.render(0.0, GRID, phase=p) for p in ("arterial", "portal", "delayed"))
        aorta = (arterial > 280) & (arterial < 330) & (portal > 130) & (portal < 165)
        assert aorta.sum() > 60
        assert portal[aorta].mean() > delayed[aorta].mean()
        liver = (np.abs(portal - 110) < 14) & (np.abs(arterial - 68) < 14)
        assert liver.sum() > 1500

    def test_lung_bases_are_at_the_top_only(self) -> None:
        phantom = make_phantom()
        air = [float((phantom.render(z, GRID) < -750)[60:200, 60:200].mean()) for z in (-80.0, 90.0)]
        assert air[1] > air[0]

    def test_every_stomach_has_a_lumen_of_gas_or_water(self) -> None:
        for number in range(1, 6):
            phantom = make_phantom(number=number)
            inside = ndimage.binary_erosion(phantom.masks(20.0, GRID)["stomach"], iterations=5)
            if inside.sum() > 50:
                hu = phantom.render(20.0, GRID)[inside]
                assert float(((hu < -800) | ((hu > -5) & (hu < 25))).mean()) > 0.5


class TestTumour:
    @pytest.mark.parametrize("stage", STAGES)
    def test_its_mask_lies_at_the_stomach_and_enhances(self, stage: Stage) -> None:
        found = []
        for number in range(1, 9):
            phantom = make_phantom(stage, number)
            masks = phantom.masks(phantom.tumour_z_mm, GRID)
            assert (masks["tumour"] & masks["stomach"]).sum() == masks["tumour"].sum()
            core = masks["tumour"]
            if core.sum() > 12:
                found.append(float(np.median(phantom.render(phantom.tumour_z_mm, GRID)[core])))
        assert len(found) >= 3
        assert 70 < np.mean(found) < 115

    def test_one_behind_a_narrow_antrum_that_bends_into_a_wide_body_is_drawn_too(self) -> None:
        # A rare patient; the centre lay 15 mm inside the body, and no voxel was tumour.
        phantom = Phantom(sample_case(236, 1, centre=1, stage="T1"))
        levels = phantom.tumour_z_mm + np.arange(-8.0, 8.0, 1.5)
        assert sum(int(phantom.masks(float(z), GRID)["tumour"].sum()) for z in levels) > 50
        inner = phantom._stomach
        depth = np.linalg.norm(inner.line - inner.tumour_centre, axis=1) - inner.radii
        assert depth.min() == pytest.approx(0, abs=0.5)

    def test_deeper_stages_reach_further_beyond_the_wall_but_sizes_overlap(self) -> None:
        outside, area = {}, {}
        for stage in STAGES:
            reach, areas = [], []
            for number in range(1, 25):
                phantom = make_phantom(stage, number)
                inner = phantom._stomach  # the drawn depth is the definition of the stage
                reach.append(inner.outward / inner.wall)
                areas.append(int(phantom.masks(phantom.tumour_z_mm, GRID)["tumour"].sum()))
            outside[stage], area[stage] = np.array(reach), np.array(areas)
        assert outside["T1"].max() < -0.3 < outside["T2"].min()
        assert outside["T2"].max() < outside["T3"].min()
        assert np.percentile(area["T2"], 90) > np.percentile(area["T3"], 10)


class TestRepeatability:
    def test_the_same_case_gives_the_same_image(self) -> None:
        first, second = (make_phantom().render(10.0, GRID) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_another_number_is_another_patient(self) -> None:
        assert not np.array_equal(make_phantom(number=1).render(10.0, GRID), make_phantom(number=2).render(10.0, GRID))


class TestAcquisition:
    def test_noise_has_the_standard_deviation_of_the_scanner(self) -> None:
        scanner = sample_scanner(sample_case(31, 1, centre=3))
        flat = np.full((256, 256), 50, np.float32)
        image = acquire(flat, scanner, GRID, np.random.default_rng(0))
        assert image.dtype == np.int16
        assert image[108:148, 108:148].std() == pytest.approx(1.1 * scanner.noise_hu, rel=0.15)

    def test_neighbouring_pixels_are_correlated(self) -> None:
        scanner = sample_scanner(sample_case(31, 1, centre=1))
        image = acquire(np.zeros((256, 256), np.float32), scanner, PixelGrid(256, 256, 0.7), np.random.default_rng(0))
        noise = image[90:166, 90:166].astype(float)
        assert np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1] > 0.2
