"""A PACS by DICOMweb."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pydicom
import requests
from dicomweb_client.session_utils import (
    add_certs_to_session,
    create_session,
    create_session_from_user_pass,
)
from dicomweb_client.web import DICOMwebClient

from gastromap.pacs.remote import PacsError, RemoteSeries, StoredObject, count_of
from gastromap.pacs.settings import DicomWebSettings, secret

__all__ = ["DicomWebRemote"]

#: Whatever the server has, as it was stored: a decoder here is better known than one there.
_AS_STORED = (("application/dicom", "*"),)
#: dicomweb-client would send larger bodies in pieces, from a generator that a repetition finds empty.
_NEVER_IN_PIECES = 2**40
_PASSING = {408, 425, 429, 500, 502, 503, 504}


class DicomWebRemote:
    """Client of QIDO-RS, WADO-RS and STOW-RS.

    Parameters
    ----------
    settings : DicomWebSettings

    Raises
    ------
    UsageError
        ``PACS_SETTINGS`` if a password, token or certificate is not where the settings say.
    """

    def __init__(self, settings: DicomWebSettings) -> None:
        logging.getLogger("dicomweb_client").setLevel(logging.ERROR)
        if settings.username:
            password = secret(settings.password_env, settings.password_file)
            session = create_session_from_user_pass(settings.username, password)
        else:
            session = create_session()
        # Only what the settings say: neither proxies nor passwords of the environment (netrc).
        session.trust_env = False
        if settings.token_env or settings.token_file:
            session.headers["Authorization"] = f"Bearer {secret(settings.token_env, settings.token_file)}"
        if settings.ca_bundle:
            session = add_certs_to_session(session, ca_bundle=settings.ca_bundle)
        if settings.client_certificate:
            pair = (settings.client_certificate, settings.client_key or settings.client_certificate)
            session.cert = pair
        self._client = _client(settings, session)
        # The length of a piece is that of reading too, so sending has a client of its own.
        self._sender = _client(settings, session, chunk_size=_NEVER_IN_PIECES)

    def series_of(self, study_uid: str) -> list[RemoteSeries]:
        """Ask by QIDO-RS for the series of a study."""
        fields = ["Modality", "SeriesDescription", "NumberOfSeriesRelatedInstances"]
        try:
            found = self._client.search_for_series(study_uid, fields=fields, get_remaining=True)
        except (requests.RequestException, ValueError) as error:
            _fail("query", error)
        return [
            RemoteSeries(
                series_uid=str(_value(item, "0020000E")),
                modality=str(_value(item, "00080060") or ""),
                description=str(_value(item, "0008103E") or ""),
                instances=count_of(_value(item, "00201209")),
            )
            for item in found
        ]

    def fetch(self, study_uid: str, series_uid: str, folder: Path) -> int:
        """Get a series by WADO-RS."""
        count = 0
        try:
            for item in self._client.iter_series(study_uid, series_uid, media_types=_AS_STORED):
                count += 1
                item.save_as(folder / f"{count:06d}.dcm", enforce_file_format=True)
        except (requests.RequestException, ValueError, pydicom.errors.InvalidDicomError) as error:
            _fail("retrieval", error)
        return count

    def store(self, objects: Sequence[StoredObject]) -> None:
        """Send all objects in one request a study (STOW-RS)."""
        for study in dict.fromkeys(item.study_uid for item in objects):
            mine = [item for item in objects if item.study_uid == study]
            try:
                answer = self._sender.store_instances([pydicom.dcmread(item.path) for item in mine], study)
            except (requests.RequestException, ValueError) as error:
                _fail("storage", error)
            failed = len(answer.get("FailedSOPSequence") or [])
            if failed:
                raise PacsError(
                    "PACS_REFUSED",
                    where="storage",
                    expected=f"{len(mine)} objects accepted",
                    got=f"{failed} refused",
                    remedy="See the log of the PACS.",
                )

    def stored(self, objects: Sequence[StoredObject]) -> set[str]:
        """Ask by QIDO-RS for each series under its study and patient."""
        found: set[str] = set()
        for item in objects:
            filters = {"StudyInstanceUID": item.study_uid, "SeriesInstanceUID": item.series_uid}
            try:
                answers = self._client.search_for_instances(
                    search_filters={**filters, "PatientID": item.patient_id}, fields=["PatientID"], get_remaining=True
                )
            except (requests.RequestException, ValueError) as error:
                _fail("query", error)
            found |= {str(_value(answer, "00080018")) for answer in answers} & {item.sop_uid}
        return found


def _client(settings: DicomWebSettings, session: requests.Session, **options: Any) -> DICOMwebClient:
    client = DICOMwebClient(settings.url, session=session, timeout=settings.timeout_s, permissive_uid=True, **options)
    client.set_http_retry_params(retry=False)
    return client


def _value(item: dict[str, Any], tag: str) -> Any:
    values = item.get(tag, {}).get("Value") or [None]
    return values[0]


def _fail(step: str, error: Exception) -> NoReturn:
    """Name a fault of the connection or of the server; addresses and bodies are left out."""
    response = getattr(error, "response", None)
    status = None if response is None else int(response.status_code)
    if status in (401, 403):
        raise PacsError(
            "PACS_CREDENTIALS",
            where=step,
            expected="access",
            got=f"status {status}",
            remedy="Check user, password and rights.",
            lasting=True,
        ) from error
    if status is not None:
        raise PacsError(
            "PACS_ANSWER",
            where=step,
            expected="a status of success",
            got=f"status {status}",
            remedy="Check the url, and see the log of the PACS.",
            lasting=status not in _PASSING,
        ) from error
    if isinstance(error, requests.exceptions.SSLError):
        raise PacsError(
            "PACS_TLS",
            where=step,
            expected="a certificate that is trusted",
            got=type(error).__name__,
            remedy="Check ca_bundle and the certificates.",
            lasting=True,
        ) from error
    if isinstance(error, requests.RequestException) and not isinstance(error, requests.exceptions.InvalidJSONError):
        late = isinstance(error, requests.Timeout)
        raise PacsError(
            "PACS_UNREACHABLE",
            where=step,
            expected="an answer",
            got="none in time" if late else type(error).__name__,
            remedy="Check url and network, or raise timeout_s.",
        ) from error
    raise PacsError(
        "PACS_ANSWER",
        where=step,
        expected="an answer of DICOMweb",
        got=type(error).__name__,
        remedy="Check the url.",
        lasting=True,
    ) from error
