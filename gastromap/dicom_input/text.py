"""Text of a header in its own character set, for comparing and matching only; nothing here is ever shown.

Chinese scanners write GBK bytes without declaring a character set, and ISO 2022 text keeps stray escape sequences
after decoding; both are repaired here, so that phase rules and the patient check see the words.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import pydicom
from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.dataelem import RawDataElement

from gastromap.dicom_input.values import element_of

__all__ = ["HeaderText", "folded", "header_text"]

_ESCAPE = re.compile(r"\x1b?\$?[()]?[)(][A-Z0-9](?=$|[^\x00-\x7f])|\x1b[$()\-.]*[A-Z0-9]")


@dataclass(frozen=True)
class HeaderText:
    """Decoded text and how far the decoding can be trusted."""

    text: str
    raw: bytes
    warning: str | None = None  #: ``CHARSET_UNDECLARED`` or ``CHARSET_UNKNOWN``


@lru_cache(maxsize=4096)
def folded(text: str) -> str:
    """Reduce text to a form in which width, case, underscores and spaces do not matter."""
    normal = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[\s_\-]+", " ", normal).strip()


def _raw_value(header: pydicom.Dataset, keyword: str) -> bytes:
    element = element_of(header, keyword)
    value = element.value if element is not None else None
    if isinstance(element, RawDataElement) and isinstance(value, bytes):
        return value
    if value is None:
        return b""
    # Already decoded by an earlier access or built in memory: it is text, hence safe to encode.
    original = getattr(value, "original_string", None)
    return original if isinstance(original, bytes) else str(value).encode("utf-8")


def _declared(charset: bytes) -> list[str]:
    terms = charset.decode("ascii", "replace")
    return [term.strip(" \x00") for term in re.split(r"\\|', '", terms.strip("[]'"))]


def header_text(header: pydicom.Dataset, keyword: str) -> HeaderText:
    """Decode one text attribute.

    Parameters
    ----------
    header : Dataset
        As read from the file, the attribute preferably not accessed before.
    keyword : str
        DICOM keyword of a text attribute.

    Returns
    -------
    text : HeaderText
        Empty text if the attribute is absent.
    """
    element = element_of(header, keyword)
    raw = _raw_value(header, keyword).strip(b" \x00")
    if raw.isascii() and b"\x1b" not in raw:
        return HeaderText(raw.decode("ascii"), raw)
    if element is not None and not isinstance(element, RawDataElement):
        return HeaderText(str(element.value), raw)
    return _decoded(raw, _raw_value(header, "SpecificCharacterSet"))


@lru_cache(maxsize=4096)
def _decoded(raw: bytes, charset: bytes) -> HeaderText:
    """Decode text that is not plain ASCII; the same in all files of a study, hence remembered."""
    terms = _declared(charset)
    if not any(terms):
        # The commonest undeclared set in practice; wrong guesses cannot invent a phase word by chance.
        return HeaderText(raw.decode("gb18030", "replace"), raw, "CHARSET_UNDECLARED")
    if any(term and term not in python_encoding for term in terms):
        return HeaderText(raw.decode("ascii", "ignore"), raw, "CHARSET_UNKNOWN")
    try:
        decoded = decode_bytes(raw, convert_encodings(terms), {0x0D, 0x0A, 0x09, 0x0C, 0x5C, 0x3D, 0x5E})
    except (UnicodeError, LookupError, ValueError):
        return HeaderText(raw.decode("ascii", "ignore"), raw, "CHARSET_UNKNOWN")
    return HeaderText(_ESCAPE.sub("", decoded), raw)
