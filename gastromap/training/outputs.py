"""Shapes of engine outputs for metrics, and the loss of probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["negative_log_likelihood", "scores_and_labels", "scores_and_one_hot"]


def scores_and_labels(outputs: Sequence[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    """Return scores (batch, classes) and integer labels (batch,) from decollated engine outputs.

    One-hot labels with ignite's ``Accuracy`` would be counted element by element: "always T1" then scores 0.625
    with four classes instead of 0.25.
    """
    return (
        torch.stack([torch.as_tensor(item["pred"]) for item in outputs]),
        torch.as_tensor([int(item["label"]) for item in outputs]),
    )


def scores_and_one_hot(outputs: Sequence[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    """Return scores and one-hot labels, both (batch, classes): MONAI's ``ROCAUC`` wants them so."""
    scores, labels = scores_and_labels(outputs)
    return scores, torch.nn.functional.one_hot(labels, scores.shape[1])


def negative_log_likelihood(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log-likelihood (nats) of probabilities (batch, classes) and labels (batch,)."""
    return torch.nn.functional.nll_loss(torch.log(probabilities.clamp_min(1e-8)), labels)
