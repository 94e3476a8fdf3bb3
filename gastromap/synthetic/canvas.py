"""Drawing implicit shapes into one axial image: signed distances in mm, soft edges one pixel wide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gastromap.synthetic.types import PixelGrid

__all__ = ["Box", "Canvas", "SmoothField", "smooth_min", "sweep"]

Box = tuple[slice, slice]
Array = NDArray[np.float32]


@dataclass(frozen=True)
class SmoothField:
    """Sum of plane waves: a smooth random scalar field in space, cheap on a grid.

    Each wave sin(kx x + ky y + kz z + p) is split by the angle-addition theorem into outer products of a row
    and a column vector, so that a 512 x 512 plane costs two multiplications a pixel and wave.
    """

    k: NDArray[np.float64]  #: (waves, 3), rad/mm
    phase: NDArray[np.float64]  #: (waves,)
    amplitude: NDArray[np.float64]  #: (waves,)

    @classmethod
    def draw(
        cls, rng: np.random.Generator, *, waves: int, wavelength_mm: tuple[float, float], amplitude: float
    ) -> SmoothField:
        """Draw random directions, phases and wavelengths; the field's standard deviation is ``amplitude``."""
        direction = rng.normal(size=(waves, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length = rng.uniform(*wavelength_mm, size=waves)
        return cls(
            k=direction * (2 * np.pi / length)[:, None],
            phase=rng.uniform(0, 2 * np.pi, waves),
            amplitude=np.full(waves, amplitude * np.sqrt(2 / waves)),
        )

    def on(self, x: Array, y: Array, z: float) -> Array:
        """Value at every crossing of the vectors ``y`` (rows) and ``x`` (columns) on the plane ``z``."""
        a = self.k[:, 1:2] * y[None, :] + (self.k[:, 2] * z + self.phase)[:, None]
        b = self.k[:, :1] * x[None, :]
        rows_sin = (np.sin(a) * self.amplitude[:, None]).astype(np.float32)
        rows_cos = (np.cos(a) * self.amplitude[:, None]).astype(np.float32)
        out: Array = rows_sin.T @ np.cos(b).astype(np.float32) + rows_cos.T @ np.sin(b).astype(np.float32)
        return out


class Canvas:
    """One axial image under construction.

    Parameters
    ----------
    grid : PixelGrid
    z_mm : float
        Level of the image.
    warp, ripple : pair of SmoothField
        Displacement in mm along x and y that turns ellipses into organs. The slow ``warp`` bends the trunk
        (``tx``, ``ty``) and the organs; the finer ``ripple`` bends the organs (``px``, ``py``) only.
    """

    def __init__(
        self,
        grid: PixelGrid,
        z_mm: float,
        warp: tuple[SmoothField, SmoothField],
        ripple: tuple[SmoothField, SmoothField],
    ) -> None:
        self.grid = grid
        self.z = z_mm
        self.x, self.y = grid.x_mm, grid.y_mm
        self.tx = self.x[None, :] + warp[0].on(self.x, self.y, z_mm)
        self.ty = self.y[:, None] + warp[1].on(self.x, self.y, z_mm)
        self.px = self.tx + ripple[0].on(self.x, self.y, z_mm)
        self.py = self.ty + ripple[1].on(self.x, self.y, z_mm)
        self.hu: Array = np.full((grid.rows, grid.columns), -1000, np.float32)

    def box(self, x: float, y: float, rx: float, ry: float, *, margin: float = 14.0) -> Box:
        """Pixels within the half-widths around (x, y), the margin leaving room for the warp."""
        step = self.grid.spacing_mm
        c0 = int(np.clip((x - rx - margin - self.x[0]) / step, 0, self.grid.columns))
        c1 = int(np.clip((x + rx + margin - self.x[0]) / step + 1, 0, self.grid.columns))
        r0 = int(np.clip((y - ry - margin - self.y[0]) / step, 0, self.grid.rows))
        r1 = int(np.clip((y + ry + margin - self.y[0]) / step + 1, 0, self.grid.rows))
        return slice(r0, r1), slice(c0, c1)

    def paint(self, box: Box, distance: Array, value: float | Array) -> None:
        """Blend ``value`` where ``distance`` is negative, over an edge of one pixel."""
        alpha = np.clip(0.5 - distance / self.grid.spacing_mm, 0, 1)
        view = self.hu[box]
        view += alpha * (value - view)

    def ellipsoid(
        self, centre: tuple[float, float, float], radii: tuple[float, float, float], *, angle: float = 0.0
    ) -> tuple[Box, Array] | None:
        """Signed distance to an ellipsoid turned by ``angle`` (rad) about z; ``None`` if the plane misses it.

        First-order distance k0 (k0 - 1) / k1 with k0 = |p / r| and k1 = |p / r^2|: exact on the surface.
        """
        w = (self.z - centre[2]) / radii[2]
        if abs(w) >= 1.15:
            return None
        reach = max(radii[0], radii[1]) if angle else 0.0
        box = self.box(centre[0], centre[1], reach or radii[0], reach or radii[1])
        dx, dy = self.px[box] - centre[0], self.py[box] - centre[1]
        if angle:
            cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
            dx, dy = cos * dx + sin * dy, cos * dy - sin * dx
        u, v = dx / radii[0], dy / radii[1]
        k0 = np.sqrt(u * u + v * v + w * w)
        k1 = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2 + (w / radii[2]) ** 2)
        return box, k0 * (k0 - 1) / np.maximum(k1, 1e-6)

    def capsule(self, start: NDArray[np.float64], end: NDArray[np.float64], radius: float) -> tuple[Box, Array] | None:
        """Signed distance to a thick line segment; ``None`` if the plane misses it."""
        if not min(start[2], end[2]) - radius < self.z < max(start[2], end[2]) + radius:
            return None
        lo, hi = np.minimum(start, end), np.maximum(start, end)
        centre, half = (lo + hi) / 2, (hi - lo) / 2 + radius
        box = self.box(centre[0], centre[1], half[0], half[1])
        d = (end - start).astype(np.float32)
        px, py, pz = self.px[box] - start[0], self.py[box] - start[1], np.float32(self.z - start[2])
        t = np.clip((px * d[0] + py * d[1] + pz * d[2]) / max(float(d @ d), 1e-6), 0, 1)
        return box, np.sqrt((px - t * d[0]) ** 2 + (py - t * d[1]) ** 2 + (pz - t * d[2]) ** 2) - np.float32(radius)


def smooth_min(a: Array, b: Array, width: float) -> Array:
    """Minimum with a rounded crease of ``width`` mm: joins two distances as tissue does."""
    h = np.clip(0.5 + 0.5 * (b - a) / width, 0, 1)
    out: Array = b + (a - b) * h - width * h * (1 - h)
    return out


def sweep(
    points: NDArray[np.float64], radii: NDArray[np.float64], px: Array, py: Array, z: float, *, coarse: int
) -> Array:
    """Signed distance to balls swept along a centre line, shape of ``px``.

    The distance is smooth, so it is computed on every ``coarse``-th pixel and interpolated linearly.
    """
    rows, columns = px.shape
    ri, ci = _knots(rows, coarse), _knots(columns, coarse)
    qx, qy = px[np.ix_(ri, ci)], py[np.ix_(ri, ci)]
    best = np.full(qx.shape, 1e3, np.float32)
    for (cx, cy, cz), radius in zip(points, radii, strict=True):
        if abs(z - cz) < radius + 60:
            distance = np.sqrt((qx - cx) ** 2 + (qy - cy) ** 2 + (z - cz) ** 2) - radius
            best = np.minimum(best, distance, dtype=np.float32, casting="same_kind")
    return np.asarray(_upsample(rows, ri) @ best @ _upsample(columns, ci).T, np.float32)


def _knots(n: int, step: int) -> NDArray[np.intp]:
    return np.unique(np.append(np.arange(0, n, step), n - 1))


def _upsample(n: int, knots: NDArray[np.intp]) -> Array:
    """Matrix of linear interpolation from the knots to 0 … n-1."""
    matrix = np.zeros((n, len(knots)), np.float32)
    position = np.interp(np.arange(n), knots, np.arange(len(knots)))
    low = np.minimum(position.astype(int), max(len(knots) - 2, 0))
    frac = position - low
    matrix[np.arange(n), low] = 1 - frac
    if len(knots) > 1:
        matrix[np.arange(n), low + 1] = frac
    return matrix
