"""A finished result to the PACS: all of its objects, or a report of what is missing there."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import pydicom

from gastromap.dicom_output.charset import quiet_pydicom
from gastromap.errors import UsageError
from gastromap.pacs.attempts import with_attempts
from gastromap.pacs.remote import PacsError, Remote, StoredObject
from gastromap.pacs.settings import PacsSettings, remote_of

__all__ = ["SentResult", "result_objects", "send_result"]

_log = logging.getLogger(__name__)
#: Objects that others refer to come first.
_ORDER = ("seg", "cam", "overlay", "key", "kos", "gsps", "sr", "report")


@dataclass(frozen=True)
class SentResult:
    """What became of a result."""

    objects: int
    sent: int  #: the others were there already


def send_result(folder: Path, settings: PacsSettings, *, remote: Remote | None = None) -> SentResult:
    """Send the DICOM objects of a results folder and check that the PACS has them.

    Sending again is harmless: the same files have the same UIDs, and what the PACS has is not sent a second time.

    Parameters
    ----------
    folder : Path
        With ``result.json``, as the application wrote it.
    settings : PacsSettings
    remote : Remote, optional
        Client of that PACS (default: the one that the settings describe).

    Raises
    ------
    UsageError
        As of :func:`result_objects`.
    PacsError
        Why it could not be sent. ``PACS_HALF_SENT`` names how many objects the PACS has: nothing can take them back,
        so it should be sent again.
    """
    objects = result_objects(folder)
    delivery = _Delivery(objects, remote or remote_of(settings))
    with_attempts(settings, delivery.ask)
    missing = len(delivery.missing)
    if missing:
        try:
            with_attempts(settings, delivery.send)
        except PacsError as error:
            raise delivery.report(error) from error
    _log.info("%d objects in the PACS, %d of them sent now", len(objects), missing)
    return SentResult(objects=len(objects), sent=missing)


class _Delivery:
    """Which objects the PACS has, as far as it could be asked."""

    def __init__(self, objects: list[StoredObject], remote: Remote) -> None:
        self._objects, self._remote = objects, remote
        self._present: set[str] | None = None

    @property
    def missing(self) -> list[StoredObject]:
        """Objects that the PACS is not known to have."""
        return [item for item in self._objects if item.sop_uid not in (self._present or set())]

    def ask(self) -> None:
        """Ask the PACS what it has."""
        self._present = self._remote.stored(self._objects)

    def send(self) -> None:
        """Send what is missing, then see what has arrived, whatever the sending said."""
        fault: PacsError | None = None
        missing, self._present = self.missing, None
        try:
            self._remote.store(missing)
        except PacsError as error:
            fault = error
        try:
            self.ask()
        except PacsError as error:
            raise (fault or error) from error
        if self.missing:
            raise fault or PacsError(
                "PACS_NOT_FOUND",
                where="query after storage",
                expected=f"{len(self._objects)} objects under their patient and study",
                got=str(len(self._objects) - len(self.missing)),
                remedy="See whether the PACS holds them back or files them elsewhere.",
            )

    def report(self, error: PacsError) -> PacsError:
        """Say what the PACS has: nothing can take it back."""
        if self._present == set():
            return error
        count = "an unknown number" if self._present is None else str(len(self._present))
        return PacsError(
            "PACS_HALF_SENT",
            where="PACS",
            expected=f"{len(self._objects)} objects stored",
            got=f"{count}, then {error.code}: {error.got}",
            remedy="Run gastromap send on the result folder: what is there is not sent twice.",
        )


def result_objects(folder: Path) -> list[StoredObject]:
    """DICOM objects of a results folder, in the order of sending.

    Raises
    ------
    UsageError
        ``RESULT_MISSING`` without ``result.json``, ``RESULT_DAMAGED`` if a file is not the one that was written, or if
        the objects are not of one patient.
    """
    try:
        document = json.loads((folder / "result.json").read_bytes())
        listed = [entry for entry in document["files"] if entry["sop_instance_uid"]]
    except FileNotFoundError as error:
        raise UsageError(
            "RESULT_MISSING",
            where="result",
            expected="a folder with result.json",
            got="none",
            remedy="Name the output folder of a finished run.",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged("a readable result.json", type(error).__name__) from error
    objects = []
    for entry in sorted(listed, key=lambda entry: _rank(entry["name"])):
        path = folder / entry["name"]
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise _damaged("the files that result.json lists", f"another or no {entry['name']}")
        with quiet_pydicom():
            header = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
            objects.append(
                StoredObject(
                    path=path,
                    sop_class_uid=str(header.SOPClassUID),
                    sop_uid=str(header.SOPInstanceUID),
                    series_uid=str(header.SeriesInstanceUID),
                    study_uid=str(header.StudyInstanceUID),
                    patient_id=str(header.get("PatientID", "") or ""),
                )
            )
    if not objects:
        raise _damaged("DICOM objects", "none")
    if len({item.patient_id for item in objects}) != 1:
        raise _damaged("objects of one patient", "several")
    return objects


def _rank(name: str) -> tuple[int, str]:
    stem = Path(name).stem.removesuffix("_after")
    return (_ORDER.index(stem) if stem in _ORDER else len(_ORDER)), name


def _damaged(expected: str, got: str) -> UsageError:
    remedy = "Stage the study again into a new folder."
    return UsageError("RESULT_DAMAGED", where="result", expected=expected, got=got, remedy=remedy)
