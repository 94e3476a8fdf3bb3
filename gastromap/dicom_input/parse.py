"""Read one file as far as the pixels and sort it: CT image, other DICOM object, foreign or damaged.

pydicom reads many things that are no DICOM without complaint, so success means a SOP class, a SOP Instance UID and a
series UID, not the absence of an exception. The limits here act on the file meta group and the header;
``child_process`` limits time and memory.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Literal

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import VR

from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.scan import ScannedFile, open_regular
from gastromap.dicom_input.values import text_of

__all__ = ["CT_IMAGE", "ENHANCED_CT", "FileKind", "ParsedFile", "PixelElement", "parse_file", "parse_short"]

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
_DICOMDIR = "1.2.840.10008.1.3.10"
_KINDS: dict[str, FileKind] = {
    CT_IMAGE: "ct",
    ENHANCED_CT[0]: "enhanced",
    ENHANCED_CT[1]: "enhanced",
    "1.2.840.10008.5.1.4.1.1.66.4": "seg",
    "1.2.840.10008.5.1.4.1.1.66.7": "seg",
    "1.2.840.10008.5.1.4.1.1.481.3": "rtstruct",
    "1.2.840.10008.5.1.4.1.1.88.59": "kos",
}
_DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.8.1")
_LONG_VRS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_PIXEL_TAGS = ((0x7FE0, 0x0010), (0x7FE0, 0x0008), (0x7FE0, 0x0009))
_UNDEFINED = 0xFFFFFFFF
#: A CT header has some 5 to 20 KiB.
SHORT_HEADER_BYTES = 64 * 1024
#: None: not written, in implicit VR.
_VRS = frozenset([None, *(str(vr) for vr in VR)])

#: What a file is; ``deflated`` and ``too_big`` are known from the file meta group alone.
FileKind = Literal[
    "ct", "enhanced", "seg", "rtstruct", "kos", "other", "foreign", "damaged", "deflated", "too_big", "directory"
]


@dataclass(frozen=True)
class PixelElement:
    """Where the pixels of a file lie."""

    offset: int  #: of the first byte of the value
    length: int  #: as written; 0xFFFFFFFF if encapsulated

    @property
    def encapsulated(self) -> bool:
        """Whether the value is a sequence of compressed fragments."""
        return self.length == _UNDEFINED


@dataclass(frozen=True)
class ParsedFile:
    """A file after sorting; ``header`` is there unless it is foreign, deflated, too big or unreadable."""

    file: ScannedFile
    kind: FileKind
    header: pydicom.Dataset | None = field(default=None, repr=False)
    sop_class: str = ""
    sop_uid: str = ""
    series_uid: str = ""
    transfer_syntax: str = ""
    pixels: PixelElement | None = None
    meta_differs: bool = False  #: whether the file meta group names another object than the data set
    reason: str = ""  #: of damage: ``empty``, ``nesting``, ``cut``, ``identifiers missing`` or an exception name


@dataclass(frozen=True)
class _Meta:
    transfer_syntax: str = ""
    sop_class: str = ""
    sop_uid: str = ""


def _file_meta(head: bytes, start: int) -> _Meta:
    """Read the file meta group by hand: pydicom would inflate a deflated data set on the way."""
    values: dict[int, bytes] = {}
    at = start
    while at + 8 <= len(head):
        group, element, vr, length = struct.unpack_from("<HH2sH", head, at)
        if group != 2:
            break
        at += 8
        if vr in _LONG_VRS:
            if at + 4 > len(head):
                break
            (length,) = struct.unpack_from("<I", head, at)
            at += 4
        values[element] = head[at : at + length]
        at += length
    text = {element: values.get(element, b"").decode("ascii", "replace").strip(" \x00") for element in (2, 3, 0x10)}
    return _Meta(transfer_syntax=text[0x10], sop_class=text[2], sop_uid=text[3])


def _looks_bare(head: bytes) -> bool:
    """Whether the file starts with group 0008, as a data set written without file meta does."""
    return len(head) >= 8 and head[:2] == b"\x08\x00" and head[3] < 0x20


def _pixel_element(stream: BinaryIO, *, big_endian: bool, implicit: bool) -> PixelElement | None:
    """Read tag and length of the pixel element, at which the header parser has stopped."""
    order = ">" if big_endian else "<"
    head = stream.read(8)
    if len(head) < 8 or struct.unpack(order + "HH", head[:4]) not in _PIXEL_TAGS:
        return None
    if implicit:
        (length,) = struct.unpack(order + "I", head[4:])
    else:
        tail = stream.read(4)
        if len(tail) < 4:
            return None
        (length,) = struct.unpack(order + "I", tail)
    return PixelElement(offset=stream.tell(), length=length)


def _is_cut(header: pydicom.Dataset, *, has_pixels: bool) -> bool:
    """Whether the file ended inside an element; the parser returns the stump without a word."""
    tags = list(header.keys())
    if has_pixels or not tags:
        return not tags
    element = header.get_item(tags[-1])
    value, length = getattr(element, "value", None), getattr(element, "length", None)
    return isinstance(value, bytes) and isinstance(length, int) and length != _UNDEFINED and len(value) < length


def _has_broken_element(header: pydicom.Dataset) -> bool:
    """Whether a standard element has no possible type, as behind a wrong length; private ones are never looked at."""
    # All types at once first: they are nearly always sound, and this runs for every file.
    if {element.VR for element in header.values()} <= _VRS:
        return False
    return any(
        isinstance(element, RawDataElement) and not element.tag.is_private and element.VR not in _VRS
        for element in header.values()
    )


def _read_header(stream: BinaryIO, meta: _Meta, *, bare: bool) -> tuple[pydicom.Dataset, PixelElement | None, str]:
    header = pydicom.dcmread(stream, stop_before_pixels=True, force=bare)
    implicit, little = header.original_encoding
    implicit, big = bool(implicit), little is False
    syntax = meta.transfer_syntax
    if not syntax:
        syntax = str(ImplicitVRLittleEndian if implicit else ExplicitVRBigEndian if big else ExplicitVRLittleEndian)
        header.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    return header, _pixel_element(stream, big_endian=big, implicit=implicit), syntax


class _LongHeaderError(Exception):
    """The header does not end within the bytes that may be parsed here."""


def _read_short_header(
    head: bytes, size: int, meta: _Meta, *, bare: bool
) -> tuple[pydicom.Dataset, PixelElement | None, str] | None:
    """Parse the first bytes of a file from memory; ``None`` if the header does not end there."""
    whole = len(head) >= size
    try:
        found = _read_header(io.BytesIO(head), meta, bare=bare)
    except Exception:
        # In the middle of an element the parser may find anything.
        if whole:
            raise
        return None
    return found if whole or found[1] is not None else None


def _parse_dicom(file: ScannedFile, *, preamble: bool, bare: bool, meta: _Meta, short_only: bool) -> ParsedFile:
    # Without the preamble pydicom takes the prefix itself for an element; the offsets shift by its length.
    shift = 0 if preamble or bare else 128
    with open_regular(file.path) as stream:
        head = bytes(shift) + stream.read(SHORT_HEADER_BYTES)
        found = _read_short_header(head, file.size + shift, meta, bare=bare)
        if found is None and short_only:
            raise _LongHeaderError
        if found is None:
            stream.seek(0)
            found = _read_header(stream if not shift else io.BytesIO(bytes(shift) + stream.read()), meta, bare=bare)
    header, pixels, syntax = found
    if pixels is not None and shift:
        pixels = PixelElement(pixels.offset - shift, pixels.length)
    sop_class, sop_uid = text_of(header, "SOPClassUID"), text_of(header, "SOPInstanceUID")
    parsed = ParsedFile(
        file=file,
        kind=_KINDS.get(sop_class, "other"),
        header=header,
        sop_class=sop_class,
        sop_uid=sop_uid,
        series_uid=text_of(header, "SeriesInstanceUID"),
        transfer_syntax=syntax,
        pixels=pixels,
        meta_differs=any(a and b and a != b for a, b in ((meta.sop_class, sop_class), (meta.sop_uid, sop_uid))),
    )
    if _has_broken_element(header):
        # Nothing may touch this header again: converting such an element raises.
        return _damaged(file, "elements without a type", replace(parsed, header=None), meta)
    if meta.sop_class == CT_IMAGE and sop_class not in ("", CT_IMAGE):
        # A file cut or overwritten inside the SOP class would otherwise pass for another kind of object.
        return _damaged(file, "SOP class against file meta", parsed, meta)
    if sop_class not in ("", CT_IMAGE):
        # A secondary capture without a series UID is bad DICOM, but it is no lost slice.
        return parsed
    cut = _is_cut(header, has_pixels=pixels is not None) or (pixels is None and "Rows" not in header)
    if cut or not (sop_class and sop_uid and parsed.series_uid):
        return _damaged(file, "cut" if cut else "identifiers missing", parsed, meta)
    return parsed


def _damaged(file: ScannedFile, reason: str, parsed: ParsedFile | None = None, meta: _Meta | None = None) -> ParsedFile:
    if parsed is None:
        return ParsedFile(file, "damaged", reason=reason)
    meta = meta or _Meta()
    return ParsedFile(
        file=file,
        kind="damaged",
        header=parsed.header,
        # Kept apart from the header: only a folder with derived UIDs may use what the file meta says.
        sop_class=parsed.sop_class or meta.sop_class,
        sop_uid=parsed.sop_uid or meta.sop_uid,
        series_uid=parsed.series_uid,
        transfer_syntax=parsed.transfer_syntax,
        pixels=parsed.pixels,
        reason=reason,
    )


def parse_short(file: ScannedFile, *, settings: GateSettings) -> ParsedFile | None:
    """Parse a file as :func:`parse_file` does if its header is short.

    Parameters
    ----------
    file : ScannedFile
    settings : GateSettings

    Returns
    -------
    parsed : ParsedFile or None
        None if more than ``SHORT_HEADER_BYTES`` would have to be parsed. What a short header can cost in time and
        memory is bounded by its length, whatever is in it.
    """
    try:
        return _sorted(file, settings, short_only=True)
    except _LongHeaderError:
        return None


def parse_file(file: ScannedFile, *, settings: GateSettings) -> ParsedFile:
    """Read a file up to its pixels and sort it.

    Parameters
    ----------
    file : ScannedFile
        A regular file of the input folder.
    settings : GateSettings
        For the limit on the size of a file.

    Returns
    -------
    parsed : ParsedFile
        Never raises for the content of a file: what cannot be read is ``damaged`` with a reason.
    """
    return _sorted(file, settings, short_only=False)


def _sorted(file: ScannedFile, settings: GateSettings, *, short_only: bool) -> ParsedFile:
    head = file.head
    preamble, prefix = head[128:132] == b"DICM", head[:4] == b"DICM"
    bare = not preamble and not prefix and _looks_bare(head)
    if not (preamble or prefix or bare):
        suspect = file.suffix in (".dcm", ".ima") or (file.size == 0 and not file.suffix)
        return (
            _damaged(file, "empty" if file.size == 0 else "no DICOM content")
            if suspect
            else ParsedFile(file, "foreign")
        )
    meta = _Meta() if bare else _file_meta(head, 132 if preamble else 4)
    if meta.sop_class == _DICOMDIR:
        return ParsedFile(file, "directory", sop_class=meta.sop_class)
    if meta.transfer_syntax in _DEFLATED:
        return ParsedFile(file, "deflated", sop_class=meta.sop_class, transfer_syntax=meta.transfer_syntax)
    if file.size > settings.max_file_bytes:
        kind: FileKind = "enhanced" if meta.sop_class in ENHANCED_CT else "too_big"
        return ParsedFile(file, kind, sop_class=meta.sop_class, transfer_syntax=meta.transfer_syntax)
    try:
        parsed = _parse_dicom(file, preamble=preamble, bare=bare, meta=meta, short_only=short_only)
    except RecursionError:
        return _damaged(file, "nesting")
    except (MemoryError, _LongHeaderError):
        # Memory is not the fault of this file alone; the process with the limit says so.
        raise
    except Exception as error:  # noqa: BLE001 - hostile input: any failure of the parser means this file, not the run
        return _damaged(file, type(error).__name__)
    if bare and parsed.kind == "damaged" and file.suffix not in (".dcm", ".ima") and not parsed.series_uid:
        # Two chance bytes at the start of an unrelated file must not stop a run.
        return ParsedFile(file, "foreign")
    return parsed
