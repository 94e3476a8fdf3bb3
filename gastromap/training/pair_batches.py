"""What a training step sees of a batch of pairs: baseline only at first, then pairs, of which some lose a scan."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents, SupervisedTrainer
from monai.engines.utils import PrepareBatchExtraInput
from torch import Tensor

__all__ = ["ClipGradients", "FollowEpochs", "PairBatches"]


class PairBatches(PrepareBatchExtraInput):
    """``prepare_batch`` of the engines: image, label, then which scans are present, then the masks.

    Parameters
    ----------
    masks : bool
        Whether the network takes masks.
    drop_followup, drop_baseline : float
        Probability that a scan of a complete pair counts as absent; never both. 0 for validation.
    baseline_only_epochs : int
        So many epochs show the scan before treatment alone: in a trial of the design, a joint start left node
        metastasis unlearned. The epoch comes from a :class:`FollowEpochs`.
    """

    def __init__(
        self,
        *,
        masks: bool,
        drop_followup: float = 0.0,
        drop_baseline: float = 0.0,
        baseline_only_epochs: int = 0,
    ) -> None:
        super().__init__(extra_keys=["present", "masks"] if masks else ["present"])
        self._drop_followup, self._drop_baseline = drop_followup, drop_baseline
        self._baseline_only_epochs = baseline_only_epochs
        self.epoch = 1

    def __call__(
        self,
        batchdata: dict[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,  # noqa: FBT001, FBT002 -- MONAI's signature
        **kwargs: Any,
    ) -> Any:
        """Image, label, further arguments of the network."""
        return super().__call__(
            {**batchdata, "present": self.shown(batchdata["present"])}, device, non_blocking, **kwargs
        )

    def shown(self, present: Tensor) -> Tensor:
        """Scans that this step shows.

        Parameters
        ----------
        present : bool Tensor, shape (batch, 2)

        Returns
        -------
        bool Tensor, shape (batch, 2)
        """
        first, second = present.unbind(1)
        if self.epoch <= self._baseline_only_epochs:
            return torch.stack([first, second & ~first], dim=1)
        draw = torch.rand(len(present))
        loses_second = draw < self._drop_followup
        loses_first = (draw >= self._drop_followup) & (draw < self._drop_followup + self._drop_baseline)
        return torch.stack([first & ~(second & loses_first), second & ~(first & loses_second)], dim=1)


class FollowEpochs:
    """Training handler that tells batches the epoch; a resumed training goes on where it was.

    Parameters
    ----------
    batches : PairBatches
    """

    def __init__(self, batches: PairBatches) -> None:
        self._batches = batches

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Note the epoch that starts."""
        self._batches.epoch = engine.state.epoch


class ClipGradients:
    """Training handler: limits the norm of the gradient of a step, once a step when steps are accumulated.

    Parameters
    ----------
    norm : float
        Largest norm over all weights.
    """

    def __init__(self, norm: float = 1.0) -> None:
        self._norm = norm

    def attach(self, engine: Engine) -> None:
        """Clip after the last backward pass of a step."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: SupervisedTrainer) -> None:
        """Clip, if the optimiser steps next."""
        done = (engine.state.iteration - 1) % engine.state.epoch_length + 1
        if done % engine.accumulation_steps and done != engine.state.epoch_length:
            return
        if engine.amp and engine.scaler is not None:
            engine.scaler.unscale_(engine.optimizer)
        weights = [weight for group in engine.optimizer.param_groups for weight in group["params"]]
        torch.nn.utils.clip_grad_norm_(weights, self._norm)
