"""The series of a synthetic study: which there are, when they were acquired, and their pixels.

Only the portal-venous series is made at full quality. Arterial and delayed series share its table positions at about
5 mm and, like the thin lung-kernel series, are rendered on half the matrix: they are there to be told apart from
the portal one, not to be read by a model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gastromap.synthetic.dicom_habits import habits_of
from gastromap.synthetic.dicom_headers import Study
from gastromap.synthetic.export_scan import Scan
from gastromap.synthetic.types import Phase, Scanner, rng_for

__all__ = ["AxialSeries", "axial_series", "coronal_images", "dose_page", "localizer_image", "render_axial"]

_THICK_MM: Final = 5.0  #: of the arterial and delayed series
_LUNG_RANGE_MM: Final = 36.0  #: the lung bases, at the upper end of the scan
_CORONAL_STEP_MM: Final = 5.0
_PHASE_ORDER: Final[tuple[Phase, ...]] = ("arterial", "portal", "delayed")
_DELAY_S: Final[dict[Phase, tuple[float, float]]] = {
    "arterial": (27.0, 34.0),
    "portal": (64.0, 74.0),
    "delayed": (172.0, 188.0),
}


@dataclass(frozen=True)
class AxialSeries:
    """One axial series: its key in the study, where its slices lie and how they were reconstructed."""

    key: str  #: ``arterial``, ``portal``, ``delayed`` or ``lung``
    phase: Phase
    acquisition: int
    acquired: datetime
    z_mm: tuple[float, ...]
    scanner: Scanner
    scan_index: tuple[int, ...] | None  #: indices into the main series where the images are the same

    @property
    def half_matrix(self) -> bool:
        """Whether the images are rendered on half the matrix and enlarged."""
        return self.key != "portal"


def axial_series(study: Study) -> tuple[AxialSeries, ...]:
    """Plan the axial series of a study in order of acquisition."""
    scan = study.scan
    rng = rng_for(scan.case.seed, scan.case.number, f"{scan.examination} delays")
    acquired = {p: study.bolus + timedelta(seconds=round(float(rng.uniform(*_DELAY_S[p])), 1)) for p in _PHASE_ORDER}
    every = max(1, round(_THICK_MM / scan.step_mm))
    thick = replace(
        scan.scanner,
        slice_thickness_mm=every * scan.step_mm,
        noise_hu=scan.scanner.noise_hu * every**-0.5,
    )
    series = []
    for number, phase in enumerate(_PHASE_ORDER, start=2):
        step = 1 if phase == "portal" else every
        index = tuple(range(0, len(scan.z_mm), step))
        series.append(
            AxialSeries(
                key=phase,
                phase=phase,
                acquisition=number,
                acquired=acquired[phase],
                z_mm=tuple(float(scan.z_mm[i]) for i in index),
                scanner=scan.scanner if phase == "portal" else thick,
                scan_index=index if phase == "portal" else None,
            )
        )
    return (*series, _lung_series(scan, acquired["portal"]))


def _lung_series(scan: Scan, acquired: datetime) -> AxialSeries:
    thickness = min(scan.step_mm, 1.5)
    # A lung kernel trades noise for sharpness: about three times the noise of the soft one at equal thickness.
    scanner = replace(
        scan.scanner,
        kernel=habits_of(scan.case.centre).lung_kernel,
        slice_thickness_mm=thickness,
        noise_hu=min(scan.scanner.noise_hu * 3.0 * (scan.step_mm / thickness) ** 0.5, 60.0),
        blur_mm=0.6,
    )
    top = float(scan.z_mm[-1])
    z = top - thickness * np.arange(int(_LUNG_RANGE_MM / thickness))[::-1]
    return AxialSeries(
        key="lung",
        phase="portal",
        acquisition=3,
        acquired=acquired,
        z_mm=tuple(float(v) for v in np.round(z, 2)),
        scanner=scanner,
        scan_index=None,
    )


def render_axial(scan: Scan, series: AxialSeries, index: int) -> NDArray[np.int16]:
    """Image of a series, shape (rows, columns), int16 HU."""
    if series.scan_index is not None:
        return scan.hu(series.scan_index[index], phase=series.phase)
    return scan.reconstruct(
        series.z_mm[index],
        series.scanner,
        phase=series.phase,
        label=f"{series.key} {index}",
        half_matrix=series.half_matrix,
    )


def localizer_image(scan: Scan, portal: NDArray[np.int16]) -> NDArray[np.int16]:
    """Frontal projection of the portal series.

    Parameters
    ----------
    scan : Scan
        Geometry.
    portal : array, shape (slices, rows, columns)
        From the feet upwards.

    Returns
    -------
    image : array, shape (rows, columns), int16
        Rows run to the feet, square pixels of the axial spacing. Values are water-equivalent, scaled into the
        range a scanner uses for its scout, not HU.
    """
    water_mm = (portal.astype(np.float32).clip(-1000, 2000) + 1000).sum(axis=1) / 1000 * scan.grid.spacing_mm
    frontal = _along_z(water_mm[::-1], scan)
    return np.clip(frontal * 4.0 - 1000.0, -1000, 3000).round().astype(np.int16)


def coronal_images(scan: Scan, portal: NDArray[np.int16]) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    """Reformat the portal series.

    Returns
    -------
    y_mm : array, shape (images,)
        Level of each image, front to back.
    images : array, shape (images, rows, columns), int16
        Rows run to the feet, square pixels of the axial spacing.
    """
    half_mm = (scan.grid.rows - 1) / 2 * scan.grid.spacing_mm
    y_mm = np.arange(-95.0, 95.1, _CORONAL_STEP_MM)
    rows = np.round((y_mm - scan.grid.centre_y_mm + half_mm) / scan.grid.spacing_mm).astype(int)
    rows = rows[(rows >= 0) & (rows < scan.grid.rows)]
    exact = scan.grid.centre_y_mm - half_mm + rows * scan.grid.spacing_mm
    images = [_along_z(portal[::-1, row].astype(np.float32), scan) for row in rows]
    return exact, np.clip(np.stack(images), -1024, 3071).round().astype(np.int16)


def _along_z(lines: NDArray[np.float32], scan: Scan) -> NDArray[np.float32]:
    """Interpolate (slices, columns), head first, to square pixels."""
    extent = (len(scan.z_mm) - 1) * scan.step_mm
    position = np.arange(int(extent / scan.grid.spacing_mm) + 1) * scan.grid.spacing_mm / scan.step_mm
    below = np.minimum(position.astype(int), len(lines) - 2)
    weight = (position - below).astype(np.float32)[:, np.newaxis]
    return np.asarray(lines[below] * (1 - weight) + lines[below + 1] * weight, dtype=np.float32)


def dose_page(lines: tuple[str, ...]) -> NDArray[np.uint8]:
    """White text on black, shape (512, 512, 3)."""
    from PIL import Image, ImageDraw

    page = Image.new("L", (256, 256))
    draw = ImageDraw.Draw(page)
    # Without anti-aliasing, as dose pages are; grey fringes would also depend on the font library more than edges do.
    draw.fontmode = "1"
    for row, text in enumerate(lines):
        draw.text((8, 8 + 14 * row), text, fill=255)
    large = ndimage.zoom(np.asarray(page), 2, order=0)
    return np.repeat(large[..., np.newaxis], 3, axis=2).astype(np.uint8)
