"""Comprehensive 3D SR with a measurement report (TID 1500): the primary, computer-readable DICOM result.

One measurement group a hypothesis, because four probabilities in one group would differ in free text only; the stage
itself stands in a group of its own, as a coded cT category only where the study is confidently staged.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pydicom.dataset import Dataset

from gastromap.dicom_output.attributes import (
    MANUFACTURER,
    ObjectContext,
    finish,
    object_arguments,
)
from gastromap.dicom_output.codes import PRIVATE_SCHEME, PRIVATE_SCHEME_NAME, PRIVATE_SCHEME_UID, C, code
from gastromap.dicom_output.evidence import described_slice
from gastromap.dicom_output.sr_comparison import comparison_groups
from gastromap.dicom_output.sr_groups import (
    GroupMaker,
    device_observer,
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

__all__ = ["SR_SERIES_NUMBER", "Outlines", "build_structured_report"]

SR_SERIES_NUMBER = 9003


class Outlines(NamedTuple):
    """Segmentation objects of the tumour in either examination."""

    before: Dataset | None = None
    after: Dataset | None = None


def _groups(result: StudyResult, context: ObjectContext, outlines: Outlines) -> list[Any]:
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
        outline = outlines.before
        groups.append(size_group(result.tumour, context, key, name=name, time_point=time_point, outline=outline))
    if comparison is not None:
        groups += comparison_groups(comparison, context, baseline=key, outline=outlines.after)
    return groups


def _identified(outline: Dataset) -> Dataset:
    """Identity of an object of this run, without the patient it was finished with."""
    item = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(item, keyword, outline[keyword].value)
    return item


def _read_slices(result: StudyResult) -> list[tuple[CtVolume, int]]:
    """Slices that a network saw; those after treatment first, because the library takes the study from the first."""
    before = [result.key_slice.index, *(part.index for part in result.stage.slices)]
    slices = [(result.volume, index) for index in dict.fromkeys(before)]
    if result.comparison is None:
        return slices
    followup, stage = result.comparison.followup, result.comparison.stage
    after = [shown_index(followup), *(() if stage is None else (part.index for part in stage.slices))]
    return [*((followup.volume, index) for index in dict.fromkeys(after)), *slices]


def build_structured_report(result: StudyResult, context: ObjectContext, outlines: Outlines) -> Dataset:
    """Build the structured report of one study, or of two with their comparison.

    Parameters
    ----------
    result : StudyResult
        What the run found.
    context : ObjectContext
        Of the study that the report is filed in: the later one of two.
    outlines : Outlines
        Segmentation objects that its sizes refer to.

    Returns
    -------
    dataset : Dataset
        Comprehensive 3D SR, finished.

    Notes
    -----
    The image library holds the slices that the network saw and no more: each costs about 4.5 kB.
    """
    from highdicom import sr

    evidence = [described_slice(volume, index) for volume, index in _read_slices(result)]
    described = [item for item in evidence if item.Modality]
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=device_observer(context)),
        procedure_reported=code(C.CT_ABDOMEN_CONTRAST),
        imaging_measurements=_groups(result, context, outlines),
        referenced_images=described or None,
    )
    report = sr.Comprehensive3DSR(
        evidence=[*evidence, *(_identified(item) for item in (outlines.after, outlines.before) if item is not None)],
        content=content,
        **object_arguments(SR_SERIES_NUMBER),
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
    description = "T stage" if result.comparison is None else "comparison"
    return finish(report, context, description=description, models=result.other_models)
