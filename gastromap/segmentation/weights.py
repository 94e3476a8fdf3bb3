"""Weights of the fine network, of a second look behind it and of the wall network, each in a file of its own.

The second look is trained behind a finished network that stays as it is, and is published beside it: a new one leaves
the large file alone. So does the wall network, which is trained without either.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from gastromap.model_card import WEIGHTS_NAME, ModelCard
from gastromap.segmentation.limits import FinderLimits

__all__ = [
    "LOOK_CARD",
    "LOOK_PREFIX",
    "LOOK_WEIGHTS",
    "WALL_CARD",
    "WALL_WEIGHTS",
    "finder_limits",
    "fine_card",
    "fine_network",
    "load_fine",
    "load_wall",
    "shown_card",
]

LOOK_CARD, LOOK_WEIGHTS = "second_look.json", "second_look.pt"
WALL_CARD, WALL_WEIGHTS = "wall.json", "wall.pt"
#: Beginning of the names of its weights in the network.
LOOK_PREFIX = "second_look."


def fine_card(models: str | Path) -> ModelCard:
    """Card of the network as it runs: of the second look where there is one, whose hash then stands for both files.

    Raises
    ------
    ModelError
        ``MODEL_CARD``.
    """
    first, look = _cards(Path(models))
    if look is None:
        return first
    return _with_hash_of_both(look, first, look)


def shown_card(models: str | Path) -> ModelCard:
    """Card of :func:`fine_card` with one hash of all weights that look for the tumour, the wall network's too.

    Raises
    ------
    ModelError
        ``MODEL_CARD``.
    """
    card, wall = fine_card(models), _card_if_there(Path(models), WALL_CARD)
    return card if wall is None else _with_hash_of_both(card, card, wall)


def finder_limits(models: Path) -> FinderLimits:
    """Limits of a published finder: those of the network that was published last.

    Raises
    ------
    ModelError
        ``MODEL_CARD``.
    """
    last = _card_if_there(models, WALL_CARD) or fine_card(models)
    return FinderLimits.from_mapping(last.training.get("limits", {}))


def load_wall(models: Path) -> nn.Module | None:
    """Read the wall network of a published bundle; None where there is none.

    Raises
    ------
    ModelError
        As of :meth:`ModelCard.load_weights`.
    """
    card = _card_if_there(models, WALL_CARD)
    return None if card is None else card.load_weights(models, WALL_WEIGHTS)


def load_fine(models: Path) -> nn.Module:
    """Read a published network, with its second look where there is one.

    Returns
    -------
    nn.Module
        As of :meth:`ModelCard.load_weights`.

    Raises
    ------
    ModelError
        As of :meth:`ModelCard.load_weights`.
    """
    first, look = _cards(models)
    if look is None:
        net: nn.Module = first.load_weights(models)
        return net
    return look.load_weights(models, LOOK_WEIGHTS, beside=first.checked_state(models))


def fine_network(models: str | Path) -> Any:
    """Network with the weights of a folder, be it that of a training or a published one; for bundle configurations.

    Raises
    ------
    RuntimeError
        The weights are not those of the network on the card.
    """
    import torch

    folder = Path(models)
    net = fine_card(folder).build()
    names = [name for name in (WEIGHTS_NAME, LOOK_WEIGHTS) if (folder / name).is_file()]
    states = [torch.load(folder / name, map_location="cpu", weights_only=True) for name in names]
    net.load_state_dict({key: value for state in states for key, value in state.items()})
    return net


def _cards(models: Path) -> tuple[ModelCard, ModelCard | None]:
    """Cards of the fine network and, where there is one, of its second look."""
    return ModelCard.read(models), _card_if_there(models, LOOK_CARD)


def _card_if_there(models: Path, name: str) -> ModelCard | None:
    return ModelCard.read(models, name) if (models / name).is_file() else None


def _with_hash_of_both(card: ModelCard, first: ModelCard, second: ModelCard) -> ModelCard:
    """A card whose hash stands for the weights of two."""
    both = hashlib.sha256(f"{first.weights_sha256}{second.weights_sha256}".encode()).hexdigest()
    return replace(card, weights_sha256=both)
