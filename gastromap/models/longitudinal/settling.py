"""Start Mamba layers anew that have outgrown their residual stream.

The message of a selective scan is a product of five learned maps of its input, so a training without a norm behind it
can let it grow: after 344 epochs of segmentation the messages of stage 3 were half a million times as large as the
stream they are added to, all along one direction, and what the convolutions had found was lost in them; gradients were
as large. A decoder with norms and skip connections does not feel that; a head that reads stage 3 cannot learn.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from gastromap.models.longitudinal.heads import TokenHead
from gastromap.models.longitudinal.mamba import TriMambaLayer
from gastromap.models.longitudinal.network import LongitudinalNet

__all__ = ["settle"]

_log = logging.getLogger(__name__)


@torch.no_grad()
def settle(network: LongitudinalNet, scans: Tensor, *, largest: float = 3.0, seed: int = 0) -> int:
    """Start Mamba layers anew whose messages are too large, and bring what the head makes of the maps to unit size.

    Parameters
    ----------
    network : LongitudinalNet
        Changed in place: its Mamba layers, and in ``default`` and ``tiny`` the projections of the maps to tokens.
    scans : Tensor, shape (n, in_channels, D, H, W)
        Some scans as the encoder takes them.
    largest : float
        Standard deviation of a message over that of the stream, at most.
    seed : int
        Of the new layers, so that they are the same whenever a training starts or goes on.

    Returns
    -------
    int
        How many layers were started anew.

    Notes
    -----
    Layer by layer from the input, so that each is measured behind settled ones. Shrinking the last map of a layer would
    do for its output, not for its gradients.
    """
    encoder, preset = network.encoder, network.preset
    was_training, anew = network.training, 0
    network.eval()
    maps = []
    x = encoder.stem_end(encoder.stem(scans))
    for stage in (encoder.stage1, encoder.stage2, encoder.stage3, encoder.stage4):
        for layer in stage.children():
            if isinstance(layer, TriMambaLayer) and _growth(layer, x) > largest:
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(seed + anew)
                    fresh = TriMambaLayer(x.shape[1], preset.state, preset.style)
                layer.load_state_dict(fresh.state_dict())
                anew += 1
            x = layer(x)
        maps.append(x)
    if isinstance(network.head, TokenHead):
        for linear, read in ((network.head.fine, maps[2]), (network.head.coarse, maps[3])):
            size = float(linear(read).float().std())
            for parameter in linear.parameters():
                parameter.div_(max(size, 1e-12))
    network.train(was_training)
    if anew:
        _log.warning("%d Mamba layers had outgrown their stream and start anew", anew)
    return anew


def _growth(layer: TriMambaLayer, x: Tensor) -> float:
    tokens = x.permute(0, 2, 3, 4, 1)
    messages = [layer.mixer(layer.norm(tokens))]
    if layer.mlp is not None:
        messages.append(layer.mlp(tokens + messages[0]))
    return max(float(message.float().std()) for message in messages) / max(float(tokens.float().std()), 1e-12)
