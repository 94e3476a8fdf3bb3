"""Where the stomach's wall looks like tumour, by its depth profile."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from gastromap.preprocessing.volume import PatientGrid, to_source
from gastromap.preprocessing.wall import wall_profile

__all__ = ["WallReader"]

#: Logit where there is no wall.
_NOTHING = -6.0
#: Cells, a standard deviation; with a whole cell small tumours drown.
_SMOOTHING = 0.4


class WallReader:
    """Evidence of a tumour within the wall.

    Parameters
    ----------
    network : nn.Module
        Logits (1, 1, cells, 1, 1) of cells of a profile (:class:`gastromap.models.wall.WallNet`).
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
        logits = np.full(profile.wall.shape, _NOTHING, np.float32)
        # Each cell is judged by itself, and one in ten holds wall.
        cells = torch.from_numpy(profile.values[:, profile.wall].astype(np.float32))[None, :, :, None, None]
        logits[profile.wall] = self._network(cells.to(self._device)).flatten().float().cpu().numpy()
        smooth = ndimage.gaussian_filter(logits, _SMOOTHING)
        # Zero is what lies outside.
        return to_source(smooth - _NOTHING, profile.grid, grid.affine_lps, grid.shape) + _NOTHING
