"""Measurement groups of the CT after treatment and of the longitudinal model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gastromap.dicom_output.attributes import MANUFACTURER, ObjectContext
from gastromap.dicom_output.codes import YCT_CATEGORY_VALUES, C, os_probability
from gastromap.dicom_output.sr_groups import (
    GroupMaker,
    algorithm,
    followup_point,
    size_group,
    stage_algorithm,
    stage_comment,
    stage_groups,
)
from gastromap.reports.comparison_content import finding_after
from gastromap.reports.json_parts import warning_codes
from gastromap.reports.outlook_content import expected_survival, risk_group
from gastromap.reports.phrases import RESEARCH_USE, percent
from gastromap.reports.shown_slice import shown_index
from gastromap.results import Comparison
from gastromap.volume import SliceSource

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from gastromap.dicom_output.sr_groups import Group
    from gastromap.longitudinal.outcome import Outcome
    from gastromap.longitudinal.predictor import LongitudinalResult

__all__ = ["comparison_groups"]

_Groups = list["Group"]

_ALONE = "From the CT before treatment alone"


def comparison_groups(
    comparison: Comparison, context: ObjectContext, *, baseline: SliceSource, outline: Dataset | None
) -> _Groups:
    """Return the groups that a comparison adds, each with its time point.

    Parameters
    ----------
    comparison : Comparison
    context : ObjectContext
    baseline : SliceSource
        Key slice before treatment, which the longitudinal model saw too.
    outline : Dataset, optional
        Segmentation object of the tumour after treatment.
    """
    followup = comparison.followup
    shown = followup.volume.sources[shown_index(followup)]
    groups = _stage(comparison, context, shown)
    if followup.tumour is not None:
        name = "Tumour size after treatment"
        point = followup_point(comparison.interval_days)
        groups.append(size_group(followup.tumour, context, shown, name=name, time_point=point, outline=outline))
    if comparison.outlook is not None:
        groups += _outlook(comparison.outlook, comparison, context, (shown, baseline))
    return groups


def _stage(comparison: Comparison, context: ObjectContext, shown: SliceSource) -> _Groups:
    followup, stage = comparison.followup, comparison.stage
    extra = " ".join(part for part in (finding_after(followup), comparison.omitted) if part)
    warnings = warning_codes(followup.volume, followup.warnings)
    if stage is None or followup.key_slice is None:
        return [_without_stage(comparison, context, shown, extra, warnings)]
    identification = stage_algorithm(stage, followup.volume, context, comparison.grad_cam)
    comment = stage_comment(stage, followup.volume, followup.key_slice, warnings)
    return stage_groups(
        GroupMaker(context, identification, (shown,), followup_point(comparison.interval_days)),
        stage,
        followup.volume.role,
        comment=f"{comment} {extra}".rstrip(),
        categories=YCT_CATEGORY_VALUES,
    )


def _without_stage(
    comparison: Comparison, context: ObjectContext, shown: SliceSource, extra: str, warnings: list[str]
) -> Group:
    """Say that there is no stage, and whether a tumour was looked for and not found."""
    from highdicom import sr

    maker = GroupMaker(
        context,
        sr.AlgorithmIdentification(
            name=MANUFACTURER,
            version=context.application_version,
            manufacturer=MANUFACTURER,
            parameters=[RESEARCH_USE],
        ),
        (shown,),
        followup_point(comparison.interval_days),
    )
    codes = f" Warnings: {', '.join(warnings)}." if warnings else ""
    return maker.group(
        "ycT stage",
        C.NEOPLASM_PRIMARY,
        comment=f"{RESEARCH_USE.capitalize()}. No ycT stage. {extra}{codes}",
        qualitative_evaluations=[maker.evaluation(C.TUMOUR_FOUND, C.NO if comparison.followup.cleared else C.UNKNOWN)],
    )


def _outlook(
    outlook: LongitudinalResult, comparison: Comparison, context: ObjectContext, sources: tuple[SliceSource, ...]
) -> _Groups:
    outcome, last = outlook.outcome, outlook.breaks_months[-1]
    place = "by the stomach" if comparison.crop_by_stomach else "round the tumour"
    masks = [name for name, there in zip(("baseline", "follow-up"), outlook.masks, strict=True) if there]
    identification = algorithm(
        outlook.model,
        context,
        (
            f"inputs {outcome.inputs}, tumour masks {' and '.join(masks) or 'none'}",
            f"part of the follow-up placed {place}",
            f"survival intervals {', '.join(f'{month:g}' for month in outlook.breaks_months)} months",
        ),
    )
    maker = GroupMaker(context, identification, sources, followup_point(comparison.interval_days))
    opening = f"{RESEARCH_USE.capitalize()}. "
    nodes_alone = curve_alone = ""
    if outlook.baseline_only is not None:
        before = outlook.baseline_only
        nodes_alone = f"{_ALONE}: {percent(before.lnm_probability)}. "
        curve_alone = f"{_ALONE}: {_curve(before)}; {before.rmst_months:.1f} months. "
    evaluations = None
    if outcome.risk_group is not None:
        group = C.RISK_HIGH if outcome.risk_group == "high" else C.RISK_LOW
        evaluations = [maker.evaluation(C.RISK_GROUP, group)]
    return [
        maker.group(
            "Lymph-node metastasis after treatment",
            C.METASTASIS,
            site=C.REGIONAL_LYMPH_NODE,
            comment=f"{opening}{nodes_alone}{outlook.model.notice}",
            measurements=[maker.number(C.PROBABILITY, outcome.lnm_probability)],
        ),
        maker.group(
            "Overall survival",
            C.NEOPLASM_PRIMARY,
            comment=f"{opening}{expected_survival(outcome, last)}. {_curve(outcome)}. {risk_group(outcome)}. "
            f"{curve_alone}{outlook.model.notice}",
            measurements=[
                maker.number(C.OS_RISK, outcome.os_risk, C.MONTH),
                maker.number(C.EXPECTED_SURVIVAL, outcome.rmst_months, C.MONTH),
                *(maker.number(os_probability(month), value) for month, value in outcome.survival.items()),
            ],
            qualitative_evaluations=evaluations,
        ),
    ]


def _curve(outcome: Outcome) -> str:
    return ", ".join(f"S({month} months) {percent(value)}" for month, value in outcome.survival.items())
