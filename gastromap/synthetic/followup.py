"""The anatomy of a synthetic patient after chemotherapy: the same body on another day, with what the treatment left.

The tumour loses volume by exactly the drawn response, as thickness and extent alike; nodes follow; filling of the
stomach, bowel, breathing and position on the table differ as they do between any two scans.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gastromap.synthetic.canvas import SmoothField
from gastromap.synthetic.course import Course
from gastromap.synthetic.organs import Organs, draw_bowel, spline
from gastromap.synthetic.stomach import DRAWN_NODES, Stomach, on_surface
from gastromap.synthetic.types import Case

__all__ = [
    "draw_offset",
    "moved_organs",
    "nodes_in_fat",
    "refilled_stomach",
    "scale_tumour",
    "shrunken",
    "treated_nodes",
]

Points = NDArray[np.float64]

#: Scale of the tumour's extent and thickness that is tried; volume grows about as its third power.
_SCALES: Final = (0.12, 1.6)
_NOTHING: Final = 1e-3
#: Enhancement that a tumour loses with all of its volume, in HU: scar takes its place.
_SCAR_HU: Final = 10.0
_STERILE_HU: Final = (84.0, 8.0)
#: How far a node may come to light, and the fat that a reader needs round it, mm.
_LARGEST_MOVE_MM: Final = 45.0
_RIM_MM: Final = 1.5


def draw_offset(rng: np.random.Generator) -> tuple[float, float, float]:
    """Displacement of the body in scanner coordinates between two dates, mm."""
    x, y, z = rng.normal(0, 6), rng.uniform(-12, 12), rng.normal(0, 12)
    # Tenths keep the decimal strings of a header exact.
    return round(float(x), 1), round(float(y), 1), round(float(z), 1)


def moved_organs(organs: Organs, rng: np.random.Generator, *, depth_scale: float) -> Organs:
    """Breathing moves the organs, the bowel is filled anew."""
    breathing = np.array([0.0, 0.0, rng.normal(0, 4)])
    return replace(
        organs,
        shift=organs.shift + breathing + rng.normal(0, 1.0, organs.shift.shape),
        bowel=draw_bowel(rng, organs.scale, depth_scale),
        grain=SmoothField.draw(rng, waves=12, wavelength_mm=(6, 22), amplitude=2.5),
    )


def refilled_stomach(before: Stomach, rng: np.random.Generator) -> Stomach:
    """Stomach with another filling and position; the tumour keeps its place in the wall, and its size."""
    ratio = rng.uniform(0.85, 1.18)
    knots = np.column_stack([rng.normal(0, 4, (8, 3)), ratio * rng.uniform(0.94, 1.06, 8)])
    knots[:, 2] += rng.normal(0, 5)
    change = spline(knots, len(before.line))
    line = before.line + change[:, :3]
    radii = np.maximum(before.radii * change[:, 3], 7)
    i = int(np.argmin(np.linalg.norm(before.line - before.tumour_centre, axis=1) - before.radii))
    across = before.tumour_centre - before.line[i]
    top, bottom = (line[:, 1] - radii).min(), (line[:, 1] + radii).max()
    return replace(
        before,
        line=line,
        radii=radii,
        # The same tissue round a larger lumen is thinner.
        wall=before.wall * ratio**-0.5,
        air_level_y=top + (bottom - top) * float(np.clip(rng.beta(2, 3), 0.05, 0.85)),
        fluid_hu=rng.uniform(5, 15),
        folds=SmoothField.draw(rng, waves=6, wavelength_mm=(13, 24), amplitude=1.0),
        tumour_centre=on_surface(line, radii, i, across / np.linalg.norm(across)),
    )


def shrunken(stomach: Stomach, scale: float) -> Stomach:
    """Scale extent and thickness of the tumour alike; thickness shrinks towards the mucosa, where it began."""
    rim = -0.75 * stomach.wall
    return replace(
        stomach,
        tumour_half_extent=stomach.tumour_half_extent * scale,
        inward=stomach.inward * scale,
        outward=rim + (stomach.outward - rim) * scale,
        nodularity=stomach.nodularity * scale,
        stranding=stomach.stranding * min(scale, 1.0),
        tumour_hu=stomach.tumour_hu - _SCAR_HU * (1 - min(scale, 1.0) ** 3),
    )


def scale_tumour(stomach: Stomach, volume_of: Callable[[Stomach], float], target_mm3: float) -> Stomach:
    """Shrink (or grow) the tumour to a volume, by bisection.

    Parameters
    ----------
    stomach : Stomach
        After treatment, with the tumour as before.
    volume_of : callable
        Tumour volume of a stomach, mm3.
    target_mm3 : float
        Volume to reach; 0 leaves no tumour.

    Returns
    -------
    stomach : Stomach
    """
    if target_mm3 <= 0:
        return replace(shrunken(stomach, _NOTHING), stranding=0.0)
    low, high = np.log(_SCALES)
    for _ in range(14):
        middle = (low + high) / 2
        if volume_of(shrunken(stomach, float(np.exp(middle)))) < target_mm3:
            low = middle
        else:
            high = middle
    return shrunken(stomach, float(np.exp((low + high) / 2)))


def treated_nodes(before: Stomach, after: Stomach, case: Case, course: Course, rng: np.random.Generator) -> Points:
    """Nodes after treatment, (n, 5): moved with the stomach; sterile ones shrink more and enhance as normal ones."""
    drawn = min(case.positive_nodes, DRAWN_NODES)
    left = min(course.positive_nodes, drawn)
    first = len(before.nodes) - drawn
    rows = []
    for k, row in enumerate(before.nodes):
        i = int(np.argmin(np.linalg.norm(before.line - row[:3], axis=1)))
        away = row[:3] - before.line[i]
        away = away / max(float(np.linalg.norm(away)), 1e-6)
        moved = row[:3] + after.line[i] - before.line[i] + (after.radii[i] - before.radii[i]) * away
        moved = moved + rng.normal(0, 1.5, 3)
        radius, hu = row[3] * np.exp(rng.normal(0, 0.08)), row[4] + rng.normal(0, 3)
        if k >= first:
            sterile = k - first >= left
            radius *= np.exp((course.node_response - 0.5 * sterile) / 3)
            hu = rng.normal(*_STERILE_HU) if sterile else hu
        rows.append((*moved, max(radius, 1.3), hu))
    return np.asarray(rows, float).reshape(-1, 5)


def nodes_in_fat(nodes: Points, where: NDArray[np.float32], fat: NDArray[np.bool_], *, step_mm: float) -> Points:
    """Bring nodes to light that would lie inside organs.

    The phantom draws nodes without regard to the organs, and paints these over them: half of them cannot be seen.
    Before treatment that stays as it is; afterwards a hidden node moves to the nearest fat that holds it.

    Parameters
    ----------
    nodes : array, shape (n, 5)
        x, y, z, radius, HU.
    where : array, shape (3, planes, rows, columns)
        Coordinates of a cubic grid, in those of the nodes.
    fat : array of bool, shape (planes, rows, columns)
        Whether there is fat.
    step_mm : float
        Distance of the grid's points.

    Returns
    -------
    nodes : array, shape (n, 5)
        Those outside the grid, or without room nearby, have not moved.
    """
    room = ndimage.distance_transform_edt(fat, sampling=step_mm)
    low, high = where.min(axis=(1, 2, 3)), where.max(axis=(1, 2, 3))
    placed = nodes.copy()
    for row in sorted(range(len(nodes)), key=lambda i: -nodes[i, 3]):
        centre, radius = nodes[row, :3], nodes[row, 3]
        if np.any(centre < low) or np.any(centre > high):
            continue
        away = np.sqrt(((where - centre[:, None, None, None].astype(np.float32)) ** 2).sum(axis=0))
        away[room < radius + _RIM_MM] = np.inf
        best = int(np.argmin(away))
        # The nearest point of the grid is not the node itself: one in the open stays where it is.
        if step_mm < away.flat[best] <= _LARGEST_MOVE_MM:
            placed[row, :3] = where.reshape(3, -1)[:, best]
        taken = np.sqrt(((where - placed[row, :3, None, None, None].astype(np.float32)) ** 2).sum(axis=0))
        room = np.minimum(room, taken - radius)
    return placed
