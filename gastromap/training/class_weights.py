"""Weights of the stages in the loss, for cohorts in which some are rare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from gastromap.errors import UsageError
from gastromap.evaluation.stages import STAGES

__all__ = ["class_weights"]


def class_weights(
    setting: Literal["balanced"] | Sequence[float] | None,
    records: Sequence[Mapping[str, Any]],
    device: torch.device | str = "cpu",
) -> Tensor | None:
    """Weight of each stage for ``torch.nn.CrossEntropyLoss``.

    Parameters
    ----------
    setting : {"balanced"}, sequence of 4 numbers, or None
        ``balanced`` makes every stage count the same, a sequence is taken as it is up to a factor, ``None`` weighs
        nothing.
    records : sequence of mapping
        Training records with ``label`` (0 is T1).
    device : torch.device

    Returns
    -------
    Tensor, shape (4,), or None
        Scaled so that the mean over the training records is 1 and the learning rate keeps its meaning. With
        ``balanced``, n / (k n_k) as in King and Zeng 2001 (doi 10.1093/oxfordjournals.pan.a004868); a stage without
        a record gets 0.

    Raises
    ------
    UsageError
        ``CLASS_WEIGHTS``.
    """
    if setting is None:
        return None
    counts = torch.bincount(
        torch.as_tensor([int(r["label"]) for r in records], dtype=torch.int64), minlength=4
    ).double()
    if isinstance(setting, str):
        raw = counts.clamp_min(1).reciprocal() * (counts > 0) if setting == "balanced" else torch.zeros(0)
    else:
        raw = torch.as_tensor([float(value) for value in setting], dtype=torch.float64)
    total = float((raw * counts).sum()) if raw.shape == counts.shape else 0.0
    if not (bool(torch.isfinite(raw).all()) and bool((raw >= 0).all()) and total > 0):
        raise UsageError(
            "CLASS_WEIGHTS",
            where="training",
            expected=f"balanced, null or {len(STAGES)} weights that are not negative",
            got="something else",
            remedy="Correct class_weights.",
        )
    return (raw * counts.sum() / total).to(device, torch.float32)
