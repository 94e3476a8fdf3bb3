"""The volume of the gate against dcm2niix, dicom2nifti and SimpleITK: affine within 1e-4 mm, Hounsfield units equal."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

from benchmarks.readers import import_dicom2nifti
from dicom_input.series_builder import Series, make_series
from gastromap.dicom_input import GateSettings, load_folder
from gastromap.volume import CtVolume

Grid = tuple[np.ndarray, np.ndarray]  #: values [column, row, slice] and affine to RAS in mm
_DCM2NIIX = Path(sys.executable).with_name("dcm2niix")


def by_dcm2niix(files: Path, scratch: Path) -> Grid:
    subprocess.run(
        [_DCM2NIIX, "-z", "n", "-m", "y", "-o", scratch, "-f", "volume", files], check=True, capture_output=True
    )
    (path,) = scratch.glob("volume*.nii")
    return _nifti(path)


def by_dicom2nifti(files: Path, scratch: Path) -> Grid:
    convert = import_dicom2nifti()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert(str(files), str(scratch / "volume.nii"), reorient_nifti=False)
    return _nifti(scratch / "volume.nii")


def _nifti(path: Path) -> Grid:
    image = nibabel.load(path)
    return np.asarray(image.dataobj, dtype=np.float32), image.affine


def by_simpleitk(files: Path, scratch: Path) -> Grid:
    paths = [path for path in files.rglob("*") if path.is_file()]
    along = {}
    for path in paths:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        plane = np.array(header.ImageOrientationPatient, float)
        along[path] = float(np.cross(plane[:3], plane[3:]) @ np.array(header.ImagePositionPatient, float))
    image = SimpleITK.ReadImage([str(path) for path in sorted(paths, key=along.__getitem__)])
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return SimpleITK.GetArrayFromImage(image).T.astype(np.float32), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


READERS = {"dcm2niix": by_dcm2niix, "dicom2nifti": by_dicom2nifti, "SimpleITK": by_simpleitk}


def assert_same_grid(volume: CtVolume, values: np.ndarray, affine: np.ndarray) -> None:
    """Same voxels at the same places; a reader may store its axes in another order and direction."""
    ours = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine_lps
    turn = ornt_transform(io_orientation(affine), io_orientation(ours))
    turned = affine @ inv_ornt_aff(turn, values.shape)
    i, j, k = (size - 1 for size in volume.hu.shape[::-1])
    corners = np.array([(x, y, z, 1) for x in (0, i) for y in (0, j) for z in (0, k)], float).T
    assert np.abs((ours - turned) @ corners).max() < 1e-4
    assert np.array_equal(np.maximum(apply_orientation(values, turn), -1024).transpose(2, 1, 0), volume.hu)


def _rotated(degrees: float) -> list[float]:
    angle = np.radians(degrees)
    return [float(np.cos(angle)), float(np.sin(angle)), 0.0, float(-np.sin(angle)), float(np.cos(angle)), 0.0]


SERIES: dict[str, Callable[[], Series]] = {
    "plain": make_series,
    "pixels that are not square": lambda: make_series(PixelSpacing=[0.5, 1.0]),
    "matrix that is not square": lambda: make_series(size=(64, 80)),
    "rotated in the plane": lambda: make_series(ImageOrientationPatient=_rotated(20)),
    "prone": lambda: make_series(ImageOrientationPatient=[-1, 0, 0, 0, -1, 0], PatientPosition="HFP"),
    "feet first": lambda: make_series(ImageOrientationPatient=[-1, 0, 0, 0, 1, 0], PatientPosition="FFS"),
    "thin slices": lambda: make_series(100, step_mm=0.75),
}


class TestGeneratedSeries:
    @pytest.mark.parametrize("reader", READERS)
    @pytest.mark.parametrize("series", SERIES)
    def test_the_grid_is_that_of_the_reader(
        self, series: str, reader: str, tmp_path: Path, read: Callable[..., CtVolume]
    ) -> None:
        files, scratch = tmp_path / "files", tmp_path / "scratch"
        SERIES[series]().write(files)
        scratch.mkdir()
        assert_same_grid(read(files), *READERS[reader](files, scratch))


@pytest.mark.realdata
class TestPublicSeries:
    @pytest.mark.parametrize("reader", READERS)
    @pytest.mark.parametrize("name", ["tcga_coad_ay4070", "cptac_pda_c3l00189"])
    def test_the_grid_is_that_of_the_reader(
        self, name: str, reader: str, real_data: Path, tmp_path: Path, read: Callable[..., CtVolume]
    ) -> None:
        files = real_data / "ct" / name / "dicom"
        assert_same_grid(read(files, series_uid="only"), *READERS[reader](files, tmp_path))

    @pytest.mark.parametrize("reader", ["dcm2niix", "SimpleITK"])
    def test_jpeg_2000_slices_without_uids(
        self, reader: str, real_data: Path, tmp_path: Path, read: Callable[..., CtVolume]
    ) -> None:
        files = real_data / "ct" / "totalseg_contrast20" / "example_ct_dicom"
        volume = read(files, series_uid="only", min_coverage_mm=30.0)
        assert_same_grid(volume, *READERS[reader](files, tmp_path))

    @pytest.mark.parametrize(
        "syntax", ["1.2", "1.2.1", "1.2.2", "1.2.4.57", "1.2.4.70", "1.2.4.80", "1.2.4.90", "1.2.5"]
    )
    def test_each_lossless_syntax_holds_the_values_that_simpleitk_reads(
        self, syntax: str, real_data: Path, tmp_path: Path, read: Callable[..., CtVolume]
    ) -> None:
        (source,) = (real_data / "encodings" / "ctimage_all_syntaxes").glob(f"*_1.2.840.10008.{syntax}.dcm")
        shutil.copy(source, tmp_path / "first.dcm")
        second = pydicom.dcmread(source)
        second.SOPInstanceUID = "1.2.3.4"
        second.ImagePositionPatient[2] += 5
        second.save_as(tmp_path / "second.dcm")
        (series,) = load_folder(tmp_path, settings=GateSettings()).series
        volume = read(tmp_path, series_uid=series.uid, min_slices=2, min_coverage_mm=1.0)
        image = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "first.dcm")))[0]
        padding = volume.hu[0] == -1024
        assert np.array_equal(volume.hu[0][~padding], image[~padding])
        assert (image[padding] <= -1024).all()
