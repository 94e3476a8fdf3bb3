"""Numbers that decide what counts as a tumour; they travel with the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gastromap.errors import ModelError

__all__ = ["FinderLimits"]


@dataclass(frozen=True)
class FinderLimits:
    """Limits of the finder.

    Attributes
    ----------
    threshold : float
        Probability from which a voxel belongs to the mask.
    window : (slices, rows, columns)
        Voxels that the fine network reads at once.
    overlap : float
        Share of a window that the next one reads again, 0 to below 1.
    reach_mm : float
        How far from the stomach of the coarse network a tumour may reach.
    core_mm : float
        How far from the stomach of the coarse network voxels count when it is decided which part is the tumour.
    volume_ml : float
        Smallest tumour.
    probability : float
        Mean probability inside the mask from which it is a tumour.
    doubtful_probability, doubtful_share, doubtful_parts : float, float, int
        Below ``probability`` it still is one, down to this mean, where it has at least this share of all that the
        network marked (its sum of probabilities in that of the volume) and at most so many parts are marked. Large
        tumours are often drawn with doubt but alone; in images unlike those of the training doubt lies in many places.
    alone_share : float
        A part with at least this share is alone, however many specks are marked beside it.
    stomach_ml : float
        Smallest stomach: below it the volume shows none.
    wall_weight : float
        How much a logit of the wall network counts beside the logarithm of a part's weight when it is decided which
        part is the tumour. 0 where the wall network has no say.
    wall_drop, wall_alone : float, float
        What lies around the wall network's highest logit in the stomach, down to so much below it, counts as a part of
        this weight (squared probabilities times voxels) unless what the fine network marked there weighs more. 0: it
        does not.
    wall_border : float, optional
        Logit down to which it reaches where that is farther: of a tumour of which the wall network is sure,
        ``wall_drop`` leaves the middle alone.
    wall_alone_thick, thick_mm : float, float, optional
        ``wall_alone`` from this distance of neighbouring slices on: in thick slices, a wall that runs aslant looks like
        one without layers. None: at none.
    wall_sure : float, optional
        Logit of the wall network from which a part is a tumour, however doubtful the fine network is, where it is alone
        or at most ``doubtful_parts`` are marked. A part of the wall network alone needs it.
    """

    threshold: float = 0.5
    window: tuple[int, int, int] = (64, 128, 128)
    overlap: float = 0.25
    reach_mm: float = 8.0
    core_mm: float = 2.0
    volume_ml: float = 0.2
    probability: float = 0.6
    doubtful_probability: float = 0.45
    doubtful_share: float = 0.35
    doubtful_parts: int = 45
    alone_share: float = 1.0
    stomach_ml: float = 20.0
    wall_weight: float = 0.0
    wall_drop: float = 1.5
    wall_border: float | None = None
    wall_alone: float = 0.0
    wall_alone_thick: float = 0.0
    thick_mm: float | None = None
    wall_sure: float | None = None

    def for_step(self, step_mm: float) -> FinderLimits:
        """Limits for a volume whose neighbouring slices lie so far apart."""
        if self.thick_mm is None or step_mm < self.thick_mm:
            return self
        return replace(self, wall_alone=self.wall_alone_thick)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> FinderLimits:
        """Read limits from a model card; what is absent has its default.

        Raises
        ------
        ModelError
            ``MODEL_CARD``.
        """
        try:
            known = dict(values)
            if "window" in known:
                first, second, third = (int(side) for side in known["window"])
                known["window"] = (first, second, third)
            return cls(**known)
        except (TypeError, ValueError) as error:
            raise ModelError(
                "MODEL_CARD",
                where="model",
                expected="known limits of the tumour finder",
                got="others",
                remedy="Correct the model card.",
            ) from error
