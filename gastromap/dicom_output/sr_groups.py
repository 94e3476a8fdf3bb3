"""Measurement groups (TID 1501) of one examination: stage, probabilities, tumour size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from gastromap.dicom_output.attributes import MANUFACTURER, ObjectContext, device_uid, new_uid, source_reference
from gastromap.dicom_output.codes import CT_CATEGORY_VALUES, C, CodedEntry, code
from gastromap.reports.phrases import RESEARCH_USE, SIZE_ORIGINS, heat_map_method, stage_label
from gastromap.results import GradCamResult, KeySlice, ModelIdentity, StageResult, Tumour
from gastromap.volume import CtVolume, SliceSource

if TYPE_CHECKING:
    from highdicom import sr
    from pydicom.dataset import Dataset

    Group: TypeAlias = sr.MeasurementsAndQualitativeEvaluations | sr.VolumetricROIMeasurementsAndQualitativeEvaluations

__all__ = [
    "GroupMaker",
    "algorithm",
    "device_observer",
    "followup_point",
    "pretreatment_point",
    "size_group",
    "stage_algorithm",
    "stage_comment",
    "stage_groups",
]


def algorithm(model: ModelIdentity, context: ObjectContext, parameters: Sequence[str]) -> sr.AlgorithmIdentification:
    """Name a model with its weights (TID 4019); the research-use line is the last parameter."""
    from highdicom import sr

    texts = (
        f"weights sha256 {model.weights_sha256}",
        f"network {model.network}, preprocessing {model.preprocessing}",
        *parameters,
        f"trained on {model.trained_on}",
        RESEARCH_USE,
    )
    return sr.AlgorithmIdentification(
        name=context.encoding.own(model.name),
        version=context.encoding.own(model.version),
        manufacturer=MANUFACTURER,
        family=code(C.ARTIFICIAL_INTELLIGENCE),
        parameters=[context.encoding.own(text) for text in texts],
    )


def stage_algorithm(
    stage: StageResult, volume: CtVolume, context: ObjectContext, grad_cam: GradCamResult | None
) -> sr.AlgorithmIdentification:
    """Name the model that staged a volume."""
    return algorithm(
        stage.model,
        context,
        (
            f"input phase {volume.series.phase}",
            "staging system AJCC 8",
            f"calibration {stage.confidence.calibration or 'none'}",
            *(() if grad_cam is None else (f"explanation {heat_map_method(grad_cam)}",)),
        ),
    )


def device_observer(context: ObjectContext) -> sr.ObserverContext:
    """Name this program with its weights as the observer (TID 1004)."""
    from highdicom import sr

    return sr.ObserverContext(
        observer_type=code(C.DEVICE),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=device_uid(context.model),
            name=MANUFACTURER,
            manufacturer_name=MANUFACTURER,
            model_name=context.encoding.own(context.model.name),
            serial_number=context.model.weights_sha256[:16],
        ),
    )


def pretreatment_point() -> sr.TimePointContext:
    """Time point before treatment (TID 1502)."""
    from highdicom import sr

    return sr.TimePointContext(
        time_point="baseline, before treatment", time_point_type=code(C.PRETREATMENT), time_point_order=1
    )


def followup_point(interval_days: int | None) -> sr.TimePointContext:
    """Time point after treatment (TID 1502), so many days after the CT before it where both dates are known."""
    from highdicom import sr

    offset = None
    if interval_days is not None:
        offset = sr.LongitudinalTemporalOffsetFromEvent(
            value=interval_days, unit=code(C.DAY), event_type=code(C.PRETREATMENT)
        )
    return sr.TimePointContext(
        time_point="follow-up, yc",
        time_point_type=code(C.POSTTREATMENT),
        time_point_order=2,
        temporal_offset_from_event=offset,
    )


@dataclass(frozen=True)
class GroupMaker:
    """Makes groups that share an algorithm, the slices they are about and a time point."""

    context: ObjectContext
    algorithm: sr.AlgorithmIdentification
    sources: tuple[SliceSource, ...]
    time_point: sr.TimePointContext | None

    def group(
        self,
        name: str,
        finding: CodedEntry,
        *,
        site: CodedEntry = C.STOMACH,
        comment: str = "",
        texts: Mapping[CodedEntry, str] | None = None,
        outline: Dataset | None = None,
        **content: Any,
    ) -> Group:
        """Make one group; ``content`` is ``measurements`` or ``qualitative_evaluations``.

        With the segmentation object of an outline the group is about its segment (TID 1411), else about slices
        (TID 1501).
        """
        from highdicom import sr

        content |= {
            "tracking_identifier": sr.TrackingIdentifier(uid=new_uid(), identifier=name),
            "finding_type": code(finding),
            "finding_sites": [sr.FindingSite(anatomic_location=code(site))],
            "algorithm_id": self.algorithm,
            "time_point_context": self.time_point,
        }
        made: Group
        if outline is None:
            references = [source_reference(source) for source in self.sources]
            made = sr.MeasurementsAndQualitativeEvaluations(
                source_images=[
                    sr.SourceImageForMeasurementGroup(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID)
                    for item in references
                ],
                **content,
            )
        else:
            series = outline.ReferencedSeriesSequence[0].SeriesInstanceUID
            segment = sr.ReferencedSegment(
                outline.SOPClassUID,
                outline.SOPInstanceUID,
                segment_number=1,
                source_series=sr.SourceSeriesForSegmentation(series),
            )
            made = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **content)
        for entry, text in {**(texts or {}), **({C.COMMENT: comment} if comment else {})}.items():
            made[0].ContentSequence.append(
                sr.TextContentItem(
                    name=code(entry),
                    value=self.context.encoding.own(text),
                    relationship_type=sr.RelationshipTypeValues.CONTAINS,
                )
            )
        return made

    def number(self, name: CodedEntry, value: float, unit: CodedEntry = C.NO_UNITS) -> sr.Measurement:
        """Make one measurement."""
        from highdicom import sr

        return sr.Measurement(name=code(name), value=float(value), unit=code(unit), algorithm_id=self.algorithm)

    def evaluation(self, name: CodedEntry, value: CodedEntry) -> sr.QualitativeEvaluation:
        """Make one coded evaluation."""
        from highdicom import sr

        return sr.QualitativeEvaluation(name=code(name), value=code(value))


def stage_groups(
    maker: GroupMaker,
    stage: StageResult,
    role: str,
    *,
    comment: str,
    categories: Mapping[str, CodedEntry] = CT_CATEGORY_VALUES,
) -> list[Group]:
    """Summary of a stage and one group a hypothesis.

    Parameters
    ----------
    maker : GroupMaker
    stage : StageResult
    role : str
        Of the volume: cT or ycT.
    comment : str
        Of the summary.
    categories : mapping
        Codes of the hypotheses. The stage itself is a coded cT category only with the public ones.
    """
    confidence = stage.confidence
    evaluations = [
        maker.evaluation(C.STAGING_CONFIDENCE, C.CONFIDENT if confidence.staged else C.NOT_CONFIDENT),
        *(maker.evaluation(C.PREDICTION_SET, categories[member]) for member in confidence.prediction_set),
    ]
    texts: dict[CodedEntry, str] = {}
    # A category is read by machines without its comment: none is given where the study is not staged.
    if confidence.staged and categories is CT_CATEGORY_VALUES:
        evaluations.insert(0, maker.evaluation(C.CT_CATEGORY, categories[stage.stage]))
    elif confidence.staged:
        texts[C.YCT_CATEGORY] = stage_label(role, stage.stage)
    summary = maker.group(
        stage_label(role, "T stage"),
        C.NEOPLASM_PRIMARY,
        comment=comment,
        texts=texts,
        qualitative_evaluations=evaluations,
        measurements=[maker.number(C.RAD_SCORE, stage.rad_score)] if stage.rad_score is not None else None,
    )
    hypotheses = [
        maker.group(
            f"P({stage_label(role, name)})",
            categories[name],
            measurements=[maker.number(C.PROBABILITY, probability)],
        )
        for name, probability in stage.probabilities.items()
    ]
    return [summary, *hypotheses]


def stage_comment(stage: StageResult, volume: CtVolume, key: KeySlice, warnings: Sequence[str]) -> str:
    """Put a stage, its certainty and its key slice in sentences."""
    confidence = stage.confidence
    label = stage_label(volume.role, stage.stage)
    members = ", ".join(stage_label(volume.role, name) for name in confidence.prediction_set) or "empty"
    parts = [
        f"{RESEARCH_USE.capitalize()}.",
        f"Stage {label}: {'confidently staged' if confidence.staged else 'NOT CONFIDENTLY STAGED'}.",
        *confidence.reasons,
        f"Prediction set at {confidence.coverage:.0%}: {members}.",
        f"{confidence.votes_for_stage} of {confidence.slices} slices vote for the stage.",
        f"Key slice: {key.index_from_feet} from the feet, found by {key.origin}.",
        stage.model.notice,
        *([f"Warnings: {', '.join(warnings)}."] if warnings else []),
    ]
    return " ".join(part for part in parts if part)


def size_group(
    tumour: Tumour,
    context: ObjectContext,
    source: SliceSource,
    *,
    name: str,
    time_point: sr.TimePointContext | None,
    outline: Dataset | None,
) -> Group:
    """Size of a tumour.

    Parameters
    ----------
    tumour : Tumour
    context : ObjectContext
    source : SliceSource
        Slice that stands for the examination where there is no outline among the objects.
    name : str
        Tracking identifier.
    time_point : TimePointContext, optional
    outline : Dataset, optional
        Segmentation object of the tumour.
    """
    from highdicom import sr

    origin = SIZE_ORIGINS[tumour.origin]
    if tumour.model is None:
        identification = sr.AlgorithmIdentification(
            name=f"{MANUFACTURER} tumour measures",
            version=context.application_version,
            manufacturer=MANUFACTURER,
            parameters=[origin, RESEARCH_USE],
        )
    else:
        identification = algorithm(tumour.model, context, (origin,))
    maker = GroupMaker(context, identification, (source,), time_point)
    notice = "" if tumour.model is None else f" {tumour.model.notice}"
    sizes = tumour.measures
    return maker.group(
        name,
        C.NEOPLASM_PRIMARY,
        comment=f"{RESEARCH_USE.capitalize()}. Size {origin}.{notice}".rstrip(),
        outline=outline,
        measurements=[
            maker.number(C.LONG_AXIS, sizes.long_axis_mm, C.MILLIMETRE),
            maker.number(C.VOLUME, sizes.volume_ml, C.CUBIC_CENTIMETRE),
            maker.number(C.WALL_THICKNESS, sizes.thickness_mm, C.MILLIMETRE),
        ],
    )
