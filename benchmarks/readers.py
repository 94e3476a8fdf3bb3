"""Readers of a folder that holds one CT series, each by the usual calls of its library.

A reader is made by a function that imports what it needs and nothing else, so that a fresh process can tell import
from reading. All end with the whole series as float32 in memory; dcm2niix ends with a NIfTI file.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import sub
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DCM2NIIX", "OURS", "OURS_VOTE", "PHASES", "READERS", "ReadSeries", "Reader", "convert_with_dcm2niix"]

OURS = "GastroMAP"
OURS_VOTE = "GastroMAP, with image vote"
DCM2NIIX = "dcm2niix"
#: Parts of our reading.
PHASES = ("load", "select", "volume")


@dataclass(frozen=True)
class ReadSeries:
    """What a reader has made of a series.

    Attributes
    ----------
    hu : array, shape (slices, rows, columns), float32
    affine_lps : array, shape (4, 4)
        Maps (column, row, slice, 1) to DICOM patient coordinates in mm.
    phases : dict of str to float
        Seconds of named parts, for a reader that has such.
    """

    hu: NDArray[np.float32] = field(repr=False)
    affine_lps: NDArray[np.float64] = field(repr=False)
    phases: dict[str, float] = field(default_factory=dict)


Reader = Callable[[Path], ReadSeries]


def _ours(*, ask_pixels: bool = False) -> Reader:
    """The input gate with its default settings; a named series is not asked for its phase unless told to."""
    from gastromap.dicom_input import GateSettings, build_volume, load_folder, select_series
    from gastromap.dicom_input.image_vote import image_voter

    settings = GateSettings()
    vote = image_voter(settings)

    def read(folder: Path) -> ReadSeries:
        times = [time.perf_counter()]
        content = load_folder(folder, settings=settings)
        times.append(time.perf_counter())
        selected = select_series(content, settings=settings, series_uid="only")
        if ask_pixels:
            vote(selected.images)
        times.append(time.perf_counter())
        volume = build_volume(selected, settings=settings)
        times.append(time.perf_counter())
        return ReadSeries(volume.hu, volume.affine_lps, dict(zip(PHASES, map(sub, times[1:], times), strict=False)))

    return read


def _ours_with_vote() -> Reader:
    return _ours(ask_pixels=True)


def _simpleitk() -> Reader:
    import numpy as np
    import SimpleITK

    def read(folder: Path) -> ReadSeries:
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
        image = reader.Execute()
        affine = np.eye(4)
        affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        affine[:3, 3] = image.GetOrigin()
        # Reading integers and converting once is faster here than SetOutputPixelType(sitkFloat32).
        return ReadSeries(SimpleITK.GetArrayViewFromImage(image).astype(np.float32), affine)

    return read


def _deploy_sdk() -> Reader:
    import numpy as np
    from monai.deploy.core import Fragment
    from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
    from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator
    from monai.deploy.operators.dicom_series_to_volume_operator import DICOMSeriesToVolumeOperator

    fragment = Fragment()
    loader = DICOMDataLoaderOperator(fragment, name="loader")
    selector = DICOMSeriesSelectorOperator(fragment, name="selector")
    to_volume = DICOMSeriesToVolumeOperator(fragment, name="to_volume", affine_lps_to_ras=False)
    rules = {"selections": [{"name": "CT", "conditions": {"Modality": "CT"}}]}

    def read(folder: Path) -> ReadSeries:
        image = to_volume.convert_to_image(selector.filter(rules, loader.load_data_to_studies(folder)))
        affine = np.asarray(image.metadata()["affine"])
        return ReadSeries(image.asnumpy().astype(np.float32, copy=False), affine)

    return read


def _pydicom() -> Reader:
    import numpy as np
    import pydicom

    def read(folder: Path) -> ReadSeries:
        slices = [pydicom.dcmread(path) for path in folder.iterdir()]
        along = np.reshape(slices[0].ImageOrientationPatient, (2, 3)).astype(float)
        normal = np.cross(*along)
        slices.sort(key=lambda item: float(normal @ np.asarray(item.ImagePositionPatient, dtype=float)))
        first, last = (np.asarray(slices[end].ImagePositionPatient, dtype=float) for end in (0, -1))
        affine = np.eye(4)
        affine[:3, 0] = along[0] * slices[0].PixelSpacing[1]
        affine[:3, 1] = along[1] * slices[0].PixelSpacing[0]
        affine[:3, 2] = (last - first) / (len(slices) - 1)
        affine[:3, 3] = first
        planes = [
            item.pixel_array * np.float32(item.RescaleSlope) + np.float32(item.RescaleIntercept) for item in slices
        ]
        return ReadSeries(np.stack(planes), affine)

    return read


def import_dicom2nifti() -> Callable[..., Any]:
    """Import its converter without what the import does to others.

    It rewrites pydicom's table of character sets for the whole process, and Chinese names come out wrong afterwards.
    """
    from pydicom.charset import python_encoding

    before = dict(python_encoding)
    from dicom2nifti.convert_dicom import dicom_series_to_nifti

    python_encoding.clear()
    python_encoding.update(before)
    convert: Callable[..., Any] = dicom_series_to_nifti
    return convert


def _dicom2nifti() -> Reader:
    dicom_series_to_nifti = import_dicom2nifti()

    def read(folder: Path) -> ReadSeries:
        return _from_nifti(dicom_series_to_nifti(str(folder), None, reorient_nifti=False)["NII"])

    return read


def _dcm2niix() -> Reader:
    import nibabel

    def read(folder: Path) -> ReadSeries:
        with tempfile.TemporaryDirectory(prefix="gastromap-bench-") as scratch:
            return _from_nifti(nibabel.load(convert_with_dcm2niix(folder, Path(scratch))))

    return read


def _from_nifti(image: object) -> ReadSeries:
    import numpy as np

    hu = np.asarray(image.get_fdata(dtype=np.float32)).T
    return ReadSeries(hu, np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine)


def convert_with_dcm2niix(folder: Path, out: Path) -> Path:
    """Convert the one series of a folder to an uncompressed NIfTI file, by the program of the package ``dcm2niix``.

    Parameters
    ----------
    folder : Path
        DICOM files of one series.
    out : Path
        Empty; gets the file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RuntimeError
        If there is not one file.
    """
    from dcm2niix import bin as program

    # -b n: no description beside the image, which nobody here reads.
    command = [program, "-z", "n", "-b", "n", "-o", str(out), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    files = list(out.glob("*.nii"))
    if len(files) != 1:
        last = (done.stdout.strip().splitlines() or ["nothing printed"])[-1]
        msg = f"expected one volume from dcm2niix, got {len(files)} (exit status {done.returncode}): {last}"
        raise RuntimeError(msg)
    return files[0]


#: By the name to be shown; each value imports what it needs and returns the reader.
READERS: dict[str, Callable[[], Reader]] = {
    OURS: _ours,
    OURS_VOTE: _ours_with_vote,
    "SimpleITK": _simpleitk,
    "MONAI Deploy SDK": _deploy_sdk,
    "pydicom": _pydicom,
    "dicom2nifti": _dicom2nifti,
    DCM2NIIX: _dcm2niix,
}
