"""The report as an Encapsulated PDF: a copy for people beside the structured report, never instead of it."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from gastromap.dicom_output.attributes import ObjectContext, finish, new_uid, source_reference
from gastromap.reports.phrases import RESEARCH_USE
from gastromap.volume import SliceSource

__all__ = ["PDF_SERIES_NUMBER", "build_encapsulated_pdf"]

PDF_SERIES_NUMBER = 9007


def build_encapsulated_pdf(pdf: bytes, context: ObjectContext, *, sources: tuple[SliceSource, ...]) -> Dataset:
    """Wrap a PDF file.

    Parameters
    ----------
    pdf : bytes
        The file.
    context : ObjectContext
        Shared facts of the run.
    sources : tuple of SliceSource
        Slices that the report is about.

    Returns
    -------
    dataset : Dataset
        Encapsulated PDF, finished.
    """
    document = Dataset()
    document.SOPClassUID = EncapsulatedPDFStorage
    document.SOPInstanceUID = new_uid()
    # Encapsulated Document Series
    document.Modality = "DOC"
    document.SeriesInstanceUID = new_uid()
    document.SeriesNumber = PDF_SERIES_NUMBER
    # SC Equipment: made by a workstation
    document.ConversionType = "WSD"
    # Encapsulated Document
    document.BurnedInAnnotation = "YES"
    document.VerificationFlag = "UNVERIFIED"
    document.AcquisitionDateTime = ""  # type 2: the document was acquired from nothing
    document.ConceptNameCodeSequence = []
    document.DocumentTitle = f"GastroMAP T stage report, {RESEARCH_USE}"
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.SourceInstanceSequence = [source_reference(source) for source in sources]
    document.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    document.EncapsulatedDocumentLength = len(pdf)  # a reader cuts the padding byte off by this
    return finish(document, context, description="report")
