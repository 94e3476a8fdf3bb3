"""Auxiliary localisation: where tumour masks exist, the network is told where to look while it learns the stage.

A slice shows a tumour on one pixel in a hundred; from a few thousand slices and random weights a residual network
finds it late or not at all. 1 x 1 convolutions on the last three stages learn to name each cell: background, or
tumour of the case's stage. They are thrown away after training, so the trained network is the same as without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from monai.engines import IterationEvents, SupervisedTrainer
from monai.utils.enums import CommonKeys
from torch import Tensor, distributed, nn
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
    num_classes : int
        Stages; background is one class more.
    """

    #: A cell counts as tumour in full when this share of it is: tumours are thin. By stage, from layer2 on.
    _FULL_SHARE = (1 / 2, 1 / 3, 1 / 6)

    def __init__(
        self,
        network: nn.Module,
        *,
        device: torch.device,
        weight: float = 1.0,
        mask_key: str = "mask",
        num_classes: int = 4,
    ) -> None:
        super().__init__()
        plain: Any = network.module if hasattr(network, "module") else network
        width = plain.fc.in_features
        self._heads = nn.ModuleList(
            [nn.Conv2d(channels, num_classes + 1, 1) for channels in (width // 4, width // 2, width)]
        ).to(device)
        self._maps: dict[int, Tensor] = {}
        self._weight = weight
        self._mask_key = mask_key
        for position, stage in enumerate((plain.layer2, plain.layer3, plain.layer4)):
            stage.register_forward_hook(self._keep(position))

    def _keep(self, position: int) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            self._maps[position] = output

        return hook

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters to add to the optimiser."""
        return self._heads.parameters()

    def localisation_loss(self, mask: Tensor, label: Tensor) -> Tensor:
        """Cross-entropy of the cells, tumour and background weighing the same, summed over the three stages.

        Parameters
        ----------
        mask : Tensor, shape (batch, 1, rows, columns)
            Share of tumour in each pixel.
        label : Tensor, shape (batch,)
            Stage of each case, 0 is T1; class 0 of a cell is background.
        """
        loss = torch.zeros((), device=mask.device)
        for position, head in enumerate(self._heads):
            log_probability = functional.log_softmax(head(self._maps[position].float()), dim=1)
            share = functional.interpolate(mask, size=log_probability.shape[-2:], mode="area")[:, 0]
            tumour = (share / self._FULL_SHARE[position]).clamp(0, 1)
            named = log_probability[torch.arange(len(label)), label.long() + 1]
            # By case: a small tumour counts as much as a large one.
            loss = loss - ((tumour * named).sum((1, 2)) / tumour.sum((1, 2)).clamp_min(0.1)).mean()
            loss = loss - ((1 - tumour) * log_probability[:, 0]).mean()
        return loss

    def forward(self, engine: SupervisedTrainer, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Run one iteration; called by the engine.

        Accumulation and scaling follow MONAI's own iteration: ``accumulation_steps`` batches make one step, an epoch
        ends with a step, and float16 gradients are scaled.
        """
        image = batch[CommonKeys.IMAGE].to(engine.state.device)
        label = batch[CommonKeys.LABEL].to(engine.state.device)
        mask = torch.as_tensor(batch[self._mask_key]).to(engine.state.device, torch.float32)
        mask = mask.as_tensor() if hasattr(mask, "as_tensor") else mask
        steps = engine.accumulation_steps
        done = (engine.state.iteration - 1) % engine.state.epoch_length
        engine.network.train()
        if done % steps == 0:
            engine.optimizer.zero_grad(set_to_none=True)
        logits = engine.inferer(image, engine.network)
        loss = engine.loss_function(logits, label).mean() + self._weight * self.localisation_loss(mask, label)
        scaler = engine.scaler
        (loss / steps if scaler is None else scaler.scale(loss / steps)).backward()
        if (done + 1) % steps == 0 or done + 1 == engine.state.epoch_length:
            self._average_over_processes()
            if scaler is None:
                engine.optimizer.step()
            else:
                scaler.step(engine.optimizer)
                scaler.update()
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

    def _average_over_processes(self) -> None:
        """Mean gradient of the heads: they lie outside the network that DistributedDataParallel keeps equal."""
        if not distributed.is_initialized():
            return
        for parameter in self.head_parameters():
            if parameter.grad is not None:
                distributed.all_reduce(parameter.grad)
                parameter.grad /= distributed.get_world_size()
