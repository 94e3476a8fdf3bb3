"""Auxiliary localisation: where tumour masks exist, the network is told where to look while it learns the stage.

A slice shows a tumour on one pixel in two hundred; from a few thousand slices and random weights a residual network
finds it late or not at all. Two 1 x 1 convolutions on the last stages learn to mark the tumour; they are thrown
away after training, so the trained network is the same as without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from monai.engines import IterationEvents, SupervisedTrainer
from monai.utils.enums import CommonKeys
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["LocalisedIteration"]


class LocalisedIteration(nn.Module):
    """Training step for ``SupervisedTrainer(iteration_update=…)`` with a loss on tumour masks.

    Parameters
    ----------
    network : nn.Module
        GTRNet, or a DistributedDataParallel around one.
    device : torch.device
    weight : float
        Of the localisation loss against the classification loss.
    mask_key : str
        Batch entry with the share of tumour in each pixel, shape (batch, 1, rows, columns), 0 to 1.
    positive_weight : float
        Weight of tumour cells in the binary cross-entropy; tumours cover few cells.
    """

    #: A cell counts as tumour in full when this share of it is: tumours are thin.
    _FULL_SHARE = (1 / 3, 1 / 6)

    def __init__(
        self,
        network: nn.Module,
        *,
        device: torch.device,
        weight: float = 1.0,
        mask_key: str = "mask",
        positive_weight: float = 8.0,
    ) -> None:
        super().__init__()
        plain = network.module if hasattr(network, "module") else network
        stages = (plain.layer3, plain.layer4)
        width = plain.fc.in_features
        self._heads = nn.ModuleList([nn.Conv2d(width // 2, 1, 1), nn.Conv2d(width, 1, 1)]).to(device)
        self._maps: dict[int, Tensor] = {}
        self._weight = weight
        self._mask_key = mask_key
        self.register_buffer("_positive_weight", torch.tensor(positive_weight, device=device), persistent=False)
        for position, stage in enumerate(stages):
            stage.register_forward_hook(self._keep(position))

    def _keep(self, position: int) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            self._maps[position] = output

        return hook

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters to add to the optimiser."""
        return self._heads.parameters()

    def localisation_loss(self, mask: Tensor) -> Tensor:
        """Binary cross-entropy of the marked cells, summed over the two stages."""
        loss = torch.zeros((), device=mask.device)
        for position, head in enumerate(self._heads):
            marked = head(self._maps[position].float())[:, 0]
            share = functional.adaptive_avg_pool2d(mask, marked.shape[-2:])[:, 0]
            target = (share / self._FULL_SHARE[position]).clamp(0, 1)
            loss = loss + functional.binary_cross_entropy_with_logits(
                marked,
                target,
                pos_weight=self._positive_weight,  # type: ignore[arg-type]
            )
        return loss

    def forward(self, engine: SupervisedTrainer, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Run one iteration; called by the engine."""
        image = batch[CommonKeys.IMAGE].to(engine.state.device)
        label = batch[CommonKeys.LABEL].to(engine.state.device)
        mask = torch.as_tensor(batch[self._mask_key]).to(engine.state.device, torch.float32)
        mask = mask.as_tensor() if hasattr(mask, "as_tensor") else mask
        engine.network.train()
        engine.optimizer.zero_grad(set_to_none=True)
        logits = engine.inferer(image, engine.network)
        loss = engine.loss_function(logits, label).mean() + self._weight * self.localisation_loss(mask)
        loss.backward()
        engine.optimizer.step()
        engine.state.output = {
            CommonKeys.IMAGE: image,
            CommonKeys.LABEL: label,
            CommonKeys.PRED: logits.detach(),
            CommonKeys.LOSS: loss.detach(),
        }
        # Decollation and postprocessing wait for this event.
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        output: dict[str, Tensor] = engine.state.output
        return output
