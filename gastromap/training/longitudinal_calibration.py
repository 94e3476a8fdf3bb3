"""Fit the calibration constants of the longitudinal network on predictions for patients it did not learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional

from gastromap.errors import UsageError
from gastromap.models.longitudinal.constants import CalibrationConstants
from gastromap.training.survival_intervals import interval_targets

__all__ = ["fit_constants"]

#: Log odds a standard deviation of the prediction; far beyond any honest fit.
_STEEPEST = 30.0


def fit_constants(logits: Tensor, target: Tensor, breaks_months: Sequence[float]) -> CalibrationConstants:
    """Offsets and slopes that make the predictions most likely.

    Parameters
    ----------
    logits : Tensor, shape (n_patients, 1 + K)
        Out-of-fold predictions of the training or those of the internal validation, never of a test set. Fit pairs and
        baseline-only predictions apart.
    target : Tensor, shape (n_patients, 3)
        LNM, death, months; NaN where missing.
    breaks_months : sequence of K + 1 numbers

    Returns
    -------
    CalibrationConstants

    Raises
    ------
    UsageError
        ``CALIBRATION_FIT``: one outcome only, or predictions that separate the outcomes without error.

    Notes
    -----
    LNM: logistic recalibration (Cox 1958). OS: the same on all patient-intervals at once, one offset and one slope.
    """
    values = logits.detach().double().cpu()
    label = target[:, 0].double().cpu()
    known = torch.isfinite(label)
    lnm = _fit(values[known, 0], (label[known] > 0).double(), torch.ones(int(known.sum()), dtype=torch.float64), "LNM")
    intervals = interval_targets(target[:, 2].cpu(), target[:, 1].cpu(), breaks_months)
    weight = (intervals.survived + intervals.died).double().flatten()
    survival = _fit(values[:, 1:].flatten(), intervals.died.double().flatten(), weight, "OS")
    return CalibrationConstants(*lnm, *survival)


def _fit(logit: Tensor, outcome: Tensor, weight: Tensor, task: str) -> tuple[float, float]:
    events = float((outcome * weight).sum())
    if not 0 < events < float(weight.sum()):
        raise _unfit(task, "one outcome only")
    scale = float(weight.sum())

    def loss(constants: np.ndarray) -> tuple[float, np.ndarray]:
        free = torch.tensor(constants, dtype=torch.float64, requires_grad=True)
        z = free[0] + free[1] * logit
        value = ((functional.softplus(z) - z * outcome) * weight).sum() / scale
        (gradient,) = torch.autograd.grad(value, free)
        return float(value.detach()), gradient.numpy()

    objective: Callable[[np.ndarray], tuple[float, np.ndarray]] = loss
    found = minimize(objective, np.array([0.0, 1.0]), jac=True, method="BFGS", options={"gtol": 1e-8})
    offset, slope = (float(value) for value in found.x)
    # Separated outcomes have their optimum at infinity.
    if not np.isfinite(found.x).all() or abs(slope) * float(logit.std()) > _STEEPEST:
        raise _unfit(task, "predictions that separate the outcomes")
    return offset, slope


def _unfit(task: str, got: str) -> UsageError:
    return UsageError(
        "CALIBRATION_FIT",
        where=f"{task} predictions",
        expected="both outcomes, overlapping",
        got=got,
        remedy="Fit on more patients, none of whom the network has learned from.",
    )
