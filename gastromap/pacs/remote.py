"""What GastroMAP asks of a PACS, whatever the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gastromap.errors import ExitCode, GastromapError

__all__ = ["PacsError", "Remote", "RemoteSeries", "StoredObject", "count_of"]


class PacsError(GastromapError):
    """The PACS cannot be reached, refuses, or does not have what was asked for."""

    exit_code = ExitCode.PACS

    def __init__(self, code: str, *, where: str, expected: str, got: str, remedy: str, lasting: bool = False) -> None:
        super().__init__(code, where=where, expected=expected, got=got, remedy=remedy)
        self.lasting = lasting  #: whether trying again cannot help: a wrong password, a wrong title


@dataclass(frozen=True)
class RemoteSeries:
    """One series of a study in the PACS."""

    series_uid: str
    modality: str
    description: str  #: SeriesDescription, which names our own results
    instances: int | None  #: None where the PACS does not say


@dataclass(frozen=True)
class StoredObject:
    """One object of a result, as a file and as the PACS will know it."""

    path: Path
    sop_class_uid: str
    sop_uid: str
    series_uid: str
    study_uid: str
    patient_id: str


def count_of(value: object) -> int | None:
    """Number of instances as a PACS gives it; None where it says nothing that is one."""
    return int(str(value)) if str(value or "").isdecimal() else None


class Remote(Protocol):
    """A PACS. Every method raises :class:`PacsError`."""

    def series_of(self, study_uid: str) -> list[RemoteSeries]:
        """Series of a study; empty where the PACS does not know it."""

    def fetch(self, study_uid: str, series_uid: str, folder: Path) -> int:
        """Write all instances of a series into a folder as ``000001.dcm`` and so on; returns their number."""

    def store(self, objects: Sequence[StoredObject]) -> None:
        """Send objects in their order; returns when the PACS has accepted all of them."""

    def stored(self, objects: Sequence[StoredObject]) -> set[str]:
        """SOP Instance UIDs of those objects that the PACS has, under the patient and study they belong to."""
