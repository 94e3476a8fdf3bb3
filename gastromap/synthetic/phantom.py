"""One synthetic patient as a function from level, grid and contrast phase to Hounsfield units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gastromap.synthetic.canvas import Canvas, SmoothField
from gastromap.synthetic.organs import Organs
from gastromap.synthetic.stomach import Stomach
from gastromap.synthetic.trunk import Trunk
from gastromap.synthetic.types import Case, Phase, PixelGrid, rng_for

__all__ = ["Phantom"]

#: Thicker slices average several levels: the partial-volume effect across the slice.
_LEVEL_STEP_MM = 2.2


class Phantom:
    """Anatomy and tumour of a case, the same at every call.

    Parameters
    ----------
    case : Case
        Labels; seed and number decide the anatomy.

    Attributes
    ----------
    z_range_mm : tuple of float
        Levels a scan of the upper abdomen covers, lung bases to below the kidneys.
    tumour_z_mm : float
        Level of the tumour's centre.
    """

    def __init__(self, case: Case) -> None:
        rng = rng_for(case.seed, case.number, "anatomy")
        self.case = case
        self._trunk = Trunk.draw(rng, male=case.sex == "M")
        scale, depth = self._trunk.half_width / 165.0, self._trunk.half_depth / 112.0
        self._organs = Organs.draw(
            rng,
            half_width=self._trunk.half_width,
            half_depth=self._trunk.half_depth,
            spine_y=self._trunk.spine_y,
        )
        self._stomach = Stomach.draw(case, rng, scale=scale, depth_scale=depth)
        self._warp = _pair(rng, waves=7, wavelength_mm=(90, 220), amplitude=3.2)
        # A second, finer warp keeps organ borders from being perfect ellipses.
        self._ripple = _pair(rng, waves=9, wavelength_mm=(22, 70), amplitude=1.5)
        self.z_range_mm = (-92.0, 96.0)
        self.tumour_z_mm = float(self._stomach.tumour_centre[2])

    @property
    def table_below_back_mm(self) -> float:
        """Distance of the back from the origin, along +y."""
        return self._trunk.half_depth * 0.93

    def _canvas(self, z_mm: float, grid: PixelGrid) -> Canvas:
        return Canvas(grid, z_mm, self._warp, self._ripple)

    def render(
        self, z_mm: float, grid: PixelGrid, *, phase: Phase = "portal", thickness_mm: float = 1.0
    ) -> NDArray[np.float32]:
        """Noiseless Hounsfield units of one slice.

        Parameters
        ----------
        z_mm : float
            Middle of the slice.
        grid : PixelGrid
        phase : {"arterial", "portal", "delayed"}
        thickness_mm : float
            Thick slices average levels at most 2.2 mm apart.

        Returns
        -------
        hu : array, shape (rows, columns), float32, at least -1024
        """
        levels = max(1, round(thickness_mm / _LEVEL_STEP_MM))
        offsets = (np.arange(levels) - (levels - 1) / 2) * (thickness_mm / levels)
        total = np.zeros((grid.rows, grid.columns), np.float32)
        for offset in offsets:
            total += self._level(z_mm + float(offset), grid, phase)
        return np.maximum(total / levels, -1024)

    def _level(self, z_mm: float, grid: PixelGrid, phase: Phase) -> NDArray[np.float32]:
        c = self._canvas(z_mm, grid)
        self._trunk.draw_table(c, 0.0)
        depth = self._trunk.depth(c)
        cavity, dome = self._trunk.draw_wall(c, depth)
        self._organs.paint(c, cavity, dome, phase)
        self._stomach.paint(c, np.maximum(cavity, dome), phase)
        self._trunk.draw_bones(c, cavity)
        return c.hu

    def masks(self, z_mm: float, grid: PixelGrid) -> dict[str, NDArray[np.bool_]]:
        """Masks ``tumour`` and ``stomach`` on the level ``z_mm``, each of shape (rows, columns)."""
        c = self._canvas(z_mm, grid)
        depth = self._trunk.depth(c)
        cavity = depth + self._trunk.fat + self._trunk.muscle
        return self._stomach.masks(c, cavity.astype(np.float32))


def _pair(
    rng: np.random.Generator, *, waves: int, wavelength_mm: tuple[float, float], amplitude: float
) -> tuple[SmoothField, SmoothField]:
    x, y = (SmoothField.draw(rng, waves=waves, wavelength_mm=wavelength_mm, amplitude=amplitude) for _ in range(2))
    return x, y
