"""Body wall, bones, lung bases and table: what surrounds the abdominal organs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gastromap.synthetic.canvas import Canvas, SmoothField

__all__ = ["Trunk"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Trunk:
    """Shape of one patient's trunk, in mm."""

    half_width: float
    half_depth: float
    fat: float  #: subcutaneous fat at the flank
    muscle: float
    spine_y: float
    spine_phase: float
    rib_phase: float
    dome_top: float  #: z of the right dome of the diaphragm
    lung_dip: float  #: how far the recess reaches down behind
    table_gap: float
    texture: SmoothField
    fine: SmoothField

    @classmethod
    def draw(cls, rng: np.random.Generator, *, male: bool) -> Trunk:
        """Draw the habitus of a patient."""
        fatness = rng.beta(2, 3)
        half_width = rng.normal(158 if male else 150, 8) + 26 * fatness
        half_depth = 0.64 * half_width + rng.normal(4, 5) + 12 * fatness
        fat = 6 + (22 if male else 28) * fatness
        return cls(
            half_width=half_width,
            half_depth=half_depth,
            fat=fat,
            muscle=rng.uniform(8, 12),
            spine_y=half_depth - fat * 0.8 - rng.uniform(50, 56),
            spine_phase=rng.uniform(0, 36),
            rib_phase=rng.uniform(0, 28),
            dome_top=rng.uniform(92, 125),
            lung_dip=rng.uniform(20, 45),
            table_gap=rng.uniform(1, 3),
            texture=SmoothField.draw(rng, waves=10, wavelength_mm=(18, 60), amplitude=7),
            fine=SmoothField.draw(rng, waves=14, wavelength_mm=(5, 14), amplitude=5),
        )

    def depth(self, c: Canvas) -> Array:
        """Radial distance to the skin, negative inside, shape (rows, columns)."""
        a = self.half_width * (1 - 0.0006 * max(c.z, 0) - 0.0003 * abs(min(c.z, 0)))
        # The back is flatter than the belly, with a groove over the spine.
        groove = 1 - 0.045 * np.exp(-((c.tx / 22) ** 2)) * (c.ty > 0)
        b = np.where(c.ty > 0, self.half_depth * 0.93 * groove, self.half_depth)
        power = np.float32(2.45)
        k = ((np.abs(c.tx) / a) ** power + (np.abs(c.ty) / b) ** power) ** (1 / power)
        radius = np.sqrt(c.tx**2 + c.ty**2)
        out: Array = (radius * (1 - 1 / np.maximum(k, 1e-3))).astype(np.float32)
        return out

    def draw_wall(self, c: Canvas, depth: Array) -> tuple[Array, Array]:
        """Paint skin, fat, muscle, peritoneal fat and lungs.

        Returns
        -------
        cavity, dome : array
            Signed distances to the inside of the abdominal wall and to the diaphragm, in mm.
        """
        full = (slice(None), slice(None))
        side = np.abs(c.tx) / self.half_width
        front = np.clip(-c.ty / self.half_depth, 0, 1)
        fat = self.fat * (0.75 + 0.35 * side - 0.25 * front * side)
        muscle = self.muscle * (1 + 0.35 * np.exp(-(((np.abs(c.tx) - 38) / 26) ** 2)) * (c.ty < 0) - 0.2 * front)
        grain = self.texture.on(c.x, c.y, c.z) + self.fine.on(c.x, c.y, c.z)
        c.paint(full, depth, 15.0)
        c.paint(full, depth + 2.2, -104 + 0.5 * grain)
        c.paint(full, depth + fat, 58 + 0.6 * grain)
        # Fat planes between the muscle sheets, and the linea alba.
        sheet = np.abs(depth + fat + 0.5 * muscle) - 0.5
        flank = (side > 0.55) & (c.z < 40)
        c.paint(full, np.where(flank, sheet, 9).astype(np.float32), -20.0)
        cavity = (depth + fat + muscle).astype(np.float32)
        c.paint(full, cavity, -102 + 0.8 * grain)
        dome = self._dome(c)
        lung = np.maximum(cavity + 2, -dome)
        if float(lung.min()) < 0:
            vessels = self.fine.on(c.x, c.y, 3 * c.z) > 9.5
            c.paint(full, lung, np.where(vessels, -350.0, -860.0).astype(np.float32) + grain)
            c.paint(full, np.maximum(np.abs(dome) - 1.3, cavity), 55.0)
        return cavity, dome

    def _dome(self, c: Canvas) -> Array:
        """Distance to the diaphragm: the dome shrinks towards the head and leans forwards."""
        low = -self.lung_dip
        if c.z <= low - 5:
            return np.full(c.hu.shape, -50, np.float32)
        w = np.clip((c.z - low) / (self.dome_top - low), 0, 1.05)
        shrink = np.sqrt(max(1 - w**2.2, 0.0))
        inner_x = self.half_width - self.fat - self.muscle + 12
        inner_y = self.half_depth - self.fat - self.muscle + 14
        centre_y = -30 * w
        k = np.sqrt(
            (c.tx / max(inner_x * (0.25 + 0.75 * shrink), 1)) ** 2
            + ((c.ty - centre_y) / max(inner_y * (0.3 + 0.7 * shrink), 1)) ** 2
        )
        radius = np.sqrt(c.tx**2 + (c.ty - centre_y) ** 2)
        return (radius * (1 - 1 / np.maximum(k, 1e-3))).astype(np.float32)

    def draw_bones(self, c: Canvas, cavity: Array) -> None:
        """Paint paraspinal muscles, vertebra and ribs."""
        y = self.spine_y
        muscle = 60 + 0.7 * self.fine.on(c.x, c.y, c.z)
        for side in (-1, 1):
            for centre, radii in (
                ((side * 34.0, y + 30.0, c.z), (31.0, 19.0, 50.0)),
                ((side * 33.0, y + 4.0, -70.0), (17.0, 18.0, 95.0)),  # psoas, thinning upwards
                ((side * 13.0, y - 21.0, c.z), (9.0, 7.0, 50.0)),  # crura
            ):
                shape = c.ellipsoid(centre, radii)
                if shape is not None:
                    c.paint(shape[0], shape[1], muscle[shape[0]])
        self._draw_ribs(c, cavity)
        self._draw_vertebra(c)

    def _draw_ribs(self, c: Canvas, cavity: Array) -> None:
        # Ribs run down and forwards, so a slice cuts several of them, each as a slanted oval in the wall.
        angle = np.arctan2(np.abs(c.tx), c.ty - 0.25 * self.half_depth)
        level = (c.z + 46 * angle + self.rib_phase) % 29.0 - 14.5
        margin = 2.35 + 0.010 * c.z
        across = cavity - 3.5
        shape = np.sqrt((level / 6.2) ** 2 + (across / 3.8) ** 2)
        distance = ((shape - 1) * 3.8).astype(np.float32)
        distance = np.where((angle < margin) & (angle > 0.35) & (c.z > -75), distance, 9).astype(np.float32)
        full = (slice(None), slice(None))
        c.paint(full, distance, 480.0)
        c.paint(full, np.asarray(distance + 2.0, np.float32), 210.0)

    def _draw_vertebra(self, c: Canvas) -> None:
        y = self.spine_y
        z = (c.z + self.spine_phase) % 36.0
        disc = z < 7
        box = c.box(0, y + 14, 50, 62)
        px, py = c.tx[box], c.ty[box]
        body = np.sqrt((px / 23) ** 2 + ((py - y) / 18) ** 2)
        body_d = ((body - 1) * 19).astype(np.float32)
        body_d = np.maximum(body_d, (py - (y + 15)).astype(np.float32))
        marrow = 190 + 4.0 * self.fine.on(c.x, c.y, c.z)[box] + 2.0 * self.texture.on(c.x, c.y, c.z)[box]
        ring = np.sqrt((px / 17) ** 2 + ((py - y - 22) / 13.5) ** 2)
        ring_d = ((ring - 1) * 14).astype(np.float32)
        if not disc:
            c.paint(box, ring_d, 520.0)
            c.paint(box, ring_d + 2.5, 260.0)
        spinous = np.maximum(np.abs(px) - 4.0 + 0.03 * (py - y), np.abs(py - (y + 43)) - 12).astype(np.float32)
        c.paint(box, spinous, 430.0 if 10 < z < 27 else 55.0)
        if 12 < z < 24:
            slant = np.maximum(np.abs(py - (y + 19 + 0.1 * np.abs(px))) - 4.2, np.abs(np.abs(px) - 26) - 13)
            c.paint(box, slant.astype(np.float32), 420.0)
        c.paint(box, body_d, 95.0 if disc else 470.0)
        if not disc:
            c.paint(box, body_d + 2.2, marrow)
        canal = np.sqrt((px / 11.5) ** 2 + ((py - y - 23) / 9.0) ** 2)
        c.paint(box, ((canal - 1) * 9).astype(np.float32), 25.0)
        c.paint(box, ((canal - 0.6) * 9).astype(np.float32), 42.0)

    def draw_table(self, c: Canvas, top_mm: float) -> None:
        """Paint the couch under the patient: a thin shell, unwarped."""
        full = (slice(None), slice(None))
        x, y = c.x[None, :], c.y[:, None]
        curve = (x / 235.0) ** 2
        back = self.half_depth * 0.93 + top_mm + self.table_gap
        upper = y - (back + 4 - 46 * curve)
        lower = y - np.minimum(back + 62 - 8 * curve, back + 150 - 0.62 * np.abs(x))
        inside = np.abs(x) - 228
        core = np.maximum(np.maximum(-upper, lower), inside)
        c.paint(full, core.astype(np.float32), -960.0)
        c.paint(full, np.maximum(np.abs(upper) - 1.3, inside).astype(np.float32), 160.0)
        c.paint(full, np.maximum(np.abs(lower) - 0.9, inside).astype(np.float32), 150.0)
        pads = np.sqrt((np.abs(x) - 226) ** 2 + (y - (back - 38)) ** 2) - 4.5
        c.paint(full, pads.astype(np.float32), 180.0)
