"""One synthetic patient as a function from level, grid and contrast phase to Hounsfield units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gastromap.synthetic.canvas import Canvas, SmoothField
from gastromap.synthetic.course import Course
from gastromap.synthetic.followup import (
    draw_offset,
    moved_organs,
    nodes_in_fat,
    refilled_stomach,
    scale_tumour,
    treated_nodes,
)
from gastromap.synthetic.organs import Organs
from gastromap.synthetic.stomach import Stomach
from gastromap.synthetic.trunk import Trunk
from gastromap.synthetic.types import Case, Phase, PixelGrid, rng_for

__all__ = ["Phantom"]

#: Thicker slices average several levels: the partial-volume effect across the slice.
_LEVEL_STEP_MM = 2.2
#: Samples across half a tumour where its volume is measured, and the limits of their distance in mm.
_SAMPLES = 14
_SAMPLE_STEP_MM = (0.5, 3.0)
#: Grid on which fat for the nodes is looked for, within a cube of training; HU of fat with its texture.
_FAT_STEP_MM, _FAT_REACH_MM = 3.0, 63.0
_FAT_HU = (-140.0, -55.0)


class Phantom:
    """Anatomy and tumour of a case, the same at every call.

    Parameters
    ----------
    case : Case
        Labels; seed and number decide the anatomy.
    course : Course, optional
        What happened since; gives the same patient after chemotherapy.

    Attributes
    ----------
    z_range_mm : tuple of float
        Levels a scan of the upper abdomen covers, lung bases to below the kidneys.
    tumour_z_mm : float
        Level of the tumour's centre, or of the place where it was.
    """

    def __init__(self, case: Case, course: Course | None = None) -> None:
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
        # Of the body in scanner coordinates: a patient never lies at the same place twice.
        self._offset = (0.0, 0.0, 0.0)
        if course is not None:
            self._treat(course, depth_scale=depth)
        self.z_range_mm = (-92.0 + self._offset[2], 96.0 + self._offset[2])
        self.tumour_z_mm = float(self._stomach.tumour_centre[2]) + self._offset[2]

    def _treat(self, course: Course, *, depth_scale: float) -> None:
        case, before = self.case, self._stomach
        rng = rng_for(case.seed, case.number, "followup anatomy")
        self._offset = draw_offset(rng)
        self._organs = moved_organs(self._organs, rng, depth_scale=depth_scale)
        step = float(np.clip(before.tumour_half_extent / _SAMPLES, *_SAMPLE_STEP_MM))
        volume = before.tumour_volume(self._tumour_samples(before, step), step_mm=step)
        after = refilled_stomach(before, rng)
        nodes = treated_nodes(before, after, case, course, rng)
        samples = self._tumour_samples(after, step)
        after = scale_tumour(
            after,
            lambda stomach: stomach.tumour_volume(samples, step_mm=step),
            0.0 if course.complete else volume * float(np.exp(course.response)),
        )
        self._stomach = replace(after, nodes=nodes[:0])
        self._stomach = replace(after, nodes=nodes_in_fat(nodes, *self._fat(), step_mm=_FAT_STEP_MM))

    def _tumour_samples(self, stomach: Stomach, step_mm: float) -> NDArray[np.float32]:
        """Samples for :meth:`Stomach.tumour_volume` on a cubic grid round the tumour."""
        x, y, z = (float(v) for v in stomach.tumour_centre)
        reach = 1.25 * stomach.tumour_half_extent
        # Warp and ripple bend the grid by less than that.
        count = 2 * int(np.ceil((reach + 12) / step_mm)) + 1
        grid = PixelGrid(count, count, step_mm, x, y)
        planes = []
        for level in z + (np.arange(count) - count // 2) * step_mm:
            c = self._canvas(float(level), grid)
            part = stomach.tumour_samples(c, self._cavity(c))
            if part is not None:
                planes.append(part[:, part[1] < reach**2])
        return np.concatenate(planes, axis=1)

    def _fat(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Coordinates of a cubic grid round the tumour, shape (3, n, n, n), and whether there is peritoneal fat."""
        x, y, z = (float(v) for v in self._stomach.tumour_centre)
        count = 2 * round(_FAT_REACH_MM / _FAT_STEP_MM) + 1
        grid = PixelGrid(count, count, _FAT_STEP_MM, x, y)
        where, fat = np.empty((3, count, count, count), np.float32), np.empty((count,) * 3, np.bool_)
        for plane, level in enumerate(z + (np.arange(count) - count // 2) * _FAT_STEP_MM):
            c = self._paint(self._canvas(float(level), grid), "portal")
            where[0, plane], where[1, plane], where[2, plane] = c.px, c.py, level
            fat[plane] = (c.hu > _FAT_HU[0]) & (c.hu < _FAT_HU[1]) & (self._cavity(c) < -_FAT_STEP_MM)
        return where, fat

    @property
    def nodes(self) -> NDArray[np.float64]:
        """Perigastric nodes, shape (n, 5): x, y, z in scanner coordinates, radius in mm, HU; positive ones last."""
        return self._stomach.nodes + np.array([*self._offset, 0.0, 0.0])

    @property
    def tumour_site_mm(self) -> NDArray[np.float64]:
        """Point of the outer wall in the middle of the tumour, or where it was; scanner coordinates, shape (3,)."""
        return self._stomach.tumour_centre + np.array(self._offset)

    @property
    def table_below_back_mm(self) -> float:
        """Distance of the back from the origin, along +y."""
        return self._trunk.half_depth * 0.93

    def _canvas(self, z_mm: float, grid: PixelGrid) -> Canvas:
        """Canvas in body coordinates."""
        return Canvas(grid, z_mm, self._warp, self._ripple)

    def _scanned(self, z_mm: float, grid: PixelGrid) -> Canvas:
        """Canvas of a plane and grid in scanner coordinates."""
        x, y, z = self._offset
        body = replace(grid, centre_x_mm=grid.centre_x_mm - x, centre_y_mm=grid.centre_y_mm - y)
        return self._canvas(z_mm - z, body)

    def _cavity(self, c: Canvas) -> NDArray[np.float32]:
        """Signed distance to the inside of the abdominal wall."""
        return (self._trunk.depth(c) + self._trunk.fat + self._trunk.muscle).astype(np.float32)

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
        return self._paint(self._scanned(z_mm, grid), phase).hu

    def _paint(self, c: Canvas, phase: Phase) -> Canvas:
        self._trunk.draw_table(c, 0.0)
        depth = self._trunk.depth(c)
        cavity, dome = self._trunk.draw_wall(c, depth)
        self._organs.paint(c, cavity, dome, phase)
        self._stomach.paint(c, np.maximum(cavity, dome), phase)
        self._trunk.draw_bones(c, cavity)
        return c

    def masks(self, z_mm: float, grid: PixelGrid) -> dict[str, NDArray[np.bool_]]:
        """Masks ``tumour`` and ``stomach`` on the level ``z_mm``, each of shape (rows, columns)."""
        c = self._scanned(z_mm, grid)
        return self._stomach.masks(c, self._cavity(c))


def _pair(
    rng: np.random.Generator, *, waves: int, wavelength_mm: tuple[float, float], amplitude: float
) -> tuple[SmoothField, SmoothField]:
    x, y = (SmoothField.draw(rng, waves=waves, wavelength_mm=wavelength_mm, amplitude=amplitude) for _ in range(2))
    return x, y
