"""Tumour areas a slice from a DICOM segmentation or an RT structure set, on the slices of a volume.

Only what is named a primary tumour counts: organs, lymph nodes and metastases do not show the slice the network was
trained on. Objects of another study or frame of reference are left out, because their positions mean other places.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pydicom
from numpy.typing import NDArray

from gastromap.dicom_input.parse import ParsedFile
from gastromap.dicom_input.segments import (
    SegPixels,
    SliceGrid,
    belongs_to,
    first_item,
    floats_of,
    frame_slice,
    is_tumour_name,
    items_of,
    names_node_or_metastasis,
    segment_pixels,
    tumour_segments,
)
from gastromap.dicom_input.text import folded, header_text
from gastromap.volume import CtVolume

__all__ = ["rtstruct_areas", "seg_areas"]


def _pixel_area(frame: pydicom.Dataset, shared: pydicom.Dataset | None, volume: CtVolume) -> float:
    measures = first_item(frame, "PixelMeasuresSequence") or first_item(shared, "PixelMeasuresSequence")
    spacing = floats_of(measures, "PixelSpacing", 2)
    return float(np.prod(spacing if spacing is not None else volume.pixel_spacing_mm))


def seg_areas(parsed: ParsedFile, volume: CtVolume) -> Mapping[int, float]:
    """Measure the tumour segments of a DICOM segmentation on the slices of a volume.

    Parameters
    ----------
    parsed : ParsedFile
        A SEG, BINARY, FRACTIONAL or LABELMAP.
    volume : CtVolume

    Returns
    -------
    areas : mapping of int to float
        Slice index to the largest area in mm^2 of one tumour segment; empty if nothing applies.

    Raises
    ------
    OutlineError
        If a tumour segment is there and its pixels cannot be read.
    """
    header = parsed.header
    if header is None or not belongs_to(header, volume):
        return {}
    segments = tumour_segments(header)
    grid = SliceGrid(volume)
    # Without a common frame of reference positions mean nothing; references to the very images still do.
    same_frame = bool(grid.frame) and str(header.get("FrameOfReferenceUID") or "") == grid.frame
    shared = first_item(header, "SharedFunctionalGroupsSequence")
    frames = items_of(header, "PerFrameFunctionalGroupsSequence")
    if not segments or not frames:
        return {}
    pixels: SegPixels | None = None
    areas: dict[int, float] = {}
    for number, frame in enumerate(frames):
        plane = first_item(frame, "PlaneOrientationSequence") or first_item(shared, "PlaneOrientationSequence")
        if not grid.is_parallel(floats_of(plane, "ImageOrientationPatient", 6)):
            continue
        index = frame_slice(frame, shared, grid, by_position=same_frame)
        if index is None:
            continue
        pixels = pixels or SegPixels(parsed, header)
        area = _pixel_area(frame, shared, volume)
        for segment, inside in segment_pixels(header, frame, pixels.frame(number)):
            count = int(np.count_nonzero(inside))
            if segment in segments and count:
                areas[index] = max(areas.get(index, 0.0), count * area)
    return areas


def _polygon_area(points: NDArray[np.float64], normal: NDArray[np.float64]) -> float:
    """Return the area of a closed planar polygon by the cross-product form of the shoelace formula."""
    centred = points - points[0]
    total = np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0)
    return abs(float(total @ normal)) / 2.0


def _tumour_rois(header: pydicom.Dataset, frame: str) -> set[int]:
    gross = {
        int(item.get("ReferencedROINumber") or 0)
        for item in items_of(header, "RTROIObservationsSequence")
        if str(item.get("RTROIInterpretedType") or "").strip().upper() == "GTV"
    }
    numbers = set()
    for roi in items_of(header, "StructureSetROISequence"):
        number, name = int(roi.get("ROINumber") or 0), folded(header_text(roi, "ROIName").text)
        in_frame = bool(frame) and str(roi.get("ReferencedFrameOfReferenceUID") or frame) == frame
        if in_frame and (is_tumour_name(name) or (number in gross and not names_node_or_metastasis(name))):
            numbers.add(number)
    return numbers


def rtstruct_areas(parsed: ParsedFile, volume: CtVolume) -> Mapping[int, float]:
    """Measure the tumour contours of an RT structure set on the slices of a volume.

    Parameters
    ----------
    parsed : ParsedFile
        An RTSTRUCT.
    volume : CtVolume

    Returns
    -------
    areas : mapping of int to float
        Slice index to the largest polygon area in mm^2; empty if nothing applies.
    """
    header = parsed.header
    if header is None or not belongs_to(header, volume):
        return {}
    grid = SliceGrid(volume)
    rois = _tumour_rois(header, grid.frame)
    areas: dict[int, float] = {}
    for roi in items_of(header, "ROIContourSequence"):
        if int(roi.get("ReferencedROINumber") or 0) not in rois:
            continue
        for contour in items_of(roi, "ContourSequence"):
            if str(contour.get("ContourGeometricType") or "").strip() != "CLOSED_PLANAR":
                continue
            count = len(contour.get("ContourData") or ())
            points = floats_of(contour, "ContourData", count)
            if points is None or count < 9 or count % 3:
                continue
            polygon = points.reshape(-1, 3)
            index = grid.by_position(polygon.mean(axis=0))
            if index is not None:
                areas[index] = max(areas.get(index, 0.0), _polygon_area(polygon, grid.normal))
    return areas
