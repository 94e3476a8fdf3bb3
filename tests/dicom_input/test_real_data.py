"""The gate on public series that nobody on this project made; SimpleITK is the second opinion."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK

from gastromap.dicom_input import GateSettings, load_folder
from gastromap.errors import GastromapError, Refusal
from gastromap.volume import CtVolume

pytestmark = pytest.mark.realdata

_TWO_SLICES = {"min_slices": 2, "min_coverage_mm": 1.0}


def only_series(folder: Path, **limits: object) -> str:
    series = load_folder(folder, settings=GateSettings(**limits)).series  # type: ignore[arg-type]
    assert len(series) == 1
    return series[0].uid


def assert_equals_simpleitk(volume: CtVolume, files: list[Path]) -> None:
    """Same HU at the same world points: its slice order and axes may differ."""
    image = SimpleITK.ReadImage([str(path) for path in files])
    array = SimpleITK.GetArrayFromImage(image)
    generator = np.random.default_rng(7)
    for _ in range(1000):
        k, j, i = (int(generator.integers(size)) for size in volume.hu.shape)
        point = (volume.affine_lps @ (i, j, k, 1))[:3]
        index = image.TransformPhysicalPointToContinuousIndex(point.tolist())
        x, y, z = (round(value) for value in index)
        assert np.abs(np.array(index) - (x, y, z)).max() < 1e-3
        assert volume.hu[k, j, i] == max(float(array[z, y, x]), -1024.0)


class TestTcgaCoad:
    @pytest.fixture(scope="class")
    def folder(self, real_data: Path) -> Path:
        return real_data / "ct" / "tcga_coad_ay4070"

    def test_it_names_no_phase_and_is_refused_unless_named(self, folder: Path, read: Callable[..., CtVolume]) -> None:
        with pytest.raises(Refusal, match="NO_PORTAL_SERIES"):
            read(folder)

    def test_the_named_series_equals_simpleitk(self, folder: Path, read: Callable[..., CtVolume]) -> None:
        volume = read(folder, series_uid=only_series(folder))
        assert volume.hu.shape == (87, 512, 512)
        assert volume.step_mm == pytest.approx(5.0)
        assert "SERIES_BY_OPERATOR" in volume.warnings
        files = sorted((folder / "dicom").glob("*.dcm"))
        order = {source.sop_instance_uid: index for index, source in enumerate(volume.sources)}
        files.sort(key=lambda path: order[SimpleITK_uid(path)])
        assert_equals_simpleitk(volume, files)


def SimpleITK_uid(path: Path) -> str:
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return str(reader.GetMetaData("0008|0018")).strip("\x00 ")


class TestCptacLungKernel:
    def test_the_lung_kernel_is_no_candidate(self, real_data: Path, read: Callable[..., CtVolume]) -> None:
        with pytest.raises(Refusal, match=r"NO_AXIAL_SERIES .*sharp kernel"):
            read(real_data / "ct" / "cptac_pda_c3l00189")

    def test_named_its_padding_becomes_air_and_the_kernel_a_warning(
        self, real_data: Path, read: Callable[..., CtVolume]
    ) -> None:
        folder = real_data / "ct" / "cptac_pda_c3l00189"
        volume = read(folder, series_uid=only_series(folder))
        assert volume.hu.min() == -1024
        assert {"PADDING_MAPPED", "KERNEL_SHARP"} <= set(volume.warnings)
        files = sorted((folder / "dicom").glob("*"))
        order = {source.sop_instance_uid: index for index, source in enumerate(volume.sources)}
        assert_equals_simpleitk(volume, sorted(files, key=lambda path: order[SimpleITK_uid(path)]))


class TestTotalSegmentatorJpeg2000:
    def test_blanked_uids_are_refused_in_an_installation(self, real_data: Path, read: Callable[..., CtVolume]) -> None:
        with pytest.raises(Refusal, match=r"FILE_UNREADABLE .*identifiers missing"):
            read(real_data / "ct" / "totalseg_contrast20", derive_blanked_uids=False)

    def test_with_derived_uids_the_coverage_is_too_small(self, real_data: Path, read: Callable[..., CtVolume]) -> None:
        with pytest.raises(Refusal, match=r"COVERAGE .*got 41"):
            read(real_data / "ct" / "totalseg_contrast20")

    def test_with_a_lower_limit_the_named_series_equals_simpleitk(
        self, real_data: Path, read: Callable[..., CtVolume]
    ) -> None:
        folder = real_data / "ct" / "totalseg_contrast20"
        limits = {"min_coverage_mm": 30.0}
        volume = read(folder, series_uid=only_series(folder, **limits), **limits)
        assert volume.hu.shape == (20, 512, 512)
        assert volume.step_mm == pytest.approx(2.0)
        files = sorted((folder / "example_ct_dicom").iterdir(), key=_z)
        assert_equals_simpleitk(volume, files)


def _z(path: Path) -> float:
    return float(SimpleITK.ReadImage(str(path)).GetOrigin()[2])


class TestTcgaLihcMessy:
    def test_two_missing_slices_are_named_before_the_empty_file(
        self, real_data: Path, read: Callable[..., CtVolume]
    ) -> None:
        with pytest.raises(Refusal, match=r"GAP .*expected steps of 8 mm, got 2 gaps, first after z=-349") as refusal:
            read(real_data / "ct" / "tcga_lihc_bca10x_messy")
        assert "2 slices missing, 1 damaged" in str(refusal.value)

    def test_naming_the_series_does_not_help(self, real_data: Path, read: Callable[..., CtVolume]) -> None:
        folder = real_data / "ct" / "tcga_lihc_bca10x_messy"
        with pytest.raises(Refusal, match="GAP"):
            read(folder, series_uid=only_series(folder))


_EXACT = ["", "1.2", "1.2.1", "1.2.2", "1.2.4.57", "1.2.4.70", "1.2.4.80", "1.2.4.90", "1.2.5"]
_REFUSED = {
    "1.2.1.99": "TRANSFER_SYNTAX",
    "1.2.4.50": "BIT_DEPTH",
    "1.2.4.51": "TRANSFER_SYNTAX",
    "1.2.4.53": "TRANSFER_SYNTAX",
    "1.2.4.55": "TRANSFER_SYNTAX",
}
_LOSSY = ["1.2.4.81", "1.2.4.91"]


class TestTransferSyntaxes:
    """One GE slice in 16 transfer syntaxes, written by another project."""

    @pytest.fixture
    def copied(self, real_data: Path, tmp_path: Path) -> Callable[[str], Path]:
        def copy(syntax: str) -> Path:
            folder = tmp_path / f"syntax{syntax}"
            folder.mkdir()
            pattern = f"*_1.2.840.10008.{syntax}.dcm" if syntax else "CTImage.dcm"
            (source,) = (real_data / "encodings" / "ctimage_all_syntaxes").glob(pattern)
            shutil.copy(source, folder)
            # One slice has no step; the second is the same image 5 mm higher, its pixels as they are in the file.
            second = pydicom.dcmread(source)
            second.SOPInstanceUID = "1.2.3.4"
            second.ImagePositionPatient[2] += 5
            second.save_as(folder / "second.dcm")
            return folder

        return copy

    def two_slices(self, folder: Path, read: Callable[..., CtVolume]) -> CtVolume:
        series = load_folder(folder, settings=GateSettings()).series
        return read(folder, series_uid=series[0].uid if series else None, **_TWO_SLICES)

    @pytest.mark.parametrize("syntax", _EXACT[1:])
    def test_lossless_syntaxes_are_exact(
        self, syntax: str, copied: Callable[[str], Path], read: Callable[..., CtVolume]
    ) -> None:
        expected = self.two_slices(copied(""), read)
        volume = self.two_slices(copied(syntax), read)
        assert np.array_equal(volume.hu, expected.hu)
        assert volume.sources[0].pixel_sha256 == expected.sources[0].pixel_sha256

    @pytest.mark.parametrize("syntax", _LOSSY)
    def test_lossy_syntaxes_carry_a_warning_and_stay_within_five_units(
        self, syntax: str, copied: Callable[[str], Path], read: Callable[..., CtVolume]
    ) -> None:
        expected = self.two_slices(copied(""), read)
        volume = self.two_slices(copied(syntax), read)
        assert "LOSSY" in volume.warnings
        inside = expected.hu > -1000
        assert np.abs(volume.hu - expected.hu)[inside].max() <= 5

    @pytest.mark.parametrize(("syntax", "code"), _REFUSED.items())
    def test_the_others_are_refused_by_name(
        self, syntax: str, code: str, copied: Callable[[str], Path], read: Callable[..., CtVolume]
    ) -> None:
        with pytest.raises(Refusal) as refusal:
            self.two_slices(copied(syntax), read)
        assert refusal.value.code == code


class TestOtherPublicFaults:
    @pytest.mark.parametrize(
        ("folder", "code"),
        [
            ("encodings/enhanced_ct/dcmqi_legacy_converted/24x38x3/multiframe", "ENHANCED_UNSUPPORTED"),
            ("geometry/localizer_and_screens/S1000", "NO_AXIAL_SERIES"),
            ("geometry/localizer_and_screens/S4010", "NO_CT"),
            ("geometry/missing_or_duplicate", "GAP"),
            ("geometry/dicom2nifti_failing/notavolume", "PHASE_MIXED"),
            ("geometry/dicom2nifti_failing/gantrytilting", "NO_AXIAL_SERIES"),
            ("geometry/dicom2nifti_failing/sliceincrement/001", "NO_AXIAL_SERIES"),
        ],
    )
    def test_each_is_refused(self, folder: str, code: str, real_data: Path, read: Callable[..., CtVolume]) -> None:
        with pytest.raises(GastromapError) as refusal:
            read(real_data / folder)
        assert refusal.value.code == code
