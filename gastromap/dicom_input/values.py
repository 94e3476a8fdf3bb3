"""Values of a header as they stand in the file.

pydicom turns an element into an object on first access, which takes as long as parsing the file. The gate needs some
forty values of each file, most of them the same in all files of a series, so they are read from the bytes and
remembered.
"""

from __future__ import annotations

import struct
from functools import lru_cache

import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag

__all__ = ["element_of", "integer_of", "numbers_of", "text_of"]

#: struct codes of the value representations that are not text (PS3.5, table 6.2-1).
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "US or SS": "H"}


@lru_cache(maxsize=256)
def _tag(keyword: str) -> BaseTag:
    number = tag_for_keyword(keyword)
    assert number is not None, keyword  # noqa: S101 - a keyword misspelt in this package
    return Tag(number)


@lru_cache(maxsize=256)
def _known_vr(tag: BaseTag) -> str:
    return dictionary_VR(tag)


@lru_cache(maxsize=65536)
def _decoded(value: bytes, code: str) -> tuple[float, ...]:
    """Numbers of a value; ``code`` is a struct code with its byte order, or empty for text."""
    if code:
        return tuple(map(float, struct.unpack(f"{code[0]}{len(value) // struct.calcsize(code)}{code[1]}", value)))
    text = value.decode("ascii").strip(" \0")
    return tuple(float(part) for part in text.split("\\")) if text else ()


def element_of(header: pydicom.Dataset, keyword: str) -> pydicom.DataElement | RawDataElement | None:
    """Return an element unconverted; ``None`` if it is absent."""
    element = header.get_item(_tag(keyword), keep_deferred=True)
    assert not isinstance(element, pydicom.Dataset)  # noqa: S101 - only a slice of tags gives one
    return element


def numbers_of(header: pydicom.Dataset, keyword: str) -> tuple[float, ...]:
    """Read the numbers of an element.

    Parameters
    ----------
    header : Dataset
    keyword : str

    Returns
    -------
    numbers : tuple of float
        Empty if the element is absent or empty; NaN and infinity as written.

    Raises
    ------
    ValueError
        The element holds no numbers.
    """
    element = element_of(header, keyword)
    value = None if element is None else element.value
    if value is None or value == b"" or value == "":
        return ()
    if isinstance(element, RawDataElement) and isinstance(value, bytes):
        vr = element.VR if element.VR not in (None, "UN") else _known_vr(_tag(keyword))
        code = _BINARY.get(str(vr), "")
        try:
            return _decoded(value, ("<" if element.is_little_endian else ">") + code if code else "")
        except struct.error as error:
            raise ValueError(keyword) from error
    items = [value] if isinstance(value, str | bytes | int | float) else value
    try:
        return tuple(float(item) for item in items)
    except (TypeError, OverflowError) as error:
        raise ValueError(keyword) from error


def integer_of(header: pydicom.Dataset, keyword: str) -> int | None:
    """Read one whole number; ``None`` if the element is absent or holds none."""
    try:
        numbers = numbers_of(header, keyword)
        return int(numbers[0]) if len(numbers) == 1 and numbers[0] == int(numbers[0]) else None
    except (ValueError, OverflowError):
        return None


def text_of(header: pydicom.Dataset, keyword: str) -> str:
    r"""Read text of the default character set (UIDs, codes, dates, times); several values stay joined by ``\``.

    Parameters
    ----------
    header : Dataset
    keyword : str

    Returns
    -------
    text : str
        Without padding; empty if the element is absent.
    """
    element = element_of(header, keyword)
    value = None if element is None else element.value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("latin-1").strip(" \0")
    if isinstance(value, str):
        return value.strip(" \0")
    return "\\".join(str(item) for item in value) if hasattr(value, "__iter__") else str(value)
