"""A PACS by DICOM's own protocol."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    KeyObjectSelectionDocumentStorage,
    LegacyConvertedEnhancedCTImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    RLELossless,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind as Find,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelGet as Get,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelMove as Move,
)

from gastromap.pacs.remote import PacsError, RemoteSeries, StoredObject, count_of
from gastromap.pacs.settings import DimseSettings

__all__ = ["DimseRemote"]

#: What series of CT, and what belongs to them, consist of: dose sheets and curves in a series of CT are captures. Each
#: is proposed with every encoding that the input gate can decode.
_FETCHED = (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    SecondaryCaptureImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SegmentationStorage,
    RTStructureSetStorage,
    KeyObjectSelectionDocumentStorage,
)
_PLAIN = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_PACKED = [
    *(JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless),
    *(JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000),
]
_SUCCESS, _PENDING = 0x0000, (0xFF00, 0xFF01)
#: Coercion and truncation warnings of C-STORE still mean that the object is kept (PS3.4 table B.2-1).
_KEPT = {0x0000, 0xB000, 0xB006, 0xB007}


class DimseRemote:
    """Client of C-FIND, C-GET or C-MOVE, and C-STORE.

    Parameters
    ----------
    settings : DimseSettings
    """

    def __init__(self, settings: DimseSettings) -> None:
        # Its messages quote whole requests, patient names included.
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
        self._settings = settings

    def series_of(self, study_uid: str) -> list[RemoteSeries]:
        """Ask by C-FIND for the series of a study."""
        query = _query("SERIES", StudyInstanceUID=study_uid, SeriesInstanceUID="", Modality="", SeriesDescription="")
        query.NumberOfSeriesRelatedInstances = ""
        with self._association([(Find, _PLAIN)]) as link:
            answers = _find(link, query)
        return [
            RemoteSeries(
                series_uid=str(answer.get("SeriesInstanceUID", "")),
                modality=str(answer.get("Modality", "") or ""),
                description=str(answer.get("SeriesDescription", "") or ""),
                instances=count_of(answer.get("NumberOfSeriesRelatedInstances")),
            )
            for answer in answers
        ]

    def fetch(self, study_uid: str, series_uid: str, folder: Path) -> int:
        """Get a series by C-GET, or have it sent by C-MOVE."""
        written: list[Path] = []

        def keep(event: Any) -> int:
            path = folder / f"{len(written) + 1:06d}.dcm"
            path.write_bytes(event.encoded_dataset())
            written.append(path)
            return _SUCCESS

        query = _query("SERIES", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid)
        handlers = [(evt.EVT_C_STORE, keep)]
        if self._settings.retrieve == "move":
            self._move(query, handlers)
        else:
            storage = [(uid, syntaxes) for uid in _FETCHED for syntaxes in (_PLAIN, _PACKED)]
            with self._association([(Get, _PLAIN), *storage], handlers=handlers, receive=_FETCHED) as link:
                _retrieved(link.send_c_get(query, Get), "C-GET")
        return len(written)

    def store(self, objects: Sequence[StoredObject]) -> None:
        """Send objects by C-STORE over one association, in their order."""
        classes = list(dict.fromkeys(item.sop_class_uid for item in objects))
        with self._association([(uid, [ExplicitVRLittleEndian]) for uid in classes]) as link:
            accepted = {context.abstract_syntax for context in link.accepted_contexts}
            if not set(classes) <= accepted:
                raise PacsError(
                    "PACS_REFUSED",
                    where="C-STORE",
                    expected=f"{len(classes)} kinds of object accepted",
                    got=f"{len(accepted & set(classes))}",
                    remedy="Have the PACS accept structured reports, segmentations, parametric maps and the others.",
                    lasting=True,
                )
            for number, item in enumerate(objects):
                status = link.send_c_store(item.path).get("Status")
                if status not in _KEPT:
                    raise PacsError(
                        "PACS_REFUSED",
                        where="C-STORE",
                        expected=f"{len(objects)} objects accepted",
                        got=f"{number}, then {'no answer' if status is None else f'status {status:04X}'}",
                        remedy="See the log of the PACS.",
                    )

    def stored(self, objects: Sequence[StoredObject]) -> set[str]:
        """Ask by C-FIND for the patient of each study and for each object below it."""
        found: set[str] = set()
        with self._association([(Find, _PLAIN)]) as link:
            for study in dict.fromkeys(item.study_uid for item in objects):
                mine = [item for item in objects if item.study_uid == study]
                patients = {
                    str(answer.get("PatientID", "") or "")
                    for answer in _find(link, _query("STUDY", StudyInstanceUID=study, PatientID=""))
                }
                for item in mine:
                    if patients != {item.patient_id}:
                        continue
                    unique = {"StudyInstanceUID": study, "SeriesInstanceUID": item.series_uid}
                    answers = _find(link, _query("IMAGE", **unique, SOPInstanceUID=""))
                    found |= {str(answer.get("SOPInstanceUID", "")) for answer in answers} & {item.sop_uid}
        return found

    def _move(self, query: Dataset, handlers: list[Any]) -> None:
        listener = AE(self._settings.calling_aet)
        for uid in _FETCHED:
            listener.add_supported_context(uid, [*_PLAIN, *_PACKED])
        listener.require_called_aet = True
        try:
            server = listener.start_server(
                ("", self._settings.listen_port),
                block=False,
                ssl_context=self._context(server=True) if self._settings.tls_ca else None,
                evt_handlers=handlers,
            )
        except OSError as error:
            raise PacsError(
                "PACS_LISTENER",
                where="C-MOVE",
                expected=f"port {self._settings.listen_port} free",
                got=type(error).__name__,
                remedy="Name another listen_port, here and in the PACS.",
                lasting=True,
            ) from error
        try:
            with self._association([(Move, _PLAIN)]) as link:
                _retrieved(link.send_c_move(query, self._settings.calling_aet, Move), "C-MOVE")
        finally:
            if server is not None:
                server.shutdown()

    @contextmanager
    def _association(
        self,
        contexts: Sequence[tuple[str, list[Any]]],
        *,
        handlers: Sequence[Any] = (),
        receive: Sequence[str] = (),
    ) -> Iterator[Any]:
        settings = self._settings
        entity = AE(settings.calling_aet)
        entity.connection_timeout = entity.acse_timeout = settings.timeout_s
        entity.dimse_timeout = entity.network_timeout = settings.timeout_s
        for uid, syntaxes in contexts:
            entity.add_requested_context(uid, list(syntaxes))
        link = entity.associate(
            settings.host,
            settings.port,
            ae_title=settings.called_aet,
            ext_neg=[build_role(uid, scp_role=True) for uid in receive],
            evt_handlers=list(handlers),
            tls_args=(self._context(), settings.host) if settings.tls_ca else None,
        )
        if not link.is_established:
            raise _no_association(rejected=bool(link.is_rejected))
        try:
            yield link
        finally:
            if link.is_established:
                link.release()

    def _context(self, *, server: bool = False) -> ssl.SSLContext:
        purpose = ssl.Purpose.CLIENT_AUTH if server else ssl.Purpose.SERVER_AUTH
        try:
            context = ssl.create_default_context(purpose, cafile=self._settings.tls_ca)
            if self._settings.tls_certificate:
                context.load_cert_chain(self._settings.tls_certificate, self._settings.tls_key or None)
        except OSError as error:
            raise PacsError(
                "PACS_TLS",
                where="association",
                expected="readable certificates",
                got=type(error).__name__,
                remedy="Check tls_ca, tls_certificate and tls_key.",
                lasting=True,
            ) from error
        return context


def _query(level: str, **keys: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for name, value in keys.items():
        setattr(query, name, value)
    return query


def _find(link: Any, query: Dataset) -> list[Dataset]:
    found = []
    for status, answer in link.send_c_find(query, Find):
        value = status.get("Status")
        if value in _PENDING and answer is not None:
            found.append(answer)
        elif value != _SUCCESS:
            raise _bad_status("C-FIND", value)
    return found


def _retrieved(answers: Iterator[tuple[Dataset, Dataset | None]], where: str) -> None:
    """Follow a retrieval to its end: every instance must have come."""
    status: Dataset = Dataset()
    for status, _ in answers:
        if status.get("Status") not in (*_PENDING, _SUCCESS, 0xB000):
            break
    value, failed = status.get("Status"), int(status.get("NumberOfFailedSuboperations") or 0)
    if value != _SUCCESS or failed:
        raise _bad_status(where, value, f", {failed} instances failed" if failed else "")


def _bad_status(where: str, value: int | None, more: str = "") -> PacsError:
    return PacsError(
        "PACS_ANSWER",
        where=where,
        expected="success",
        got="no answer in time" if value is None else f"status {value:04X}{more}",
        remedy="See the log of the PACS; check that it knows the calling title.",
    )


def _no_association(*, rejected: bool) -> PacsError:
    if rejected:
        return PacsError(
            "PACS_CREDENTIALS",
            where="association",
            expected="the titles accepted",
            got="rejected",
            remedy="Check called_aet and calling_aet, and that the PACS knows this computer.",
            lasting=True,
        )
    return PacsError(
        "PACS_UNREACHABLE",
        where="association",
        expected="a connection",
        got="none in time, or closed",
        remedy="Check host, port, TLS and the firewall.",
    )
