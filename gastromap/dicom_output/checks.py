"""Assertions on sources and finished objects: right patient, right study, labels present, nothing lost in encoding.

A failure here is a fault of the program, never of the user, and nothing is kept. The messages name attributes, not
values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import (
    Comprehensive3DSRStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from gastromap.dicom_input.patient import check_one_patient
from gastromap.dicom_output.attributes import COPIED, SEQUENCES, ObjectContext
from gastromap.dicom_output.charset import quiet_pydicom, source_text
from gastromap.dicom_output.codes import CT_CATEGORY_VALUES, YCT_CATEGORY_VALUES, C
from gastromap.errors import GastromapError, Refusal
from gastromap.reports.phrases import RESEARCH_USE
from gastromap.volume import SliceSource

__all__ = ["check_object", "check_probabilities", "check_round_trip", "check_sources"]

_IDENTITY = (
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "AccessionNumber",
)
_BULK = frozenset({"PixelData", "FloatPixelData", "EncapsulatedDocument"})
#: Attributes with a fixed value, by SOP class.
_LABELS: dict[str, dict[str, str]] = {
    Comprehensive3DSRStorage: {
        "CompletionFlag": "COMPLETE",
        "PreliminaryFlag": "PRELIMINARY",
        "VerificationFlag": "UNVERIFIED",
    },
    SecondaryCaptureImageStorage: {"BurnedInAnnotation": "YES"},
    MultiFrameTrueColorSecondaryCaptureImageStorage: {"BurnedInAnnotation": "YES"},
    EncapsulatedPDFStorage: {"BurnedInAnnotation": "YES", "VerificationFlag": "UNVERIFIED"},
    SegmentationStorage: {"ContentQualification": "RESEARCH"},
    ParametricMapStorage: {"ContentQualification": "RESEARCH"},
    KeyObjectSelectionDocumentStorage: {},
    GrayscaleSoftcopyPresentationStateStorage: {},
}


def _fault(code: str, expected: str, got: str) -> GastromapError:
    remedy = "Nothing was kept; report this fault to the developers."
    return GastromapError(code, where="output", expected=expected, got=got, remedy=remedy)


def check_sources(sources: tuple[SliceSource, ...], *others: tuple[SliceSource, ...]) -> None:
    """Assert that all source slices belong to one patient and one study.

    Parameters
    ----------
    sources : tuple of SliceSource
        Of one examination.
    *others : tuple of SliceSource
        Of other examinations: other studies of the same patient, by the rule of the input gate, for which an empty
        field agrees with everything and a name may be written in another alphabet.

    Raises
    ------
    GastromapError
        ``RESULT_IDENTITY``, naming the attributes that differ.
    """
    if not sources:
        raise _fault("RESULT_IDENTITY", "source slices", "none")
    first = [source_text(sources[0].header, keyword) for keyword in _IDENTITY]
    differing = {
        keyword
        for source in sources[1:]
        for keyword, value in zip(_IDENTITY, first, strict=True)
        if source_text(source.header, keyword) != value
    }
    if differing:
        names = ", ".join(sorted(differing))
        raise _fault("RESULT_IDENTITY", "one patient and study in all source slices", f"other {names}")
    if not source_text(sources[0].header, "StudyInstanceUID"):
        raise _fault("RESULT_IDENTITY", "a StudyInstanceUID in the source", "none")
    for other in others:
        check_sources(other)
        _check_patient(sources[0], other[0])


def _check_patient(before: SliceSource, after: SliceSource) -> None:
    try:
        check_one_patient([before.header, after.header])
    except Refusal as error:
        raise _fault("RESULT_IDENTITY", "one patient before and after treatment", error.got) from error
    if source_text(before.header, "StudyInstanceUID") == source_text(after.header, "StudyInstanceUID"):
        raise _fault("RESULT_IDENTITY", "two studies", "one")


def _references(dataset: Dataset) -> Iterator[str]:
    for element in dataset:
        if element.VR == "SQ":
            # A request of the source names objects of the hospital's own systems.
            if element.keyword not in SEQUENCES:
                for item in element.value:
                    yield from _references(item)
        elif element.keyword == "ReferencedSOPInstanceUID":
            yield str(element.value)


def _texts(dataset: Dataset) -> Iterator[str]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts(item)
        elif element.VR in {"LO", "LT", "PN", "SH", "ST", "UC", "UT", "CS"}:
            yield str(element.value)


def check_object(dataset: pydicom.Dataset, context: ObjectContext, *, new_uids: Collection[str]) -> None:
    """Assert that a finished object carries the patient and study of its source, its labels and known references.

    Parameters
    ----------
    dataset : Dataset
        Object as read back from the disk.
    context : ObjectContext
        Shared facts of the run.
    new_uids : collection of str
        SOP Instance UIDs of the objects of this run, which may refer to each other.

    Raises
    ------
    GastromapError
        ``RESULT_IDENTITY``, ``RESULT_REFERENCE`` or ``RESULT_LABEL``.
    """
    with quiet_pydicom():
        differing = [
            keyword
            for keyword in COPIED
            if source_text(dataset, keyword, encoding=context.encoding)
            != source_text(context.header, keyword, encoding=context.encoding)
        ]
        if differing:
            raise _fault("RESULT_IDENTITY", "the patient and study of the source", f"other {', '.join(differing)}")
        sources = (*context.sources, *context.other_sources)
        known = {source.sop_instance_uid for source in sources} | set(new_uids)
        if any(uid not in known for uid in _references(dataset)):
            raise _fault("RESULT_REFERENCE", "references to source slices and new objects", "another object")
        wrong = [k for k, v in _LABELS[dataset.SOPClassUID].items() if dataset.get(k) != v]
        if RESEARCH_USE not in dataset.get("SeriesDescription", ""):
            wrong.append("SeriesDescription")
        if wrong:
            raise _fault("RESULT_LABEL", "the research-use labels", f"wrong {', '.join(wrong)}")
        if any("\x1b" in text for text in _texts(dataset)):
            raise _fault("RESULT_TEXT", "text without escape sequences", "some")


def check_round_trip(built: Dataset, read: Dataset) -> None:
    """Assert that every element survived writing and reading: no character became a question mark.

    Raises
    ------
    GastromapError
        ``RESULT_TEXT``, naming the first attribute that differs.
    """
    with quiet_pydicom():
        name = _first_difference(built, read)
    if name is not None:
        raise _fault("RESULT_TEXT", "the same values after reading back", f"another {name}")


def _plain(value: object) -> object:
    if isinstance(value, MultiValue | list | tuple):
        return [str(part) for part in value]
    return "" if value is None else str(value)


def _first_difference(built: Dataset, read: Dataset) -> str | None:
    if set(built.keys()) != set(read.keys()):
        return "set of elements"
    for element in built:
        other = read[element.tag]
        if element.VR == "SQ":
            if len(element.value) != len(other.value):
                return element.keyword
            for item, twin in zip(element.value, other.value, strict=True):
                name = _first_difference(item, twin)
                if name is not None:
                    return name
        elif element.keyword in _BULK:
            if bytes(element.value).rstrip(b"\0") != bytes(other.value).rstrip(b"\0"):
                return element.keyword
        elif element.VR == "FL":
            # Stored in single precision.
            if not np.array_equal(np.asarray(element.value, np.float32), np.asarray(other.value, np.float32)):
                return element.keyword
        elif _plain(element.value) != _plain(other.value):
            return element.keyword
    return None


def check_probabilities(report: pydicom.Dataset, document: Mapping[str, Any]) -> None:
    """Assert that the structured report states exactly the probabilities of ``result.json``.

    Parameters
    ----------
    report : Dataset
        Structured report as read back from the disk.
    document : mapping
        ``result.json`` as read back.

    Raises
    ------
    GastromapError
        ``RESULT_PROBABILITIES``.
    """
    stated: dict[str, float] = {}
    for container in report.ContentSequence[-1].ContentSequence:
        finding = ""
        for item in container.get("ContentSequence", []):
            if item.ValueType == "CODE" and item.ConceptNameCodeSequence[0].CodeMeaning == "Finding":
                finding = item.ConceptCodeSequence[0].CodeValue  # findings are short codes
            if item.ValueType == "NUM" and item.ConceptNameCodeSequence[0].get("CodeValue") == C.PROBABILITY.value:
                stated[finding] = float(item.MeasuredValueSequence[0].FloatingPointValue)
    if stated != _expected_probabilities(document):
        raise _fault("RESULT_PROBABILITIES", "the probabilities of result.json in the structured report", "others")


def _expected_probabilities(document: Mapping[str, Any]) -> dict[str, float]:
    """Probabilities by the code of what they are about."""
    expected = {CT_CATEGORY_VALUES[stage].value: value for stage, value in document["stage"]["probabilities"].items()}
    comparison = document["comparison"] or {}
    if comparison.get("stage"):
        after = comparison["stage"]["probabilities"].items()
        expected |= {YCT_CATEGORY_VALUES[stage].value: value for stage, value in after}
    if comparison.get("outlook"):
        expected[C.METASTASIS.value] = comparison["outlook"]["lnm_probability"]
    return expected
