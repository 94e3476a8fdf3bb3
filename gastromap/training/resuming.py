"""Going on with a stopped training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine
from ignite.handlers import Checkpoint
from torch import distributed, nn

from gastromap.errors import UsageError

__all__ = ["is_main_process", "resume", "start_from"]


def is_main_process() -> bool:
    """Whether this process writes files: the only one, or rank 0 of several."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def start_from(network: nn.Module, weights: str | Path | None, *, new: Sequence[str] = (), only: str = "") -> nn.Module:
    """Load a state dict into a network before training; ``None`` leaves it as it is.

    Parameters
    ----------
    network : nn.Module
    weights : path or None
        Bare state dict of the same network, for example ``model.pt`` of another run.
    new : sequence of str
        Beginnings of the names of weights that the file may lack; they keep their start values.
    only : str
        Beginning of the names of the weights that are trained; gradients of all others are switched off.

    Raises
    ------
    RuntimeError
        Other weights are missing, or there are too many.
    """
    if weights is not None:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        fresh = {
            name: value
            for name, value in network.state_dict().items()
            if name not in state and name.startswith(tuple(new))
        }
        network.load_state_dict(state | fresh)
    if only:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith(only))
    return network


def resume(trainer: Engine, objects: Mapping[str, Any], folder: str | Path) -> None:
    """Load the newest ``resume_*.pt`` of a folder into the objects of a training.

    Parameters
    ----------
    trainer : Engine
        Keeps its own ``max_epochs``, so that a finished training can be prolonged.
    objects : mapping
        What ``CheckpointSaver`` saved, by name.
    folder : path

    Raises
    ------
    UsageError
        ``RESUME_MISSING`` if there is no such file, ``TRAINING_FINISHED`` if its training has reached its end.
    """
    files = sorted(Path(folder).glob("resume_*.pt"), key=lambda path: path.stat().st_mtime)
    if not files:
        raise UsageError(
            "RESUME_MISSING",
            where="training",
            expected="a file resume_*.pt in the checkpoint folder",
            got="none",
            remedy="Start without --resume, or name the folder of the stopped run (--ckpt_dir).",
        )
    epochs = trainer.state.max_epochs
    Checkpoint.load_objects(dict(objects), torch.load(files[-1], map_location="cpu", weights_only=True))
    if epochs is not None and trainer.state.epoch >= epochs:
        # The engine would start again at the first epoch.
        raise UsageError(
            "TRAINING_FINISHED",
            where="training",
            expected=f"fewer than {epochs} epochs done",
            got=str(trainer.state.epoch),
            remedy="Raise max_epochs (without a schedule of fixed length) or start a new run.",
        )
    trainer.state.max_epochs = epochs
