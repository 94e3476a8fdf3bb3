"""The four T stages and how labels in tables and files name them."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gastromap.errors import UsageError

__all__ = ["STAGES", "stage_index", "stage_indices"]

_log = logging.getLogger(__name__)

#: Lowest first; T4a and T4b count as T4 (doi 10.1038/s41746-025-02002-5).
STAGES = ("T1", "T2", "T3", "T4")

#: T1a, T1b, T4a and T4b are sub-stages of AJCC 8; T2 and T3 have none.
_NAMES = {"T1": 0, "T1A": 0, "T1B": 0, "T2": 1, "T3": 2, "T4": 3, "T4A": 3, "T4B": 3}


def stage_index(label: object) -> int | None:
    """Index of one label, or None where it names no stage.

    Parameters
    ----------
    label : str or number
        ``T1`` … ``T4`` in either case, with sub-stage letters, or the class index 0 … 3 (0 is T1), also as text.

    Returns
    -------
    int or None
        0 … 3.
    """
    text = str(label).strip().upper()
    if text in _NAMES:
        return _NAMES[text]
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number in (0.0, 1.0, 2.0, 3.0) else None


def stage_indices(labels: Iterable[object], *, where: str) -> NDArray[np.int64]:
    """Turn labels into class indices, shape (n,), values 0 … 3.

    Parameters
    ----------
    labels : iterable
        Forms of :func:`stage_index`.
    where : str
        What the labels belong to, for the message.

    Raises
    ------
    UsageError
        ``STAGE_INVALID`` with the number of the first bad row (1 is the first).
    """
    given = [str(label).strip().upper() for label in labels]
    found = [stage_index(label) for label in given]
    if None in found:
        raise UsageError(
            "STAGE_INVALID",
            where=where,
            expected="T1, T2, T3, T4 or the class index 0 to 3",
            got=f"something else in row {found.index(None) + 1}",
            remedy="Correct the label or leave the row out.",
        )
    bare = {index for label, index in zip(given, found, strict=True) if label not in _NAMES}
    if bare and 0 not in bare:
        # A table that counts from 1 and holds no T4 would be read one stage too high without a word.
        _log.warning("%s: numbers without a 0 are read as class indices, 1 as T2; write T1 to T4 to be sure", where)
    return np.asarray(found, dtype=np.int64)
