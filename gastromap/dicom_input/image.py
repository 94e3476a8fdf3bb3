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
from gastromap.dicom_input.values import integer_of, numbers_of, text_of

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
        (text_of(header, "AcquisitionDateTime"), ""),
        (text_of(header, "AcquisitionDate"), text_of(header, "AcquisitionTime")),
        (text_of(header, "StudyDate"), text_of(header, "StudyTime")),
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
            result = numbers_of(self.header, keyword)
        except ValueError:
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
        return integer_of(self.header, keyword)

    def array(self, keyword: str, count: int) -> NDArray[np.float64] | None:
        values = self.numbers(keyword, count)
        return None if values is None else np.asarray(values, dtype=np.float64)

    def words(self, keyword: str) -> tuple[str, ...]:
        text = text_of(self.header, keyword)
        return tuple(item.strip() for item in text.split("\\")) if text else ()


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
    moment = text_of(header, "AcquisitionDateTime")
    kernel = " ".join(read.words("ConvolutionKernel")) or None
    return CtImage(
        parsed=parsed,
        sop_uid=parsed.sop_uid,
        series_uid=parsed.series_uid,
        study_uid=text_of(header, "StudyInstanceUID"),
        frame_uid=text_of(header, "FrameOfReferenceUID"),
        series_number=read.integer("SeriesNumber"),
        instance_number=read.integer("InstanceNumber"),
        slice_location_mm=read.optional("SliceLocation"),
        acquisition_number=read.integer("AcquisitionNumber"),
        temporal_position=read.integer("TemporalPositionIdentifier"),
        acquisition_s=seconds_of_day(text_of(header, "AcquisitionTime") or moment[8:]),
        content_s=seconds_of_day(text_of(header, "ContentTime")),
        bolus_s=seconds_of_day(text_of(header, "ContrastBolusStartTime")),
        contrast=bool(read.words("ContrastBolusAgent") or text_of(header, "ContrastBolusStartTime")),
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
