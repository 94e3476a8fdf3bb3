"""What the optimiser does with which weights of the longitudinal network."""

from __future__ import annotations

from typing import Any

from torch import nn

from gastromap.models.longitudinal.mamba import keeps_float32

__all__ = ["parameter_groups"]

_SHARED = ("encoder.", "bottleneck.")


def parameter_groups(
    network: nn.Module, *, lr: float = 2e-4, weight_decay: float = 1e-2, encoder_factor: float = 1.0
) -> list[dict[str, Any]]:
    """Groups for ``torch.optim.AdamW``.

    Parameters
    ----------
    network : LongitudinalNet or SegmentationNet, or a DistributedDataParallel around one
    lr, weight_decay : float
    encoder_factor : float, 0 or more
        Learning rate of the encoder relative to the rest: 1 for segmentation, 0.1 behind it, 0 to freeze the encoder
        (its gradients are switched off).

    Returns
    -------
    list of dict
        Non-empty groups with ``params``, ``lr``, ``weight_decay`` and ``name``. Without decay: what shapes the state
        space (A_log, D, step bias), and every vector (biases, norms).
    """
    groups: dict[str, dict[str, Any]] = {}
    # Distributed training wraps the network and puts a prefix before every name.
    plain: nn.Module = getattr(network, "module", network)
    for name, parameter in plain.named_parameters():
        shared = name.startswith(_SHARED)
        if shared and encoder_factor == 0:
            parameter.requires_grad_(False)  # noqa: FBT003 -- torch's own signature
            continue
        decays = parameter.ndim > 1 and not keeps_float32(name) and ".absent_" not in name
        key = f"{'encoder' if shared else 'rest'}, {'decay' if decays else 'no decay'}"
        group = groups.setdefault(
            key,
            {
                "params": [],
                "lr": lr * encoder_factor if shared else lr,
                "weight_decay": weight_decay if decays else 0.0,
                "name": key,
            },
        )
        group["params"].append(parameter)
    return list(groups.values())
