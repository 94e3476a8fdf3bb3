"""Steps 8 and 9 of the gate: from stored values to a checked volume in Hounsfield units."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gastromap.dicom_input.decode import PixelError, check_format, has_fill_behind, is_lossy
from gastromap.dicom_input.image import CtImage
from gastromap.dicom_input.labels import quiet_pydicom
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.select import SelectedSeries
from gastromap.dicom_input.slice_hu import DecodedSlice, SlicePixelError, check_rescale, decode_slices
from gastromap.errors import Refusal
from gastromap.volume import CtVolume, SliceSource

__all__ = ["build_volume"]

_LOWEST_HU, _HIGHEST_HU = -4096.0, 32767.0


def _check_content(slices: Sequence[DecodedSlice], images: Sequence[CtImage], where: str) -> None:
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


def _pixel_refusal(selected: SelectedSeries, image: CtImage, reason: str) -> Refusal:
    file = image.parsed.file
    return Refusal(
        "PIXEL_DATA",
        where=selected.labels.file(file.index, file.content),
        expected=f"{(image.rows or 0) * (image.columns or 0) * 2} bytes of pixels",
        got=reason,
        remedy="Send the image again.",
    )


def _decode(selected: SelectedSeries, settings: GateSettings) -> tuple[NDArray[np.float32], list[DecodedSlice]]:
    try:
        return decode_slices(selected.images, settings=settings)
    except SlicePixelError as fault:
        raise _pixel_refusal(selected, selected.images[fault.index], fault.reason) from None


def _any_fill(selected: SelectedSeries) -> bool:
    fill = False
    for image in selected.images:
        try:
            fill |= has_fill_behind(image)
        except (PixelError, OSError) as fault:
            reason = str(fault) if isinstance(fault, PixelError) else type(fault).__name__
            raise _pixel_refusal(selected, image, reason) from None
    return fill


def _digest(selected: SelectedSeries, slices: Sequence[DecodedSlice]) -> str:
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
        warnings = [*selected.warnings, *check_rescale(images, where)]
        hu, slices = _decode(selected, settings)
        if any(is_lossy(image) for image in images):
            warnings.append("LOSSY")
        if _any_fill(selected):
            warnings.append("TRAILING_BYTES")
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
