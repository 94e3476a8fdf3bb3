"""Key slices from NIfTI volumes and PNG slices, for cohorts that exist in no other form."""

from __future__ import annotations

import warnings
import zlib
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from gastromap.cohort.stack import KeyStack, key_stack
from gastromap.errors import Refusal
from gastromap.nifti import LPS_TO_RAS

__all__ = ["check_hounsfield", "load_nifti", "open_nifti", "patient_axes", "read_nifti", "read_png"]

_LOWEST_HU, _HIGHEST_HU, _AIR_HU = -4096.0, 32767.0, -1024.0
_AXIAL_COSINE = np.cos(np.radians(10.0))


def _refuse(code: str, expected: str, got: str, remedy: str) -> NoReturn:
    raise Refusal(code, where="image", expected=expected, got=got, remedy=remedy)


def read_nifti(path: Path, *, key_slice: str, count: int) -> KeyStack:
    """Read a CT in Hounsfield units.

    Parameters
    ----------
    path : Path
        ``.nii`` or ``.nii.gz``, axial, three dimensions.
    key_slice : str
        Index from the feet, 0 first. Empty: the only slice, or the middle one of three.
    count : {1, 3}
        Slices to keep.

    Raises
    ------
    Refusal
        ``FILE_UNREADABLE``, ``NIFTI_GEOMETRY``, ``HU_RANGE``, ``CONSTANT_SLICE``, ``NO_KEY_SLICE``,
        ``KEY_SLICE_UNKNOWN``.
    """
    hu, affine = open_nifti(path)
    index = _index(key_slice.strip(), len(hu))
    check_hounsfield(hu)
    if hu[index].min() == hu[index].max():
        _refuse("CONSTANT_SLICE", "image content in the key slice", "one value", "Check the index of the key slice.")
    return key_stack(np.maximum(hu, np.float32(_AIR_HU)), affine, index, count=count)


def check_hounsfield(hu: NDArray[np.float32]) -> None:
    """Refuse values that cannot be those of a CT.

    Raises
    ------
    Refusal
        ``HU_RANGE``.
    """
    lowest, highest = float(hu.min()), float(hu.max())
    if not (np.isfinite(hu).all() and lowest >= _LOWEST_HU and highest <= _HIGHEST_HU):
        _refuse("HU_RANGE", "finite HU from -4096 to 32767", "others", "Convert the CT again, in Hounsfield units.")
    if lowest > -100:
        _refuse("HU_RANGE", "Hounsfield units", "no value below -100", "Give the CT itself, not a windowed picture.")


def open_nifti(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Open a CT volume.

    Parameters
    ----------
    path : Path

    Returns
    -------
    hu : array, shape (slices, rows, columns), float32
        Slices rise to the head, rows to the back, columns to the left of the patient.
    affine_lps : array, shape (4, 4)
        Maps (column, row, slice, 1) to LPS coordinates in mm.

    Raises
    ------
    Refusal
        ``FILE_UNREADABLE`` or ``NIFTI_GEOMETRY``.
    """
    return patient_axes(*load_nifti(path))


def load_nifti(path: Path, *, axes: str | None = None) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Load a file as it is stored.

    Parameters
    ----------
    path : Path
    axes : str, optional
        Directions in which the axes of a file without orientation rise, such as ``LPS``.

    Returns
    -------
    data : array of three dimensions, float32
    affine_ras : array, shape (4, 4)

    Raises
    ------
    Refusal
        ``FILE_UNREADABLE`` or ``NIFTI_GEOMETRY``.
    """
    import nibabel
    from nibabel import orientations
    from nibabel.filebasedimages import ImageFileError

    try:
        image: Any = nibabel.load(path)
        data = np.asarray(image.dataobj, np.float32)
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError) as error:
        _refuse("FILE_UNREADABLE", "a NIfTI file", type(error).__name__, "Convert the CT again.")
    if data.ndim == 4 and data.shape[3] == 1:
        data = data[..., 0]
    if data.ndim != 3:
        _refuse("NIFTI_GEOMETRY", "three dimensions", f"{data.ndim}", "Give one CT volume a file.")
    if not (int(image.header["sform_code"]) or int(image.header["qform_code"])):
        if axes is None:
            _refuse("NIFTI_GEOMETRY", "an orientation", "none in the header", "Convert from DICOM, which keeps it.")
        named = np.diag([0.0, 0.0, 0.0, 1.0])
        zooms = image.header.get_zooms()
        for axis, (along, sign) in enumerate(orientations.axcodes2ornt(tuple(axes)).astype(int)):
            named[along, axis] = sign * float(zooms[axis])
        return data, named
    affine_ras = np.asarray(image.affine, float)
    if not np.isfinite(affine_ras).all() or np.linalg.matrix_rank(affine_ras[:3, :3]) < 3:
        _refuse("NIFTI_GEOMETRY", "an affine with three directions", "another", "Convert the CT again.")
    return data, affine_ras


def patient_axes(
    data: NDArray[np.float32], affine_ras: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Turn an array so that its axes run along the patient's; results as of :func:`open_nifti`.

    Raises
    ------
    Refusal
        ``NIFTI_GEOMETRY`` for slices that are not axial.
    """
    from nibabel import orientations

    turn = orientations.ornt_transform(orientations.io_orientation(affine_ras), orientations.axcodes2ornt("LPS"))
    affine = LPS_TO_RAS @ affine_ras @ orientations.inv_ornt_aff(turn, data.shape)
    data = orientations.apply_orientation(data, turn)
    if abs(affine[2, 2]) < _AXIAL_COSINE * np.linalg.norm(affine[:3, 2]):
        _refuse("NIFTI_GEOMETRY", "axial slices", "tilted by more than 10 degrees", "Give the axial series.")
    return np.ascontiguousarray(data.transpose(2, 1, 0)), affine


def _index(key_slice: str, slices: int) -> int:
    if not key_slice:
        if slices in (1, 3):
            return slices // 2
        _refuse("NO_KEY_SLICE", "a key slice from the table", f"none, and {slices} slices", "Name a column of indices.")
    number = key_slice.removesuffix(".0")
    if not (number.isascii() and number.isdigit() and int(number) < slices):
        expected = f"an index from the feet, 0 to {slices - 1}"
        _refuse("KEY_SLICE_UNKNOWN", expected, "something else", "Correct the cell.")
    return int(number)


def read_png(path: Path, *, spacing_mm: float | None, window: tuple[float, float], most_pixels: int) -> KeyStack:
    """Read an 8-bit picture of one axial slice back into Hounsfield units.

    Parameters
    ----------
    path : Path
        Greyscale, seen as radiologists do: front up, the patient's left on the right.
    spacing_mm : float or None
        Size of a pixel, which the file does not know.
    window : (float, float)
        Level and width in HU that 0 and 255 stand for. What was outside is lost.
    most_pixels : int
        Largest number of rows or columns.

    Raises
    ------
    Refusal
        ``PNG_SPACING``, ``FILE_UNREADABLE``, ``PNG_FORMAT``, ``CONSTANT_SLICE``.

    Notes
    -----
    Profile ``released`` windows and rounds to 8 bit again and so sees the very values of the picture if the window is
    the same (level 50, width 350).
    """
    from PIL import Image, UnidentifiedImageError

    if spacing_mm is None:
        _refuse("PNG_SPACING", "the size of a pixel in mm", "none", "Give --png-spacing.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if max(image.size) > most_pixels:
                    _refuse("PNG_FORMAT", f"at most {most_pixels} rows and columns", "more", "Give the slice itself.")
                mode, values = image.mode, np.asarray(image)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombWarning) as error:
        _refuse("FILE_UNREADABLE", "a picture", type(error).__name__, "Export the slice again.")
    if mode in ("RGB", "RGBA") and (values[..., :3] == values[..., :1]).all():
        values = values[..., 0]
    if values.ndim != 2 or values.dtype != np.uint8 or mode == "P":
        _refuse("PNG_FORMAT", "8-bit greyscale", f"mode {mode}", "Export the slice as 8-bit greyscale.")
    if values.min() == values.max():
        _refuse("CONSTANT_SLICE", "image content", "one value", "Export the slice again.")
    level, width = window
    hu = level - width / 2 + values.astype(np.float32) / 255 * width
    return key_stack(hu[None], np.diag([spacing_mm, spacing_mm, 1.0, 1.0]), 0, count=1)
