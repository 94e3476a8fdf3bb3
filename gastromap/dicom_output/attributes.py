"""Patient, study, equipment and label attributes of every result object, set in one place.

Patient and study come from ``CtVolume.sources`` and from nowhere else: no argument and no configuration can name a
patient. Writers build their object without any patient data; :func:`finish` fills them in as the last step.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pydicom
from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from gastromap.dicom_output.charset import TextEncoding, plan_encoding, quiet_pydicom, source_text
from gastromap.dicom_output.codes import C, code_item
from gastromap.reports.phrases import RESEARCH_USE
from gastromap.results import ModelIdentity, StudyResult
from gastromap.volume import SliceSource

__all__ = [
    "COPIED",
    "MANUFACTURER",
    "SEQUENCES",
    "ObjectContext",
    "derived_uid",
    "device_uid",
    "equipment_arguments",
    "finish",
    "new_uid",
    "object_arguments",
    "object_context",
    "source_reference",
]

MANUFACTURER = "GastroMAP"
_IMPLEMENTATION_UID = UID("2.25.189216846216548925143297231894532917642")

#: Copied to every object and written empty where the source has none: type 2 in the standard.
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
#: Copied where present.
_OPTIONAL = (
    "IssuerOfPatientID",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "StudyDescription",
    "TimezoneOffsetFromUTC",
)
#: Sequences copied where present.
SEQUENCES = ("ProcedureCodeSequence", "ReferencedRequestSequence")
#: Text and number attributes copied from the source; sequences are copied apart.
COPIED = (*_TYPE_2, *_OPTIONAL, "StudyInstanceUID")
_TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})


@dataclass(frozen=True)
class ObjectContext:
    """What all objects of one study share: sources, character set, equipment, clock."""

    sources: tuple[SliceSource, ...]
    encoding: TextEncoding
    model: ModelIdentity
    application_version: str
    moment: datetime  #: start of the run, in the zone of the source where it names one
    other_sources: tuple[SliceSource, ...] = ()  #: of the other study, which may be referred to and gives nothing else

    @property
    def header(self) -> pydicom.Dataset:
        """Header that patient and study come from."""
        return self.sources[0].header


def new_uid() -> UID:
    """Return a fresh UID below ``2.25``: a second run is a second set of results."""
    return UID(f"2.25.{uuid.uuid4().int}")


def device_uid(model: ModelIdentity) -> UID:
    """Return the UID of the device "this software with these weights": new for every checkpoint, stable for one."""
    return derived_uid(f"gastromap checkpoint {model.weights_sha256}")


def derived_uid(name: str) -> UID:
    """Return a UID that is the same for the same name."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}")


def object_arguments(series_number: int) -> dict[str, Any]:
    """Arguments that every class of highdicom wants: a series of its own with one object in it."""
    return {
        "series_instance_uid": new_uid(),
        "series_number": series_number,
        "sop_instance_uid": new_uid(),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
    }


def equipment_arguments(context: ObjectContext) -> dict[str, Any]:
    """Further arguments of those that describe their equipment; :func:`finish` has the last word."""
    return {
        "manufacturer_model_name": context.encoding.own(context.model.name)[:64],
        "software_versions": context.application_version,
        "device_serial_number": context.model.weights_sha256[:16],
    }


def _zone(offset: str) -> timezone | None:
    sign, digits = offset[:1], offset[1:]
    if sign not in "+-" or len(digits) != 4 or not digits.isdecimal():
        return None
    delta = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-delta if sign == "-" else delta)


def object_context(result: StudyResult, *, after_treatment: bool = False) -> ObjectContext:
    """Collect what all objects of one study share.

    Parameters
    ----------
    result : StudyResult
    after_treatment : bool
        For the objects that are filed in the study of the follow-up; the result holds a comparison.
    """
    volumes = [result.volume, *([] if result.comparison is None else [result.comparison.followup.volume])]
    if after_treatment:
        volumes.reverse()
    header = volumes[0].sources[0].header
    moment = datetime.fromisoformat(result.run.started)
    zone = _zone(source_text(header, "TimezoneOffsetFromUTC")) if "TimezoneOffsetFromUTC" in header else None
    if zone is not None and moment.tzinfo is not None:
        # A source that names its zone makes every time of the object a time of that zone.
        moment = moment.astimezone(zone)
    return ObjectContext(
        sources=volumes[0].sources,
        encoding=plan_encoding(header, (*COPIED, "Manufacturer", "ManufacturerModelName")),
        model=result.stage.model,
        application_version=result.run.version,
        moment=moment,
        other_sources=tuple(source for volume in volumes[1:] for source in volume.sources),
    )


def source_reference(source: SliceSource, *, purpose: bool = False) -> Dataset:
    """Build a reference to a source slice, with the purpose "source image" where asked for."""
    item = Dataset()
    item.ReferencedSOPClassUID = source.header.get("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2")
    item.ReferencedSOPInstanceUID = source.sop_instance_uid
    if purpose:
        item.PurposeOfReferenceCodeSequence = [code_item(C.SOURCE_IMAGE)]
    return item


def _put(dataset: Dataset, keyword: str, value: object) -> None:
    tag = tag_for_keyword(keyword)
    assert tag is not None  # noqa: S101  a keyword of this module, not user input
    # Values of the source stay as they are, even where they break their VR: the PACS knows the study by them, and
    # pydicom's complaint would quote them.
    dataset[tag] = DataElement(tag, dictionary_VR(tag), value, validation_mode=config.IGNORE)


def _copy_patient_and_study(dataset: Dataset, context: ObjectContext) -> None:
    header = context.header
    for keyword in COPIED:
        text = source_text(header, keyword, encoding=context.encoding)
        if text or keyword in _TYPE_2:
            _put(dataset, keyword, text)
        elif keyword in dataset:
            delattr(dataset, keyword)
    for keyword in SEQUENCES:
        if header.get(keyword):
            dataset[keyword] = _recoded(header[keyword], context.encoding)


def _recoded(element: DataElement, encoding: TextEncoding) -> DataElement:
    copy = deepcopy(element)
    for item in copy.value:
        if "SpecificCharacterSet" in item:
            del item.SpecificCharacterSet
        for tag in [child.tag for child in item if child.tag.is_private]:
            del item[tag]
        for child in item:
            if child.VR == "SQ":
                item[child.tag] = _recoded(child, encoding)
            elif child.VR in _TEXT_VRS and child.value and child.keyword:
                _put(item, child.keyword, source_text(item, child.keyword, encoding=encoding))
    return copy


def _equipment_item(context: ObjectContext) -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item(C.PROCESSING_EQUIPMENT)]
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = context.encoding.own(context.model.name)[:64]
    item.SoftwareVersions = _software_versions(context)
    item.DeviceSerialNumber = context.model.weights_sha256[:16]
    item.DeviceUID = device_uid(context.model)
    item.ContributionDescription = f"Image analysis, {RESEARCH_USE}"
    return item


def _scanner_item(context: ObjectContext) -> Dataset | None:
    manufacturer = source_text(context.header, "Manufacturer", encoding=context.encoding)
    if not manufacturer:
        return None
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item(C.ACQUISITION_EQUIPMENT)]
    _put(item, "Manufacturer", manufacturer)
    name = source_text(context.header, "ManufacturerModelName", encoding=context.encoding)
    if name:
        _put(item, "ManufacturerModelName", name)
    return item


def _software_versions(context: ObjectContext) -> list[str]:
    model = context.encoding.own(f"model {context.model.version}")
    return [f"gastromap {context.application_version}"[:64], model[:64]]


def finish(
    dataset: Dataset, context: ObjectContext, *, description: str, models: Sequence[ModelIdentity] = ()
) -> Dataset:
    """Fill in patient, study, equipment, labels, times and character set; the last step of every writer.

    Parameters
    ----------
    dataset : Dataset
        Object of one writer, with its SOP class, series number and content, without patient data. Changed in place.
    context : ObjectContext
        Shared facts of the run.
    description : str
        What the object shows, two or three English words for SeriesDescription.
    models : sequence of ModelIdentity
        Others than the context's that contributed.

    Returns
    -------
    dataset : Dataset
        The same object, ready to be written.
    """
    if context.encoding.charset is None:
        if "SpecificCharacterSet" in dataset:
            del dataset.SpecificCharacterSet
    else:
        dataset.SpecificCharacterSet = context.encoding.charset
    with quiet_pydicom():
        _copy_patient_and_study(dataset, context)
    date, time = context.moment.strftime("%Y%m%d"), context.moment.strftime("%H%M%S")
    dataset.SeriesDate, dataset.SeriesTime = date, time
    if "PresentationCreationDate" in dataset:
        dataset.PresentationCreationDate, dataset.PresentationCreationTime = date, time
    else:
        dataset.ContentDate, dataset.ContentTime = date, time
    dataset.InstanceNumber = 1
    dataset.SeriesDescription = f"{MANUFACTURER} {description}, {RESEARCH_USE}"
    if any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "PresentationCreationDate")):
        # Image objects and presentation states without a body part have to state a laterality, which a stomach has not.
        _put(dataset, "BodyPartExamined", source_text(context.header, "BodyPartExamined") or "ABDOMEN")
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = context.encoding.own(context.model.name)[:64]
    dataset.SoftwareVersions = _software_versions(context)
    dataset.DeviceSerialNumber = context.model.weights_sha256[:16]
    dataset.DeviceUID = device_uid(context.model)
    scanner = _scanner_item(context)
    dataset.ContributingEquipmentSequence = [
        *([scanner] if scanner is not None else []),
        *(_equipment_item(replace(context, model=model)) for model in (context.model, *models)),
    ]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION_UID
    meta.ImplementationVersionName = f"GASTROMAP{context.application_version}"[:16]
    dataset.file_meta = meta
    return dataset
