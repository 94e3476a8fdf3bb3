"""Connected parts of what the networks marked, and which of them is the tumour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit, logit

from gastromap.segmentation.limits import FinderLimits
from gastromap.segmentation.measures import TOUCHING

__all__ = ["MarkedPart", "heaviest_part", "is_sure", "is_tumour"]

#: Around a part of the wall network, for its border between the grids.
_BORDER_VOXELS = 2


@dataclass(frozen=True)
class MarkedPart:
    """A connected part of what was marked, and what speaks for it.

    Attributes
    ----------
    values : array of float, shape of the grid
        Probabilities with the other parts taken out. What lies around it, below the threshold, keeps its border smooth
        between the grids.
    probability : float
        Mean of ``values`` inside. For a part of the wall network they begin with the threshold at its border, whatever
        its logits are: how sure it is says ``wall_logit``.
    share : float
        Of the sum of all probabilities.
    count : int
        Of all parts that the fine network marked.
    wall_logit : float
        Highest one of the wall network inside; -inf where it has no say.
    by_wall_alone : bool
        Whether its place and outline are those of the wall network: the fine network marked nothing of it, or little.
    """

    values: NDArray[np.float32]
    probability: float
    share: float
    count: int
    wall_logit: float
    by_wall_alone: bool


def heaviest_part(
    values: NDArray[np.float32],
    core: NDArray[np.bool_],
    limits: FinderLimits,
    wall: NDArray[np.float32] | None = None,
) -> MarkedPart | None:
    """Part for which most speaks, or None where nothing is marked.

    Parameters
    ----------
    values : array, shape (D, H, W)
        Probabilities of the fine network.
    core : array of bool, shape (D, H, W)
        Voxels of the stomach itself, which count.
    limits : FinderLimits
    wall : array, shape (D, H, W), optional
        Logits of the wall network.

    Notes
    -----
    A part weighs the sum of its squared probabilities. One of a neighbour (the edge of the liver, a node) may be
    larger than the tumour; squares prefer what the network is sure of. Both were better than the plain sum on the
    validation volumes. The wall network adds its highest logit in the part to the logarithm of that.
    """
    fine = values >= limits.threshold
    labels, count = ndimage.label(fine, structure=TOUCHING)
    found, marked, alone = count, values, np.zeros(values.shape, np.bool_)
    if wall is not None and limits.wall_alone > 0:
        marked, alone = _with_wall_alone(values, labels, core, limits, wall)
        labels, found = ndimage.label(fine | alone, structure=TOUCHING)
    parts = range(1, found + 1)
    weights = ndimage.sum_labels(np.square(values) * core * ~alone, labels, parts)
    if alone.any():
        # One connected part, so that all of it has one label.
        of_wall = labels[alone][0] - 1
        weights[of_wall] = max(weights[of_wall], limits.wall_alone)
    if not weights.any():
        return None
    highest = np.full(found, -np.inf) if wall is None else np.asarray(ndimage.maximum(wall, labels, parts))
    with np.errstate(divide="ignore"):
        scores = np.log(weights)
    if wall is not None:
        scores += limits.wall_weight * highest
    best = int(np.argmax(scores))
    mask = labels == best + 1
    return MarkedPart(
        values=np.where(mask | (marked < limits.threshold), marked, 0),
        probability=float(marked[mask].mean()),
        share=float(values[mask].sum() / max(float(values.sum()), 1e-6)),
        count=count,
        wall_logit=float(highest[best]),
        by_wall_alone=bool(alone[mask].all()),
    )


def is_sure(part: MarkedPart, limits: FinderLimits) -> bool:
    """Whether the fine network by itself says enough for a part."""
    if part.by_wall_alone:
        return False
    return part.probability >= limits.probability or (
        _stands_out(part, limits)
        and part.probability >= limits.doubtful_probability
        and part.share >= limits.doubtful_share
    )


def is_tumour(part: MarkedPart, limits: FinderLimits) -> bool:
    """Whether what speaks for a part is enough, be it by the wall network's word."""
    by_wall = limits.wall_sure is not None and part.wall_logit >= limits.wall_sure
    return is_sure(part, limits) or (by_wall and _stands_out(part, limits))


def _stands_out(part: MarkedPart, limits: FinderLimits) -> bool:
    return part.count <= limits.doubtful_parts or part.share >= limits.alone_share


def _with_wall_alone(
    values: NDArray[np.float32],
    fine: NDArray[np.integer],
    core: NDArray[np.bool_],
    limits: FinderLimits,
    wall: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Probabilities with what lies around the highest logit of the wall network, and where that is.

    ``fine`` numbers the parts that the fine network marked; 0 elsewhere. Nothing where those that it marked there weigh
    more than ``wall_alone``; lighter ones join it. How high the logit is differs from tumour to tumour (-3 to 0.5 in 11
    synthetic T1), how far it falls to their border less.
    """
    in_core = np.where(core, wall, -np.inf)
    highest = np.unravel_index(in_core.argmax(), wall.shape)
    least = float(in_core[highest]) - limits.wall_drop
    if limits.wall_border is not None:
        least = min(least, limits.wall_border)
    labels, _ = ndimage.label(wall >= least, structure=TOUCHING)
    alone = np.asarray(labels == labels[highest])
    touched = np.unique(fine[ndimage.binary_dilation(alone, TOUCHING)])
    there = np.isin(fine, touched[touched > 0])
    if float(np.square(values[there & core]).sum()) > limits.wall_alone:
        return values, np.zeros_like(alone)
    around = (
        ndimage.binary_dilation(alone, TOUCHING, iterations=_BORDER_VOXELS) & (fine == 0) & (alone | (wall < least))
    )
    by_wall = expit(wall - least + logit(limits.threshold)).astype(np.float32)
    return np.where(around, np.maximum(values, by_wall), values), alone | there
