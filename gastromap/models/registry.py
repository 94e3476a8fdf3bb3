"""Networks by the name that a model card gives them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

from torch import nn

__all__ = ["NETWORK_TYPES", "build_network"]

#: Value of ``type`` under ``network`` of a card, and where the class lives; imported when it is asked for, because
#: staging one slice needs none of the others.
NETWORK_TYPES: Final = MappingProxyType(
    {
        "GTRNet": "gastromap.models.gtrnet",
        "SegmentationNet": "gastromap.models.longitudinal.segmentation",
        "LongitudinalNet": "gastromap.models.longitudinal.network",
        "WallNet": "gastromap.models.wall",
        "WallContextNet": "gastromap.models.wall",
        "SegResNet": "monai.networks.nets.segresnet",
    }
)


def build_network(network: Mapping[str, Any]) -> nn.Module:
    """Build a network with random weights.

    Parameters
    ----------
    network : mapping
        ``type``, a key of :data:`NETWORK_TYPES` (GTRNet without it), and the arguments of that class.

    Raises
    ------
    TypeError, ValueError
        An unknown type or argument.
    """
    arguments = dict(network)
    kind = str(arguments.pop("type", "GTRNet"))
    if kind not in NETWORK_TYPES:
        msg = f"expected one of {', '.join(NETWORK_TYPES)}, got {kind!r}"
        raise ValueError(msg)
    built: nn.Module = getattr(import_module(NETWORK_TYPES[kind]), kind)(**arguments)
    return built
