"""The abdominal organs around the stomach, with their contrast enhancement by phase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gastromap.synthetic.canvas import Canvas, SmoothField, smooth_min, sweep
from gastromap.synthetic.types import Phase

__all__ = ["ENHANCEMENT", "Organs", "draw_bowel", "spline"]

Array = NDArray[np.float32]
Points = NDArray[np.float64]

#: HU by tissue in the arterial, portal-venous and delayed phase.
ENHANCEMENT: dict[str, tuple[float, float, float]] = {
    "liver": (68, 110, 95),
    "liver_vein": (80, 160, 115),
    "spleen": (130, 120, 100),
    "kidney_cortex": (185, 178, 150),
    "kidney_medulla": (85, 158, 150),
    "aorta": (310, 150, 115),
    "cava": (75, 140, 115),
    "portal": (110, 165, 118),
    "pancreas": (112, 100, 82),
    "gut_wall": (75, 85, 78),
    "mesenteric": (170, 145, 110),
}
_PHASES: tuple[Phase, ...] = ("arterial", "portal", "delayed")


def spline(knots: Points, count: int) -> Points:
    """Catmull-Rom curve through the knots, shape (count, columns of ``knots``)."""
    padded = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    t = np.linspace(0, len(knots) - 1 - 1e-9, count)
    i = t.astype(int)
    u = (t - i)[:, None]
    p0, p1, p2, p3 = padded[i], padded[i + 1], padded[i + 2], padded[i + 3]
    out: Points = 0.5 * (
        2 * p1 + (p2 - p0) * u + (2 * p0 - 5 * p1 + 4 * p2 - p3) * u**2 + (3 * p1 - p0 - 3 * p2 + p3) * u**3
    )
    return out


def draw_bowel(rng: np.random.Generator, scale: float, depth_scale: float) -> Points:
    """Loops of small bowel, (34, 5): x, y, z, radius, HU of the content."""
    return np.column_stack(
        [
            rng.uniform(-70, 85, 34) * scale,
            rng.uniform(-78, 18, 34) * depth_scale,
            rng.uniform(-115, -38, 34),
            rng.uniform(9, 15, 34),
            rng.choice([15, 28, 45, 20], 34),
        ]
    )


@dataclass(frozen=True)
class _Tube:
    points: Points
    radii: NDArray[np.float64]

    def box_of(self, c: Canvas) -> tuple[slice, slice] | None:
        near = np.abs(self.points[:, 2] - c.z) < self.radii + 4
        if not near.any():
            return None
        p, r = self.points[near], self.radii[near].max()
        lo, hi = p[:, :2].min(0), p[:, :2].max(0)
        centre, half = (lo + hi) / 2, (hi - lo) / 2 + r
        return c.box(centre[0], centre[1], half[0], half[1])

    def distance(self, c: Canvas, *, coarse: int = 3) -> tuple[tuple[slice, slice], Array] | None:
        box = self.box_of(c)
        if box is None or c.hu[box].size == 0:
            return None
        return box, sweep(self.points, self.radii, c.px[box], c.py[box], c.z, coarse=coarse)


@dataclass(frozen=True)
class Organs:
    """Position and shape of one patient's organs."""

    scale: float  #: lateral scale of the habitus
    shift: Points  #: (8, 3) individual displacement of the organs, mm
    spine_y: float
    tubes: dict[str, _Tube]
    liver_vessels: tuple[tuple[Points, Points, float], ...]
    bowel: Points  #: (n, 5) x, y, z, radius, HU of the content
    twigs: Points  #: (n, 7) mesenteric vessel segments and radius
    lobulation: SmoothField
    grain: SmoothField

    @classmethod
    def draw(cls, rng: np.random.Generator, *, half_width: float, half_depth: float, spine_y: float) -> Organs:
        """Draw the organs into a trunk of the given half-widths."""
        s = half_width / 165.0
        d = half_depth / 112.0

        def tube(knots: list[tuple[float, ...]], count: int, jitter: float) -> _Tube:
            k = np.asarray(knots, float)
            k[:, :3] += rng.normal(0, jitter, (len(k), 3))
            k[:, 0] *= s
            k[:, 1] *= d
            curve = spline(k, count)
            return _Tube(curve[:, :3], np.maximum(curve[:, 3], 1.0))

        tubes = {
            "pancreas": tube(
                [(-32, 0, -28, 13), (-18, -10, -14, 11), (12, -16, 0, 9), (45, -6, 12, 10), (82, 18, 24, 9)], 60, 4
            ),
            "splenic_vein": tube([(-4, -4, -4, 4.5), (30, 2, 6, 4), (62, 16, 16, 3.8), (92, 26, 26, 3.2)], 40, 3),
            "portal": tube([(-4, -4, -6, 6.5), (-22, -10, 10, 7), (-48, -8, 28, 6.5), (-66, -2, 36, 5)], 30, 2),
            "duodenum": tube(
                [(-40, -36, -14, 12), (-55, -10, -22, 12), (-54, 2, -50, 11), (-40, 4, -72, 11), (-5, 2, -78, 10)],
                60,
                4,
            ),
            "transverse_colon": tube(
                [(-98, -18, -46, 21), (-70, -58, -58, 20), (-10, -76, -68, 17), (50, -72, -56, 18), (98, -30, -4, 19)],
                80,
                7,
            ),
            "descending_colon": tube(
                [(102, -26, 0, 17), (116, 8, -24, 14), (118, 18, -60, 12), (116, 18, -99, 12)], 50, 4
            ),
            "ascending_colon": tube([(-100, -14, -46, 21), (-106, 0, -75, 21), (-104, 2, -110, 22)], 40, 4),
        }
        vessels = []
        hilum = np.array([-62.0 * s, -4 * d, 34])
        for _ in range(16):
            end = np.array([-95 * s, 5 * d, 35]) + rng.normal(0, 1, 3) * np.array([32, 38, 34])
            middle = (hilum + end) / 2 + rng.normal(0, 8, 3)
            vessels += [(hilum, middle, rng.uniform(2.6, 4.0)), (middle, end, rng.uniform(1.6, 2.6))]
        cava = np.array([-28 * s, spine_y - 34, 82])
        for _ in range(5):
            end = np.array([-80 * s, -5 * d, 45]) + rng.normal(0, 1, 3) * np.array([38, 42, 26])
            vessels.append((cava, end, rng.uniform(2.2, 3.6)))
        bowel = draw_bowel(rng, s, d)
        n = 190
        start = np.column_stack([rng.uniform(-80, 100, n) * s, rng.uniform(-80, 25, n) * d, rng.uniform(-110, 70, n)])
        twigs = np.column_stack([start, start + rng.normal(0, 17, (n, 3)), rng.uniform(0.7, 2.1, n)])
        return cls(
            scale=s,
            shift=rng.normal(0, 1, (8, 3)) * np.array([5.0, 5.0, 7.0]),
            spine_y=spine_y,
            tubes=tubes,
            liver_vessels=tuple(vessels),
            bowel=bowel,
            twigs=twigs,
            lobulation=SmoothField.draw(rng, waves=8, wavelength_mm=(14, 30), amplitude=1.6),
            grain=SmoothField.draw(rng, waves=12, wavelength_mm=(6, 22), amplitude=2.5),
        )

    def paint(self, c: Canvas, cavity: Array, dome: Array, phase: Phase) -> None:
        """Paint everything but the stomach."""
        p = _PHASES.index(phase)
        hu = {tissue: values[p] for tissue, values in ENHANCEMENT.items()}
        inside = np.maximum(cavity + 1.0, dome + 1.5)
        grain = self.grain.on(c.x, c.y, c.z)
        lobulation = self.lobulation.on(c.x, c.y, c.z)
        self._twigs(c, inside, hu["mesenteric"])
        self._bowel(c, inside, hu["gut_wall"], lobulation)
        self._great_vessels(c, hu)
        for name, value in (("pancreas", hu["pancreas"]), ("splenic_vein", hu["portal"]), ("portal", hu["portal"])):
            shape = self.tubes[name].distance(c)
            if shape is not None:
                rough = 1.3 * lobulation[shape[0]] if name == "pancreas" else 0.0
                c.paint(shape[0], shape[1] + rough, value + 2.2 * grain[shape[0]])
        self._spleen(c, inside, hu["spleen"] + grain)
        self._liver(c, inside, hu, grain)
        self._kidneys(c, inside, hu)
        self._colon(c, inside, hu["gut_wall"], lobulation)

    def _twigs(self, c: Canvas, inside: Array, value: float) -> None:
        for row in self.twigs:
            shape = c.capsule(row[:3], row[3:6], row[6])
            if shape is not None:
                c.paint(shape[0], np.maximum(shape[1], inside[shape[0]] + 4), value)

    def _bowel(self, c: Canvas, inside: Array, wall: float, rough: Array) -> None:
        for x, y, z, radius, content in self.bowel:
            shape = c.ellipsoid((x, y, z), (radius * 1.25, radius, radius * 1.1), angle=float(x))
            if shape is not None:
                box, d = shape
                d = np.maximum(d + 0.8 * rough[box], inside[box] + 3)
                c.paint(box, d, wall)
                c.paint(box, d + 2.6, content)
        shape = self.tubes["duodenum"].distance(c)
        if shape is not None:
            c.paint(shape[0], shape[1], wall + 5)
            c.paint(shape[0], shape[1] + 3.0 + 0.8 * rough[shape[0]], 22.0)

    def _kidneys(self, c: Canvas, inside: Array, hu: dict[str, float]) -> None:
        for side, row in ((-1, 0), (1, 1)):
            dx, dy, dz = self.shift[row]
            x, y, z = side * 63 * self.scale + dx, self.spine_y - 4 + dy, -40 + (0 if side < 0 else 12) + dz
            shape = c.ellipsoid((x, y, z), (27, 31, 54), angle=side * 0.6)
            if shape is None:
                continue
            box, d = shape
            d = np.maximum(d, inside[box] + 2)
            # A rim of perirenal fat parts the kidney from the liver and the spleen.
            c.paint(box, np.maximum(d - 3.5, inside[box] + 1), -100.0)
            c.paint(box, d, hu["kidney_cortex"])
            pyramids = d + 7 + 2.5 * np.sin(np.arctan2(c.py[box] - y, c.px[box] - x) * 7)
            c.paint(box, pyramids, hu["kidney_medulla"])
            sinus = c.ellipsoid((x - side * 13, y - 6, z), (12, 11, 27), angle=side * 0.6)
            if sinus is not None:
                c.paint(sinus[0], sinus[1], -75.0)
                pelvis = c.ellipsoid((x - side * 14, y - 7, z), (5, 4, 16))
                if pelvis is not None:
                    c.paint(pelvis[0], pelvis[1], hu["cava"])

    def _great_vessels(self, c: Canvas, hu: dict[str, float]) -> None:
        y = self.spine_y
        for centre, radius, value in (
            ((10.0, y - 29.0), 10.5, hu["aorta"]),
            ((-24.0, y - 27.0), 11.0, hu["cava"]),
        ):
            shape = c.ellipsoid((*centre, c.z), (radius * (1.15 if value == hu["cava"] else 1), radius, 40))
            if shape is not None:
                c.paint(shape[0], shape[1], value)
        sma = c.capsule(np.array([8.0, y - 38, 2]), np.array([2.0, y - 60, -95]), 3.6)
        smv = c.capsule(np.array([-6.0, y - 52, -8]), np.array([-12.0, y - 64, -95]), 5.2)
        coeliac = c.capsule(np.array([9.0, y - 38, 12]), np.array([4.0, y - 58, 18]), 3.4)
        for shape, value in ((sma, hu["aorta"]), (coeliac, hu["aorta"]), (smv, hu["portal"])):
            if shape is not None:
                c.paint(shape[0], shape[1], value)

    def _spleen(self, c: Canvas, inside: Array, value: Array) -> None:
        dx, dy, dz = self.shift[2]
        x, y = 112 * self.scale + dx, 30 + dy
        shape = c.ellipsoid((x, y, 32 + dz), (30, 56, 56), angle=-0.15)
        if shape is None:
            return
        box, d = shape
        hollow = np.sqrt((c.px[box] - (x - 52)) ** 2 + (c.py[box] - (y - 4)) ** 2) - 45
        c.paint(box, np.maximum(np.maximum(d, -hollow), inside[box]).astype(np.float32), value[box])

    def _liver(self, c: Canvas, inside: Array, hu: dict[str, float], grain: Array) -> None:
        dx, dy, dz = self.shift[3]
        right = c.ellipsoid((-96 * self.scale + dx, 4 + dy, 22 + dz), (66, 92, 100))
        left = c.ellipsoid((-28 * self.scale + dx, -52 + dy, 44 + dz), (66, 34, 48), angle=0.15)
        if right is None and left is None:
            return
        full = (slice(None), slice(None))
        d = np.full(c.hu.shape, 50, np.float32)
        if right is not None:
            d[right[0]] = right[1]
        if left is not None:
            d[left[0]] = smooth_min(d[left[0]], left[1], 14.0)
        # Fissure of the round ligament and the hilum, both filled with fat.
        fissure = np.sqrt((c.px + 42 * self.scale) ** 2 + (0.35 * (c.py + 46)) ** 2) - 4
        hilum = np.sqrt((c.px + 40 * self.scale) ** 2 + (1.6 * (c.py - 2)) ** 2 + (0.8 * (c.z - 26)) ** 2) - 17
        d = np.maximum(np.maximum(d, -hilum), inside).astype(np.float32)
        if c.z < 55:
            d = np.maximum(d, -fissure).astype(np.float32)
        c.paint(full, d, hu["liver"] + 1.6 * grain)
        for start, end, radius in self.liver_vessels:
            shape = c.capsule(start, end, radius)
            if shape is not None:
                c.paint(shape[0], np.maximum(shape[1], d[shape[0]] + 3), hu["liver_vein"])
        gx, gy, gz = self.shift[4]
        bladder = c.ellipsoid((-62 * self.scale + gx, -44 + gy, -16 + gz), (15, 20, 30), angle=0.4)
        if bladder is not None:
            c.paint(bladder[0], bladder[1], 60.0)
            c.paint(bladder[0], bladder[1] + 1.5, 9.0)
        portal = self.tubes["portal"].distance(c)
        if portal is not None:
            c.paint(portal[0], portal[1], hu["portal"])

    def _colon(self, c: Canvas, inside: Array, wall: float, rough: Array) -> None:
        full = self.grain.on(c.x, c.y, 2.5 * c.z)
        for name in ("transverse_colon", "descending_colon", "ascending_colon"):
            shape = self.tubes[name].distance(c)
            if shape is None:
                continue
            box, d = shape
            d = np.maximum(d + 2.6 * rough[box], inside[box] + 2)
            c.paint(box, d, wall - 20)
            stool = np.where(full[box] > 2.2, -550.0, np.where(full[box] < -3.5, -120.0, 28.0) + 5 * full[box])
            gas = c.py[box] < np.median(c.py[box]) - 3
            c.paint(box, d + 2.2, np.where(gas & (name == "transverse_colon"), -980, stool).astype(np.float32))
