"""The image vote reads the phase from aorta, liver and kidneys, and abstains where they do not say."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from benchmarks.image_vote import HABITS, TRUE, read_patient
from gastromap.dicom_input import GateSettings, load_folder, select_series
from gastromap.dicom_input.coarse import coarse_volume, look_stride
from gastromap.dicom_input.enhancement import Enhancement, measure_enhancement
from gastromap.dicom_input.image_vote import image_voter, phase_of
from gastromap.dicom_input.slice_hu import preview_hu
from gastromap.synthetic.cases import sample_case
from gastromap.synthetic.organs import ENHANCEMENT
from gastromap.synthetic.phantom import Phantom
from gastromap.synthetic.types import Phase, PixelGrid

_PHASES: tuple[Phase, ...] = ("arterial", "portal", "delayed")
_GRID = PixelGrid(rows=208, columns=208, spacing_mm=1.9)
_STEP_MM = 10.0
_AFFINE = np.diag([1.9, 1.9, _STEP_MM, 1.0])


@cache
def volumes(number: int) -> dict[str, np.ndarray]:
    """Three phases of one synthetic patient that nothing was tuned on, with noise."""
    phantom = Phantom(sample_case(31_337, number, centre=3))
    levels = np.arange(-92.0, 96.0, _STEP_MM)
    rng = np.random.default_rng(number)
    with threadpool_limits(1, user_api="blas"):  # the products are thin: threads only get in each other's way
        clean = {phase: np.stack([phantom.render(z, _GRID, phase=phase) for z in levels]) for phase in _PHASES}
    return {phase: hu + rng.normal(0, 14, hu.shape).astype(np.float32) for phase, hu in clean.items()}


def phase(hu: np.ndarray, affine: np.ndarray = _AFFINE) -> str:
    return phase_of(measure_enhancement(hu, affine))


class TestSyntheticPhases:
    @pytest.mark.parametrize("number", [1, 2, 3])
    @pytest.mark.parametrize("true", _PHASES)
    def test_the_phase_is_found(self, number: int, true: str) -> None:
        assert phase(volumes(number)[true]) == true

    @pytest.mark.parametrize("number", [1, 2, 3])
    @pytest.mark.parametrize("true", _PHASES)
    def test_aorta_and_liver_have_the_hu_they_were_painted_with(self, number: int, true: Phase) -> None:
        found = measure_enhancement(volumes(number)[true], _AFFINE)
        column = _PHASES.index(true)
        # Partial volume with the crura darkens the aorta by some units.
        assert found.aorta_hu == pytest.approx(ENHANCEMENT["aorta"][column], rel=0.06)
        assert found.liver_hu == pytest.approx(ENHANCEMENT["liver"][column], abs=3)

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

    def test_a_volume_of_water_gives_no_opinion(self) -> None:
        assert phase(np.zeros((20, 96, 96), np.float32)) == "unsure"

    def test_a_few_slices_give_no_opinion(self) -> None:
        assert phase(volumes(2)["portal"][:4]) == "unsure"

    def test_without_a_liver_there_is_no_opinion(self) -> None:
        hu = volumes(2)["portal"].copy()
        right = hu[:, :, : _GRID.columns // 2 - 15]
        right[:] = np.minimum(right, -100)
        assert phase(hu) == "unsure"

    def test_the_study_it_once_abstained_on_is_portal(self, study_folder: Path) -> None:
        """It had followed a crus of the diaphragm (61 HU) instead of the aorta."""
        settings = GateSettings()
        selected = select_series(load_folder(study_folder, settings=settings), settings=settings)
        assert selected.record.votes["image"] == "portal"


class TestMeasuredCohort:
    """A little of what ``python -m benchmarks.image_vote`` measures on many patients."""

    def test_scans_as_a_study_holds_them_are_read_right(self) -> None:
        readings = read_patient(sample_case(31_338, 1, centre=1), matrix=256)
        assert [(r.habit, r.true) for r in readings] == [(habit, true) for habit in HABITS for true in TRUE]
        assert [r.said for r in readings if r.habit == "equal"] == list(TRUE)
        assert all(r.said in (r.true, "unsure") for r in readings)


class TestCoarseVolume:
    @pytest.mark.parametrize(
        ("slices", "step_mm", "expected"),
        [
            (87, 5.0, 2),  # the whole trunk
            (188, 1.0, 10),
            (35, 5.0, 2),
            (20, 2.0, 2),  # a short series is looked at more closely
            (34, 8.0, 1),
            (900, 1.0, 19),  # a long one less
        ],
    )
    def test_slices_looked_at_are_5_to_10_mm_apart_unless_there_are_too_many(
        self, slices: int, step_mm: float, expected: int
    ) -> None:
        assert look_stride(slices, step_mm) == expected

    def test_pixels_are_means_of_blocks(self) -> None:
        hu = np.random.default_rng(3).integers(-1000, 400, (2, 12, 9)).astype(np.float32)
        volume = coarse_volume(hu, np.diag([0.7, 0.9, 5.0, 1.0]))
        assert volume.hu == pytest.approx(hu.reshape(2, 6, 2, 3, 3).mean(axis=(2, 4)), abs=1e-3)
        assert (volume.row_mm, volume.column_mm, volume.step_mm) == pytest.approx((1.8, 2.1, 5.0))

    def test_metal_does_not_spoil_its_neighbourhood(self) -> None:
        hu = np.full((1, 4, 4), 50, np.float32)
        hu[0, 0, 0] = 30_000
        assert coarse_volume(hu, np.diag([1.0, 1.0, 5.0, 1.0])).hu.max() == 1500


def found(**values: object) -> Enhancement:
    fields = {
        "aorta_hu": 150.0,
        "aorta_slices": 20,
        "aorta_mm": 180.0,
        "aorta_spread_hu": 5.0,
        "prevertebral_hu": 150.0,
        "liver_hu": 105.0,
        "liver_ml": 1200.0,
        "liver_spread_hu": 12.0,
        "kidney_hu": 165.0,
    }
    return Enhancement(**{**fields, **values})  # type: ignore[arg-type]


_NO_AORTA = {"aorta_hu": None, "aorta_slices": 0, "aorta_mm": 0.0, "aorta_spread_hu": None, "kidney_hu": None}


class TestRule:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({}, "portal"),
            ({**_NO_AORTA, "prevertebral_hu": 60.0, "liver_hu": 55.0}, "plain"),
            ({**_NO_AORTA, "prevertebral_hu": 60.0, "liver_hu": 110.0}, "unsure"),  # looked in the wrong place
            ({**_NO_AORTA, "prevertebral_hu": 60.0, "liver_hu": None}, "unsure"),
            ({**_NO_AORTA, "prevertebral_hu": 120.0, "liver_hu": 55.0}, "unsure"),
            ({"aorta_hu": 320.0, "liver_hu": 65.0, "kidney_hu": None}, "arterial"),
            ({"aorta_hu": 250.0, "liver_hu": None}, "arterial"),
            ({"aorta_hu": 115.0, "liver_hu": 95.0, "kidney_hu": 150.0}, "delayed"),
            ({"aorta_hu": 105.0, "liver_hu": 98.0, "kidney_hu": None}, "delayed"),
            ({"liver_hu": 85.0, "kidney_hu": None}, "portal"),
            ({"liver_hu": 115.0, "kidney_hu": None}, "unsure"),  # the liver alone does not say
            ({"liver_hu": 90.0, "kidney_hu": 200.0}, "unsure"),  # a fatty liver in the delayed phase
            ({"aorta_hu": 120.0, "liver_hu": 97.0, "kidney_hu": 135.0}, "unsure"),  # between portal and delayed
            ({"aorta_hu": 205.0, "liver_hu": 85.0}, "unsure"),  # between arterial and portal
            ({"liver_hu": None}, "unsure"),
            ({"aorta_slices": 4}, "unsure"),
            ({"aorta_mm": 30.0}, "unsure"),
            ({"aorta_spread_hu": 60.0}, "unsure"),
        ],
    )
    def test_values_between_two_phases_give_no_opinion(self, values: dict[str, object], expected: str) -> None:
        assert phase_of(found(**values)) == expected


@pytest.mark.realdata
class TestRealScans:
    """Phases as one reader saw them in the pictures; the headers are silent."""

    @pytest.mark.parametrize("folder", ["tcga_coad_ay4070", "totalseg_contrast20", "cptac_pda_c3l00189"])
    def test_the_gate_finds_portal_venous_scans(self, folder: str, real_data: Path) -> None:
        settings = GateSettings(min_coverage_mm=30.0)
        content = load_folder(real_data / "ct" / folder, settings=settings)
        selected = select_series(content, settings=settings, series_uid="only")
        # A name replaces the votes; without one the gate would ask this.
        assert selected.record.votes["image"] == "no evidence"
        assert image_voter(settings)(selected.images) == "portal"

    @pytest.mark.parametrize("folder", ["tcga_coad_ay4070", "totalseg_contrast20"])
    def test_it_does_so_with_every_slice_too(self, folder: str, real_data: Path, read: Callable[..., object]) -> None:
        volume = read(real_data / "ct" / folder, series_uid="only", min_coverage_mm=30.0)
        assert phase(volume.hu, volume.affine_lps) == "portal"  # type: ignore[attr-defined]

    def test_an_arterial_scan_is_found(self, real_data: Path) -> None:
        # The gate refuses it for two missing slices, so it is read here; the liver lies in the middle after surgery.
        content = load_folder(real_data / "ct" / "tcga_lihc_bca10x_messy", settings=GateSettings())
        slices = sorted((image for image in content.images if image.rows == 512), key=lambda i: i.position_mm[2])
        hu = preview_hu(slices, settings=GateSettings(), where="here")
        assert hu is not None
        row_mm, column_mm = slices[0].spacing_mm or (0.0, 0.0)
        assert phase(hu, np.diag([column_mm, row_mm, 8.0, 1.0])) == "arterial"

    def test_a_scan_without_contrast_is_found(self, real_data: Path) -> None:
        import nibabel as nib

        image = nib.load(real_data / "ct" / "totalseg_contrast20" / "example_ct.nii.gz")
        hu = np.asarray(image.dataobj, np.float32).transpose(2, 1, 0)  # type: ignore[attr-defined]
        assert phase(hu, np.diag([-1, -1, 1, 1]) @ image.affine) == "plain"  # type: ignore[attr-defined]
