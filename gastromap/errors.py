"""Typed one-line errors and the exit codes they map to.

Every error a user can cause has one form, ``CODE where: expected X, got Y. Remedy.`` The texts never hold
patient data, dates, paths below the input folder, series descriptions or full UIDs: ``where`` is a role, a
series number with a short keyed hash, or a file index with one. What each code of the input gate means stands
beside the check that raises it.
"""

from __future__ import annotations

from enum import IntEnum
from functools import partial
from typing import Any

__all__ = ["ExitCode", "GastromapError", "ModelError", "OutputError", "Refusal", "UsageError"]


class ExitCode(IntEnum):
    """Exit status of the application and of the command line."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    REFUSED = 3
    MODEL = 11
    OUTPUT = 12
    PACS = 13


class GastromapError(Exception):
    """An error with one printable line.

    Parameters
    ----------
    code : str
        Upper-case identifier, stable across versions (programs match on it).
    where : str
        What the error is about: ``input``, a role, ``series N #h8`` or ``file i #h8``. Never patient data.
    expected, got : str
        What was needed and what was found.
    remedy : str
        What the reader can do, as one sentence with its full stop.
    """

    exit_code = ExitCode.INTERNAL

    def __init__(self, code: str, *, where: str, expected: str, got: str, remedy: str) -> None:
        self.code = code
        self.where = where
        self.expected = expected
        self.got = got
        self.remedy = remedy
        super().__init__(str(self))

    def __reduce__(self) -> tuple[Any, ...]:
        # Worker processes send errors home; the default would call the class with the message only.
        fields = {"where": self.where, "expected": self.expected, "got": self.got, "remedy": self.remedy}
        return partial(type(self), self.code, **fields), ()

    def __str__(self) -> str:
        return f"{self.code} {self.where}: expected {self.expected}, got {self.got}. {self.remedy}"


class Refusal(GastromapError):  # noqa: N818  -- the field term; a refusal is a good result
    """The input is not fit for a trustworthy result; nothing is written."""

    exit_code = ExitCode.REFUSED


class UsageError(GastromapError):
    """A wrong argument, configuration or clinical file."""

    exit_code = ExitCode.USAGE


class ModelError(GastromapError):
    """Weights or model description are missing, damaged or do not belong together."""

    exit_code = ExitCode.MODEL


class OutputError(GastromapError):
    """The result cannot be written where it was asked for."""

    exit_code = ExitCode.OUTPUT
