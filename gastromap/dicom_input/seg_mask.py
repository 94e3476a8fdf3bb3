"""The tumour of a DICOM segmentation as a mask on the slices of a volume."""

from __future__ import annotations

import numpy as np
import pydicom
from numpy.typing import NDArray

from gastromap.dicom_input.outlines import (
    OutlineError,
    _first,
    _floats,
    _frame_slice,
    _Grid,
    _items,
    _SegPixels,
    _tumour_segments,
    belongs_to,
)
from gastromap.dicom_input.parse import ParsedFile
from gastromap.volume import CtVolume

__all__ = ["seg_mask"]

_SAME_DIRECTION = np.cos(np.radians(0.1))
_SAME_SPACING = 0.01


def seg_mask(parsed: ParsedFile, volume: CtVolume, *, any_segment: bool = False) -> NDArray[np.bool_] | None:
    """Draw the tumour segments of a DICOM segmentation on the grid of a volume.

    Parameters
    ----------
    parsed : ParsedFile
        A SEG, BINARY, FRACTIONAL or LABELMAP.
    volume : CtVolume
        Of which it segments the very images, or which lies in its frame of reference.
    any_segment : bool
        Take the segment of an object that has one only, whatever its name.

    Returns
    -------
    mask : array of bool, shape of the volume, or None
        None where the object refers to other images, or has no tumour segment. All false where the tumour was looked
        for and not found.

    Raises
    ------
    OutlineError
        If its pixels cannot be read or lie on another grid.
    """
    header = parsed.header
    if header is None or not belongs_to(header, volume) or not _refers(header, volume):
        return None
    segments = _tumour_segments(header)
    described = _items(header, "SegmentSequence")
    if not segments and any_segment and len(described) == 1:
        segments = {int(described[0].get("SegmentNumber") or 0)}
    frames = _items(header, "PerFrameFunctionalGroupsSequence")
    if not segments or not frames:
        return None
    grid = _Grid(volume)
    same_frame = bool(grid.frame) and str(header.get("FrameOfReferenceUID") or "") == grid.frame
    shared = _first(header, "SharedFunctionalGroupsSequence")
    pixels = _SegPixels(parsed, header)
    mask = np.zeros(volume.hu.shape, np.bool_)
    found = False
    for number, frame in enumerate(frames):
        index = _frame_slice(frame, shared, grid, by_position=same_frame)
        if index is None:
            continue
        _check_plane(header, frame, shared, volume, index)
        found = True
        mask[index] |= _of_segments(header, frame, pixels.frame(number), segments).reshape(mask.shape[1:])
    return mask if found else None


def _refers(header: pydicom.Dataset, volume: CtVolume) -> bool:
    """Whether the object names the series of the volume, as far as it names any."""
    series = {str(item.get("SeriesInstanceUID") or "") for item in _items(header, "ReferencedSeriesSequence")} - {""}
    return not series or volume.series.series_instance_uid in series


def _check_plane(
    header: pydicom.Dataset, frame: pydicom.Dataset, shared: pydicom.Dataset | None, volume: CtVolume, index: int
) -> None:
    def plane(sequence: str, keyword: str, count: int) -> NDArray[np.float64] | None:
        return _floats(_first(frame, sequence) or _first(shared, sequence), keyword, count)

    affine = volume.affine_lps
    steps = np.linalg.norm(affine[:3, :2], axis=0)
    position = plane("PlanePositionSequence", "ImagePositionPatient", 3)
    orientation = plane("PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = plane("PixelMeasuresSequence", "PixelSpacing", 2)
    good = bool((int(header.get("Rows") or 0), int(header.get("Columns") or 0)) == volume.hu.shape[1:])
    if orientation is not None:
        cosines = (orientation[:3] @ affine[:3, 0] / steps[0], orientation[3:] @ affine[:3, 1] / steps[1])
        good = good and bool(min(cosines) > _SAME_DIRECTION)
    if spacing is not None:
        good = good and bool((np.abs(spacing[::-1] / steps - 1) < _SAME_SPACING).all())
    if position is not None:
        off = np.linalg.solve(affine[:3, :3], position - affine[:3, 3] - affine[:3, 2] * index)
        good = good and bool((np.abs(off) < 0.5).all())
    if not good:
        msg = "pixels on another grid than the images"
        raise OutlineError(msg)


def _of_segments(
    header: pydicom.Dataset, frame: pydicom.Dataset, pixels: NDArray[np.integer], segments: set[int]
) -> NDArray[np.bool_]:
    kind = str(header.get("SegmentationType") or "BINARY")
    if kind == "LABELMAP":
        return np.isin(pixels, sorted(segments))
    identification = _first(frame, "SegmentIdentificationSequence")
    shared = _first(_first(header, "SharedFunctionalGroupsSequence"), "SegmentIdentificationSequence")
    number = int((identification or shared or pydicom.Dataset()).get("ReferencedSegmentNumber") or 0)
    threshold = max(1, int(header.get("MaximumFractionalValue") or 1) // 2) if kind == "FRACTIONAL" else 1
    return (pixels >= threshold) & (number in segments)
