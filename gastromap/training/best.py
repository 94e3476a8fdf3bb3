"""Keep the best weights of a training, also across a stop.

MONAI's ``CheckpointSaver`` forgets the best metric when a training is resumed and would overwrite better weights with
the first ones after the stop; storing its state in the file would make ``model.pt`` no bare state dict.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from gastromap.model_card import WEIGHTS_NAME

__all__ = ["BestWeights"]

_log = logging.getLogger(__name__)


class BestWeights:
    """Validation handler that writes ``model.pt`` when a metric improves.

    Parameters
    ----------
    network : nn.Module
        GTRNet, or a DistributedDataParallel around one.
    save_dir : path
    metric : str
        Name in ``engine.state.metrics``; larger is better. As long as it is not defined (NaN: too few validation
        patients), the last epoch counts as the best.
    """

    def __init__(self, network: nn.Module, save_dir: str | Path, *, metric: str = "val_auc") -> None:
        self._network = network
        self._folder = Path(save_dir)
        self._metric = metric
        self.best = -math.inf

    def attach(self, engine: Engine) -> None:
        """Look at the metric after each validation."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the weights if they are the best so far; the old file stays until the new one is complete."""
        value = float(engine.state.metrics[self._metric])
        if math.isnan(value) and self.best == -math.inf:
            _log.warning("%s is not defined for these validation patients: the last epoch is kept", self._metric)
        elif value > self.best:
            self.best = value
        else:
            return
        plain: Any = self._network.module if hasattr(self._network, "module") else self._network
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f"{WEIGHTS_NAME}.partial"
        torch.save(plain.state_dict(), partial)
        partial.replace(self._folder / WEIGHTS_NAME)

    def state_dict(self) -> dict[str, float]:
        """State for resuming."""
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from a saved state."""
        self.best = float(state["best"])
