"""From the network's logits to what is said of a patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from gastromap.longitudinal.constants import Inputs, LongitudinalConstants, inputs_of
from gastromap.models.longitudinal.survival import mean_survival_months, survival_at

__all__ = ["FollowupContribution", "Outcome", "as_row", "outcomes"]


@dataclass(frozen=True)
class Outcome:
    """Calibrated prediction for one patient from the scans that were shown."""

    inputs: Inputs
    lnm_probability: float  #: of lymph-node metastasis after treatment, 0 to 1
    survival: Mapping[int, float]  #: S(t) by month, 0 to 1, never rising
    rmst_months: float  #: mean survival time up to the last break: the area under S(t)
    os_risk: float  #: minus ``rmst_months``: higher means an earlier death
    risk_group: Literal["high", "low"] | None  #: above the training median; None before publishing

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "survival": {str(month): value for month, value in self.survival.items()}}


@dataclass(frozen=True)
class FollowupContribution:
    """What the second scan changed: prediction from the pair minus prediction from the baseline alone."""

    lnm_probability: float
    survival: Mapping[int, float]
    rmst_months: float

    @classmethod
    def between(cls, pair: Outcome, baseline_only: Outcome) -> FollowupContribution:
        """Difference of two outcomes of one patient."""
        return cls(
            lnm_probability=pair.lnm_probability - baseline_only.lnm_probability,
            survival={month: value - baseline_only.survival[month] for month, value in pair.survival.items()},
            rmst_months=pair.rmst_months - baseline_only.rmst_months,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "survival": {str(month): value for month, value in self.survival.items()}}


def as_row(logits: Tensor, present: Tensor, constants: LongitudinalConstants) -> Tensor:
    """One patient as numbers, for bundle configurations.

    Parameters
    ----------
    logits : Tensor, shape (1 + K,)
    present : bool Tensor, shape (2,)
    constants : LongitudinalConstants

    Returns
    -------
    Tensor, shape (2 + months,)
        LNM probability, ``os_risk``, then S(t) at ``constants.months``.
    """
    (found,) = outcomes(torch.as_tensor(logits)[None], torch.as_tensor(present)[None], constants)
    return torch.tensor([found.lnm_probability, found.os_risk, *found.survival.values()])


def outcomes(logits: Tensor, present: Tensor, constants: LongitudinalConstants) -> list[Outcome]:
    """Calibrate logits and read them.

    Parameters
    ----------
    logits : Tensor, shape (batch, 1 + K)
    present : bool Tensor, shape (batch, 2)
        Scans that were shown; each case has calibration constants and a median of its own.
    constants : LongitudinalConstants

    Raises
    ------
    UsageError
        ``BREAKS`` if the breaks are not those of the network.
    """
    present = present.cpu()
    calibrated = constants.calibration.apply(logits.detach().double().cpu(), present)
    probability = torch.sigmoid(calibrated[:, 0])
    hazards, breaks = calibrated[:, 1:], constants.breaks_months
    curves = survival_at(hazards, breaks, constants.months)
    means = mean_survival_months(hazards, breaks)
    found = []
    for row in range(len(logits)):
        inputs = inputs_of(baseline=bool(present[row, 0]), followup=bool(present[row, 1]))
        risk = -float(means[row])
        median = constants.os_risk_median.get(inputs)
        group: Literal["high", "low"] | None = None
        if median is not None:
            group = "high" if risk > median else "low"
        curve = {month: float(value) for month, value in zip(constants.months, curves[row], strict=True)}
        found.append(Outcome(inputs, float(probability[row]), curve, float(means[row]), risk, group))
    return found
