"""What the gate needs to know of one CT image, taken from its header once.

Values that are no numbers are noted, not raised: whether they matter depends on the series that is chosen.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace

import numpy as np
import pydicom
from numpy.typing import NDArray

from gastromap.dicom_input.parse import ParsedFile
from gastromap.dicom_input.text import folded, header_text

__all__ = ["CtImage", "acquisition_moment", "ct_image", "seconds_of_day"]

_DAY_SECONDS = 86_400.0
_TIME = re.compile(r"(\d{2})(\d{2})?(\d{2})?(\.\d+)?")
_MOMENT = re.compile(r"\d{8}(\d{2,6})?(\.\d+)?")


@dataclass(frozen=True)
class CtImage:
    """Header facts of one CT image; ``None`` where the attribute is absent or empty."""

    parsed: ParsedFile = field(repr=False)
    sop_uid: str
    series_uid: str
    study_uid: str
    frame_uid: str  #: Frame of Reference UID
    series_number: int | None
    instance_number: int | None
    slice_location_mm: float | None
    acquisition_number: int | None
    temporal_position: int | None
    acquisition_s: float | None  #: seconds of the day
    content_s: float | None
    bolus_s: float | None
    contrast: bool  #: whether a contrast agent is named
    image_type: tuple[str, ...]
    kernel: str | None
    position_mm: NDArray[np.float64] | None
    orientation: NDArray[np.float64] | None
    spacing_mm: tuple[float, float] | None
    rows: int | None
    columns: int | None
    frames: int
    thickness_mm: float | None
    slope: float | None
    intercept: float | None
    description: str  #: folded, for matching only
    protocol: str
    text_warning: str | None
    bad_values: tuple[str, ...]  #: keywords whose value is no number

    @property
    def header(self) -> pydicom.Dataset:
        """The header without pixels."""
        assert self.parsed.header is not None  # noqa: S101 - for the type checker; set for every CT image
        return self.parsed.header

    @property
    def normal(self) -> NDArray[np.float64] | None:
        """Unit vector of the slice normal, row direction x column direction."""
        if self.orientation is None:
            return None
        normal = np.cross(self.orientation[:3], self.orientation[3:])
        length = float(np.linalg.norm(normal))
        return normal / length if length > 0 else None

    def with_uids(self, *, sop_uid: str, series_uid: str, study_uid: str) -> CtImage:
        """Return the image under other UIDs, in the facts and in the header."""
        header = self.header
        header.SOPInstanceUID, header.SeriesInstanceUID, header.StudyInstanceUID = sop_uid, series_uid, study_uid
        return replace(self, sop_uid=sop_uid, series_uid=series_uid, study_uid=study_uid)


def seconds_of_day(value: object) -> float | None:
    """Convert a DICOM time (HHMMSS.F) to seconds after midnight; ``None`` if there is none."""
    match = _TIME.fullmatch(str(value or "").strip().replace(":", ""))
    if not match:
        return None
    hours, minutes, seconds, fraction = match.groups(default="0")
    return int(hours) * 3600.0 + int(minutes) * 60.0 + int(seconds) + float(fraction)


def acquisition_moment(header: pydicom.Dataset) -> str | None:
    """Return the acquisition as sortable digits YYYYMMDDHHMMSS.F, or ``None``."""
    pairs = (
        (str(header.get("AcquisitionDateTime") or ""), ""),
        (str(header.get("AcquisitionDate") or ""), str(header.get("AcquisitionTime") or "")),
        (str(header.get("StudyDate") or ""), str(header.get("StudyTime") or "")),
    )
    for date, time in pairs:
        digits = re.split(r"[+-]", (date + time).replace(":", "").replace(".", "", 0))[0].strip()
        if _MOMENT.fullmatch(digits):
            return digits
    return None


class _Reader:
    """Takes numbers from a header and remembers which attributes held none."""

    def __init__(self, header: pydicom.Dataset) -> None:
        self.header = header
        self.bad: list[str] = []

    def numbers(self, keyword: str, count: int) -> tuple[float, ...] | None:
        try:
            value = self.header.get(keyword)
            if value is None or value == "":
                return None
            if isinstance(value, str | bytes | int | float):
                value = [value]
            result = tuple(float(item) for item in value)
        except (ValueError, TypeError, OverflowError, ArithmeticError):
            self.bad.append(keyword)
            return None
        if not result:
            return None
        if len(result) < count or not all(map(math.isfinite, result)):
            self.bad.append(keyword)
            return None
        return result[:count]

    def number(self, keyword: str) -> float | None:
        values = self.numbers(keyword, 1)
        return None if values is None else values[0]

    def optional(self, keyword: str) -> float | None:
        """Read a number that only serves to cross-check another; a bad one counts as absent."""
        noted = len(self.bad)
        value = self.number(keyword)
        del self.bad[noted:]
        return value

    def integer(self, keyword: str) -> int | None:
        """Read a number that only helps to sort; a bad one counts as absent."""
        try:
            value = self.header.get(keyword)
            return None if value is None or value == "" else int(value)
        except (ValueError, TypeError, OverflowError):
            return None

    def array(self, keyword: str, count: int) -> NDArray[np.float64] | None:
        values = self.numbers(keyword, count)
        return None if values is None else np.asarray(values, dtype=np.float64)

    def words(self, keyword: str) -> tuple[str, ...]:
        value = self.header.get(keyword)
        if value is None or value == "":
            return ()
        items = [value] if isinstance(value, str) else list(value)
        return tuple(str(item).strip() for item in items)


def _code_meanings(header: pydicom.Dataset) -> str:
    items = header.get("SeriesDescriptionCodeSequence") or []
    return " ".join(folded(header_text(item, "CodeMeaning").text) for item in items)


def ct_image(parsed: ParsedFile) -> CtImage:
    """Take the facts of a CT image from its header.

    Parameters
    ----------
    parsed : ParsedFile
        A file with a header.

    Returns
    -------
    image : CtImage
    """
    header = parsed.header
    assert header is not None  # noqa: S101 - for the type checker
    read = _Reader(header)
    description, protocol = header_text(header, "SeriesDescription"), header_text(header, "ProtocolName")
    spacing = read.numbers("PixelSpacing", 2)
    moment = str(header.get("AcquisitionDateTime") or "")
    kernel = " ".join(read.words("ConvolutionKernel")) or None
    return CtImage(
        parsed=parsed,
        sop_uid=parsed.sop_uid,
        series_uid=parsed.series_uid,
        study_uid=str(header.get("StudyInstanceUID") or ""),
        frame_uid=str(header.get("FrameOfReferenceUID") or ""),
        series_number=read.integer("SeriesNumber"),
        instance_number=read.integer("InstanceNumber"),
        slice_location_mm=read.optional("SliceLocation"),
        acquisition_number=read.integer("AcquisitionNumber"),
        temporal_position=read.integer("TemporalPositionIdentifier"),
        acquisition_s=seconds_of_day(header.get("AcquisitionTime") or moment[8:]),
        content_s=seconds_of_day(header.get("ContentTime")),
        bolus_s=seconds_of_day(header.get("ContrastBolusStartTime")),
        contrast=bool(read.words("ContrastBolusAgent") or header.get("ContrastBolusStartTime")),
        image_type=tuple(word.upper() for word in read.words("ImageType")),
        kernel=kernel,
        position_mm=read.array("ImagePositionPatient", 3),
        orientation=read.array("ImageOrientationPatient", 6),
        spacing_mm=None if spacing is None else (spacing[0], spacing[1]),
        rows=read.integer("Rows"),
        columns=read.integer("Columns"),
        frames=read.integer("NumberOfFrames") or 1,
        thickness_mm=read.number("SliceThickness"),
        slope=read.number("RescaleSlope"),
        intercept=read.number("RescaleIntercept"),
        description=" ".join(filter(None, (folded(description.text), _code_meanings(header)))),
        protocol=folded(protocol.text),
        text_warning=description.warning or protocol.warning,
        bad_values=tuple(read.bad),
    )
