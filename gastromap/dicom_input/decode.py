"""Stored pixel values of one image: exact for every transfer syntax on the allow-list, else refused by name.

Lengths are checked against the file before anything is decoded, because pydicom accepts an element that claims more
bytes than there are. Native pixels are read straight into an array; compressed ones go through pydicom's decoders in a
child process, because a decoder can abort on damaged data instead of raising.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gastromap.dicom_input.child_process import ChildFailedError, borrowed_child
from gastromap.dicom_input.image import CtImage
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.scan import open_regular
from gastromap.dicom_input.values import integer_of, text_of
from gastromap.errors import Refusal

__all__ = [
    "PixelError",
    "check_format",
    "decode_compressed",
    "has_fill_behind",
    "is_lossy",
    "stored_digest",
    "stored_values",
]

_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", _BIG_ENDIAN)
_LOSSLESS = (
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.4.57",  # JPEG lossless
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",  # JPEG-LS
    "1.2.840.10008.1.2.4.90",  # JPEG 2000
)
_LOSSY = ("1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91")
#: Syntaxes worth a word in the message; 12-bit JPEG has no decoder that could be trusted.
_NAMES = {
    "1.2.840.10008.1.2.4.50": "JPEG baseline",
    "1.2.840.10008.1.2.4.51": "JPEG extended",
    "1.2.840.10008.1.2.4.53": "JPEG spectral selection",
    "1.2.840.10008.1.2.4.55": "JPEG full progression",
}
_MOST_TAIL = 4096
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"


class PixelError(Exception):
    """The pixels of one file are missing, cut or cannot be decoded; the caller knows how to name the file."""


def is_lossy(image: CtImage) -> bool:
    """Whether the pixels were ever compressed with loss."""
    flag = text_of(image.header, "LossyImageCompression")
    return flag == "01" or image.parsed.transfer_syntax in _LOSSY


def _integer(image: CtImage, keyword: str) -> int:
    value = integer_of(image.header, keyword)
    return -1 if value is None else value


def check_format(images: Sequence[CtImage], *, where: str) -> None:
    """Refuse pixel formats that cannot hold Hounsfield units exactly.

    Parameters
    ----------
    images : sequence of CtImage
    where : str
        Role and series label for messages.

    Raises
    ------
    Refusal
        ``BIT_DEPTH``, ``PHOTOMETRIC``, ``TRANSFER_SYNTAX``.
    """
    for image in images:
        stored, allocated = _integer(image, "BitsStored"), _integer(image, "BitsAllocated")
        if allocated != 16 or not 12 <= stored <= 16 or _integer(image, "HighBit") != stored - 1:
            raise Refusal(
                "BIT_DEPTH",
                where=where,
                expected=">= 12 stored bits in 16",
                got=f"{stored} in {allocated}",
                remedy="Send the original images.",
            )
        if _integer(image, "PixelRepresentation") not in (0, 1):
            raise Refusal(
                "BIT_DEPTH",
                where=where,
                expected="PixelRepresentation 0 or 1",
                got="another value",
                remedy="Send the original images.",
            )
        photometric = text_of(image.header, "PhotometricInterpretation")
        if photometric != "MONOCHROME2" or _integer(image, "SamplesPerPixel") != 1:
            known = photometric if photometric in ("MONOCHROME1", "RGB", "PALETTE COLOR", "YBR_FULL") else "another one"
            raise Refusal(
                "PHOTOMETRIC", where=where, expected="MONOCHROME2", got=known, remedy="Send the original images."
            )
        syntax = image.parsed.transfer_syntax
        if syntax not in (*_NATIVE, *_LOSSLESS, *_LOSSY):
            raise Refusal(
                "TRANSFER_SYNTAX",
                where=where,
                expected="a supported transfer syntax",
                got=_NAMES.get(syntax, "another one"),
                remedy="Recode it (dcmconv, gdcmconv).",
            )


def _native(image: CtImage) -> NDArray[np.uint16]:
    pixels, size = image.parsed.pixels, image.parsed.file.size
    rows, columns = image.rows or 0, image.columns or 0
    expected = rows * columns * 2
    if pixels is None:
        msg = "missing"
        raise PixelError(msg)
    if pixels.encapsulated or pixels.offset + pixels.length > size:
        msg = "longer than the file"
        raise PixelError(msg)
    if pixels.length != expected:
        msg = f"{pixels.length}"
        raise PixelError(msg)
    values: NDArray[np.uint16] = np.empty((rows, columns), dtype=">u2" if _is_big(image) else "<u2")
    with open_regular(image.parsed.file.path) as stream:
        stream.seek(pixels.offset)
        if stream.readinto(values.data) != expected:  # type: ignore[attr-defined]
            msg = "shorter"
            raise PixelError(msg)
    return values.astype("<u2", copy=False)


def _is_big(image: CtImage) -> bool:
    return image.parsed.transfer_syntax == _BIG_ENDIAN


def _check_fragments(value: bytes) -> None:
    """Walk the items of an encapsulated value; a file cut in the pixels lacks the end."""
    at = 0
    while value[at : at + 4] == _ITEM and at + 8 <= len(value):
        (length,) = struct.unpack_from("<I", value, at + 4)
        at += 8 + length
    if value[at : at + 4] != _END:
        msg = "shorter"
        raise PixelError(msg)


def decode_compressed(image: CtImage) -> NDArray[np.uint16]:
    """Decode compressed pixels in this process, which a damaged file can abort.

    Parameters
    ----------
    image : CtImage

    Returns
    -------
    values : array, shape (rows, columns), uint16

    Raises
    ------
    PixelError
    """
    pixels = image.parsed.pixels
    if pixels is None:
        msg = "missing"
        raise PixelError(msg)
    if not pixels.encapsulated:
        msg = "pixels that are not encapsulated"
        raise PixelError(msg)
    with open_regular(image.parsed.file.path) as stream:
        content = stream.read()
    _check_fragments(content[pixels.offset :])
    if content[:4] == b"DICM":
        content = bytes(128) + content
    # Imported here: it loads all decoder plug-ins, which native pixels do not need.
    from pydicom.pixels import pixel_array

    try:
        values = pixel_array(io.BytesIO(content))
    except Exception as error:  # noqa: BLE001 - decoders raise anything on damaged input; it means this file
        msg = f"pixels that cannot be decoded ({type(error).__name__})"
        raise PixelError(msg) from None
    if values.shape != (image.rows, image.columns) or values.dtype.itemsize != 2:
        msg = "pixels of another size"
        raise PixelError(msg)
    return values.astype(values.dtype.newbyteorder("<"), copy=False).view("<u2")


def has_fill_behind(image: CtImage) -> bool:
    """Say whether zeros follow the pixels; bytes that were inserted before would have pushed them there.

    Parameters
    ----------
    image : CtImage

    Returns
    -------
    fill : bool
        False if nothing follows, or an element of a later group.

    Raises
    ------
    PixelError
        If what follows is neither: the pixels have slipped.
    """
    pixels, size = image.parsed.pixels, image.parsed.file.size
    if pixels is None or pixels.encapsulated or pixels.offset + pixels.length >= size:
        return False
    with open_regular(image.parsed.file.path) as stream:
        stream.seek(pixels.offset + pixels.length)
        tail = stream.read(_MOST_TAIL)
    if not tail.strip(b"\0"):
        return True
    group, element = struct.unpack(">HH" if _is_big(image) else "<HH", tail[:4].ljust(4, b"\0"))
    if (group, element) <= (0x7FE0, 0x0010):
        msg = "more behind them that is no element"
        raise PixelError(msg)
    return False


def _decoded_by_child(image: CtImage, settings: GateSettings) -> NDArray[np.uint16]:
    file = image.parsed.file
    try:
        with borrowed_child() as child:
            child.ask({"decode": (file.path, file.size)}, settings=settings)
            kind, _, rest = child.line().partition(" ")
            content = child.content(int(rest)) if kind == "pixels" else b""
    except ChildFailedError as failure:
        msg = f"pixels that cannot be decoded ({failure.reason})"
        raise PixelError(msg) from None
    if kind != "pixels" or len(content) != 2 * (image.rows or 0) * (image.columns or 0):
        raise PixelError(rest if kind == "fault" else "pixels of another size")
    return np.frombuffer(content, "<u2").reshape(image.rows or 0, image.columns or 0)


def stored_values(image: CtImage, *, settings: GateSettings) -> NDArray[np.uint16]:
    """Read and decode the pixels of an image.

    Parameters
    ----------
    image : CtImage
        That passed ``check_format``.
    settings : GateSettings
        Says whether compressed pixels are decoded in a child process, and its limits.

    Returns
    -------
    values : array, shape (rows, columns), uint16
        The 16 allocated bits as they are; sign and unused bits are the caller's.

    Raises
    ------
    PixelError
    """
    try:
        if image.parsed.transfer_syntax in _NATIVE:
            return _native(image)
        return _decoded_by_child(image, settings) if settings.parse_in_child else decode_compressed(image)
    except OSError as error:
        raise PixelError(type(error).__name__) from None


def stored_digest(image: CtImage, *, settings: GateSettings) -> str:
    """Return the hash of the stored values, equal for all lossless transfer syntaxes.

    Parameters
    ----------
    image : CtImage
    settings : GateSettings

    Returns
    -------
    digest : str
        If the pixels cannot be read, a value that equals no other.
    """
    try:
        return hashlib.sha256(np.ascontiguousarray(stored_values(image, settings=settings)).data).hexdigest()
    except PixelError:
        return f"unreadable {image.parsed.file.content.hex()}"
