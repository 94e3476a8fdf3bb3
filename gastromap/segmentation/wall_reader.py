"""Where the stomach's wall looks like tumour, by its depth profile."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from gastromap.models.wall import NO_WALL_LOGIT
from gastromap.preprocessing.volume import PatientGrid, to_source
from gastromap.preprocessing.wall import wall_profile

__all__ = ["WallReader"]

#: Cells, a standard deviation; with a whole cell small tumours drown.
_SMOOTHING = 0.4


class WallReader:
    """Evidence of a tumour within the wall.

    Parameters
    ----------
    network : nn.Module
        Logits (1, 1, D, H, W) of the cells of a profile (:mod:`gastromap.models.wall`).
    device : torch.device
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._network, self._device = network.to(device).eval(), device

    @torch.inference_mode()
    def __call__(
        self,
        hu: NDArray[np.floating],
        affine_lps: NDArray[np.floating],
        stomach: NDArray[np.bool_],
        stomach_grid: PatientGrid,
        grid: PatientGrid,
    ) -> NDArray[np.float32]:
        """Logits on a grid, smoothed along the wall.

        Parameters
        ----------
        hu, affine_lps, stomach, stomach_grid
            As of :func:`gastromap.preprocessing.wall.wall_profile`.
        grid : PatientGrid
            Of the output.

        Returns
        -------
        array, shape ``grid.shape``
            -6 where there is no wall.
        """
        profile = wall_profile(hu, affine_lps, stomach, stomach_grid)
        cells = torch.from_numpy(profile.values)[None].to(self._device).float()
        judged = self._network(cells)[0, 0].float().cpu().numpy()
        smooth = ndimage.gaussian_filter(np.where(profile.wall, judged, NO_WALL_LOGIT), _SMOOTHING)
        # Zero is what lies outside.
        return to_source(smooth - NO_WALL_LOGIT, profile.grid, grid.affine_lps, grid.shape) + NO_WALL_LOGIT
