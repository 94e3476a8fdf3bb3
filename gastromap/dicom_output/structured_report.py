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
from gastromap.dicom_output.codes import (
    CT_CATEGORY_VALUES,
    PRIVATE_SCHEME,
    PRIVATE_SCHEME_NAME,
    PRIVATE_SCHEME_UID,
    C,
    CodedEntry,
)
from gastromap.reports.phrases import RESEARCH_USE, heat_map_method, stage_label
from gastromap.results import StudyResult
from gastromap.volume import CtVolume

__all__ = ["SR_SERIES_NUMBER", "build_structured_report"]

SR_SERIES_NUMBER = 9003


def _code(entry: CodedEntry) -> Code:
    return Code(entry.value, entry.scheme, entry.meaning)


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


def _comment(result: StudyResult, context: ObjectContext) -> str:
    confidence = result.stage.confidence
    label = stage_label(result, result.stage.stage)
    members = ", ".join(stage_label(result, stage) for stage in confidence.prediction_set) or "empty"
    parts = [
        f"{RESEARCH_USE.capitalize()}.",
        f"Stage {label}: {'confidently staged' if confidence.staged else 'NOT CONFIDENTLY STAGED'}.",
        *confidence.reasons,
        f"Prediction set at {confidence.coverage:.0%}: {members}.",
        f"{confidence.votes_for_stage} of {confidence.slices} slices vote for the stage.",
        f"Key slice: {result.key_slice.index_from_feet} from the feet, found by {result.key_slice.origin}.",
        result.stage.model.notice,
    ]
    codes = (*result.volume.warnings, *result.warnings)
    if codes:
        parts.append(f"Warnings: {', '.join(codes)}.")
    return context.encoding.own(" ".join(part for part in parts if part))


def _groups(result: StudyResult, context: ObjectContext) -> list[Any]:
    from highdicom import sr

    stage, model = result.stage, result.stage.model
    key = result.volume.sources[result.key_slice.index]
    algorithm = sr.AlgorithmIdentification(
        name=context.encoding.own(model.name),
        version=context.encoding.own(model.version),
        manufacturer=MANUFACTURER,
        family=_code(C.ARTIFICIAL_INTELLIGENCE),
        parameters=[
            context.encoding.own(text)
            for text in (
                f"weights sha256 {model.weights_sha256}",
                f"network {model.network}, preprocessing {model.preprocessing}",
                f"input phase {result.volume.series.phase}",
                "staging system AJCC 8",
                f"calibration {stage.confidence.calibration or 'none'}",
                f"explanation {heat_map_method(result.grad_cam)}",
                f"trained on {model.trained_on}",
                RESEARCH_USE,
            )
        ],
    )
    source = source_reference(key)
    reference = (source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID)
    time_point = None
    if result.volume.role == "followup":
        time_point = sr.TimePointContext(
            time_point="follow-up, yc", time_point_type=_code(C.POSTTREATMENT), time_point_order=2
        )

    def group(name: str, finding: CodedEntry, **content: Any) -> Any:
        return sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(uid=new_uid(), identifier=name),
            finding_type=_code(finding),
            finding_sites=[sr.FindingSite(anatomic_location=_code(C.STOMACH))],
            algorithm_id=algorithm,
            time_point_context=time_point,
            source_images=[sr.SourceImageForMeasurementGroup(*reference)],
            **content,
        )

    def number(name: CodedEntry, value: float) -> Any:
        return sr.Measurement(name=_code(name), value=float(value), unit=_code(C.NO_UNITS), algorithm_id=algorithm)

    def evaluation(name: CodedEntry, value: CodedEntry) -> Any:
        return sr.QualitativeEvaluation(name=_code(name), value=_code(value))

    confidence = stage.confidence
    evaluations = [
        evaluation(C.STAGING_CONFIDENCE, C.CONFIDENT if confidence.staged else C.NOT_CONFIDENT),
        *(evaluation(C.PREDICTION_SET, CT_CATEGORY_VALUES[member]) for member in confidence.prediction_set),
    ]
    if confidence.staged:
        # A coded category is read by machines without its comment: none is given where the study is not staged.
        evaluations.insert(0, evaluation(C.CT_CATEGORY, CT_CATEGORY_VALUES[stage.stage]))
    summary = group(
        stage_label(result, "T stage"),
        C.NEOPLASM_PRIMARY,
        qualitative_evaluations=evaluations,
        measurements=[number(C.RAD_SCORE, stage.rad_score)] if stage.rad_score is not None else None,
    )
    summary[0].ContentSequence.append(
        sr.TextContentItem(
            name=_code(C.COMMENT),
            value=_comment(result, context),
            relationship_type=sr.RelationshipTypeValues.CONTAINS,
        )
    )
    hypotheses = [
        group(
            f"P({stage_label(result, name)})",
            CT_CATEGORY_VALUES[name],
            measurements=[number(C.PROBABILITY, probability)],
        )
        for name, probability in stage.probabilities.items()
    ]
    return [summary, *hypotheses]


def build_structured_report(result: StudyResult, context: ObjectContext) -> Dataset:
    """Build the structured report of one study.

    Parameters
    ----------
    result : StudyResult
        What the run found.
    context : ObjectContext
        Shared facts of the run.

    Returns
    -------
    dataset : Dataset
        Comprehensive 3D SR, finished.

    Notes
    -----
    The image library holds the slices that the network saw and no more: each costs about 4.5 kB.
    """
    from highdicom import sr

    volume = result.volume
    used = [result.key_slice.index, *(s.index for s in result.stage.slices if s.index != result.key_slice.index)]
    evidence = [_evidence(volume, index) for index in used]
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
        procedure_reported=_code(C.CT_ABDOMEN_CONTRAST),
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
    return finish(report, context, description="T stage")
