"""Draw what happens to a synthetic patient between the two scans: treatment, response, nodes, outcome.

Nothing here changes the patient before treatment: every draw has a random stream of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np

from gastromap.synthetic.cases import STAGES
from gastromap.synthetic.survival import RESPONSE_MEAN, RESPONSE_SD, Hazard, Outcome, draw_outcome, log_hazard
from gastromap.synthetic.types import Case, rng_for

__all__ = ["COMPLETE_BELOW", "Course", "draw_course"]

#: Less than 7 % of the volume left: nothing is seen any more, the mask is empty.
COMPLETE_BELOW: Final = -2.6
_LARGEST_GROWTH: Final = 0.4
_CYCLES: Final = (2, 3, 4, 5, 6)
_CYCLE_SHARE: Final = (0.12, 0.38, 0.30, 0.10, 0.10)
_THREE_DRUGS_SHARE: Final = 0.45
_CYCLE_DAYS: Final = 21

#: Nodes respond with the tumour, but not as one: share of its log ratio, and standard deviation of the rest.
_NODE_SHARE, _NODE_SD = 0.5, 0.45
_NODE_SURVIVES: Final = 0.7  #: of single nodes in a patient whose nodes are not all sterile


@dataclass(frozen=True)
class Course:
    """Treatment, response and outcome of one patient."""

    drugs: Literal[2, 3]
    cycles: int
    interval_days: int  #: between the scans
    response: float  #: natural logarithm of tumour volume after over before, not below :data:`COMPLETE_BELOW`
    node_response: float  #: the same of the nodes, before the sterile ones shrink further
    positive_nodes: int  #: after treatment
    ypt: Literal["T0", "T1", "T2", "T3", "T4"]
    hazard: Hazard
    outcome: Outcome

    @property
    def complete(self) -> bool:
        """Nothing of the tumour is left."""
        return self.response <= COMPLETE_BELOW

    @property
    def node_positive(self) -> bool:
        """The label: metastasis in a node after treatment."""
        return self.positive_nodes > 0

    @cached_property
    def ypn(self) -> str:
        """N category after treatment by the number of positive nodes (UICC, 8th edition)."""
        return f"N{np.searchsorted((1, 3, 7), self.positive_nodes, side='right')}"


def draw_course(case: Case) -> Course:
    """Draw the course of a patient.

    Parameters
    ----------
    case : Case
        The patient before treatment.

    Returns
    -------
    course : Course
        The same for the same case.
    """
    # As in `sample_case`: a new variable is drawn after all others of its stream.
    rng = rng_for(case.seed, case.number, "treatment")
    drugs: Literal[2, 3] = 3 if rng.random() < _THREE_DRUGS_SHARE else 2
    cycles = int(rng.choice(_CYCLES, p=_CYCLE_SHARE))
    interval = _CYCLE_DAYS * cycles + int(rng.integers(14, 36))

    rng = rng_for(case.seed, case.number, "response")
    response = _response(case, drugs, cycles, rng)
    node_response = _NODE_SHARE * response + rng.normal(0.0, _NODE_SD)
    positive = _positive_nodes(case, node_response, rng)
    ypt = _ypt(case, response, rng)

    hazard = log_hazard(case, node_positive=positive > 0, log_volume_ratio=response)
    return Course(
        drugs=drugs,
        cycles=cycles,
        interval_days=interval,
        response=response,
        node_response=float(node_response),
        positive_nodes=positive,
        ypt=ypt,
        hazard=hazard,
        outcome=draw_outcome(hazard.total, rng_for(case.seed, case.number, "survival")),
    )


def _response(case: Case, drugs: int, cycles: int, rng: np.random.Generator) -> float:
    # Small shifts: the pair of images, not the table, is to tell the response.
    shift = 0.1 * (0.45 - (drugs == 3)) - 0.06 * (cycles - 3.7) + 0.15 * ((case.lauren == "diffuse") - 0.35)
    drawn = RESPONSE_MEAN + shift + RESPONSE_SD * rng.normal()
    return float(np.clip(drawn, COMPLETE_BELOW, _LARGEST_GROWTH))


def _positive_nodes(case: Case, node_response: float, rng: np.random.Generator) -> int:
    sterile = rng.random() < 1 / (1 + np.exp(2.2 * (node_response + 1.2)))
    left = int(rng.binomial(case.positive_nodes, _NODE_SURVIVES))
    if not case.node_positive or sterile:
        return 0
    return max(left, 1)


def _ypt(case: Case, response: float, rng: np.random.Generator) -> Literal["T0", "T1", "T2", "T3", "T4"]:
    """Depth after treatment: a category is lost for about every 1.3 of the log ratio."""
    lost = int(np.clip(np.floor(-response / 1.3 + rng.uniform(-0.5, 0.5)), 0, 3))
    if response <= COMPLETE_BELOW:
        return "T0"
    return STAGES[max(STAGES.index(case.stage) - lost, 0)]
