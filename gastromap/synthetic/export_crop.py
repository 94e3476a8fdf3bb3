"""Write one date of a synthetic patient as a cube round the tumour, ready for training, with its tumour mask.

The cube is reconstructed on a grid of its own, 1 x 1 x 2 mm: a tenth of the pixels of the full images, of the same
anatomy with the scanner's own sharpness, noise and slice thickness. It is not a cut-out of the DICOM images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gastromap.nifti import write_nifti
from gastromap.synthetic.export_scan import Scan
from gastromap.synthetic.types import PixelGrid, rng_for

__all__ = ["CUBE_MM", "OUTSIDE_HU", "Cube", "render_cube", "write_cube"]

CUBE_MM: Final = 144.0
#: Beyond the first and the last slice of the scan.
OUTSIDE_HU: Final = -1024
_PIXEL_MM: Final = 1.0
_STEP_MM: Final = 2.0
#: A crop is centred by eye or by a rough outline, not on the millimetre.
_OFF_CENTRE_MM: Final = 4.0


@dataclass(frozen=True)
class Cube:
    """Image and mask on one grid."""

    hu: NDArray[np.int16]  #: shape (slices, rows, columns)
    tumour: NDArray[np.uint8]  #: 1 tumour, 0 elsewhere; empty after a complete response
    affine_lps: NDArray[np.float64]  #: maps (column, row, slice, 1) to scanner coordinates in mm


def render_cube(scan: Scan, *, pixel_mm: float = _PIXEL_MM, step_mm: float = _STEP_MM) -> Cube:
    """Reconstruct the cube of 144 mm round the tumour, or round the place where it was.

    Parameters
    ----------
    scan : Scan
        The examination.
    pixel_mm, step_mm : float
        Spacing in plane and along the body.

    Returns
    -------
    cube : Cube
        Levels that the scan does not cover hold :data:`OUTSIDE_HU`.
    """
    pixels, slices = round(CUBE_MM / pixel_mm), round(CUBE_MM / step_mm)
    rng = rng_for(scan.case.seed, scan.case.number, f"{scan.examination} cube")
    x, y, z = np.round(scan.phantom.tumour_site_mm + rng.uniform(-_OFF_CENTRE_MM, _OFF_CENTRE_MM, 3), 1)
    grid = PixelGrid(pixels, pixels, pixel_mm, float(x), float(y))
    levels = z + (np.arange(slices) - (slices - 1) / 2) * step_mm
    covered = (levels >= scan.z_mm[0] - scan.step_mm / 2) & (levels <= scan.z_mm[-1] + scan.step_mm / 2)
    hu = np.full((slices, pixels, pixels), OUTSIDE_HU, np.int16)
    tumour = np.zeros(hu.shape, np.uint8)
    hu[covered] = _resliced(scan, grid, levels[covered], step_mm)
    for index in np.flatnonzero(covered):
        tumour[index] = scan.masks_at(float(levels[index]), grid)["tumour"]
    affine = np.diag([pixel_mm, pixel_mm, step_mm, 1.0])
    affine[:3, 3] = (x - (pixels - 1) / 2 * pixel_mm, y - (pixels - 1) / 2 * pixel_mm, levels[0])
    return Cube(hu, tumour, affine)


def _resliced(scan: Scan, grid: PixelGrid, levels: NDArray[np.float64], step_mm: float) -> NDArray[np.int16]:
    """Slices at the levels: made there from thin ones, interpolated between thick ones."""
    thickness = scan.step_mm
    if thickness <= step_mm:
        # Averaging thin slices loses noise with the square root of their number.
        scanner = replace(
            scan.scanner, slice_thickness_mm=step_mm, noise_hu=scan.scanner.noise_hu * (thickness / step_mm) ** 0.5
        )
        made = [scan.reconstruct(float(v), scanner, phase="portal", label=f"cube {v:.1f}", grid=grid) for v in levels]
        return np.stack(made)
    position = np.clip((levels - scan.z_mm[0]) / thickness, 0, len(scan.z_mm) - 1)
    low = np.minimum(position.astype(int), len(scan.z_mm) - 2)
    weight = (position - low)[:, np.newaxis, np.newaxis]
    first = int(low[0])
    thick = np.stack(
        [
            scan.reconstruct(float(scan.z_mm[i]), scan.scanner, phase="portal", label=f"cube {i}", grid=grid)
            for i in range(first, int(low[-1]) + 2)
        ]
    )
    between = thick[low - first] * (1 - weight) + thick[low - first + 1] * weight
    return np.rint(between).astype(np.int16)


def write_cube(cube: Cube, image: Path, mask: Path) -> None:
    """Write a cube.

    Parameters
    ----------
    cube : Cube
    image : Path
        ``.nii.gz``, int16 HU, shape (columns, rows, slices).
    mask : Path
        ``.nii.gz``, uint8 of the same shape, 1 tumour.
    """
    write_nifti(cube.hu, cube.affine_lps, image, description=b"SYNTHETIC, not a patient")
    write_nifti(cube.tumour, cube.affine_lps, mask, description=b"SYNTHETIC, not a patient")
