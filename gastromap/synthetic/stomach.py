"""The stomach with its layered wall, the tumour and the perigastric nodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gastromap.synthetic.canvas import Box, Canvas, SmoothField, sweep
from gastromap.synthetic.organs import spline
from gastromap.synthetic.types import Case, Phase

__all__ = ["DRAWN_NODES", "Stomach", "on_surface"]

Array = NDArray[np.float32]
Points = NDArray[np.float64]

#: Tumour thickness into the lumen in mm: mean and standard deviation. They overlap on purpose.
_INWARD = {"T1": (2.0, 0.4), "T2": (6.2, 0.9), "T3": (10.2, 1.3), "T4": (14.5, 2.0)}
#: Outer limit of the tumour in mm from the serosa (negative: inside the wall), as a range; T1 is scaled by the wall.
_OUTWARD = {"T2": (-0.6, 0.4), "T3": (3.5, 6.5), "T4": (8.0, 12.5)}
#: More positive nodes than these are not drawn.
DRAWN_NODES = 9
#: Part of the centre line (0 fundus, 1 pylorus) of the thirds.
_THIRD = {"upper": (0.14, 0.36), "middle": (0.40, 0.62), "lower": (0.66, 0.90)}
#: Mucosa, submucosa, muscularis in HU by phase; the mucosa is brightest early.
_LAYERS = {"arterial": (125, 48, 72), "portal": (118, 50, 82), "delayed": (98, 62, 84)}
_TUMOUR = {"arterial": 78, "portal": 94, "delayed": 96}


@dataclass(frozen=True)
class Stomach:
    """One patient's stomach; lengths in mm."""

    line: Points  #: centre line from fundus to pylorus, (n, 3)
    radii: NDArray[np.float64]
    wall: float
    air_level_y: float  #: gas lies in front of (above, in supine position) this plane
    fluid_hu: float
    folds: SmoothField
    fold_height: float
    roughness: SmoothField
    strands: SmoothField
    tumour_centre: Points  #: on the outer wall, (3,)
    tumour_half_extent: float
    inward: float
    outward: float
    nodularity: float
    stranding: float
    tumour_hu: float
    nodes: Points  #: (n, 5) x, y, z, radius, HU
    stage: str

    @classmethod
    def draw(cls, case: Case, rng: np.random.Generator, *, scale: float, depth_scale: float) -> Stomach:
        """Draw shape, filling and tumour of a case."""
        fill = rng.uniform(0.78, 1.12)
        knots = np.array(
            [
                (78.0, 14, 84, 24),
                (80, 4, 62, 35),
                (74, -20, 36, 36),
                (60, -44, 8, 32),
                (34, -60, -18, 27),
                (4, -58, -26, 22),
                (-24, -44, -20, 15),
                (-38, -34, -14, 9),
            ]
        )
        knots[:, :3] += rng.normal(0, 5, (8, 3))
        knots[:, 2] += rng.normal(0, 8)
        knots[:, 0] *= scale
        knots[:, 1] *= depth_scale
        knots[:, 3] *= fill * rng.uniform(0.9, 1.1, 8)
        curve = spline(knots, 110)
        line, radii = curve[:, :3], np.maximum(curve[:, 3], 7)
        wall = rng.uniform(3.4, 5.2) * (1.12 - 0.25 * (fill - 0.95))
        top, bottom = (line[:, 1] - radii).min(), (line[:, 1] + radii).max()
        centre = _tumour_centre(case, rng, line, radii, scale=scale, depth_scale=depth_scale)
        mean, sd = _INWARD[case.stage]
        inward = float(np.clip(rng.normal(mean, sd) + 0.2 * (case.size_cm - 3.9), 1.6, 18))
        outward = -wall * rng.uniform(0.5, 0.7) if case.stage == "T1" else rng.uniform(*_OUTWARD[case.stage])
        serosa = case.stage == "T4"
        return cls(
            line=line,
            radii=radii,
            wall=wall,
            air_level_y=top + (bottom - top) * float(np.clip(rng.beta(2, 3), 0.05, 0.85)),
            fluid_hu=rng.uniform(5, 15),
            folds=SmoothField.draw(rng, waves=6, wavelength_mm=(13, 24), amplitude=1.0),
            fold_height=rng.uniform(0.5, 3.2) * (1.5 - fill),
            roughness=SmoothField.draw(rng, waves=10, wavelength_mm=(8, 18), amplitude=1.0),
            strands=SmoothField.draw(rng, waves=14, wavelength_mm=(6, 14), amplitude=1.0),
            tumour_centre=centre,
            tumour_half_extent=max(case.size_cm * 5.0, 7.5),
            inward=inward,
            outward=float(outward),
            nodularity=rng.uniform(1.8, 3.8) if serosa else rng.uniform(0.0, 0.7),
            stranding=rng.uniform(0.6, 1.2) if serosa else max(0.0, rng.normal(0.0, 0.16)),
            tumour_hu=rng.normal(0, 6),
            nodes=_nodes(case, rng, line, radii, centre),
            stage=case.stage,
        )

    def _outer(self, c: Canvas, *, coarse: int = 3) -> tuple[Box, Array] | None:
        near = np.abs(self.line[:, 2] - c.z) < self.radii + 16
        if not near.any():
            return None
        p, r = self.line[near], float(self.radii[near].max()) + 14
        lo, hi = p[:, :2].min(0), p[:, :2].max(0)
        box = c.box(*((lo + hi) / 2), *((hi - lo) / 2 + r))
        if c.hu[box].size == 0:
            return None
        return box, sweep(self.line, self.radii, c.px[box], c.py[box], c.z, coarse=coarse)

    def _squared_radius(self, c: Canvas, box: Box) -> Array:
        cx, cy, cz = self.tumour_centre
        out: Array = (c.px[box] - cx) ** 2 + (c.py[box] - cy) ** 2 + (c.z - cz) ** 2
        return out

    def _bump(self, r2: Array) -> Array:
        """Height of the tumour from 0 at its rim to 1 over a plateau in the middle."""
        # The wall is curved, so the straight distance is a little shorter than the extent along it.
        u2 = r2 / self.tumour_half_extent**2
        out: Array = np.sqrt(np.clip(1 - u2, 0, 1)).astype(np.float32) ** np.float32(0.8)
        return out

    def paint(self, c: Canvas, inside: Array, phase: Phase) -> None:
        """Paint nodes, stranding, wall, lumen and tumour over the organs."""
        for x, y, z, radius, hu in self.nodes:
            shape = c.ellipsoid((x, y, z), (radius * 1.1, radius * 0.9, radius), angle=x)
            if shape is not None:
                c.paint(shape[0], np.maximum(shape[1], inside[shape[0]] + 2), hu - (12 if phase == "delayed" else 0))
        outer = self._outer(c)
        if outer is None:
            return
        box, s = outer
        s = np.maximum(s, inside[box] + 2.5)
        bump = self._bump(self._squared_radius(c, box))
        rough = self.roughness.on(c.x, c.y, c.z)[box]
        self._paint_strands(c, box, s, bump)
        mucosa, submucosa, muscularis = _LAYERS[phase]
        fold = self.fold_height * np.maximum(self.folds.on(c.x, c.y, c.z)[box] - 0.15, 0)
        wall = self.wall
        c.paint(box, s, float(muscularis))
        c.paint(box, s + 0.36 * wall, float(submucosa))
        c.paint(box, s + 0.62 * wall + 0.35 * fold, float(mucosa))
        lumen = s + wall + fold
        tumour = self._tumour_distance(s, bump, rough)
        lumen = np.maximum(lumen, s + wall + self.inward * bump + 0.5 * rough * (bump > 0))
        c.paint(box, lumen.astype(np.float32), self.fluid_hu)
        c.paint(box, np.maximum(lumen, c.py[box] - self.air_level_y).astype(np.float32), -985.0)
        if tumour is not None:
            value = _TUMOUR[phase] + self.tumour_hu + 5 * rough - 8 * bump
            c.paint(box, tumour, value.astype(np.float32))

    def _tumour_distance(self, s: Array, bump: Array, rough: Array) -> Array | None:
        if float(bump.max()) <= 0.02:
            return None
        # Outwards the tumour follows its depth; the rim stays in the mucosa so that it ends like a lens.
        nodular = self.nodularity * np.maximum(rough, -0.4) * (bump > 0.25)
        rim = -0.75 * self.wall
        outer = s - (rim + (self.outward + nodular - rim) * np.minimum(1.6 * bump, 1))
        inner = -(s + self.wall + self.inward * bump + 0.5 * rough)
        edge = (0.12 - bump) * self.tumour_half_extent * 0.6
        out: Array = np.maximum(np.maximum(outer, inner), edge).astype(np.float32)
        return out

    def tumour_samples(self, c: Canvas, inside: Array) -> Array | None:
        """What decides on tumour in the pixels of a plane: depth, squared radius and roughness, shape (3, pixels)."""
        outer = self._outer(c, coarse=2)
        if outer is None:
            return None
        box, s = outer
        s = np.maximum(s, inside[box] + 2.5)
        rough = self.roughness.on(c.x, c.y, c.z)[box]
        return np.stack([s.ravel(), self._squared_radius(c, box).ravel(), rough.ravel()])

    def tumour_volume(self, samples: Array, *, step_mm: float) -> float:
        """Tumour in mm3 among samples of a cubic grid, with the partial volumes of its border."""
        s, r2, rough = samples
        # Beyond the rim the distance says only that there is no tumour, not how far away it is.
        near = r2 < self.tumour_half_extent**2
        distance = self._tumour_distance(s[near], self._bump(r2[near]), rough[near]) if near.any() else None
        if distance is None:
            return 0.0
        return float(np.clip(0.5 - distance / step_mm, 0, 1).sum(dtype=np.float64)) * step_mm**3

    def _paint_strands(self, c: Canvas, box: Box, s: Array, bump: Array) -> None:
        """Hazy and streaky fat in front of the tumour."""
        if self.stranding <= 0.05 or float(bump.max()) <= 0.02:
            return
        reach = np.exp(-np.clip(s - self.outward, 0, 40) / 5.0) * np.minimum(2 * bump, 1) * (s > -1)
        streak = np.clip(self.strands.on(c.x, c.y, c.z)[box] - 0.2, 0, 1.5)
        view = c.hu[box]
        amount = np.clip(self.stranding * reach * (0.25 + 0.65 * streak), 0, 0.9) * (view < 20)
        view += amount * (45 - view)

    def masks(self, c: Canvas, inside: Array) -> dict[str, NDArray[np.bool_]]:
        """Boolean masks ``tumour`` and ``stomach`` (wall and lumen with tumour)."""
        tumour = np.zeros(c.hu.shape, bool)
        stomach = np.zeros(c.hu.shape, bool)
        outer = self._outer(c)
        if outer is not None:
            box, s = outer
            s = np.maximum(s, inside[box] + 2.5)
            bump = self._bump(self._squared_radius(c, box))
            rough = self.roughness.on(c.x, c.y, c.z)[box]
            distance = self._tumour_distance(s, bump, rough)
            stomach[box] = s < 0
            if distance is not None:
                tumour[box] = distance < 0
                stomach |= tumour
        return {"tumour": tumour, "stomach": stomach}


def _tumour_centre(
    case: Case, rng: np.random.Generator, line: Points, radii: NDArray[np.float64], *, scale: float, depth_scale: float
) -> Points:
    """Point of the outer wall, on the lesser curvature more often than elsewhere."""
    low, high = _THIRD[case.third]
    for _ in range(40):
        i = int(np.clip(rng.uniform(low, high) * len(line), 2, len(line) - 4))
        tangent = line[i + 2] - line[i - 2]
        tangent /= np.linalg.norm(tangent)
        # The lesser curvature looks to the patient's right and back.
        lesser = np.array([-0.8, 0.5, 0.3]) if rng.random() < 0.55 else rng.normal(size=3)
        lesser = lesser + rng.normal(0, 0.35, 3)
        # An axial slice cuts roof and floor tangentially, where depth cannot be seen; fewer tumours sit there.
        lesser[2] *= 0.6
        across = lesser - (lesser @ tangent) * tangent
        across /= np.linalg.norm(across)
        centre = on_surface(line, radii, i, across)
        # The abdominal wall flattens a stomach that touches it; a tumour there would be cut off.
        if (centre[0] / (135 * scale)) ** 2 + (centre[1] / (80 * depth_scale)) ** 2 < 1:
            break
    return centre


def on_surface(line: Points, radii: NDArray[np.float64], i: int, across: Points) -> Points:
    """Point of the outer wall in direction ``across`` (a unit vector) of point ``i`` of the centre line."""
    # Where the tube bends, the end of its own radius may lie inside a neighbouring part: walk to the surface.
    steps = np.arange(0.0, float((np.linalg.norm(line - line[i], axis=1) + radii).max()) + 1, 0.5)
    path = line[i] + steps[:, None] * across
    inside = (np.linalg.norm(path[:, None] - line[None], axis=2) - radii[None]).min(axis=1) <= 0
    last = int(np.flatnonzero(inside & (steps < 3 * radii[i]))[-1])
    # From a narrow part into a wide one that is not far enough: on to where the walk leaves the stomach.
    last += int(np.argmin(inside[last:])) - 1
    surface: Points = path[last]
    return surface


def _nodes(case: Case, rng: np.random.Generator, line: Points, radii: NDArray[np.float64], tumour: Points) -> Points:
    """Perigastric nodes along the curvatures: positive ones larger, rounder, brighter, with overlap."""
    normal = rng.integers(2, 7)
    positive = min(case.positive_nodes, DRAWN_NODES) if case.node_positive else 0
    rows = []
    for k in range(int(normal) + positive):
        bad = k >= normal
        anchor = tumour if bad and rng.random() < 0.7 else line[rng.integers(20, len(line) - 10)]
        i = int(np.argmin(np.linalg.norm(line - anchor, axis=1)))
        direction = rng.normal(size=3) + np.array([-0.6, 0.5, 0.0])
        direction /= np.linalg.norm(direction)
        radius = float(np.clip(rng.normal(4.9, 1.5) if bad else rng.normal(2.9, 0.9), 1.5, 11))
        centre = line[i] + direction * (radii[i] + radius + rng.uniform(3, 14)) + rng.normal(0, 6, 3)
        rows.append((*centre, radius, rng.normal(98, 9) if bad else rng.normal(82, 9)))
    return np.asarray(rows, float).reshape(-1, 5)
