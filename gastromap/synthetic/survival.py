"""Overall survival of synthetic patients: a Weibull model with proportional hazards, and how well it can be known.

The hazard is the one thing of the cohort that no training may read; it is written to a file of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gastromap.synthetic.types import Case

__all__ = [
    "RESPONSE_MEAN",
    "RESPONSE_SD",
    "WEIBULL_SCALE_MONTHS",
    "WEIBULL_SHAPE",
    "Hazard",
    "Outcome",
    "draw_outcome",
    "log_hazard",
    "weibull_survival",
]

#: Mean and standard deviation of the log volume ratio; they standardise the shrinkage in the hazard.
RESPONSE_MEAN: Final = -1.3
RESPONSE_SD: Final = 0.95

WEIBULL_SHAPE: Final = 1.2
#: Months by which 63 % of patients of log-hazard 0 have died; gives about 60 % censoring.
WEIBULL_SCALE_MONTHS: Final = 190.0

_PER_RESPONSE_SD: Final = 1.3  #: the volume that is left is the strongest predictor, so that a pair tells more
_NODES: Final = 0.6
_STAGE: Final = {"T1": -0.4, "T2": 0.0, "T3": 0.35, "T4": 0.7}
_LAUREN: Final = {"intestinal": 0.0, "mixed": 0.15, "diffuse": 0.35}
_PER_YEAR: Final = 0.02
_MEAN_AGE: Final = 62

# Accrual over six years, one closing date: everybody alive is followed for 12 to 84 months.
_FOLLOWED_MONTHS: Final = (12.0, 84.0)


@dataclass(frozen=True)
class Hazard:
    """True log-hazard relative to a T2 patient of 62 with average response, in parts."""

    stage: float
    nodes: float
    shrinkage: float
    age: float
    lauren: float

    @property
    def visible(self) -> float:
        """The part that images show: stage, nodes and shrinkage."""
        return self.stage + self.nodes + self.shrinkage

    @property
    def total(self) -> float:
        """All of it."""
        return self.visible + self.age + self.lauren


@dataclass(frozen=True)
class Outcome:
    """What follow-up tells."""

    os_months: float  #: from the end of chemotherapy (the second scan) to death or to the end of follow-up
    death: bool


def log_hazard(case: Case, *, node_positive: bool, log_volume_ratio: float) -> Hazard:
    """True log-hazard of a patient.

    Parameters
    ----------
    case : Case
        Stage before treatment, age and Lauren type count.
    node_positive : bool
        Nodes after chemotherapy.
    log_volume_ratio : float
        Natural logarithm of tumour volume after over before.

    Returns
    -------
    hazard : Hazard
    """
    return Hazard(
        stage=_STAGE[case.stage],
        nodes=_NODES * node_positive,
        shrinkage=_PER_RESPONSE_SD * (log_volume_ratio - RESPONSE_MEAN) / RESPONSE_SD,
        age=_PER_YEAR * (case.age_years - _MEAN_AGE),
        lauren=_LAUREN[case.lauren],
    )


def weibull_survival(months: ArrayLike, total: float) -> NDArray[np.float64]:
    """Probability of being alive, ``exp(-(t / scale)^shape e^total)``, shape of ``months``."""
    t = np.asarray(months, dtype=float)
    return np.asarray(np.exp(-((t / WEIBULL_SCALE_MONTHS) ** WEIBULL_SHAPE) * np.exp(total)))


def draw_outcome(total: float, rng: np.random.Generator) -> Outcome:
    """Draw time of death and end of follow-up, independent of each other.

    Parameters
    ----------
    total : float
        Log-hazard.
    rng : numpy Generator

    Returns
    -------
    outcome : Outcome
        Months rounded to one decimal, at least 0.1.

    Notes
    -----
    Bender, Augustin and Blettner 2005, doi 10.1002/sim.2059: with E standard exponential,
    T = scale (E e^-total)^(1/shape).
    """
    died = WEIBULL_SCALE_MONTHS * (rng.exponential() * np.exp(-total)) ** (1 / WEIBULL_SHAPE)
    followed = rng.uniform(*_FOLLOWED_MONTHS)
    return Outcome(os_months=max(round(float(min(died, followed)), 1), 0.1), death=bool(died <= followed))
