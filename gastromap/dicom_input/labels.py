"""Names for files and series that may stand in messages, and silence for what may not.

A hash without a key could be looked up in a list of known UIDs; the key is made for one run and never stored.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pydicom.config

__all__ = ["Labels", "quiet_pydicom"]


class Labels:
    """Makes ``series N #h8`` and ``file i #h8`` with the key of one run.

    Parameters
    ----------
    key : bytes, optional
        Only tests pass one, to compare the messages of two runs.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = secrets.token_bytes(16) if key is None else key

    def digest(self, value: str | bytes) -> str:
        """Return 8 hex digits of the keyed hash of a value."""
        data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        return hashlib.blake2b(data, key=self._key, digest_size=4).hexdigest()

    def series(self, number: int | None, uid: str) -> str:
        """Name a series; the number is left out where the header has none."""
        return f"series {'?' if number is None else number} #{self.digest(uid)}"

    def file(self, index: int, content: bytes) -> str:
        """Name a file by its index and content, never by its path."""
        return f"file {index} #{self.digest(content)}"


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Silence pydicom, whose warnings and log lines quote values of the header.

    Notes
    -----
    Warning filters belong to the process, so decoding threads started inside are silent too.
    """
    logger = logging.getLogger("pydicom")
    level, mode = logger.level, pydicom.config.settings.reading_validation_mode
    logger.setLevel(logging.CRITICAL + 1)
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        pydicom.config.settings.reading_validation_mode = mode
