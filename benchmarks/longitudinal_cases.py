"""Seeded pairs of toy scans whose response to treatment sets survival and whose texture sets node metastasis.

For tests of the longitudinal network only. A textured ellipsoid with bright nodes round it; the follow-up has a
position, noise, texture and nodes of its own. The hazard depends on the ratio of the two volumes alone, which is
independent of the first volume: neither scan alone holds it all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

__all__ = ["FIXTURES", "Cohort", "Fixture", "make_cohort"]

_SIDE: Final = 32
#: Log hazard a standard deviation of the log volume ratio.
_EFFECT: Final = 1.6
_MEDIAN_MONTHS: Final = 30.0


@dataclass(frozen=True)
class Fixture:
    """What a cohort shows."""

    radius: tuple[float, float]  #: voxels, before treatment
    texture: tuple[float, float]  #: mean amplitude without and with node metastasis
    nodes: tuple[float, float]  #: mean number without and with
    texture_spread: float  #: SD of the amplitude within either group


FIXTURES: Final = {
    "response": Fixture(radius=(4.5, 10.0), texture=(0.06, 0.08), nodes=(2.0, 2.5), texture_spread=0.02),
    "joint": Fixture(radius=(4.5, 10.0), texture=(0.04, 0.16), nodes=(1.0, 5.0), texture_spread=0.025),
}


@dataclass(frozen=True)
class Cohort:
    """Pairs and what is true of them."""

    image: Tensor  #: (n, 2, 32, 32, 32), 0 to 1
    target: Tensor  #: (n, 3): LNM, death, months
    log_hazard: NDArray[np.float64]
    volume: NDArray[np.float64]  #: (n, 2), cubic voxels
    lnm_score: NDArray[np.float64]  #: log likelihood ratio of what the first scan was drawn with


def make_cohort(fixture: Fixture, patients: int, *, seed: int) -> Cohort:
    """Draw a cohort.

    Parameters
    ----------
    fixture : Fixture
    patients : int
    seed : int

    Returns
    -------
    Cohort
    """
    rng = np.random.default_rng(seed)
    radius = rng.uniform(*fixture.radius, patients)
    log_ratio = rng.uniform(-2.3, 0.0, patients)
    # SD of the uniform distribution, so that the effect is the same in every cohort.
    log_hazard = _EFFECT * (log_ratio + 1.15) / (2.3 / np.sqrt(12))
    death = rng.exponential(_MEDIAN_MONTHS / np.log(2) * np.exp(-log_hazard))
    censored = rng.uniform(12.0, 84.0, patients)
    lnm = rng.random(patients) < 0.5
    amplitude = _amplitude(fixture, rng, lnm)
    nodes = rng.poisson(np.where(lnm, fixture.nodes[1], fixture.nodes[0]))
    # The follow-up's texture and nodes say nothing about the label.
    later = rng.random(patients) < 0.5
    later_amplitude, later_nodes = _amplitude(fixture, rng, later), rng.poisson(np.mean(fixture.nodes), patients)
    image = np.empty((patients, 2, _SIDE, _SIDE, _SIDE), np.float32)
    for i in range(patients):
        image[i, 0] = _scan(rng, radius[i], amplitude[i], int(nodes[i]))
        image[i, 1] = _scan(rng, radius[i] * np.exp(log_ratio[i] / 3), later_amplitude[i], int(later_nodes[i]))
    volume = 4 / 3 * np.pi * np.stack([radius**3, radius**3 * np.exp(log_ratio)], axis=1)
    target = np.stack([lnm, death <= censored, np.minimum(death, censored)], axis=1)
    return Cohort(
        torch.from_numpy(image),
        torch.from_numpy(target.astype(np.float32)),
        log_hazard,
        volume,
        _lnm_score(fixture, amplitude, nodes),
    )


def _amplitude(fixture: Fixture, rng: np.random.Generator, lnm: NDArray[np.bool_]) -> NDArray[np.float64]:
    mean = np.where(lnm, fixture.texture[1], fixture.texture[0])
    return rng.normal(mean, fixture.texture_spread)


def _lnm_score(fixture: Fixture, amplitude: NDArray[np.float64], nodes: NDArray[np.int64]) -> NDArray[np.float64]:
    (quiet, rough), (few, many) = fixture.texture, fixture.nodes
    texture = (rough - quiet) * (amplitude - (rough + quiet) / 2) / fixture.texture_spread**2
    out: NDArray[np.float64] = texture + nodes * np.log(many / few) - (many - few)
    return out


def _scan(rng: np.random.Generator, radius: float, amplitude: float, nodes: int) -> NDArray[np.float64]:
    grid = np.stack(np.meshgrid(*(np.arange(_SIDE, dtype=float),) * 3, indexing="ij"))
    centre = _SIDE / 2 - 0.5 + rng.uniform(-3, 3, 3)
    stretch = np.exp(rng.uniform(-0.15, 0.15, 3))
    # Same volume as a ball of this radius.
    axes = radius * stretch / np.cbrt(stretch.prod())
    inside = (((grid - centre[:, None, None, None]) / axes[:, None, None, None]) ** 2).sum(0)
    tumour = 1 / (1 + np.exp(np.clip((np.sqrt(inside) - 1) * radius * 2, -30, 30)))
    scan = 0.3 + tumour * (0.35 + amplitude * _noise(rng, 0.7))
    for _ in range(nodes):
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        place = np.clip(centre + direction * (radius + rng.uniform(2, 4)), 1, _SIDE - 2)
        scan += 0.3 * np.exp(-((grid - place[:, None, None, None]) ** 2).sum(0) / (2 * 1.1**2))
    return np.clip(scan + 0.04 * rng.normal(size=scan.shape), 0, 1)


def _noise(rng: np.random.Generator, sigma: float) -> NDArray[np.float64]:
    noise = gaussian_filter(rng.normal(size=(_SIDE,) * 3), sigma, mode="wrap")
    out: NDArray[np.float64] = noise / noise.std()
    return out
