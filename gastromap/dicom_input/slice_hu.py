"""Hounsfield units of single slices: rescale, padding and unused bits, in threads.

Rescale is applied slice by slice in float32, which holds every 16-bit value exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gastromap.dicom_input.decode import PixelError, check_format, stored_values
from gastromap.dicom_input.image import CtImage
from gastromap.dicom_input.labels import quiet_pydicom
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.values import integer_of, text_of
from gastromap.errors import Refusal

__all__ = ["DecodedSlice", "SlicePixelError", "check_rescale", "decode_slices", "preview_hu"]

_AIR_HU = -1024.0
_MOST_INT16 = 32767.0


@dataclass(frozen=True)
class DecodedSlice:
    """What the check of one decoded slice found."""

    pixel_sha256: str
    hu_sha256: bytes
    lowest: float  #: HU outside the padding
    highest: float
    constant: bool
    mapped: bool  #: padding or values under -1024 were changed


@dataclass(frozen=True)
class _PixelFormat:
    """Header values that say how to read the 16 bits, taken before the threads start."""

    signed: bool
    stored_bits: int
    padding: tuple[int, int] | None  #: lowest and highest padding value, as stored


def _as_stored(value: int, *, signed: bool) -> int:
    # The attribute is written as US or SS without regard to the pixels: 63536 and -2000 are the same bits.
    value &= 0xFFFF
    return value - 0x10000 if signed and value >= 0x8000 else value


def _pixel_format(image: CtImage) -> _PixelFormat:
    header = image.header
    signed = integer_of(header, "PixelRepresentation") == 1
    stored_bits = integer_of(header, "BitsStored") or 16
    value = integer_of(header, "PixelPaddingValue")
    if value is None:
        return _PixelFormat(signed, stored_bits, None)
    first = _as_stored(value, signed=signed)
    limit = integer_of(header, "PixelPaddingRangeLimit")
    last = first if limit is None else _as_stored(limit, signed=signed)
    return _PixelFormat(signed, stored_bits, (min(first, last), max(first, last)))


def _signed_values(raw: NDArray[np.uint16], form: _PixelFormat) -> NDArray[np.integer]:
    """Drop the unused high bits, which may hold an overlay."""
    unused = 16 - form.stored_bits
    if form.signed:
        values = raw.view(np.int16)
        return values if not unused else np.right_shift(np.left_shift(values, unused), unused)
    return raw if not unused else np.bitwise_and(raw, np.uint16((1 << form.stored_bits) - 1))


def _padding_mask(raw: NDArray[np.uint16], form: _PixelFormat) -> NDArray[np.bool_] | None:
    if form.padding is None:
        return None
    # Compared before the unused bits go: 12-bit images are padded with values outside the 12 bits.
    whole = raw.view(np.int16) if form.signed else raw
    low, high = form.padding
    mask: NDArray[np.bool_] = (whole == low) if low == high else (whole >= low) & (whole <= high)
    return mask if mask.any() else None


def _fill_slice(image: CtImage, form: _PixelFormat, hu: NDArray[np.float32], settings: GateSettings) -> DecodedSlice:
    """Decode one slice into its place in the volume."""
    raw = stored_values(image, settings=settings)
    values = _signed_values(raw, form)
    padding = _padding_mask(raw, form)
    slope, intercept = image.slope or 1.0, image.intercept or 0.0
    if slope == 1:
        np.add(values, np.float32(intercept), out=hu, casting="unsafe", dtype=np.float32)
    else:
        np.multiply(values, np.float32(slope), out=hu, casting="unsafe", dtype=np.float32)
        hu += np.float32(intercept)
    lowest, highest = float(hu.min()), float(hu.max())
    constant = lowest == highest
    mapped = False
    if padding is not None:
        mapped = bool((hu[padding] != _AIR_HU).any())
        hu[padding] = _AIR_HU
        lowest, highest = float(hu.min()), float(hu.max())
    if lowest < _AIR_HU:
        mapped = True
        np.maximum(hu, np.float32(_AIR_HU), out=hu)
    return DecodedSlice(
        pixel_sha256=hashlib.sha256(np.ascontiguousarray(values).data).hexdigest(),
        hu_sha256=_hu_digest(hu, whole=slope.is_integer() and intercept.is_integer() and highest <= _MOST_INT16),
        lowest=lowest,
        highest=highest,
        constant=constant,
        mapped=mapped,
    )


def _hu_digest(hu: NDArray[np.float32], *, whole: bool) -> bytes:
    """SHA-256 of the values of a slice; whole ones as 16 bits, which is half the work for the same information."""
    return hashlib.sha256(hu.astype("<i2").data if whole else hu.astype("<f4", copy=False).data).digest()


def check_rescale(images: Sequence[CtImage], where: str) -> list[str]:
    """Refuse images without one positive slope and one intercept; return warning codes.

    Parameters
    ----------
    images : sequence of CtImage
    where : str
        Role and series label for messages.

    Raises
    ------
    Refusal
        ``RESCALE_MISSING``, ``RESCALE_VARIES``.
    """
    lacking = sum(image.slope is None or image.intercept is None or image.slope <= 0 for image in images)
    if lacking:
        raise Refusal(
            "RESCALE_MISSING",
            where=where,
            expected="RescaleSlope and RescaleIntercept",
            got=f"{lacking} images without",
            remedy="Send the original images.",
        )
    types = {(text_of(image.header, "RescaleType") or "HU").upper() for image in images}
    if types - {"HU", "US"}:
        # Electron density, effective atomic number and modified units look like CT and are not Hounsfield units.
        raise Refusal(
            "RESCALE_MISSING",
            where=where,
            expected="Rescale Type HU",
            got="another unit",
            remedy="Send the series in Hounsfield units.",
        )
    intercepts = {image.intercept for image in images}
    if len(intercepts) > 1:
        # A changed intercept is the mark of a lost offset; it shifts HU by a thousand.
        raise Refusal(
            "RESCALE_VARIES",
            where=where,
            expected="one RescaleIntercept",
            got=str(len(intercepts)),
            remedy="Send the original images.",
        )
    warnings = ["RESCALE_TYPE"] if "US" in types else []
    return [*warnings, "SLOPE_VARIES"] if len({image.slope for image in images}) > 1 else warnings


class SlicePixelError(Exception):
    """The pixels of one slice cannot be had."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason


def decode_slices(
    images: Sequence[CtImage], *, settings: GateSettings
) -> tuple[NDArray[np.float32], list[DecodedSlice]]:
    """Decode slices of one size.

    Parameters
    ----------
    images : sequence of CtImage
        That passed ``check_format`` and :func:`check_rescale`.
    settings : GateSettings

    Returns
    -------
    hu : array, shape (slices, rows, columns), float32
    slices : list of DecodedSlice

    Raises
    ------
    SlicePixelError
    """
    forms = [_pixel_format(image) for image in images]
    hu = np.empty((len(images), images[0].rows or 0, images[0].columns or 0), dtype=np.float32)

    def fill(index: int) -> DecodedSlice:
        try:
            return _fill_slice(images[index], forms[index], hu[index], settings)
        except PixelError as fault:
            raise SlicePixelError(index, str(fault)) from None

    with ThreadPoolExecutor(max_workers=settings.decode_threads) as pool:
        return hu, list(pool.map(fill, range(len(images))))


def preview_hu(images: Sequence[CtImage], *, settings: GateSettings, where: str) -> NDArray[np.float32] | None:
    """Decode slices to look at them, not to compute a result with them.

    Parameters
    ----------
    images : sequence of CtImage
        Of one size.
    settings : GateSettings
    where : str
        Role and series label for messages.

    Returns
    -------
    hu : array, shape (slices, rows, columns), or None
        None if a slice cannot be read; whether that refuses the run is decided if the series is chosen.
    """
    try:
        with quiet_pydicom():
            check_format(images, where=where)
            check_rescale(images, where)
            return decode_slices(images, settings=settings)[0]
    except (Refusal, SlicePixelError):
        return None
