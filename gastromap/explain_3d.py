"""Where the longitudinal network looked: Grad-CAM on its stages, co-attention between the scans, pooling weights.

Shown as "where the model looked", not as proof. Maps that the encoder returns are differentiated directly: hooks
would keep only the last of the two scans that pass one encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from gastromap.errors import UsageError
from gastromap.models.longitudinal import LongitudinalNet
from gastromap.models.longitudinal.survival import os_risk

__all__ = ["CoAttentionMaps", "co_attention_maps", "grad_cam_3d", "to_voxels"]

Maps = NDArray[np.float32]


@dataclass(frozen=True)
class CoAttentionMaps:
    """Head-mean attention of the last block, on the grid (d, h, w) of the tokens."""

    #: (batch, d, h, w, d, h, w): where in the second scan each place of the first looks; sums to 1 over the last three
    first_to_second: Maps
    #: the same the other way
    second_to_first: Maps
    #: (batch, 2, d, h, w), 0 to 1: 0 where a place looks at one other, 1 where at all alike
    entropy: Maps
    #: (batch, 2, d, h, w): share of each place in its scan's vector, sums to 1
    pooling: Maps


def grad_cam_3d(
    network: LongitudinalNet,
    image: Tensor,
    *,
    target: Literal["lnm", "os_risk"],
    stage: Literal[3, 4] = 3,
    breaks_months: Sequence[float] | None = None,
    present: Tensor | None = None,
    masks: Tensor | None = None,
) -> Maps:
    """Gradient-weighted class activation maps of both scans.

    Parameters
    ----------
    network : LongitudinalNet
        In evaluation mode.
    image, present, masks
        As of the network.
    target : {"lnm", "os_risk"}
        What the map speaks for: node metastasis, or an earlier death (minus the mean survival time).
    stage : {3, 4}
        Cells of 16 mm (stage 3) or 32 mm (stage 4) a side in ``default``.
    breaks_months : sequence of K + 1 numbers
        For ``os_risk``.

    Returns
    -------
    array, shape (batch, 2, d, h, w), 0 to 1
        A patient's scans have one scale, so that they can be compared; 0 everywhere in an absent scan and where
        nothing speaks for the target.

    Raises
    ------
    UsageError
        As of the network; ``EXPLANATION`` without breaks, or in training mode, whose dropout would blur the map.

    Notes
    -----
    Selvaraju et al. 2017 (doi 10.1109/ICCV.2017.74), equations 1 and 2, per scan.
    """
    if target not in ("lnm", "os_risk") or (target == "os_risk" and breaks_months is None) or network.training:
        raise UsageError(
            "EXPLANATION",
            where="Grad-CAM",
            expected="lnm, or os_risk with breaks; a network in evaluation mode",
            got=f"{target!r}, training {network.training}",
            remedy="Correct the call.",
        )
    with torch.no_grad():
        scans, given = network.scans(image, present, masks)
        read = network.read(scans)
        stage4 = network.encoder.until_stage4(network.features(read)) if stage == 4 else None
    with torch.enable_grad():
        # What a given mask says goes past the maps: they show what speaks for the target in the image.
        leaf = (network.features(read) if stage4 is None else stage4).detach().requires_grad_()
        if stage4 is None:
            out = network.judge(torch.cat([leaf, read[:, leaf.shape[1] :]], dim=1), given)
        else:
            out = network.judge_deep(read, leaf, given)
        logits = out.logits.float()
        # Not reached without breaks; the check above is the door.
        score = logits[:, 0] if target == "lnm" else os_risk(logits[:, 1:], breaks_months or ())
        # Patients do not mix: the gradient of the sum is each one's own.
        (gradient,) = torch.autograd.grad(score.sum(), leaf)
    weights = gradient.mean(dim=(2, 3, 4), keepdim=True)
    cam = torch.relu((weights * leaf.detach()).sum(dim=1)).float()
    both = cam.new_zeros(given.numel(), *cam.shape[1:])
    both[given.flatten()] = cam
    maps = both.unflatten(0, (-1, 2))
    # 1e-7 as in the planar maps: an all-zero map stays zero.
    scaled = maps / (1e-7 + maps.amax(dim=(1, 2, 3, 4), keepdim=True))
    return _array(scaled)


def co_attention_maps(network: LongitudinalNet, image: Tensor, *, masks: Tensor | None = None) -> CoAttentionMaps:
    """Attention between the two scans of complete pairs.

    Parameters
    ----------
    network : LongitudinalNet
    image, masks
        As of the network; both scans are present.

    Raises
    ------
    UsageError
        As of the network.
    """
    with torch.inference_mode():
        out = network.detailed(image, None, masks)
        affinity = out.affinity[-1].float()
        onward = torch.softmax(affinity, dim=-1).mean(dim=1)
        backward = torch.softmax(affinity.transpose(-1, -2), dim=-1).mean(dim=1)
        grid = tuple(out.pooling.shape[2:])
        entropy = torch.stack([_entropy(onward), _entropy(backward)], dim=1)
        return CoAttentionMaps(
            first_to_second=_array(onward.reshape(-1, *grid, *grid)),
            second_to_first=_array(backward.reshape(-1, *grid, *grid)),
            entropy=_array(entropy.reshape(-1, 2, *grid)),
            pooling=_array(out.pooling.float()),
        )


def to_voxels(maps: Maps, shape: Sequence[int]) -> Maps:
    """Bring maps to the voxels of a scan, trilinearly.

    Parameters
    ----------
    maps : array, shape (..., d, h, w)
    shape : three int
        Voxels of the crop.

    Returns
    -------
    array, shape (..., D, H, W)
        Cells lie where the network has them: edges meet edges, not centres.
    """
    flat = torch.from_numpy(np.ascontiguousarray(maps)).reshape(-1, 1, *maps.shape[-3:])
    # Plain interpolation: anti-aliasing is for shrinking.
    large = functional.interpolate(flat, size=tuple(shape), mode="trilinear")
    return _array(large.reshape(*maps.shape[:-3], *shape))


def _entropy(rows: Tensor) -> Tensor:
    """Entropy of each row over that of a uniform one."""
    return -torch.special.xlogy(rows, rows).sum(dim=-1) / np.log(rows.shape[-1])


def _array(values: Tensor) -> Maps:
    out: Maps = values.cpu().numpy().astype(np.float32, copy=False)
    return out
