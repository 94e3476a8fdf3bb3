"""Two CT examinations of a patient, before and after treatment: change of size, node metastasis, survival."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gastromap.dicom_input.image import acquisition_moment
from gastromap.dicom_input.labels import quiet_pydicom
from gastromap.model_card import WEIGHTS_NAME
from gastromap.results import (
    Comparison,
    Examination,
    GradCamResult,
    NomogramOmitted,
    NomogramResult,
    RunRecord,
    SizeChange,
    StageResult,
    StudyResult,
)
from gastromap.text import Text
from gastromap.volume import CtVolume

if TYPE_CHECKING:
    import torch

    from gastromap.longitudinal.predictor import LongitudinalPredictor, LongitudinalResult
    from gastromap.segmentation.lazy import LazyTumourFinder
    from gastromap.staging import PreparedCase

__all__ = ["LazyPredictor", "Outlook", "predict_outlook", "study_result"]

_log = logging.getLogger(__name__)
_Point = tuple[float, float, float]

_NO_MODEL = Text("No longitudinal model is installed.")
_NO_PLACE = {
    "baseline": Text(
        "The tumour of the baseline was not outlined, so the crop of the longitudinal model has no place."
    ),
    "cleared": Text(
        "No tumour was found after treatment, and neither was the stomach that would give the crop its place."
    ),
}

_ELSEWHERE = Text(
    "The segmentation model marked different places of the stomach before and after treatment; they cannot be the "
    "same tumour, so nothing is said of its change or of the outlook."
)
#: So far may the place found after treatment lie from where the tumour was, seen from the stomach. In 60 synthetic
#: pairs (seed 941, three centres) the true place lay 8.6 mm off (median; at most 22.9); the rest is for the finder.
_SAME_PLACE_MM = 40.0


class LazyPredictor:
    """The longitudinal model, read when the first pair comes: most inputs are one study.

    Parameters
    ----------
    models : Path
        Folder of the bundle.
    device : torch.device
    """

    def __init__(self, models: Path, *, device: torch.device) -> None:
        self._models, self._device = models, device
        self._predictor: LongitudinalPredictor | None = None

    @classmethod
    def find(cls, models: Path, *, device: torch.device) -> LazyPredictor | None:
        """Model of the bundle below the folder of bundles; None where it is not there or has no weights."""
        folder = models / "gastric_longitudinal_survival"
        return cls(folder, device=device) if (folder / "models" / WEIGHTS_NAME).is_file() else None

    @property
    def loaded(self) -> LongitudinalPredictor:
        """The predictor itself.

        Raises
        ------
        ModelError
            As of :meth:`LongitudinalPredictor.load`.
        """
        if self._predictor is None:
            from gastromap.longitudinal.predictor import LongitudinalPredictor

            self._predictor = LongitudinalPredictor.load(self._models, device=self._device)
        return self._predictor


@dataclass(frozen=True)
class Outlook:
    """Prediction of the longitudinal model, or why there is none; the fields are those of ``Comparison``."""

    result: LongitudinalResult | None
    omitted: str = ""
    crop_by_stomach: bool = False
    followup_centre_lps: _Point | None = None
    elsewhere: bool = False  #: what was found at both dates cannot be the same tumour


def predict_outlook(
    baseline: Examination,
    followup: Examination,
    *,
    predictor: LazyPredictor | None,
    finder: LazyTumourFinder | None,
) -> Outlook:
    """Ask the longitudinal model about a pair.

    Parameters
    ----------
    baseline, followup : Examination
    predictor : LazyPredictor, optional
    finder : LazyTumourFinder, optional
        Places the crop of a follow-up in which no tumour was found: where the tumour was, seen from the stomach. Where
        the model found the tumour of a date, it is compared with that place too.

    Raises
    ------
    ModelError
        If the bundle is damaged.
    """
    if finder is not None and _elsewhere(baseline, followup, finder):
        _log.warning("the tumours found before and after treatment lie in different places")
        return Outlook(None, _ELSEWHERE, elsewhere=True)
    if predictor is None:
        return Outlook(None, _NO_MODEL)
    if baseline.tumour is None:
        return Outlook(None, _NO_PLACE["baseline"])
    if followup.tumour is not None:
        centre: _Point | None = followup.tumour.centre_lps
    elif followup.cleared:
        centre = None if finder is None else _by_stomach(baseline, followup.volume, finder)
        if centre is None:
            return Outlook(None, _NO_PLACE["cleared"])
    else:
        said = Text(
            "The tumour after treatment was not outlined ({reason}), so the crop of the longitudinal model has no "
            "place.",
            reason=followup.no_tumour,
        )
        return Outlook(None, said)

    from gastromap.preprocessing.pair import CtScan

    scans = [
        CtScan(
            hu=examination.volume.hu,
            affine_lps=examination.volume.affine_lps,
            mask=None if examination.tumour is None else examination.tumour.mask,
            centre_lps=place,
            role=examination.volume.role,
        )
        for examination, place in ((baseline, baseline.tumour.centre_lps), (followup, centre))
    ]
    result = predictor.loaded(scans[0], scans[1], explain=True)
    return Outlook(result, crop_by_stomach=followup.cleared, followup_centre_lps=centre)


def _elsewhere(baseline: Examination, followup: Examination, finder: LazyTumourFinder) -> bool:
    """Whether the tumour of one date, found by the model, cannot be that of the other; outlines are not doubted."""
    before, after = baseline.tumour, followup.tumour
    if before is None or after is None or before.origin == after.origin == "seg":
        return False
    expected = _by_stomach(baseline, followup.volume, finder)
    return expected is not None and float(np.linalg.norm(np.subtract(expected, after.centre_lps))) > _SAME_PLACE_MM


def _by_stomach(baseline: Examination, followup: CtVolume, finder: LazyTumourFinder) -> _Point | None:
    """Where in the follow-up the tumour of the baseline was, in parts of the box that holds the stomach.

    The scans are not registered and the stomach is filled differently; parts of the box follow both.
    """
    assert baseline.tumour is not None  # noqa: S101 -- asked by the caller
    before = finder.loaded.stomach_box(baseline.volume.hu, baseline.volume.affine_lps)
    after = finder.loaded.stomach_box(followup.hu, followup.affine_lps)
    if before is None or after is None:
        return None
    (low, high), (new_low, new_high) = np.asarray(before), np.asarray(after)
    part = (np.asarray(baseline.tumour.centre_lps) - low) / (high - low)
    x, y, z = new_low + part * (new_high - new_low)
    return float(x), float(y), float(z)


def study_result(
    examinations: Sequence[Examination],
    explained: Sequence[tuple[PreparedCase, StageResult, GradCamResult]],
    *,
    nomogram: NomogramResult | NomogramOmitted,
    outlook: Outlook | None,
    run: RunRecord,
) -> StudyResult:
    """Put together what the writers need.

    Parameters
    ----------
    examinations : sequence of Examination
        One, or baseline and follow-up.
    explained : sequence of (PreparedCase, StageResult, GradCamResult)
        Of those examinations that have a key slice; the first one has.
    nomogram : NomogramResult or NomogramOmitted
    outlook : Outlook, optional
        Of a pair.
    run : RunRecord
    """
    first = examinations[0]
    case, stage, grad_cam = explained[0]
    return StudyResult(
        volume=case.volume,
        key_slice=case.key_slice,
        stage=stage,
        grad_cam=grad_cam,
        nomogram=nomogram,
        run=run,
        warnings=tuple(dict.fromkeys((*case.volume.warnings, *first.warnings))),
        tumour=first.tumour,
        comparison=None if outlook is None else _compare(first, examinations[1], outlook, explained[1:]),
    )


def _compare(
    baseline: Examination,
    followup: Examination,
    outlook: Outlook,
    explained: Sequence[tuple[PreparedCase, StageResult, GradCamResult]],
) -> Comparison:
    days = _days(baseline.volume, followup.volume)
    if days is None:
        _log.info("no interval between the examinations: a date is missing")
    _, stage, grad_cam = explained[0] if explained else (None, None, None)
    warnings = (*followup.warnings, "PLACES_DIFFER") if outlook.elsewhere else followup.warnings
    return Comparison(
        followup=replace(followup, crop_centre_lps=outlook.followup_centre_lps, warnings=warnings),
        interval_days=days,
        stage=stage,
        grad_cam=grad_cam,
        changes=() if outlook.elsewhere else _changes(baseline, followup),
        outlook=outlook.result,
        omitted=outlook.omitted,
        crop_by_stomach=outlook.crop_by_stomach,
        elsewhere=outlook.elsewhere,
    )


def _changes(baseline: Examination, followup: Examination) -> tuple[SizeChange, ...]:
    if baseline.tumour is None:
        return ()
    before, after = baseline.tumour.measures, followup.tumour.measures if followup.tumour else None
    if after is None and not followup.cleared:
        return ()
    return (
        SizeChange("volume_ml", before.volume_ml, 0.0 if after is None else after.volume_ml),
        SizeChange("long_axis_mm", before.long_axis_mm, 0.0 if after is None else after.long_axis_mm),
        SizeChange("thickness_mm", before.thickness_mm, 0.0 if after is None else after.thickness_mm),
    )


def _days(baseline: CtVolume, followup: CtVolume) -> int | None:
    moments = []
    with quiet_pydicom():
        for volume in (baseline, followup):
            digits = min(filter(None, (acquisition_moment(s.header) for s in volume.sources)), default="")[:8]
            if len(digits) < 8 or not digits.isdecimal():
                return None
            try:
                moments.append(date(int(digits[:4]), int(digits[4:6]), int(digits[6:])))
            except ValueError:
                return None
    return (moments[1] - moments[0]).days
