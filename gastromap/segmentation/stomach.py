"""Where the stomach is: the coarse network over a whole volume."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from gastromap.preprocessing.volume import PatientGrid, VolumeProfile, sample_ct
from gastromap.segmentation.measures import largest_component

__all__ = ["COARSE_CARD", "COARSE_WEIGHTS", "FinderNetwork", "Stomach", "StomachReader"]

COARSE_CARD, COARSE_WEIGHTS = "coarse.json", "coarse.pt"

_Point = tuple[float, float, float]


@dataclass(frozen=True)
class FinderNetwork:
    """A network with the grid it reads."""

    network: nn.Module
    profile: VolumeProfile


@dataclass(frozen=True)
class Stomach:
    """The stomach, tumour included.

    Attributes
    ----------
    grid : PatientGrid
    mask : array of bool, shape ``grid.shape``
        One connected part, or nothing.
    """

    grid: PatientGrid
    mask: NDArray[np.bool_]

    @property
    def volume_ml(self) -> float:
        """Wall, tumour and lumen."""
        return float(self.mask.sum() * np.prod(self.grid.spacing_mm) / 1000)

    def box(self, *, beyond_percent: float) -> tuple[_Point, _Point]:
        """Corners (x, y, z) in mm: the lowest, foremost on the patient's right, and the opposite one.

        On each side this share of the voxels may stick out, in percent.
        """
        low, high = np.percentile(np.argwhere(self.mask), [beyond_percent, 100 - beyond_percent], axis=0)
        return self.grid.point(low), self.grid.point(high)

    @cached_property
    def distance_mm(self) -> NDArray[np.float64]:
        """How far each voxel lies from the stomach; 0 in it."""
        distance: NDArray[np.float64] = ndimage.distance_transform_edt(~self.mask, sampling=self.grid.spacing_mm)
        return distance

    def within(self, reach_mm: float) -> NDArray[np.bool_]:
        """Voxels up to so far from the stomach."""
        return self.distance_mm <= reach_mm


class StomachReader:
    """The coarse network.

    Parameters
    ----------
    coarse : FinderNetwork
        Gives logits (1, regions, D, H, W), of which ``stomach`` (with the tumour) counts; sides are multiples of 8.
    device : torch.device
    """

    def __init__(self, coarse: FinderNetwork, device: torch.device) -> None:
        self._network, self._profile, self._device = coarse.network.to(device).eval(), coarse.profile, device

    @torch.inference_mode()
    def __call__(self, hu: NDArray[np.floating], affine_lps: NDArray[np.floating]) -> Stomach:
        """The stomach on a coarse grid over the whole volume.

        Parameters
        ----------
        hu, affine_lps
            As of :func:`gastromap.preprocessing.volume.sample_ct`.
        """
        profile = self._profile
        shape = (hu.shape[0], hu.shape[1], hu.shape[2])
        grid = PatientGrid.covering(affine_lps, shape, profile.spacing_mm, multiple=8)
        image = torch.from_numpy(sample_ct(hu, affine_lps, grid, window_hu=profile.window_hu))[None, None]
        out = torch.sigmoid(self._network(image.to(self._device)).float())[0].cpu().numpy()
        return Stomach(grid, largest_component(out[profile.regions.index("stomach")] >= 0.5))
