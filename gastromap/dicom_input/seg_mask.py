"""The tumour of a DICOM segmentation as a mask on the slices of a volume."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pydicom
from numpy.typing import NDArray

from gastromap.dicom_input.parse import ParsedFile
from gastromap.dicom_input.segments import (
    OutlineError,
    SegPixels,
    SliceGrid,
    belongs_to,
    first_item,
    floats_of,
    frame_slice,
    items_of,
    own_result,
    segment_pixels,
    tumour_segments,
)
from gastromap.volume import CtVolume

__all__ = ["marked_tumour", "seg_mask"]

_SAME_DIRECTION = np.cos(np.radians(0.1))
_SAME_SPACING = 0.01


def marked_tumour(
    objects: Iterable[ParsedFile], volume: CtVolume, *, any_segment: bool = False, own_results: bool = False
) -> NDArray[np.bool_] | None:
    """Unite the tumours of all segmentations among some objects.

    Parameters
    ----------
    objects : iterable of ParsedFile
        Of any kind; only segmentations count.
    volume : CtVolume
    any_segment : bool
        As of :func:`seg_mask`.
    own_results : bool
        Count those that this application wrote.

    Returns
    -------
    mask : array of bool, shape of the volume, or None
        None where nobody looked for a tumour; all false where one was looked for and not found.

    Raises
    ------
    OutlineError
        If one cannot be read or lies on another grid.
    """
    found: NDArray[np.bool_] | None = None
    for parsed in objects:
        if parsed.kind != "seg" or parsed.header is None or (own_result(parsed.header) and not own_results):
            continue
        try:
            drawn = seg_mask(parsed, volume, any_segment=any_segment)
        except (AttributeError, TypeError, ValueError, RuntimeError, OSError) as error:
            # From attributes that are absent or hold something else than the standard says.
            msg = f"an invalid one ({type(error).__name__})"
            raise OutlineError(msg) from None
        if drawn is not None:
            found = drawn if found is None else found | drawn
    return found


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
    segments = tumour_segments(header)
    described = items_of(header, "SegmentSequence")
    if not segments and any_segment and len(described) == 1:
        segments = {int(described[0].get("SegmentNumber") or 0)}
    frames = items_of(header, "PerFrameFunctionalGroupsSequence")
    if not segments or not frames:
        return None
    grid = SliceGrid(volume)
    same_frame = bool(grid.frame) and str(header.get("FrameOfReferenceUID") or "") == grid.frame
    shared = first_item(header, "SharedFunctionalGroupsSequence")
    pixels = SegPixels(parsed, header)
    mask = np.zeros(volume.hu.shape, np.bool_)
    found = False
    for number, frame in enumerate(frames):
        index = frame_slice(frame, shared, grid, by_position=same_frame)
        if index is None:
            continue
        _check_plane(header, frame, shared, volume, index)
        found = True
        for segment, inside in segment_pixels(header, frame, pixels.frame(number)):
            if segment in segments:
                mask[index] |= inside.reshape(mask.shape[1:])
    return mask if found else None


def _refers(header: pydicom.Dataset, volume: CtVolume) -> bool:
    """Whether the object names the series of the volume, as far as it names any."""
    series = {str(item.get("SeriesInstanceUID") or "") for item in items_of(header, "ReferencedSeriesSequence")} - {""}
    return not series or volume.series.series_instance_uid in series


def _check_plane(
    header: pydicom.Dataset, frame: pydicom.Dataset, shared: pydicom.Dataset | None, volume: CtVolume, index: int
) -> None:
    def plane(sequence: str, keyword: str, count: int) -> NDArray[np.float64] | None:
        return floats_of(first_item(frame, sequence) or first_item(shared, sequence), keyword, count)

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
