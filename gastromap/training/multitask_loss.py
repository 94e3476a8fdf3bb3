"""Loss of the longitudinal network: lymph-node metastasis and overall survival, labels missing here and there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from gastromap.errors import UsageError
from gastromap.training.survival_intervals import interval_targets
from gastromap.training.survival_loss import discrete_time_nll

__all__ = ["LABELS", "MultitaskLoss"]

#: Columns of a target; NaN where a label is missing.
LABELS = ("lnm", "death", "os_months")


class MultitaskLoss(nn.Module):
    """Weighted sum of the LNM cross-entropy and the interval likelihood of survival.

    Parameters
    ----------
    breaks_months : sequence of K + 1 numbers
    lnm_labelled, os_labelled : float, above 0, 1 at most
        Share of the training patients with the label. A step is divided by the number of labelled patients it is
        expected to hold; divided by its own number, the labelled one of two would count double.
    lnm_pos_weight : float
        Weight of a node-positive patient.
    task_weights : (float, float)
        LNM and OS.
    over_intervals : {"sum", "mean"}
        See :func:`discrete_time_nll`.
    learn_weights : bool
        Replace `task_weights` by learned ones: Kendall et al. 2018 (arXiv 1705.07115), equation 10. The optimiser
        then needs the parameters of the loss too.
    penalty : float
        Of the squared norm of `penalised`, inside the OS term (0.1 in the authors' code).
    penalised : Tensor, optional
        The weight of the OS head.
    """

    def __init__(
        self,
        breaks_months: Sequence[float],
        *,
        lnm_labelled: float = 1.0,
        os_labelled: float = 1.0,
        lnm_pos_weight: float = 1.0,
        task_weights: tuple[float, float] = (0.5, 0.5),
        over_intervals: Literal["sum", "mean"] = "sum",
        learn_weights: bool = False,
        penalty: float = 0.0,
        penalised: Tensor | None = None,
    ) -> None:
        super().__init__()
        if not (0 < lnm_labelled <= 1 and 0 < os_labelled <= 1 and lnm_pos_weight > 0):
            raise UsageError(
                "LOSS_OPTIONS",
                where="loss",
                expected="labelled shares above 0, 1 at most, and a positive weight",
                got=f"{lnm_labelled:g}, {os_labelled:g}, {lnm_pos_weight:g}",
                remedy="Leave a task without any label out by its task weight.",
            )
        self.breaks_months = tuple(float(value) for value in breaks_months)
        self.labelled = (lnm_labelled, os_labelled)
        self.task_weights = task_weights
        self.over_intervals: Literal["sum", "mean"] = over_intervals
        self.lnm_pos_weight = lnm_pos_weight
        self.log_variance = nn.Parameter(torch.zeros(2)) if learn_weights else None
        self.penalty = penalty
        # In a list: as an attribute it would become a parameter of the loss.
        self._penalised = [] if penalised is None else [penalised]

    @classmethod
    def for_training(
        cls,
        targets: Tensor,
        breaks_months: Sequence[float],
        *,
        over_intervals: Literal["sum", "mean"] = "sum",
        learn_weights: bool = False,
    ) -> MultitaskLoss:
        """Loss with shares of labels and ``lnm_pos_weight`` (negatives to positives) of the training patients.

        Parameters
        ----------
        targets : Tensor, shape (n_patients, 3)
            Columns of :data:`LABELS`. A task nobody is labelled for gets weight 0.
        breaks_months, over_intervals, learn_weights
            As of the class.
        """
        lnm = targets[:, 0]
        known = torch.isfinite(lnm)
        positive, negative = int((lnm[known] > 0).sum()), int((lnm[known] == 0).sum())
        shares = float(known.float().mean()), float(torch.isfinite(targets[:, 1:]).all(dim=1).float().mean())
        return cls(
            breaks_months,
            lnm_labelled=shares[0] or 1.0,
            os_labelled=shares[1] or 1.0,
            lnm_pos_weight=negative / positive if positive and negative else 1.0,
            task_weights=(0.5 * (shares[0] > 0), 0.5 * (shares[1] > 0)),
            over_intervals=over_intervals,
            learn_weights=learn_weights,
        )

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of a step.

        Parameters
        ----------
        logits : Tensor, shape (batch, 1 + K)
        target : Tensor, shape (batch, 3)
            Columns of :data:`LABELS`; NaN where missing.

        Returns
        -------
        Tensor, scalar
            Every logit takes part, with a gradient of 0 where labels are missing: distributed training would stop on
            weights that a step does not use.
        """
        lnm, survival = self.tasks(logits, target)
        if self.log_variance is None:
            return self.task_weights[0] * lnm + self.task_weights[1] * survival
        return (torch.exp(-self.log_variance) * torch.stack([lnm, survival]) + self.log_variance / 2).sum()

    def tasks(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """LNM and OS loss of a step, unweighted."""
        logits = logits.float()
        label = target[:, 0].to(logits)
        known = torch.isfinite(label)
        each = functional.binary_cross_entropy_with_logits(
            logits[:, 0],
            torch.where(known, label, 0.0),
            pos_weight=logits.new_tensor(self.lnm_pos_weight),
            reduction="none",
        )
        lnm = (each * known).sum() / (len(logits) * self.labelled[0])
        targets = interval_targets(target[:, 2], target[:, 1], self.breaks_months)
        nll = discrete_time_nll(logits[:, 1:], targets, over_intervals=self.over_intervals)
        survival = nll.sum() / (len(logits) * self.labelled[1])
        for weight in self._penalised:
            survival = survival + self.penalty * weight.square().sum()
        return lnm, survival
