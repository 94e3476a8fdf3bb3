"""Maps of one patient and where they lie: shown as "where the model looked", not as proof."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gastromap.errors import UsageError
from gastromap.explain_3d import CoAttentionMaps, to_voxels
from gastromap.preprocessing.volume import PatientGrid, to_source

__all__ = ["LongitudinalMaps"]


@dataclass(frozen=True)
class LongitudinalMaps:
    """Grad-CAM of both scans, and the attention between them.

    Attributes
    ----------
    lnm, os_risk : array, shape (2, d, h, w), 0 to 1
        What speaks for metastasis, and for an earlier death; one scale for both scans; 0 in an absent scan.
    co_attention : CoAttentionMaps, optional
        Of a pair, with a leading axis of 1.
    grids : two PatientGrid or None
        Crops of the scans; the maps cover them from edge to edge.
    """

    lnm: NDArray[np.float32] = field(repr=False)
    os_risk: NDArray[np.float32] = field(repr=False)
    co_attention: CoAttentionMaps | None = field(repr=False)
    grids: tuple[PatientGrid | None, PatientGrid | None]

    def on_source(
        self,
        values: NDArray[np.float32],
        scan: int,
        affine_lps: NDArray[np.floating],
        shape: tuple[int, int, int],
    ) -> NDArray[np.float32]:
        """A map on the voxels of the examination, trilinearly.

        Parameters
        ----------
        values : array, shape (d, h, w)
            Map of one scan, such as ``maps.lnm[0]``.
        scan : {0, 1}
            Before or after treatment.
        affine_lps : array, shape (4, 4)
        shape : (slices, rows, columns)

        Returns
        -------
        array, shape ``shape``
            0 outside the crop.

        Raises
        ------
        UsageError
            ``NO_SCAN`` if that scan was absent.
        """
        grid = self.grids[scan]
        if grid is None:
            raise UsageError(
                "NO_SCAN",
                where="map",
                expected="a scan that the prediction was made from",
                got="an absent one",
                remedy="Show the maps of the scan that is there.",
            )
        return to_source(to_voxels(values, grid.shape), grid, affine_lps, shape)
