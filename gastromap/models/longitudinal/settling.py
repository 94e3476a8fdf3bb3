"""Bring Mamba layers that have outgrown their residual stream back to its size.

The message of a selective scan is a product of five learned maps of its input, so a training without a norm behind it
can let it grow: after 344 epochs of segmentation the messages of stage 3 were half a million times as large as the
stream they are added to, all along one direction, and what the convolutions had found was lost in them. A decoder with
norms and skip connections does not feel that; a head that reads stage 3 does.
"""

from __future__ import annotations

import logging
import math

import torch
from torch import Tensor, nn

from gastromap.models.longitudinal.heads import TokenHead
from gastromap.models.longitudinal.mamba import TriMambaLayer
from gastromap.models.longitudinal.network import LongitudinalNet

__all__ = ["settle"]

_log = logging.getLogger(__name__)


@torch.no_grad()
def settle(network: LongitudinalNet, scans: Tensor, *, largest: float = 0.5) -> int:
    """Shrink messages that are larger than the stream they join, and what the head makes of the maps to unit size.

    Parameters
    ----------
    network : LongitudinalNet
        Changed in place: last linear maps of the branches of its Mamba layers, projections of the maps to tokens.
    scans : Tensor, shape (n, in_channels, D, H, W)
        Some scans as the encoder takes them.
    largest : float
        Standard deviation of a message over that of the stream, at most.

    Returns
    -------
    int
        How many branches were shrunk.

    Notes
    -----
    Layer by layer from the input, so that each is measured behind settled ones, as Mishkin and Matas 2016
    (arXiv 1511.06422) scale weights to the variance of a batch. A branch within the limit stays as it is.
    """
    encoder = network.encoder
    was_training, shrunk = network.training, 0
    network.eval()
    maps = []
    x = encoder.stem_end(encoder.stem(scans))
    for stage in (encoder.stage1, encoder.stage2, encoder.stage3, encoder.stage4):
        for layer in stage.children():
            if isinstance(layer, TriMambaLayer):
                tokens = x.permute(0, 2, 3, 4, 1)
                message = layer.mixer(layer.norm(tokens))
                ratio = _shrink(layer.mixer.leave, message, tokens, largest)
                shrunk += ratio < 1
                if layer.mlp is not None:
                    tokens = tokens + ratio * message
                    shrunk += _shrink(layer.mlp[-1], layer.mlp(tokens), tokens, largest) < 1
            x = layer(x)
        maps.append(x)
    if isinstance(network.head, TokenHead):
        for linear, read in ((network.head.fine, maps[2]), (network.head.coarse, maps[3])):
            size = float(linear(read).float().std())
            for parameter in linear.parameters():
                parameter.div_(max(size, 1e-12))
    network.train(was_training)
    if shrunk:
        _log.warning("%d branches of Mamba layers were larger than their stream and were shrunk to it", shrunk)
    return shrunk


def _shrink(linear: nn.Linear, message: Tensor, stream: Tensor, largest: float) -> float:
    wanted = largest * float(stream.float().std()) / max(float(message.float().std()), 1e-12)
    # A power of two: exact, and the same whatever the number of threads does to the last digits.
    ratio = 1.0 if wanted >= 1 else 2.0 ** math.floor(math.log2(wanted))
    for parameter in linear.parameters():
        parameter.mul_(ratio)
    return ratio
