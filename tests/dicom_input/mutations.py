"""Ways in which files and series get damaged or are made hostile; each changes the bytes of a few files of a series."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import pydicom
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import Tag

Files = list[bytes]
Mutation = Callable[[np.random.Generator, Files], Files]
MUTATIONS: dict[str, Mutation] = {}

_PIXEL_DATA = 0x7FE00010
_NUMBERS = (
    "0",
    "-1",
    "1e308",
    "-1e308",
    "nan",
    "inf",
    "1e-30",
    "",
    "x",
    "1\\2",
    "1\\2\\3\\4\\5\\6\\7",
    "9" * 40,
    "0,5",
    "\x00",
    "é",
)
_UIDS = ("", "1", "1.2.840.10008.5.1.4.1.1.7", "../../etc", "1." * 40 + "1", "1.2.3\x00.4", "1.2.840.10008.1.2.1", "x")
_TEXTS = (
    "",
    "ORIGINAL",
    "DERIVED\\SECONDARY",
    "A" * 3000,
    "\\\\\\",
    "LOCALIZER",
    "RGB",
    "01",
    "\x1b$)A\xff",
    "HU",
    "US",
    "ED",
)
_BINARY_NUMBERS = (0, 1, 2, 7, 8, 11, 12, 15, 16, 17, 32, 255, 256, 512, 32767, 32768, 65535)


def mutation(function: Mutation) -> Mutation:
    MUTATIONS[function.__name__.strip("_")] = function
    return function


def _choose(rng: np.random.Generator, files: Files) -> int:
    return int(rng.integers(len(files)))


def header_length(content: bytes) -> int:
    """Bytes before the value of the pixels; the whole file if there are none."""
    at = content.find(struct.pack("<HH", 0x7FE0, 0x0010))
    return len(content) if at < 0 else at + (12 if content[at + 4 : at + 6] in (b"OW", b"OB") else 8)


def _changed(files: Files, index: int, content: bytes) -> Files:
    return [content if number == index else old for number, old in enumerate(files)]


@mutation
def _flip_bytes_of_the_header(rng: np.random.Generator, files: Files) -> Files:
    index = _choose(rng, files)
    content = bytearray(files[index])
    for _ in range(int(rng.integers(1, 5))):
        content[int(rng.integers(header_length(files[index])))] = int(rng.integers(256))
    return _changed(files, index, bytes(content))


@mutation
def _flip_one_bit_of_the_header(rng: np.random.Generator, files: Files) -> Files:
    index = _choose(rng, files)
    content = bytearray(files[index])
    content[int(rng.integers(128, header_length(files[index])))] ^= 1 << int(rng.integers(8))
    return _changed(files, index, bytes(content))


@mutation
def _flip_one_bit_in_several_files(rng: np.random.Generator, files: Files) -> Files:
    at, bit = int(rng.integers(128, header_length(files[0]))), 1 << int(rng.integers(8))
    count = int(rng.integers(2, len(files)))
    for index in rng.choice(len(files), count, replace=False):
        content = bytearray(files[index])
        content[min(at, len(content) - 1)] ^= bit
        files = _changed(files, int(index), bytes(content))
    return files


@mutation
def _truncate(rng: np.random.Generator, files: Files) -> Files:
    index = _choose(rng, files)
    return _changed(files, index, files[index][: int(rng.integers(len(files[index])))])


@mutation
def _cut_out_or_repeat_a_block(rng: np.random.Generator, files: Files) -> Files:
    index = _choose(rng, files)
    content = files[index]
    start = int(rng.integers(header_length(content)))
    end = start + int(rng.integers(1, 64))
    middle = b"" if rng.random() < 0.5 else content[start:end] * 2
    return _changed(files, index, content[:start] + middle + content[end:])


@mutation
def _overwrite_a_block(rng: np.random.Generator, files: Files) -> Files:
    index = _choose(rng, files)
    content = files[index]
    start = int(rng.integers(header_length(content)))
    count = int(rng.integers(1, max(2, min(200, header_length(content) - start))))
    block = bytes(count) if rng.random() < 0.5 else rng.bytes(count)
    return _changed(files, index, content[:start] + block + content[start + count :])


@mutation
def _join_two_files(rng: np.random.Generator, files: Files) -> Files:
    index, other = _choose(rng, files), _choose(rng, files)
    return _changed(files, index, files[index] + files[other])


@mutation
def _replace_by_noise(rng: np.random.Generator, files: Files) -> Files:
    index = _choose(rng, files)
    return _changed(files, index, files[index][: int(rng.integers(140))] + rng.bytes(int(rng.integers(4000))))


# --- elements -------------------------------------------------------------------------------------------------------
def _parsed(content: bytes) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(content))


def _written(item: pydicom.FileDataset) -> bytes:
    stream = io.BytesIO()
    item.save_as(stream, enforce_file_format=False)
    return stream.getvalue()


def _tags(item: pydicom.Dataset) -> list[int]:
    return list(map(int, item.keys()))


def _victims(rng: np.random.Generator, files: Files) -> list[int]:
    """One file, several, or all but one: what is alike in all is not damage."""
    count = int(rng.choice([1, 1, 2, len(files) // 2, len(files) - 1]))
    return [int(index) for index in rng.choice(len(files), count, replace=False)]


@mutation
def _delete_a_tag(rng: np.random.Generator, files: Files) -> Files:
    tag = int(rng.choice(_tags(_parsed(files[0]))))
    victims = list(range(len(files))) if rng.random() < 0.3 else _victims(rng, files)
    for index in victims:
        item = _parsed(files[index])
        if tag in item:
            del item[tag]
        files = _changed(files, index, _written(item))
    return files


def _set(item: pydicom.Dataset, tag: int, vr: str, value: bytes) -> None:
    value += (b"\0" if vr in ("UI", "OB", "UN") else b" ") * (len(value) % 2)
    raw = RawDataElement(Tag(tag), vr, len(value), value, 0, item.original_encoding[0], True)
    item._dict[Tag(tag)] = raw


def _odd_value(rng: np.random.Generator, vr: str) -> bytes:
    if vr in ("US", "SS"):
        return struct.pack("<H", int(rng.choice(_BINARY_NUMBERS)))
    choices = _UIDS if vr == "UI" else _NUMBERS if vr in ("DS", "IS", "DA", "TM") else (*_TEXTS, *_NUMBERS)
    return str(rng.choice(np.array(choices, dtype=object))).encode("utf-8", "surrogateescape")


@mutation
def _set_an_odd_value(rng: np.random.Generator, files: Files) -> Files:
    first = _parsed(files[0])
    tag = int(rng.choice([tag for tag in _tags(first) if tag != _PIXEL_DATA]))
    vr = first[tag].VR
    if vr == "SQ":
        return _delete_a_tag(rng, files)
    value = _odd_value(rng, vr)
    for index in _victims(rng, files):
        item = _parsed(files[index])
        _set(item, tag, vr, value)
        files = _changed(files, index, _written(item))
    return files


@mutation
def _exchange_values_between_files(rng: np.random.Generator, files: Files) -> Files:
    one, other = (int(index) for index in rng.choice(len(files), 2, replace=False))
    first, second = _parsed(files[one]), _parsed(files[other])
    tag = int(rng.choice([tag for tag in _tags(first) if tag in second and tag != _PIXEL_DATA]))
    first[tag], second[tag] = second[tag], first[tag]
    return _changed(_changed(files, one, _written(first)), other, _written(second))


@mutation
def _exchange_values_within_files(rng: np.random.Generator, files: Files) -> Files:
    item = _parsed(files[0])
    groups: dict[str, list[int]] = {}
    for tag in _tags(item):
        groups.setdefault(item[tag].VR, []).append(tag)
    pairs = [tags for vr, tags in groups.items() if len(tags) > 1 and vr not in ("OW", "OB", "SQ")]
    one, other = (int(tag) for tag in rng.choice(pairs[int(rng.integers(len(pairs)))], 2, replace=False))
    for index in _victims(rng, files):
        item = _parsed(files[index])
        if one not in item or other not in item:
            continue
        first, second = item[one].value, item[other].value
        item[one] = DataElement(one, item[one].VR, second, already_converted=True)
        item[other] = DataElement(other, item[other].VR, first, already_converted=True)
        files = _changed(files, index, _written(item))
    return files


@mutation
def _change_the_length_of_an_element(rng: np.random.Generator, files: Files) -> Files:
    index = _choose(rng, files)
    content = files[index]
    item = _parsed(content)
    tag = int(rng.choice(_tags(item)))
    at = content.find(struct.pack("<HH", tag >> 16, tag & 0xFFFF), 132)
    if at < 0:
        return _truncate(rng, files)
    explicit = content[at + 4 : at + 6].isalpha()
    length = int(rng.choice([0, 1, 2, 7, 255, 65535, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]))
    if explicit and content[at + 4 : at + 6] not in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
        field, place = struct.pack("<H", length & 0xFFFF), at + 6
    else:
        field, place = struct.pack("<I", length), at + (8 if explicit else 4)
    return _changed(files, index, content[:place] + field + content[place + len(field) :])


# --- series ---------------------------------------------------------------------------------------------------------
@mutation
def _drop_files(rng: np.random.Generator, files: Files) -> Files:
    # A lost last slice leaves no trace: numbering that stops one earlier is as good.
    kept = {15, len(files) - 1}
    candidates = [index for index in range(len(files)) if index not in kept]
    gone = {int(index) for index in rng.choice(candidates, int(rng.integers(1, 4)), replace=False)}
    return [content for index, content in enumerate(files) if index not in gone]


@mutation
def _add_a_changed_copy(rng: np.random.Generator, files: Files) -> Files:
    source = files[_choose(rng, files)]
    (copy,) = MUTATIONS[str(rng.choice(["flip_one_bit_of_the_header", "set_an_odd_value_in_one"]))](rng, [source])
    return [*files, copy]


@mutation
def _set_an_odd_value_in_one(rng: np.random.Generator, files: Files) -> Files:
    index = _choose(rng, files)
    item = _parsed(files[index])
    tag = int(rng.choice([tag for tag in _tags(item) if tag != _PIXEL_DATA and item[tag].VR != "SQ"]))
    _set(item, tag, item[tag].VR, _odd_value(rng, item[tag].VR))
    return _changed(files, index, _written(item))


@mutation
def _two_of_these(rng: np.random.Generator, files: Files) -> Files:
    names = [name for name in MUTATIONS if name not in ("two_of_these", "add_a_changed_copy", "drop_files")]
    for name in rng.choice(names, 2):
        try:
            files = MUTATIONS[str(name)](rng, files)
        except Exception:  # noqa: BLE001 - the first one may have left nothing that can be parsed
            break
    return files
