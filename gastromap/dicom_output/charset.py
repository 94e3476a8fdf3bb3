"""Text of source headers: how it is read, and which character set a result object gets.

Names have to match the PACS byte for byte or, where the object changes to UTF-8, character for character. They are
never repaired: where a source declares no character set, its bytes are handed on as they are.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

__all__ = ["TextEncoding", "plan_encoding", "quiet_pydicom", "source_text", "strip_escapes"]

UTF8 = "ISO_IR 192"
#: Character sets that hold every Unicode character, so that our own text fits beside the names.
_COMPLETE = (UTF8, "GB18030")
#: ISO 2022 designations (PS3.3 C.12.1.1.2); pydicom 3.0 leaves some of them in decoded names.
_ESCAPE = re.compile(r"\x1b(?:\$[()]?|[()\-.])[@-Z]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class TextEncoding:
    """Character set of the result objects of one study.

    Attributes
    ----------
    charset : str or None
        Value of SpecificCharacterSet (0008,0005); ``None`` leaves the element out, because the source declares none
        or an unknown one and its bytes have to stay as they are.
    """

    charset: str | None

    def own(self, text: str) -> str:
        """Return our own text in a form that this character set can hold without loss of meaning."""
        return text if self.charset else text.encode("ascii", "backslashreplace").decode("ascii")


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from warning and logging: it quotes the offending value, and patient data must not reach a log."""
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def strip_escapes(text: str) -> str:
    """Remove ISO 2022 escape sequences that decoding has left in a text."""
    return _ESCAPE.sub("", text)


def _declared(header: pydicom.Dataset) -> tuple[str, ...]:
    value = header.get("SpecificCharacterSet")
    if value is None:
        return ()
    return tuple(str(part) for part in (value if isinstance(value, MultiValue | list | tuple) else [value]))


def _raw_bytes(header: pydicom.Dataset, keyword: str) -> bytes | None:
    tag = tag_for_keyword(keyword)
    item = header.get_item(tag) if tag is not None and tag in header else None
    if isinstance(item, RawDataElement):
        return item.value
    original = getattr(getattr(item, "value", None), "original_string", None)
    return original if isinstance(original, bytes) else None


def _decoded(header: pydicom.Dataset, keyword: str) -> str:
    raw = _raw_bytes(header, keyword)  # before the access below, which converts the raw element
    with quiet_pydicom():
        value = header.get(keyword)
    if value is None:
        return ""
    text = "\\".join(str(part) for part in value) if isinstance(value, MultiValue | list | tuple) else str(value)
    if _REPLACEMENT in text and raw is not None:
        return raw.decode("latin-1").rstrip(" \0")
    return strip_escapes(text)


def _is_known(charset: tuple[str, ...]) -> bool:
    from pydicom.charset import python_encoding

    # An empty first value stands for the default repertoire, but only where others follow.
    parts = charset[1:] if len(charset) > 1 and not charset[0] else charset
    return bool(parts) and all(part in python_encoding and part for part in parts)


def plan_encoding(header: pydicom.Dataset, keywords: tuple[str, ...]) -> TextEncoding:
    """Choose the character set of the result objects from the source header.

    Parameters
    ----------
    header : Dataset
        Source header; it is not changed.
    keywords : tuple of str
        Attributes that will be copied.

    Returns
    -------
    encoding : TextEncoding
        The declared set where it is complete, UTF-8 where the source can be decoded, else none.
    """
    declared = _declared(header)
    texts = [_decoded(header, keyword) for keyword in keywords]
    if _is_known(declared):
        if any(_REPLACEMENT in text for text in texts) or _undecodable(header, keywords):
            return TextEncoding(None)
        return TextEncoding(declared[0] if len(declared) == 1 and declared[0] in _COMPLETE else UTF8)
    if all(ord(character) < 128 for text in texts for character in text):
        return TextEncoding(UTF8)
    # Characters beyond Latin-1 cannot come from undeclared bytes: the header was built in memory as Unicode.
    return TextEncoding(None if all(ord(c) < 256 for text in texts for c in text) else UTF8)


def _undecodable(header: pydicom.Dataset, keywords: tuple[str, ...]) -> bool:
    with quiet_pydicom():
        return any(_REPLACEMENT in str(header.get(keyword, "")) for keyword in keywords)


def _number(text: str) -> str:
    try:
        float(text)
    except ValueError:
        # A number that is none, such as a height with a decimal comma: dropped, like a missing one.
        return ""
    return text


def source_text(header: pydicom.Dataset, keyword: str, *, encoding: TextEncoding | None = None) -> str:
    """Read one text attribute of a source header without escape sequences; empty where it is missing.

    Parameters
    ----------
    header : Dataset
        Source header; it is not changed.
    keyword : str
        DICOM keyword, for example ``PatientName``.
    encoding : TextEncoding, optional
        With no character set in it, the bytes come back as Latin-1, which writes them out unchanged.
    """
    tag = tag_for_keyword(keyword)
    if tag is not None and dictionary_VR(tag) == "DS":
        return _number(_decoded(header, keyword))
    if encoding is not None and encoding.charset is None:
        raw = _raw_bytes(header, keyword)
        if raw is not None:
            return raw.decode("latin-1").rstrip(" \0")
        value = header.get(keyword)
        if isinstance(value, PersonName) and isinstance(value.original_string, bytes):
            return value.original_string.decode("latin-1")
    return _decoded(header, keyword)
