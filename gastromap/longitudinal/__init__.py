"""Two CT examinations of a patient to node metastasis and survival: the bundle, its numbers, the predictor."""

from gastromap.longitudinal.bundle import LONGITUDINAL_BUNDLE, LongitudinalBundle
from gastromap.longitudinal.constants import CONSTANTS_NAME, LongitudinalConstants
from gastromap.longitudinal.outcome import FollowupContribution, Outcome, outcomes
from gastromap.longitudinal.predictor import LongitudinalPredictor, LongitudinalResult
from gastromap.longitudinal.visual import LongitudinalMaps
from gastromap.preprocessing.pair import CtScan

__all__ = [
    "CONSTANTS_NAME",
    "LONGITUDINAL_BUNDLE",
    "CtScan",
    "FollowupContribution",
    "LongitudinalBundle",
    "LongitudinalConstants",
    "LongitudinalMaps",
    "LongitudinalPredictor",
    "LongitudinalResult",
    "Outcome",
    "outcomes",
]
