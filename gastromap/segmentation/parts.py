"""Connected parts of what the networks marked, and which of them is the tumour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit, logit

from gastromap.segmentation.limits import FinderLimits

__all__ = ["MarkedPart", "heaviest_part", "is_tumour"]

_TOUCHING = np.ones((3, 3, 3), np.bool_)
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
        Mean inside, of the network that marked it.
    share : float
        Of the sum of all probabilities.
    count : int
        Of all parts that the fine network marked.
    wall_logit : float
        Highest one of the wall network inside; -inf where it has no say.
    by_wall_alone : bool
        Whether the fine network marked nothing of it.
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
    labels, count = ndimage.label(values >= limits.threshold, structure=_TOUCHING)
    alone = np.zeros(values.shape, np.bool_)
    marked = values
    if wall is not None and limits.wall_alone > 0:
        least = float(np.where(core, wall, -np.inf).max()) - limits.wall_drop
        alone = _marked_alone(labels > 0, wall, core, least)
        around = ndimage.binary_dilation(alone, _TOUCHING, iterations=_BORDER_VOXELS) & (labels == 0)
        by_wall = expit(wall - least + logit(limits.threshold)).astype(np.float32)
        marked = np.where(around, np.maximum(values, by_wall * (alone | (wall < least))), values)
        labels, _ = ndimage.label((labels > 0) | alone, structure=_TOUCHING)
    parts = range(1, int(labels.max()) + 1)
    weights = ndimage.sum_labels(np.square(values) * core * ~alone, labels, parts)
    weights = np.maximum(weights, np.where(ndimage.maximum(alone, labels, parts), limits.wall_alone, 0))
    if not weights.any():
        return None
    highest = np.full(len(weights), -np.inf) if wall is None else np.asarray(ndimage.maximum(wall, labels, parts))
    with np.errstate(divide="ignore"):
        scores = np.log(weights)
    if wall is not None:
        scores += limits.wall_weight * highest
    best = int(np.argmax(scores))
    mask = labels == best + 1
    by_wall_alone = wall is not None and bool((alone | ~mask).all())
    return MarkedPart(
        values=np.where(mask | (marked < limits.threshold), marked, 0),
        probability=float((expit(wall[mask]) if wall is not None and by_wall_alone else values[mask]).mean()),
        share=float(values[mask].sum() / max(float(values.sum()), 1e-6)),
        count=count,
        wall_logit=float(highest[best]),
        by_wall_alone=by_wall_alone,
    )


def is_tumour(part: MarkedPart, limits: FinderLimits) -> bool:
    """Whether what speaks for a part is enough."""
    few = part.count <= limits.doubtful_parts
    if few and limits.wall_sure is not None and part.wall_logit >= limits.wall_sure:
        return True
    if part.by_wall_alone:
        return False
    return part.probability >= limits.probability or (
        few and part.probability >= limits.doubtful_probability and part.share >= limits.doubtful_share
    )


def _marked_alone(
    fine: NDArray[np.bool_], wall: NDArray[np.float32], core: NDArray[np.bool_], least: float
) -> NDArray[np.bool_]:
    """What lies around the highest logit of the wall network; nothing where the fine network marked some of it.

    How high it is differs from tumour to tumour (-3 to 0.5 in 11 synthetic T1), how far it falls to their border less.
    """
    labels, _ = ndimage.label(wall >= least, structure=_TOUCHING)
    highest = np.unravel_index(np.where(core, wall, -np.inf).argmax(), wall.shape)
    part = np.asarray(labels == labels[highest])
    return part if not (part & fine).any() else np.zeros_like(part)
