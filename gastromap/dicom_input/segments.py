"""What segmentations and structure sets share: named tumours, slices of a volume, pixels of a segmentation."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pydicom
from numpy.typing import NDArray

from gastromap.dicom_input.parse import ParsedFile
from gastromap.dicom_input.scan import open_regular
from gastromap.dicom_input.text import folded, header_text
from gastromap.volume import CtVolume

__all__ = [
    "OutlineError",
    "SegPixels",
    "SliceGrid",
    "belongs_to",
    "first_item",
    "floats_of",
    "frame_slice",
    "is_tumour_name",
    "items_of",
    "names_node_or_metastasis",
    "own_description",
    "own_result",
    "segment_pixels",
    "tumour_segments",
]

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


def names_node_or_metastasis(text: str) -> bool:
    """Whether a folded label names lymph nodes or metastases, which are not the primary tumour."""
    return bool(_NOT_PRIMARY.search(text))


def own_result(header: pydicom.Dataset) -> bool:
    """Whether this application wrote the object: it would confirm itself, or learn from itself, for ever."""
    return own_description(str(header.get("SeriesDescription") or ""))


def own_description(text: str) -> bool:
    """Whether a SeriesDescription is that of an own result."""
    return text.casefold().startswith("gastromap")


def belongs_to(header: pydicom.Dataset, volume: CtVolume) -> bool:
    """Whether an object is of the study of a volume, as far as both say."""
    study = str(header.get("StudyInstanceUID") or "")
    return study in ("", volume.series.study_instance_uid)


def items_of(header: pydicom.Dataset | None, keyword: str) -> Sequence[pydicom.Dataset]:
    """Items of a sequence; none where it is absent or no sequence."""
    value = None if header is None else header.get(keyword)
    return value if isinstance(value, pydicom.Sequence) else ()


def first_item(header: pydicom.Dataset | None, keyword: str) -> pydicom.Dataset | None:
    """First item of a sequence, if there is one."""
    items = items_of(header, keyword)
    return items[0] if items else None


def floats_of(header: pydicom.Dataset | None, keyword: str, count: int) -> NDArray[np.float64] | None:
    """Exactly ``count`` finite numbers of an attribute, or None."""
    value = None if header is None else header.get(keyword)
    try:
        numbers = np.array([float(item) for item in value or ()], dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and bool(np.isfinite(numbers).all()) else None


class SliceGrid:
    """The slices of a volume, to be found by position or by SOP Instance UID."""

    def __init__(self, volume: CtVolume) -> None:
        self._inverse = np.linalg.inv(volume.affine_lps)
        self._by_uid = {source.sop_instance_uid: index for index, source in enumerate(volume.sources)}
        self._count = len(volume.sources)
        normal = np.cross(volume.affine_lps[:3, 0], volume.affine_lps[:3, 1])
        self.normal: NDArray[np.float64] = normal / np.linalg.norm(normal)
        self.frame = str(volume.sources[0].header.get("FrameOfReferenceUID") or "")

    def by_uid(self, uids: Sequence[str]) -> int | None:
        """Return the one slice that is among the UIDs."""
        found = {self._by_uid[uid] for uid in uids if uid in self._by_uid}
        return found.pop() if len(found) == 1 else None

    def by_position(self, point: NDArray[np.float64] | None) -> int | None:
        """Return the nearest slice, if the point is not beyond the ends."""
        if point is None:
            return None
        k = float((self._inverse @ np.append(point, 1.0))[2])
        return min(max(round(k), 0), self._count - 1) if -0.5 <= k <= self._count - 0.5 else None

    def is_parallel(self, orientation: NDArray[np.float64] | None) -> bool:
        """Whether a plane lies along the slices; an unknown one is taken to."""
        if orientation is None:
            return True
        normal = np.cross(orientation[:3], orientation[3:])
        length = float(np.linalg.norm(normal))
        return length > 0 and abs(float(normal @ self.normal)) / length >= _PARALLEL_COSINE


def tumour_segments(header: pydicom.Dataset) -> set[int]:
    """Numbers of the segments that are called a primary tumour by label, description or code."""
    numbers = set()
    for segment in items_of(header, "SegmentSequence"):
        kind = first_item(segment, "SegmentedPropertyTypeCodeSequence")
        code = "" if kind is None else str(kind.get("CodeValue") or "").strip()
        names = [header_text(segment, "SegmentLabel").text, header_text(segment, "SegmentDescription").text]
        if kind is not None:
            names.append(header_text(kind, "CodeMeaning").text)
        text = folded(" ; ".join(names))
        if is_tumour_name(text) or (code in _TUMOUR_CODES and not _NOT_PRIMARY.search(text)):
            numbers.add(int(segment.get("SegmentNumber") or 0))
    return numbers


class SegPixels:
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


def frame_slice(
    frame: pydicom.Dataset, shared: pydicom.Dataset | None, grid: SliceGrid, *, by_position: bool
) -> int | None:
    """Slice that a frame lies on: by the image it refers to, else by its position."""
    references = [
        str(source.get("ReferencedSOPInstanceUID") or "")
        for derivation in items_of(frame, "DerivationImageSequence")
        for source in items_of(derivation, "SourceImageSequence")
    ]
    index = grid.by_uid(references)
    if index is not None or not by_position:
        return index
    plane = first_item(frame, "PlanePositionSequence") or first_item(shared, "PlanePositionSequence")
    return grid.by_position(floats_of(plane, "ImagePositionPatient", 3))


def segment_pixels(
    header: pydicom.Dataset, frame: pydicom.Dataset, pixels: NDArray[np.integer]
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield the segments of a frame: number and which pixels are inside, flat."""
    kind = str(header.get("SegmentationType") or "BINARY")
    if kind == "LABELMAP":
        for value in np.unique(pixels).tolist():
            yield int(value), pixels == value
        return
    identification = first_item(frame, "SegmentIdentificationSequence")
    shared = first_item(first_item(header, "SharedFunctionalGroupsSequence"), "SegmentIdentificationSequence")
    number = (identification or shared or pydicom.Dataset()).get("ReferencedSegmentNumber")
    threshold = max(1, int(header.get("MaximumFractionalValue") or 1) // 2) if kind == "FRACTIONAL" else 1
    yield int(number or 0), pixels >= threshold
