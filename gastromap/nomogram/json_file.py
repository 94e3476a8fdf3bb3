"""Strict JSON for small files of numbers: nomogram, Rad-score, calibration, clinical variables.

The standard reader takes the last of two equal keys, accepts NaN and has no limit of size. Each of the three can
change a number that reaches a report, so they are refused here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from gastromap.errors import ModelError

__all__ = [
    "JsonProblemError",
    "dump_object",
    "finite",
    "finite_list",
    "finite_numbers",
    "load_model_object",
    "object_text",
    "parse_object",
    "read_limited",
]


class JsonProblemError(ValueError):
    """What is wrong with a file, in words that quote nothing of its content."""


def _refuse_constant(_text: str) -> NoReturn:
    raise JsonProblemError("a number that is not finite")


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise JsonProblemError("the same key twice")
    return result


def read_limited(path: Path, *, limit_bytes: int) -> bytes:
    """Read a regular file of at most `limit_bytes` bytes.

    Raises
    ------
    JsonProblemError
        No such file, not a regular file, not readable, or larger.
    """
    try:
        # A pipe or device would block or never end.
        if not path.is_file():
            raise JsonProblemError("no such file")
        with path.open("rb") as stream:
            content = stream.read(limit_bytes + 1)
    except OSError as error:
        raise JsonProblemError("a file that cannot be read") from error
    if len(content) > limit_bytes:
        raise JsonProblemError(f"more than {limit_bytes / 1e6:g} MB")
    return content


def parse_object(content: bytes) -> dict[str, object]:
    """Parse one JSON object in UTF-8, with or without byte-order mark.

    Raises
    ------
    JsonProblemError
        Damaged text, equal keys, non-finite numbers, or another type than an object.
    """
    try:
        value = json.loads(
            content.decode("utf-8-sig"), parse_constant=_refuse_constant, object_pairs_hook=_without_duplicates
        )
    except JsonProblemError:
        raise
    except UnicodeDecodeError as error:
        raise JsonProblemError("text that is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise JsonProblemError("damaged JSON") from error
    if not isinstance(value, dict):
        raise JsonProblemError("JSON that is not an object")
    return value


def load_model_object(path: Path, *, code: str, where: str, file_format: str, keys: Sequence[str]) -> dict[str, object]:
    """Read a model file of GastroMAP: an object with exactly `keys` and the right ``format``.

    Parameters
    ----------
    path : Path
        File of at most 20 MB.
    code, where : str
        For the message.
    file_format : str
        Value of the key ``format``, for example ``gastromap-nomogram/1``.
    keys : sequence of str
        All other keys, none optional.

    Raises
    ------
    ModelError
        With `code`.
    """
    remedy = "Use a file written by this version of GastroMAP."
    try:
        content = parse_object(read_limited(path, limit_bytes=20_000_000))
    except JsonProblemError as problem:
        raise ModelError(code, where=where, expected="a JSON file", got=str(problem), remedy=remedy) from problem
    if content.pop("format", None) != file_format:
        raise ModelError(code, where=where, expected=f"format {file_format}", got="another format", remedy=remedy)
    if set(content) != set(keys):
        missing = sorted(set(keys) - set(content))
        got = f"none of the name {missing[0]}" if missing else "further keys"
        raise ModelError(code, where=where, expected=f"the keys {', '.join(keys)}", got=got, remedy=remedy)
    return content


def finite(value: object) -> float:
    """Give a number back as float; ValueError for anything that is not a finite number (a truth value is none)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError("not finite") from error
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def finite_numbers(value: object) -> dict[str, float]:
    """Numbers by name.

    Raises
    ------
    ValueError
        Another type, or a number that is not finite.
    """
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return {str(name): finite(number) for name, number in value.items()}


def finite_list(value: object) -> tuple[float, ...]:
    """Give a list of finite numbers back as tuple; ValueError for anything else."""
    if not isinstance(value, list):
        raise ValueError("not a list")
    return tuple(finite(item) for item in value)


def object_text(*, file_format: str, content: Mapping[str, object]) -> str:
    """Text of a file that :func:`load_model_object` reads; same content, same text."""
    return json.dumps({"format": file_format, **content}, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def dump_object(path: Path, *, file_format: str, content: Mapping[str, object]) -> None:
    """Write an object that :func:`load_model_object` reads; same content, same bytes."""
    path.write_text(object_text(file_format=file_format, content=content), encoding="utf-8")
