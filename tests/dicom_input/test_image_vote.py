"""The image vote reads the phase from aorta, liver and kidneys, and abstains where they do not say."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gastromap.dicom_input.enhancement import Enhancement, measure_enhancement
from gastromap.dicom_input.image_vote import phase_of
from gastromap.synthetic.cases import sample_case
from gastromap.synthetic.phantom import Phantom
from gastromap.synthetic.types import Phase, PixelGrid

_PHASES: tuple[Phase, ...] = ("arterial", "portal", "delayed")
_GRID = PixelGrid(rows=208, columns=208, spacing_mm=1.9)
_STEP_MM = 6.0
_AFFINE = np.diag([1.9, 1.9, _STEP_MM, 1.0])


@cache
def volumes(number: int) -> dict[str, np.ndarray]:
    """Three phases of one synthetic patient that nothing was tuned on, with noise."""
    phantom = Phantom(sample_case(31_337, number, centre=3))
    levels = np.arange(-92.0, 96.0, _STEP_MM)
    rng = np.random.default_rng(number)
    return {
        phase: np.stack([phantom.render(z, _GRID, phase=phase) for z in levels]).astype(np.float32)
        + rng.normal(0, 14, (len(levels), _GRID.rows, _GRID.columns)).astype(np.float32)
        for phase in _PHASES
    }


def phase(hu: np.ndarray, affine: np.ndarray = _AFFINE) -> str:
    return phase_of(measure_enhancement(hu, affine))


class TestSyntheticPhases:
    @pytest.mark.parametrize("number", [1, 2, 3])
    @pytest.mark.parametrize("true", _PHASES)
    def test_the_phase_is_found(self, number: int, true: str) -> None:
        assert phase(volumes(number)[true]) == true

    @pytest.mark.parametrize("number", [1, 2])
    def test_between_arterial_and_portal_is_not_called_portal(self, number: int) -> None:
        both = volumes(number)
        assert phase((both["arterial"] + both["portal"]) / 2) in ("arterial", "unsure")

    def test_the_orientation_of_the_grid_does_not_matter(self) -> None:
        hu = volumes(1)["portal"]
        expected = measure_enhancement(hu, _AFFINE)
        flipped = np.ascontiguousarray(hu[::-1, ::-1, ::-1])
        affine = _AFFINE @ np.diag([-1.0, -1.0, -1.0, 1.0])
        assert measure_enhancement(flipped, affine) == expected
        turned = np.ascontiguousarray(hu.transpose(0, 2, 1))
        assert measure_enhancement(turned, _AFFINE[:, [1, 0, 2, 3]]) == expected

    def test_a_volume_without_a_patient_gives_no_opinion(self) -> None:
        assert phase(np.full((20, 96, 96), -1000, np.float32)) == "unsure"

    def test_a_pelvis_without_liver_gives_no_opinion(self) -> None:
        hu = volumes(2)["portal"].copy()
        assert phase(hu[:4]) == "unsure"


def found(**values: object) -> Enhancement:
    fields = {
        "aorta_hu": 150.0,
        "aorta_slices": 20,
        "aorta_spread_hu": 5.0,
        "liver_hu": 105.0,
        "liver_ml": 1200.0,
        "liver_spread_hu": 12.0,
        "kidney_hu": 170.0,
        "kidney_contrast_hu": 30.0,
    }
    return Enhancement(**{**fields, **values})  # type: ignore[arg-type]


class TestRule:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({}, "portal"),
            ({"aorta_hu": 45.0, "liver_hu": 55.0, "kidney_hu": None, "kidney_contrast_hu": None}, "plain"),
            ({"aorta_hu": 320.0, "liver_hu": 65.0}, "arterial"),
            ({"aorta_hu": 250.0, "liver_hu": None}, "arterial"),
            ({"aorta_hu": 110.0, "liver_hu": 95.0}, "delayed"),
            ({"aorta_hu": 125.0, "liver_hu": 100.0}, "unsure"),  # between portal and delayed
            ({"aorta_hu": 205.0, "liver_hu": 85.0}, "unsure"),  # between arterial and portal
            ({"liver_hu": None}, "unsure"),
            ({"aorta_hu": None}, "unsure"),
            ({"aorta_slices": 4}, "unsure"),
            ({"aorta_spread_hu": 60.0}, "unsure"),
            ({"kidney_contrast_hu": 130.0}, "unsure"),  # cortex and medulla apart: too early
        ],
    )
    def test_values_between_two_phases_give_no_opinion(self, values: dict[str, object], expected: str) -> None:
        assert phase_of(found(**values)) == expected


@pytest.mark.realdata
class TestRealScans:
    """Phases as one reader saw them in the pictures; the headers are silent."""

    @pytest.mark.parametrize("folder", ["tcga_coad_ay4070", "totalseg_contrast20"])
    def test_portal_venous_scans_are_found(self, folder: str, real_data: Path, read: Callable[..., object]) -> None:
        volume = read(real_data / "ct" / folder, series_uid="only", min_coverage_mm=30.0)
        assert phase(volume.hu, volume.affine_lps) == "portal"  # type: ignore[attr-defined]

    def test_a_scan_without_contrast_is_found(self, real_data: Path) -> None:
        import nibabel as nib

        image = nib.load(real_data / "ct" / "totalseg_contrast20" / "example_ct.nii.gz")
        hu = np.asarray(image.dataobj, np.float32).transpose(2, 1, 0)  # type: ignore[attr-defined]
        assert phase(hu, np.diag([-1, -1, 1, 1]) @ image.affine) == "plain"  # type: ignore[attr-defined]
