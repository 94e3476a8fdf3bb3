"""Cox partial likelihood with Efron's treatment of ties, and its exact gradient over more patients than fit a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gastromap.errors import UsageError

__all__ = ["cox_efron_loss", "two_pass_backward"]


def cox_efron_loss(log_risk: Tensor, months: Tensor, death: Tensor) -> Tensor:
    """Negative log partial likelihood a death.

    Parameters
    ----------
    log_risk : Tensor, shape (n_patients,)
        Higher means an earlier death; any offset cancels.
    months, death : Tensor, shape (n_patients,)
        Patients with NaN in either are left out.

    Returns
    -------
    Tensor, scalar
        0, with a gradient of 0, where nobody died.

    Notes
    -----
    Efron 1977 (doi 10.1080/01621459.1977.10480613). In a mini-batch the risk sets are those of the batch.
    """
    known = torch.isfinite(months) & torch.isfinite(death)
    # Selected by index, not by zero weights: an unlabelled patient belongs to no risk set.
    score, time, event = log_risk[known], months[known], death[known] > 0
    # Sixteen bits are too few for sums over a cohort.
    score = score.to(torch.promote_types(score.dtype, torch.float32))
    if not bool(event.any()):
        return log_risk.float().sum() * 0
    order = torch.argsort(time, descending=True)
    score, time, event = score[order], time[order], event[order]
    _, group, size = torch.unique_consecutive(time, return_inverse=True, return_counts=True)
    log_at_risk = torch.logcumsumexp(score, dim=0)[size.cumsum(0) - 1][group]
    dying, tie = score[event], group[event]
    log_risk_set = log_at_risk[event]
    deaths = torch.bincount(tie, minlength=len(size))
    # Rank 0, 1, ... of a death among those of its time.
    rank = torch.arange(len(tie), device=tie.device) - (deaths.cumsum(0) - deaths)[tie]
    # In units of the risk set: no overflow, and the logarithm's argument stays above 0.
    tied = torch.zeros(len(size), dtype=score.dtype, device=score.device)
    tied = tied.index_add(0, tie, torch.exp(dying - log_risk_set))
    thinned = torch.log1p(-(rank / deaths[tie]) * tied[tie])
    return (log_risk_set + thinned - dying).sum() / len(dying)


def two_pass_backward(score: Callable[[int], Tensor], loss: Callable[[Tensor], Tensor], seeds: Sequence[int]) -> float:
    """Back-propagate a loss of many patients with one patient in memory at a time.

    Parameters
    ----------
    score : callable
        Gives the scalar score of the patient with this index, with its graph. Whatever it draws (dropout,
        augmentation) must come from torch's generator, which is seeded before every call.
    loss : callable
        Gives the loss from all scores, shape (n_patients,).
    seeds : sequence of int, length n_patients
        The same draws in both passes need one seed a patient.

    Returns
    -------
    float
        The loss. Gradients are added to ``.grad`` of what `score` depends on.

    Raises
    ------
    UsageError
        ``SCORE_REPEAT``: a second call gave another score, so the gradient would be of another function.
    """
    scores = []
    for index, seed in enumerate(seeds):
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(seed)
            scores.append(score(index).reshape(()))
    stacked = torch.stack(scores).detach().requires_grad_()
    value = loss(stacked)
    (gradient,) = torch.autograd.grad(value, stacked)
    for index, seed in enumerate(seeds):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            again = score(index).reshape(())
        if not torch.allclose(again.detach(), scores[index], rtol=1e-3, atol=1e-5):
            raise UsageError(
                "SCORE_REPEAT",
                where="two-pass gradient",
                expected="the same score in both passes",
                got="another",
                remedy="Draw dropout and augmentation from torch's generator only.",
            )
        again.backward(gradient[index])
    return float(value.detach())
