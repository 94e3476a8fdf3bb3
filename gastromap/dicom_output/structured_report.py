"""Comprehensive 3D SR with a measurement report (TID 1500): the primary, computer-readable DICOM result.

One measurement group a hypothesis, because four probabilities in one group would differ in free text only; the stage
itself stands in a group of its own, as a coded cT category only where the study is confidently staged.
"""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from gastromap.dicom_output.attributes import (
    MANUFACTURER,
    ObjectContext,
    device_uid,
    finish,
    new_uid,
    source_reference,
)
from gastromap.dicom_output.codes import PRIVATE_SCHEME, PRIVATE_SCHEME_NAME, PRIVATE_SCHEME_UID, C
from gastromap.dicom_output.sr_comparison import comparison_groups
from gastromap.dicom_output.sr_groups import (
    GroupMaker,
    code,
    followup_point,
    pretreatment_point,
    size_group,
    stage_algorithm,
    stage_comment,
    stage_groups,
)
from gastromap.reports.json_parts import warning_codes
from gastromap.reports.shown_slice import shown_index
from gastromap.results import StudyResult
from gastromap.volume import CtVolume

__all__ = ["SR_SERIES_NUMBER", "build_structured_report"]

SR_SERIES_NUMBER = 9003


def _evidence(volume: CtVolume, index: int) -> Dataset:
    """Describe one source slice without patient data, so that the library can neither copy nor log any."""
    header = volume.sources[index].header
    item = Dataset()
    item.SOPClassUID = source_reference(volume.sources[index]).ReferencedSOPClassUID
    item.SOPInstanceUID = volume.sources[index].sop_instance_uid
    item.StudyInstanceUID = header.StudyInstanceUID
    item.SeriesInstanceUID = volume.series.series_instance_uid
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        setattr(item, keyword, "")
    for keyword in ("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"):
        setattr(item, keyword, "")
    if header.get("FrameOfReferenceUID"):
        item.FrameOfReferenceUID = header.FrameOfReferenceUID
    item.Rows, item.Columns = (int(n) for n in volume.hu.shape[1:])
    if volume.series.thickness_mm:
        # With a modality the library demands all of the geometry, and a missing thickness is not invented.
        item.Modality = "CT"
        item.SliceThickness = float(volume.series.thickness_mm)
        item.PixelSpacing = [round(float(spacing), 6) for spacing in volume.pixel_spacing_mm]
        position = volume.affine_lps @ [0.0, 0.0, float(index), 1.0]
        item.ImagePositionPatient = [round(float(mm), 4) for mm in position[:3]]
        axes = [volume.affine_lps[:3, column] for column in (0, 1)]
        cosines = [axis / (axis @ axis) ** 0.5 for axis in axes]
        item.ImageOrientationPatient = [round(float(cosine), 6) for axis in cosines for cosine in axis]
    else:
        item.Modality = ""
    return item


def _groups(result: StudyResult, context: ObjectContext) -> list[Any]:
    volume, comparison = result.volume, result.comparison
    key = volume.sources[result.key_slice.index]
    time_point = followup_point(None) if volume.role == "followup" else None
    if comparison is not None:
        time_point = pretreatment_point()
    groups = stage_groups(
        GroupMaker(context, stage_algorithm(result.stage, volume, context, result.grad_cam), (key,), time_point),
        result.stage,
        volume.role,
        comment=stage_comment(result.stage, volume, result.key_slice, warning_codes(volume, result.warnings)),
    )
    if result.tumour is not None:
        name = "Tumour size" if comparison is None else "Tumour size before treatment"
        groups.append(size_group(result.tumour, context, key, name=name, time_point=time_point))
    if comparison is not None:
        groups += comparison_groups(comparison, context, baseline=key)
    return groups


def _read_slices(result: StudyResult) -> list[tuple[CtVolume, int]]:
    """Slices that a network saw; those after treatment first, because the library takes the study from the first."""
    before = [result.key_slice.index, *(part.index for part in result.stage.slices)]
    slices = [(result.volume, index) for index in dict.fromkeys(before)]
    if result.comparison is None:
        return slices
    followup, stage = result.comparison.followup, result.comparison.stage
    after = [shown_index(followup), *(() if stage is None else (part.index for part in stage.slices))]
    return [*((followup.volume, index) for index in dict.fromkeys(after)), *slices]


def build_structured_report(result: StudyResult, context: ObjectContext) -> Dataset:
    """Build the structured report of one study, or of two with their comparison.

    Parameters
    ----------
    result : StudyResult
        What the run found.
    context : ObjectContext
        Of the study that the report is filed in: the later one of two.

    Returns
    -------
    dataset : Dataset
        Comprehensive 3D SR, finished.

    Notes
    -----
    The image library holds the slices that the network saw and no more: each costs about 4.5 kB.
    """
    from highdicom import sr

    evidence = [_evidence(volume, index) for volume, index in _read_slices(result)]
    observer = sr.ObserverContext(
        observer_type=Code("121007", "DCM", "Device"),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=device_uid(context.model),
            name=MANUFACTURER,
            manufacturer_name=MANUFACTURER,
            model_name=context.encoding.own(context.model.name),
            serial_number=context.model.weights_sha256[:16],
        ),
    )
    described = [item for item in evidence if item.Modality]
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=code(C.CT_ABDOMEN_CONTRAST),
        imaging_measurements=_groups(result, context),
        referenced_images=described or None,
    )
    report = sr.Comprehensive3DSR(
        evidence=evidence,
        content=content,
        series_instance_uid=new_uid(),
        series_number=SR_SERIES_NUMBER,
        sop_instance_uid=new_uid(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        specific_character_set=context.encoding.charset,
    )
    scheme = Dataset()
    scheme.CodingSchemeDesignator = PRIVATE_SCHEME
    scheme.CodingSchemeUID = PRIVATE_SCHEME_UID
    scheme.CodingSchemeName = PRIVATE_SCHEME_NAME
    scheme.CodingSchemeResponsibleOrganization = MANUFACTURER
    report.CodingSchemeIdentificationSequence = [scheme]
    return finish(report, context, description="T stage" if result.comparison is None else "comparison")
