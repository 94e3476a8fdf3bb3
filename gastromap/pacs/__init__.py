"""Studies from a PACS and results back to it, by DICOMweb or by DICOM's own protocol (DIMSE)."""

from gastromap.pacs.fetch import fetch_studies, fetch_study, fetched_studies
from gastromap.pacs.send import SentResult, send_result
from gastromap.pacs.settings import DicomWebSettings, DimseSettings, PacsSettings, read_pacs_settings, remote_of

__all__ = [
    "DicomWebSettings",
    "DimseSettings",
    "PacsSettings",
    "SentResult",
    "fetch_studies",
    "fetch_study",
    "fetched_studies",
    "read_pacs_settings",
    "remote_of",
    "send_result",
]
