"""One scan of a pair as training reads it: HU and mask on one grid along the patient's axes.

NIfTI crops come in any number type, storage order and with masks of any kind of one value; DICOM goes through the input
gate. What cannot be brought onto one grid without a guess is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from gastromap.cohort.files import check_hounsfield, load_nifti, patient_axes
from gastromap.dicom_input import DicomFolder, GateSettings, build_volume, select_series
from gastromap.dicom_input.folder import parse_folder
from gastromap.dicom_input.parse import ParsedFile, parse_file
from gastromap.dicom_input.scan import identify
from gastromap.dicom_input.seg_mask import marked_tumour
from gastromap.dicom_input.segments import OutlineError
from gastromap.dicom_input.studies import Role
from gastromap.errors import Refusal
from gastromap.volume import CtVolume

__all__ = ["MaskRule", "PairScan", "dicom_scan", "hashed", "is_nifti", "nifti_scan"]

_AIR_HU = -1024.0
_ROLES: dict[int, Role] = {1: "baseline", 2: "followup"}
#: Grids this far apart, in parts of a voxel, are one grid written by two programs.
_SAME_GRID, _NEAR_GRID = 0.01, 0.5
_FEWEST_VOXELS = 8


@dataclass(frozen=True)
class MaskRule:
    """How masks are read.

    Attributes
    ----------
    label : int or None
        Value of the tumour in masks of several values.
    by_voxel : bool
        Take the array of a NIfTI mask as that of its image, whatever its header says.
    """

    label: int | None = None
    by_voxel: bool = False


@dataclass(frozen=True)
class PairScan:
    """A scan.

    Attributes
    ----------
    hu : array of int16, shape (slices, rows, columns)
        At least -1024.
    affine_lps : array, shape (4, 4)
    mask : array of uint8, shape of ``hu``, optional
        1 tumour.
    notes : tuple of str
        Codes of what somebody should look at.
    series_uid, moment : str
        Of DICOM: series, and date and time as written.
    """

    hu: NDArray[np.int16] = field(repr=False)
    affine_lps: NDArray[np.float64] = field(repr=False)
    mask: NDArray[np.uint8] | None = field(repr=False, default=None)
    notes: tuple[str, ...] = ()
    series_uid: str = ""
    moment: str = ""


def _refuse(code: str, where: str, expected: str, got: str, remedy: str) -> NoReturn:
    raise Refusal(code, where=where, expected=expected, got=got, remedy=remedy)


def is_nifti(path: Path) -> bool:
    """Whether the name is that of a NIfTI file."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def hashed(array: NDArray[np.generic]) -> str:
    """Digest of shape and values."""
    return hashlib.sha256(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()


def _checked(hu: NDArray[np.float32], number: int) -> NDArray[np.int16]:
    where = f"image{number}"
    if min(hu.shape) < _FEWEST_VOXELS:
        expected = f"{_FEWEST_VOXELS} voxels along each axis"
        _refuse("IMAGE_SIZE", where, expected, " x ".join(map(str, hu.shape)), "Give the volume, not a slice.")
    check_hounsfield(hu)
    if hu.min() == hu.max():
        _refuse("CONSTANT_IMAGE", where, "image content", "one value", "Export the image again.")
    return np.rint(np.maximum(hu, np.float32(_AIR_HU))).astype(np.int16)


def nifti_scan(path: Path, mask: Path | None, *, number: int, rule: MaskRule, axes: str | None = None) -> PairScan:
    """Read a NIfTI image with its mask.

    Parameters
    ----------
    path : Path
    mask : Path, optional
    number : {1, 2}
        For messages.
    rule : MaskRule
    axes : str, optional
        As in :func:`gastromap.cohort.files.load_nifti`.

    Raises
    ------
    Refusal
        ``FILE_UNREADABLE``, ``NIFTI_GEOMETRY``, ``HU_RANGE``, ``IMAGE_SIZE``, ``CONSTANT_IMAGE``, ``MASK_FORMAT``,
        ``MASK_GRID``, ``MASK_VALUES``.
    """
    stored, affine_ras = load_nifti(path, axes=axes)
    hu, affine = patient_axes(stored, affine_ras)
    values = _checked(hu, number)
    if mask is None:
        return PairScan(values, affine)
    if not is_nifti(mask):
        _refuse("MASK_FORMAT", f"mask{number}", "NIfTI, as its image", "something else", "Convert the mask to NIfTI.")
    drawn, notes = _nifti_mask(mask, affine, hu.shape, (stored.shape, affine_ras), number=number, rule=rule, axes=axes)
    return PairScan(values, affine, drawn, notes)


def _nifti_mask(
    path: Path,
    affine: NDArray[np.float64],
    shape: tuple[int, ...],
    stored_as: tuple[tuple[int, ...], NDArray[np.float64]],
    *,
    number: int,
    rule: MaskRule,
    axes: str | None,
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    where = f"mask{number}"
    stored, own = load_nifti(path, axes=axes or "RAS" if rule.by_voxel else axes)
    if rule.by_voxel and stored.shape == stored_as[0]:
        own = stored_as[1]
    drawn, own_lps = patient_axes(stored, own)
    if drawn.shape != shape:
        got = f"{' x '.join(map(str, drawn.shape))} voxels for {' x '.join(map(str, shape))}"
        _refuse("MASK_GRID", where, "the grid of its image", got, "Draw or resample the mask on its image.")
    off = _apart(own_lps, affine, shape)
    if off > _NEAR_GRID:
        remedy = (
            "Resample the mask; if the arrays match voxel by voxel and only the header is wrong, give --mask-by-voxel."
        )
        _refuse("MASK_GRID", where, "the grid of its image", f"one that lies {off:.1f} voxels off", remedy)
    values, notes = _binary(drawn, number=number, rule=rule)
    return values, ("MASK_GRID_NEAR", *notes) if off > _SAME_GRID else notes


def _apart(first: NDArray[np.float64], second: NDArray[np.float64], shape: Sequence[int]) -> float:
    """Largest distance between the corners of two grids, in voxels of the second along its finest axis."""
    columns, rows, slices = shape[2] - 1, shape[1] - 1, shape[0] - 1
    corners = np.array([(x, y, z, 1) for x in (0, columns) for y in (0, rows) for z in (0, slices)], float)
    distance = np.linalg.norm((corners @ (first - second).T)[:, :3], axis=1).max()
    return float(distance / np.linalg.norm(second[:3, :3], axis=0).min())


def _binary(drawn: NDArray[np.float32], *, number: int, rule: MaskRule) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    where = f"mask{number}"
    if not np.isfinite(drawn).all() or drawn.min() < 0:
        _refuse("MASK_VALUES", where, "0 and the value of the tumour", "negative or infinite ones", "Export it again.")
    if rule.label is not None:
        return (np.rint(drawn) == rule.label).astype(np.uint8), ()
    values = np.unique(drawn)
    others = values[values > 0]
    if len(others) <= 1:
        return (drawn > 0).astype(np.uint8), ()
    # Programs that resample masks leave fractions at their border.
    if others.max() <= 1 + 1e-3:
        notes = () if np.abs(values - np.rint(values)).max() < 1e-3 else ("MASK_SOFT",)
        return (drawn >= 0.5).astype(np.uint8), notes
    got = f"{len(others)} values beside 0"
    _refuse("MASK_VALUES", where, "0 and one other value", got, "Name the value of the tumour with --mask-label.")


def dicom_scan(
    folder: DicomFolder,
    mask: Path | None,
    *,
    number: int,
    role: Role = "baseline",
    series_uid: str = "",
    settings: GateSettings,
) -> PairScan:
    """Read the portal-venous series of a DICOM study with its tumour segmentation.

    Parameters
    ----------
    folder : DicomFolder
    mask : Path, optional
        A DICOM SEG, or a folder with one; without it, one that lies in the study.
    number : {1, 2}
        For messages.
    role : {"baseline", "followup"}
        Where the folder holds both studies.
    series_uid : str
        Of the series, where it is known.
    settings : GateSettings

    Raises
    ------
    Refusal
        Codes of the gate, ``MASK_FORMAT``, ``MASK_REFERENCE``, ``PIXEL_DATA``.
    """
    selected = select_series(folder, settings=settings, series_uid=series_uid or None, role=role)
    volume = build_volume(selected, settings=settings)
    values = _checked(volume.hu, number)
    drawn = _dicom_mask(folder, mask, volume, number=number, settings=settings)
    header = volume.sources[0].header
    values, drawn, affine = _upright(values, drawn, volume.affine_lps)
    return PairScan(
        values,
        affine,
        drawn,
        tuple(code for code in volume.warnings if code != "SERIES_BY_OPERATOR"),
        volume.series.series_instance_uid,
        f"{header.get('StudyDate') or ''} {header.get('StudyTime') or ''}",
    )


def _upright(
    hu: NDArray[np.int16], mask: NDArray[np.uint8] | None, affine: NDArray[np.float64]
) -> tuple[NDArray[np.int16], NDArray[np.uint8] | None, NDArray[np.float64]]:
    """Slices from the feet to the head, as :func:`gastromap.cohort.files.patient_axes` has them."""
    if affine[2, 2] > 0:
        return hu, mask, affine
    turned = affine.copy()
    turned[:3, 3] += turned[:3, 2] * (len(hu) - 1)
    turned[:3, 2] *= -1
    return hu[::-1], None if mask is None else mask[::-1], turned


def _dicom_mask(
    folder: DicomFolder, path: Path | None, volume: CtVolume, *, number: int, settings: GateSettings
) -> NDArray[np.uint8] | None:
    where = f"mask{number}"
    if path is not None and is_nifti(path):
        remedy = "Convert image and mask to NIfTI together, or the mask to a DICOM SEG."
        _refuse("MASK_FORMAT", where, "a DICOM SEG, as its image", "NIfTI", remedy)
    objects = folder.objects if path is None else _parsed(path, settings)
    named = path is not None
    try:
        # A network must not learn from its own outlines unless somebody names them.
        found = marked_tumour(objects, volume, any_segment=named, own_results=named)
    except OutlineError as error:
        _refuse("PIXEL_DATA", where, "a readable tumour segmentation", str(error), "Send the segmentation again.")
    if found is None and path is not None:
        got = "none that names this series and a tumour"
        _refuse("MASK_REFERENCE", where, "a DICOM SEG of the images", got, "Give the segmentation of this series.")
    return None if found is None else found.astype(np.uint8)


def _parsed(path: Path, settings: GateSettings) -> Sequence[ParsedFile]:
    if path.is_dir():
        return parse_folder(path, settings=settings).files
    return [parse_file(identify(str(path), path.stat().st_size), settings=settings)]
