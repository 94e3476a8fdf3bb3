"""Draw the labels and clinical variables of one synthetic patient.

The marginals follow the published Table 1 (age, sex, third, size) and common clinical knowledge of how grading,
Lauren type, markers and nodes go with depth. Images are made elsewhere; nothing here depends on them.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import numpy as np

from gastromap.synthetic.types import Case, Differentiation, Lauren, Stage, Third, rng_for

__all__ = ["STAGES", "first_day", "sample_case", "stage_for"]

STAGES: Final[tuple[Stage, ...]] = ("T1", "T2", "T3", "T4")

_THIRDS: Final[tuple[Third, ...]] = ("lower", "middle", "upper")
_THIRD_SHARE: Final = (0.58, 0.27, 0.15)
_MALE_SHARE: Final = 0.69
_AGE_MEAN, _AGE_SD = 62.0, 9.5

# Gamma with one shape for all stages: with these medians and balanced stages the cohort has 3.9 +- 2.4 cm, and a
# third of the T2 tumours are larger than the median T3, so that size alone cannot give the stage.
_SIZE_MEDIAN_CM: Final[dict[Stage, float]] = {"T1": 2.0, "T2": 2.9, "T3": 4.2, "T4": 5.5}
_SIZE_SHAPE: Final = 4.7
_SIZE_LIMITS_CM: Final = (0.8, 12.0)

_GRADES: Final[tuple[Differentiation, ...]] = ("well", "moderate", "poor")
_GRADE_SHARE: Final[dict[Stage, tuple[float, float, float]]] = {
    "T1": (0.27, 0.40, 0.33),
    "T2": (0.14, 0.41, 0.45),
    "T3": (0.08, 0.36, 0.56),
    "T4": (0.04, 0.29, 0.67),
}
_LAUREN: Final[tuple[Lauren, ...]] = ("intestinal", "diffuse", "mixed")
# Given the grade: a diffuse carcinoma is poorly differentiated by definition, with few exceptions.
_LAUREN_SHARE: Final[dict[Differentiation, tuple[float, float, float]]] = {
    "well": (0.90, 0.02, 0.08),
    "moderate": (0.72, 0.08, 0.20),
    "poor": (0.26, 0.52, 0.22),
}
# Medians; the log-normal widths below leave most values in the normal range (CEA < 5 ng/mL, CA19-9 < 37 U/mL).
_CEA_MEDIAN: Final[dict[Stage, float]] = {"T1": 1.8, "T2": 2.2, "T3": 2.9, "T4": 3.6}
_CA199_MEDIAN: Final[dict[Stage, float]] = {"T1": 8.0, "T2": 10.0, "T3": 14.0, "T4": 20.0}
_CEA_LOG_SD, _CA199_LOG_SD = 0.85, 1.1

_NODE_POSITIVE_SHARE: Final[dict[Stage, float]] = {"T1": 0.15, "T2": 0.40, "T3": 0.65, "T4": 0.80}
_MEAN_POSITIVE_NODES: Final[dict[Stage, float]] = {"T1": 2.0, "T2": 3.5, "T3": 6.0, "T4": 9.0}
_MAX_POSITIVE_NODES: Final = 40


def stage_for(seed: int, number: int) -> Stage:
    """Stage of the patient with this number when none is asked for.

    Each block of four numbers holds each stage once, in an order drawn from the seed, so that any cohort is
    balanced to within three patients and the stage cannot be read from the number.

    Parameters
    ----------
    seed : int
        Seed of the cohort.
    number : int
        Running number, from 1.

    Returns
    -------
    stage : {'T1', 'T2', 'T3', 'T4'}
    """
    block, place = divmod(number - 1, len(STAGES))
    return STAGES[int(rng_for(seed, block, "stage order").permutation(len(STAGES))[place])]


def sample_case(seed: int, number: int, *, centre: int, stage: Stage | None = None) -> Case:
    """Draw one patient.

    Parameters
    ----------
    seed : int
        Seed of the cohort, not negative.
    number : int
        Running number in the cohort, from 1. The same pair always gives the same patient, whoever else is drawn.
    centre : int
        1, 2 or 3. It changes the scanner, not the biology.
    stage : {'T1', 'T2', 'T3', 'T4'}, optional
        Asked-for stage; balanced over the numbers without it.

    Returns
    -------
    case : Case
    """
    stage = stage or stage_for(seed, number)
    rng = rng_for(seed, number, "case")
    # The order of the draws is part of the format: a new variable is drawn after all others.
    age = int(np.clip(round(rng.normal(_AGE_MEAN, _AGE_SD)), 25, 92))
    sex = rng.random() < _MALE_SHARE
    third = _THIRDS[int(rng.choice(3, p=_THIRD_SHARE))]
    # Median of a gamma variable to better than 0.1 % at this shape (Wilson and Hilferty 1931).
    gamma_median = _SIZE_SHAPE * (1 - 1 / (9 * _SIZE_SHAPE)) ** 3
    size = float(np.clip(rng.gamma(_SIZE_SHAPE) * _SIZE_MEDIAN_CM[stage] / gamma_median, *_SIZE_LIMITS_CM))
    grade = _GRADES[int(rng.choice(3, p=_GRADE_SHARE[stage]))]
    lauren = _LAUREN[int(rng.choice(3, p=_LAUREN_SHARE[grade]))]
    cea = float(_CEA_MEDIAN[stage] * np.exp(rng.normal(0.0, _CEA_LOG_SD)))
    ca199 = float(_CA199_MEDIAN[stage] * np.exp(rng.normal(0.0, _CA199_LOG_SD)))
    node_positive = bool(rng.random() < _NODE_POSITIVE_SHARE[stage])
    nodes = int(min(rng.geometric(1 / _MEAN_POSITIVE_NODES[stage]), _MAX_POSITIVE_NODES))
    return Case(
        seed=seed,
        number=number,
        centre=centre,
        stage=stage,
        third=third,
        size_cm=round(size, 1),
        lauren=lauren,
        differentiation=grade,
        age_years=age,
        sex="M" if sex else "F",
        cea_ng_ml=round(cea, 2),
        ca199_u_ml=round(ca199, 1),
        node_positive=node_positive,
        positive_nodes=nodes if node_positive else 0,
    )


def first_day(calendar: np.random.Generator) -> date:
    """Day of the first examination, the first draw of the random stream ``calendar`` of a patient."""
    return date(2018, 1, 8) + timedelta(days=int(calendar.integers(0, 1500)))
