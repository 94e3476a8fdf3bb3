"""Steps 8 and 9 of the gate: from stored values to a checked volume in Hounsfield units.

Slices are decoded in threads. Rescale is applied slice by slice in float32, which holds every 16-bit value exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gastromap.dicom_input.decode import PixelError, check_format, is_lossy, stored_values
from gastromap.dicom_input.image import CtImage
from gastromap.dicom_input.labels import quiet_pydicom
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.select import SelectedSeries
from gastromap.errors import Refusal
from gastromap.volume import CtVolume, SliceSource

__all__ = ["build_volume"]

_AIR_HU = -1024.0
_LOWEST_HU, _HIGHEST_HU = -4096.0, 32767.0
_ORIGINAL = "Send the original images."


@dataclass(frozen=True)
class _Slice:
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


def _as_stored(value: object, *, signed: bool) -> int:
    number = int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(str(value))
    # The attribute is written as US or SS without regard to the pixels: 63536 and -2000 are the same bits.
    number &= 0xFFFF
    return number - 0x10000 if signed and number >= 0x8000 else number


def _pixel_format(image: CtImage) -> _PixelFormat:
    header = image.header
    signed = int(header.PixelRepresentation) == 1
    try:
        first = _as_stored(header.get("PixelPaddingValue"), signed=signed)
    except (TypeError, ValueError):
        return _PixelFormat(signed, int(header.BitsStored), None)
    try:
        last = _as_stored(header.get("PixelPaddingRangeLimit"), signed=signed)
    except (TypeError, ValueError):
        last = first
    return _PixelFormat(signed, int(header.BitsStored), (min(first, last), max(first, last)))


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


def _fill_slice(image: CtImage, form: _PixelFormat, hu: NDArray[np.float32]) -> _Slice:
    """Decode one slice into its place in the volume."""
    raw = stored_values(image)
    values = _signed_values(raw, form)
    padding = _padding_mask(raw, form)
    np.multiply(values, np.float32(image.slope or 1.0), out=hu, casting="unsafe", dtype=np.float32)
    hu += np.float32(image.intercept or 0.0)
    constant = bool(values.min() == values.max())
    mapped = False
    if padding is not None:
        mapped = bool((hu[padding] != _AIR_HU).any())
        hu[padding] = _AIR_HU
    lowest, highest = float(hu.min()), float(hu.max())
    if lowest < _AIR_HU:
        mapped = True
        np.maximum(hu, np.float32(_AIR_HU), out=hu)
    return _Slice(
        pixel_sha256=hashlib.sha256(np.ascontiguousarray(values).data).hexdigest(),
        hu_sha256=hashlib.sha256(hu.data).digest(),
        lowest=lowest,
        highest=highest,
        constant=constant,
        mapped=mapped,
    )


def _check_rescale(images: Sequence[CtImage], where: str) -> list[str]:
    lacking = sum(image.slope is None or image.intercept is None or image.slope <= 0 for image in images)
    if lacking:
        raise Refusal(
            "RESCALE_MISSING",
            where=where,
            expected="RescaleSlope and RescaleIntercept",
            got=f"{lacking} images without",
            remedy=_ORIGINAL,
        )
    intercepts = {image.intercept for image in images}
    if len(intercepts) > 1:
        # A changed intercept is the mark of a lost offset; it shifts HU by a thousand.
        raise Refusal(
            "RESCALE_VARIES", where=where, expected="one RescaleIntercept", got=str(len(intercepts)), remedy=_ORIGINAL
        )
    return ["SLOPE_VARIES"] if len({image.slope for image in images}) > 1 else []


def _check_content(slices: Sequence[_Slice], images: Sequence[CtImage], where: str) -> None:
    constant = [index for index, item in enumerate(slices) if item.constant]
    if constant:
        position = images[constant[0]].position_mm
        z = 0.0 if position is None else float(position[2])
        raise Refusal(
            "CONSTANT_SLICE",
            where=where,
            expected="image content everywhere",
            got=f"{len(constant)} constant slices, first at z={z:g}",
            remedy="Send them again.",
        )
    lowest, highest = min(item.lowest for item in slices), max(item.highest for item in slices)
    if lowest < _LOWEST_HU or highest > _HIGHEST_HU:
        raise Refusal(
            "HU_RANGE",
            where=where,
            expected=f"HU in [{_LOWEST_HU:g}, {_HIGHEST_HU:g}] outside the padding",
            got=f"{lowest:g} to {highest:g}",
            remedy="Check the compression.",
        )


def _decode(selected: SelectedSeries, settings: GateSettings) -> tuple[NDArray[np.float32], list[_Slice]]:
    images = selected.images
    forms = [_pixel_format(image) for image in images]
    hu = np.empty((len(images), images[0].rows or 0, images[0].columns or 0), dtype=np.float32)

    def fill(index: int) -> _Slice:
        try:
            return _fill_slice(images[index], forms[index], hu[index])
        except PixelError as fault:
            file = images[index].parsed.file
            raise Refusal(
                "PIXEL_DATA",
                where=selected.labels.file(file.index, file.content),
                expected=f"{hu[index].size * 2} bytes of pixels",
                got=str(fault),
                remedy="Send the image again.",
            ) from None

    with ThreadPoolExecutor(max_workers=settings.decode_threads) as threads:
        return hu, list(threads.map(fill, range(len(images))))


def _digest(selected: SelectedSeries, slices: Sequence[_Slice]) -> str:
    digest = hashlib.sha256()
    # Hash of the slice hashes: the slices are hashed in the threads, the whole volume would be one thread's work.
    for item in slices:
        digest.update(item.hu_sha256)
    # Adding zero turns -0.0 into 0.0, which compares equal but has other bits.
    digest.update(np.ascontiguousarray(selected.geometry.affine_lps + 0.0, dtype="<f8").data)
    for image in selected.images:
        digest.update(image.sop_uid.encode("ascii", "replace") + b"\0")
    return digest.hexdigest()


def build_volume(selected: SelectedSeries, *, settings: GateSettings) -> CtVolume:
    """Decode the chosen series into Hounsfield units.

    Parameters
    ----------
    selected : SelectedSeries
        Its geometry has been checked.
    settings : GateSettings

    Returns
    -------
    volume : CtVolume
        ``hu`` and ``affine_lps`` are read-only.

    Raises
    ------
    Refusal
        ``BIT_DEPTH``, ``PHOTOMETRIC``, ``TRANSFER_SYNTAX``, ``PIXEL_DATA``, ``RESCALE_MISSING``, ``RESCALE_VARIES``,
        ``CONSTANT_SLICE``, ``HU_RANGE``.
    """
    images, where = selected.images, selected.where
    with quiet_pydicom():
        check_format(images, where=where)
        warnings = [*selected.warnings, *_check_rescale(images, where)]
        hu, slices = _decode(selected, settings)
        if any(is_lossy(image) for image in images):
            warnings.append("LOSSY")
    _check_content(slices, images, where)
    if any(item.mapped for item in slices):
        warnings.append("PADDING_MAPPED")
    # Every fourth voxel of every direction is enough for a percentile and sixty times faster.
    if float(np.percentile(hu[::4, ::4, ::4], 1)) > -700:
        warnings.append("NO_AIR")
    hu.setflags(write=False)
    return CtVolume(
        hu=hu,
        affine_lps=selected.geometry.affine_lps,
        sources=tuple(
            SliceSource(image.sop_uid, image.header, item.pixel_sha256)
            for image, item in zip(images, slices, strict=True)
        ),
        series=selected.record,
        role=selected.role,
        warnings=tuple(warnings),
        runners_up=selected.runners_up,
        digest=_digest(selected, slices),
    )
