"""What a run finds, as frozen types: writers render them, models do not write.

The JSON form of :class:`StudyResult` is described by ``gastromap/reports/result.schema.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from gastromap.volume import CtVolume

if TYPE_CHECKING:
    from gastromap.longitudinal.predictor import LongitudinalResult
    from gastromap.nomogram.model import NomogramModel
    from gastromap.segmentation.measures import TumourMeasures

__all__ = [
    "ClinicalVariables",
    "Comparison",
    "Confidence",
    "Examination",
    "GradCamResult",
    "KeySlice",
    "KeySliceOrigin",
    "ModelIdentity",
    "NomogramOmitted",
    "NomogramResult",
    "PredictorContribution",
    "RunRecord",
    "SizeChange",
    "SizeOrigin",
    "SliceHeatMap",
    "SlicePrediction",
    "StageResult",
    "StudyResult",
    "Tumour",
]

#: Who chose the key slice, in the order of authority of the T-stage design.
KeySliceOrigin = Literal["call_uid", "call_index", "seg", "rtstruct", "kos", "auto"]

#: Where a size comes from: given with the clinical variables, measured in a DICOM segmentation or in the mask of the
#: segmentation model.
SizeOrigin = Literal["given", "seg", "auto"]


@dataclass(frozen=True)
class ModelIdentity:
    """Which model made a result; read from the bundle, never typed again."""

    name: str
    version: str
    network: str  #: for example ``GTRNet-18``
    weights_sha256: str
    preprocessing: str  #: profile name
    trained_on: str  #: ``synthetic`` or a description of the training cohort
    notice: str  #: sentence to print wherever a figure of this model is printed


@dataclass(frozen=True)
class KeySlice:
    """The slice with the largest tumour cross-section and how it was found."""

    index: int  #: into ``CtVolume.hu``
    index_from_feet: int  #: 0 is the slice nearest to the feet
    sop_instance_uid: str
    position_mm: float  #: z in patient coordinates (+ towards the head)
    origin: KeySliceOrigin
    tumour_area_mm2: float | None = None  #: only from a SEG, an RTSTRUCT or the segmentation model
    weak_signs: bool = False  #: chosen by a segmentation model that was not sure of the tumour itself


@dataclass(frozen=True)
class SlicePrediction:
    """Softmax output for one slice."""

    index: int
    sop_instance_uid: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True)
class Confidence:
    """How far a stage can be trusted, in the terms of the T-stage design, section 3."""

    staged: bool  #: False is shown as "not confidently staged"
    prediction_set: tuple[str, ...]  #: conformal set, lowest stage first
    coverage: float  #: nominal coverage of the set
    votes_for_stage: int
    slices: int
    reasons: tuple[str, ...] = ()  #: sentences that say why it is not confidently staged
    calibration: str = ""  #: identifier of the calibration data


@dataclass(frozen=True)
class StageResult:
    """Stage of one study."""

    stage: str  #: ``T1`` … ``T4``
    probabilities: Mapping[str, float]  #: mean of the calibrated softmax outputs, sum 1 within 1e-6
    slices: tuple[SlicePrediction, ...]  #: key slice and its neighbours, from the feet upwards
    confidence: Confidence
    rad_score: float | None  #: standardised linear score of deep features, in SD of the training cohort
    model: ModelIdentity
    device: str
    model_facts: tuple[tuple[str, str], ...] = ()  #: label and text: task, data, figures, use (``model_card.facts_of``)


@dataclass(frozen=True)
class SliceHeatMap:
    """Class activation map of one slice."""

    index: int  #: slice index into the volume
    heatmap: NDArray[np.float32] = field(repr=False)  #: shape (rows, columns), 0 to 1: share of the slice's own maximum


@dataclass(frozen=True)
class GradCamResult:
    """Class activation map on the grid of the key slice: an explanation, never a lesion outline."""

    stage: str
    heatmap: NDArray[np.float32] = field(repr=False)  #: shape (rows, columns), 0 to 1
    index: int  #: slice index into the volume
    method: Literal["Grad-CAM", "HiResCAM"]
    layer: str  #: of the network, whose maps were weighted: ``layer1`` … ``layer4``
    neighbours: tuple[SliceHeatMap, ...] = ()  #: of the other slices that the network read, for the same stage

    @property
    def slices(self) -> tuple[SliceHeatMap, ...]:
        """Key slice and neighbours, by index."""
        every = (SliceHeatMap(self.index, self.heatmap), *self.neighbours)
        return tuple(sorted(every, key=lambda item: item.index))


@dataclass(frozen=True)
class ClinicalVariables:
    """Clinical predictors of the nomogram; ``None`` where the source is silent."""

    tumour_size_cm: float | None = None
    differentiation: Literal["well", "moderate", "poor"] | None = None
    lauren: Literal["intestinal", "diffuse", "mixed"] | None = None
    size_origin: SizeOrigin = "given"

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the variables without a value."""
        names = ("tumour_size_cm", "differentiation", "lauren")
        return tuple(name for name in names if getattr(self, name) is None)


@dataclass(frozen=True)
class PredictorContribution:
    """One row of the nomogram."""

    name: str  #: for example ``Lauren type``
    value: str  #: as shown to the reader, for example ``diffuse``
    log_odds: float
    points: float  #: 0 to 100, relative to the predictor's lowest value


@dataclass(frozen=True)
class NomogramResult:
    """Stage probabilities of the proportional-odds nomogram."""

    variant: Literal["published", "refit"]
    source: str  #: where the coefficients come from, as a sentence
    probabilities: Mapping[str, float]
    stage: str
    contributions: tuple[PredictorContribution, ...]
    total_points: float
    model: NomogramModel | None = field(default=None, repr=False)  #: to draw it and to try other values
    rad_score: float | None = None  #: as it entered, in SD


@dataclass(frozen=True)
class NomogramOmitted:
    """Why there is no nomogram."""

    missing: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class RunRecord:
    """Facts of the run for the audit trail; no patient data."""

    run_id: str
    started: str  #: ISO 8601 with offset
    version: str
    packages: Mapping[str, str]
    seconds: Mapping[str, float]  #: by stage of the pipeline
    config: Mapping[str, object]


@dataclass(frozen=True)
class Tumour:
    """A tumour mask on the grid of its volume, and its size."""

    origin: Literal["seg", "auto"]  #: DICOM segmentation, or the segmentation model
    mask: NDArray[np.bool_] = field(repr=False)  #: shape of the volume, not empty
    centre_lps: tuple[float, float, float]  #: middle of the mask in mm
    measures: TumourMeasures
    probability: float | None = None  #: mean inside the mask, 0 to 1, not calibrated; None for a DICOM segmentation
    model: ModelIdentity | None = None  #: of the segmentation model


@dataclass(frozen=True)
class Examination:
    """What is known of one CT examination before it is staged."""

    volume: CtVolume
    key_slice: KeySlice | None  #: None only after treatment, where no tumour was found or marked
    tumour: Tumour | None  #: None where nobody marked one and the segmentation model did not run or found none
    no_tumour: str = ""  #: why there is no tumour, as words of a sentence; empty where there is one
    crop_centre_lps: tuple[float, float, float] | None = None  #: of the crop that the longitudinal model saw, mm
    searched: bool = True  #: False where no tumour is known because nobody has marked one and no model has looked
    warnings: tuple[str, ...] = ()  #: codes

    @property
    def cleared(self) -> bool:
        """Whether somebody or the model has looked for a tumour and there was none: not the same as a size unknown."""
        return self.tumour is None and self.key_slice is None and self.searched


@dataclass(frozen=True)
class SizeChange:
    """One measure of the tumour before and after treatment."""

    name: Literal["volume_ml", "long_axis_mm", "thickness_mm"]
    before: float
    after: float  #: 0 where no tumour was found after treatment

    @property
    def relative(self) -> float:
        """(after - before) / before: -0.3 is a decrease by 30 %."""
        return self.after / self.before - 1


@dataclass(frozen=True)
class Comparison:
    """What the CT after treatment adds.

    Attributes
    ----------
    followup : Examination
    interval_days : int, optional
        From the baseline to the follow-up; None where a date is missing.
    stage : StageResult, optional
        Of the follow-up, a ycT category; None where it has no key slice.
    grad_cam : GradCamResult, optional
        Of the follow-up's key slice.
    changes : tuple of SizeChange
        Empty where the size at one of the dates is unknown.
    outlook : LongitudinalResult, optional
        Node metastasis and survival, with maps.
    omitted : str
        Why there is no outlook, as a sentence; empty where there is one.
    crop_by_stomach : bool
        The crop of the follow-up was placed by the stomach, because no tumour was found in it.
    elsewhere : bool
        The segmentation model marked different places before and after treatment: neither changes nor outlook.
    """

    followup: Examination
    interval_days: int | None
    stage: StageResult | None
    grad_cam: GradCamResult | None
    changes: tuple[SizeChange, ...]
    outlook: LongitudinalResult | None
    omitted: str = ""
    crop_by_stomach: bool = False
    elsewhere: bool = False


@dataclass(frozen=True)
class StudyResult:
    """All that the writers need, once."""

    volume: CtVolume
    key_slice: KeySlice
    stage: StageResult
    grad_cam: GradCamResult
    nomogram: NomogramResult | NomogramOmitted
    run: RunRecord
    warnings: tuple[str, ...] = ()
    tumour: Tumour | None = None  #: of ``volume``
    comparison: Comparison | None = None  #: where a follow-up was sent with ``volume``

    @property
    def other_models(self) -> tuple[ModelIdentity, ...]:
        """Models that contributed beside the one that staged: segmentation, longitudinal; each once."""
        found: list[ModelIdentity | None] = [None if self.tumour is None else self.tumour.model]
        if self.comparison is not None:
            after, outlook = self.comparison.followup.tumour, self.comparison.outlook
            found += [None if after is None else after.model, None if outlook is None else outlook.model]
        return tuple(dict.fromkeys(model for model in found if model is not None and model != self.stage.model))
