"""Tumour areas a slice from a DICOM segmentation or an RT structure set, on the slices of a volume.

Only what is named a primary tumour counts: organs, lymph nodes and metastases do not show the slice the network was
trained on. Objects of another study or frame of reference are left out, because their positions mean other places.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pydicom
from numpy.typing import NDArray

from gastromap.dicom_input.parse import ParsedFile
from gastromap.dicom_input.scan import open_regular
from gastromap.dicom_input.text import folded, header_text
from gastromap.volume import CtVolume

__all__ = ["OutlineError", "belongs_to", "is_tumour_name", "rtstruct_areas", "seg_areas"]

_TUMOUR = re.compile(
    r"(?<![a-z])(?:tumou?rs?|neoplasms?|cancers?|(?:adeno)?carcinomas?|lesions?|mass|malignan(?:t|cy)|gtvp?)(?![a-z])"
    "|肿瘤|胃癌|病灶|占位"
)
_NOT_PRIMARY = re.compile(r"nodes?|lymph|metasta|gtv ?n(?![a-z])|淋巴|转移")
#: SNOMED CT and SRT for neoplasm, malignant neoplasm, primary neoplasm, mass and lesion.
_TUMOUR_CODES = {"108369006", "363346000", "372087000", "86049000", "4147007", "52988006"}
_TUMOUR_CODES |= {"M-8FFFF", "M-80003", "M-80000", "M-03000", "M-01100"}
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
_PARALLEL_COSINE = np.cos(np.radians(1.0))
_MAX_SEGMENT_VOXELS = 400_000_000


class OutlineError(Exception):
    """The pixels of a segmentation cannot be read; the caller knows how to name the file."""


def is_tumour_name(text: str) -> bool:
    """Whether a label names the primary tumour.

    Parameters
    ----------
    text : str
        Folded as by ``gastromap.dicom_input.text.folded``.
    """
    return bool(_TUMOUR.search(text)) and not _NOT_PRIMARY.search(text)


def belongs_to(header: pydicom.Dataset, volume: CtVolume) -> bool:
    """Whether an object is of the study of a volume, as far as both say."""
    study = str(header.get("StudyInstanceUID") or "")
    return study in ("", volume.series.study_instance_uid)


def _items(header: pydicom.Dataset | None, keyword: str) -> Sequence[pydicom.Dataset]:
    value = None if header is None else header.get(keyword)
    return value if isinstance(value, pydicom.Sequence) else ()


def _first(header: pydicom.Dataset | None, keyword: str) -> pydicom.Dataset | None:
    items = _items(header, keyword)
    return items[0] if items else None


def _floats(header: pydicom.Dataset | None, keyword: str, count: int) -> NDArray[np.float64] | None:
    value = None if header is None else header.get(keyword)
    try:
        numbers = np.array([float(item) for item in value or ()], dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and bool(np.isfinite(numbers).all()) else None


class _Grid:
    """The slices of a volume, to be found by position or by SOP Instance UID."""

    def __init__(self, volume: CtVolume) -> None:
        self._inverse = np.linalg.inv(volume.affine_lps)
        self._by_uid = {source.sop_instance_uid: index for index, source in enumerate(volume.sources)}
        self._count = len(volume.sources)
        normal = np.cross(volume.affine_lps[:3, 0], volume.affine_lps[:3, 1])
        self.normal: NDArray[np.float64] = normal / np.linalg.norm(normal)
        self.frame = str(volume.sources[0].header.get("FrameOfReferenceUID") or "")

    def by_uid(self, uids: Sequence[str]) -> int | None:
        found = {self._by_uid[uid] for uid in uids if uid in self._by_uid}
        return found.pop() if len(found) == 1 else None

    def by_position(self, point: NDArray[np.float64] | None) -> int | None:
        """Return the nearest slice, if the point is not beyond the ends."""
        if point is None:
            return None
        k = float((self._inverse @ np.append(point, 1.0))[2])
        return min(max(round(k), 0), self._count - 1) if -0.5 <= k <= self._count - 0.5 else None

    def is_parallel(self, orientation: NDArray[np.float64] | None) -> bool:
        if orientation is None:
            return True
        normal = np.cross(orientation[:3], orientation[3:])
        length = float(np.linalg.norm(normal))
        return length > 0 and abs(float(normal @ self.normal)) / length >= _PARALLEL_COSINE


def _tumour_segments(header: pydicom.Dataset) -> set[int]:
    numbers = set()
    for segment in _items(header, "SegmentSequence"):
        kind = _first(segment, "SegmentedPropertyTypeCodeSequence")
        code = "" if kind is None else str(kind.get("CodeValue") or "").strip()
        names = [header_text(segment, "SegmentLabel").text, header_text(segment, "SegmentDescription").text]
        if kind is not None:
            names.append(header_text(kind, "CodeMeaning").text)
        text = folded(" ; ".join(names))
        if is_tumour_name(text) or (code in _TUMOUR_CODES and not _NOT_PRIMARY.search(text)):
            numbers.add(int(segment.get("SegmentNumber") or 0))
    return numbers


class _SegPixels:
    """Frames of a segmentation, decoded on demand."""

    def __init__(self, parsed: ParsedFile, header: pydicom.Dataset) -> None:
        self._shape = (int(header.Rows), int(header.Columns))
        self._frames = int(header.get("NumberOfFrames") or 1)
        self._bits = int(header.BitsAllocated)
        if self._frames * self._shape[0] * self._shape[1] > _MAX_SEGMENT_VOXELS:
            msg = "too many voxels"
            raise OutlineError(msg)
        self._array: NDArray[np.integer] | None = None
        self._data = b""
        if parsed.transfer_syntax in _NATIVE:
            self._data = self._native(parsed)
        else:
            self._array = self._compressed(parsed)

    def _native(self, parsed: ParsedFile) -> bytes:
        pixels = parsed.pixels
        needed = (self._frames * self._shape[0] * self._shape[1] * self._bits + 7) // 8
        if pixels is None or pixels.encapsulated or not needed <= pixels.length <= parsed.file.size - pixels.offset:
            msg = "missing or shorter"
            raise OutlineError(msg)
        with open_regular(parsed.file.path) as stream:
            stream.seek(pixels.offset)
            return stream.read(needed)

    def _compressed(self, parsed: ParsedFile) -> NDArray[np.integer]:
        # Imported here: it loads all decoder plug-ins, which most segmentations do not need.
        from pydicom.pixels import pixel_array

        with open_regular(parsed.file.path) as stream:
            content = stream.read()
        try:
            return pixel_array(io.BytesIO(content)).reshape(-1, *self._shape)
        except Exception as error:  # noqa: BLE001 - decoders raise anything on damaged input; it means this file
            msg = f"pixels that cannot be decoded ({type(error).__name__})"
            raise OutlineError(msg) from None

    def frame(self, index: int) -> NDArray[np.integer]:
        """Return one frame, flat."""
        if self._array is not None:
            return self._array[index].reshape(-1)
        size = self._shape[0] * self._shape[1]
        if self._bits > 1:
            return np.frombuffer(
                self._data, np.uint8 if self._bits == 8 else "<u2", size, index * size * self._bits // 8
            )
        # Frames of a bit-packed segmentation follow each other without padding, so one may start inside a byte.
        first = index * size
        packed = np.frombuffer(self._data, np.uint8)[first // 8 : (first + size + 7) // 8]
        return np.unpackbits(packed, bitorder="little")[first % 8 : first % 8 + size]


def _frame_slice(
    frame: pydicom.Dataset, shared: pydicom.Dataset | None, grid: _Grid, *, by_position: bool
) -> int | None:
    references = [
        str(source.get("ReferencedSOPInstanceUID") or "")
        for derivation in _items(frame, "DerivationImageSequence")
        for source in _items(derivation, "SourceImageSequence")
    ]
    index = grid.by_uid(references)
    if index is not None or not by_position:
        return index
    plane = _first(frame, "PlanePositionSequence") or _first(shared, "PlanePositionSequence")
    return grid.by_position(_floats(plane, "ImagePositionPatient", 3))


def _pixel_area(frame: pydicom.Dataset, shared: pydicom.Dataset | None, volume: CtVolume) -> float:
    measures = _first(frame, "PixelMeasuresSequence") or _first(shared, "PixelMeasuresSequence")
    spacing = _floats(measures, "PixelSpacing", 2)
    return float(np.prod(spacing if spacing is not None else volume.pixel_spacing_mm))


def _segment_counts(
    header: pydicom.Dataset, frame: pydicom.Dataset, pixels: NDArray[np.integer]
) -> Iterator[tuple[int, int]]:
    """Yield segment number and pixel count of a frame."""
    kind = str(header.get("SegmentationType") or "BINARY")
    if kind == "LABELMAP":
        values, counts = np.unique(pixels, return_counts=True)
        yield from zip(values.tolist(), counts.tolist(), strict=True)
        return
    identification = _first(frame, "SegmentIdentificationSequence")
    shared = _first(_first(header, "SharedFunctionalGroupsSequence"), "SegmentIdentificationSequence")
    number = (identification or shared or pydicom.Dataset()).get("ReferencedSegmentNumber")
    threshold = max(1, int(header.get("MaximumFractionalValue") or 1) // 2) if kind == "FRACTIONAL" else 1
    yield int(number or 0), int(np.count_nonzero(pixels >= threshold))


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
    segments = _tumour_segments(header)
    grid = _Grid(volume)
    # Without a common frame of reference positions mean nothing; references to the very images still do.
    same_frame = bool(grid.frame) and str(header.get("FrameOfReferenceUID") or "") == grid.frame
    shared = _first(header, "SharedFunctionalGroupsSequence")
    frames = _items(header, "PerFrameFunctionalGroupsSequence")
    if not segments or not frames:
        return {}
    pixels: _SegPixels | None = None
    areas: dict[int, float] = {}
    for number, frame in enumerate(frames):
        plane = _first(frame, "PlaneOrientationSequence") or _first(shared, "PlaneOrientationSequence")
        if not grid.is_parallel(_floats(plane, "ImageOrientationPatient", 6)):
            continue
        index = _frame_slice(frame, shared, grid, by_position=same_frame)
        if index is None:
            continue
        pixels = pixels or _SegPixels(parsed, header)
        area = _pixel_area(frame, shared, volume)
        for segment, count in _segment_counts(header, frame, pixels.frame(number)):
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
        for item in _items(header, "RTROIObservationsSequence")
        if str(item.get("RTROIInterpretedType") or "").strip().upper() == "GTV"
    }
    numbers = set()
    for roi in _items(header, "StructureSetROISequence"):
        number, name = int(roi.get("ROINumber") or 0), folded(header_text(roi, "ROIName").text)
        in_frame = bool(frame) and str(roi.get("ReferencedFrameOfReferenceUID") or frame) == frame
        if in_frame and (is_tumour_name(name) or (number in gross and not _NOT_PRIMARY.search(name))):
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
    grid = _Grid(volume)
    rois = _tumour_rois(header, grid.frame)
    areas: dict[int, float] = {}
    for roi in _items(header, "ROIContourSequence"):
        if int(roi.get("ReferencedROINumber") or 0) not in rois:
            continue
        for contour in _items(roi, "ContourSequence"):
            if str(contour.get("ContourGeometricType") or "").strip() != "CLOSED_PLANAR":
                continue
            count = len(contour.get("ContourData") or ())
            points = _floats(contour, "ContourData", count)
            if points is None or count < 9 or count % 3:
                continue
            polygon = points.reshape(-1, 3)
            index = grid.by_position(polygon.mean(axis=0))
            if index is not None:
                areas[index] = max(areas.get(index, 0.0), _polygon_area(polygon, grid.normal))
    return areas
