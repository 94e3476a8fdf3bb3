"""What the scanner does to the ideal image: point-spread function, correlated noise, rounding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gastromap.synthetic.types import PixelGrid, Scanner

__all__ = ["acquire"]

_FWHM_TO_SIGMA = 1 / 2.3548


def acquire(hu: NDArray[np.float32], scanner: Scanner, grid: PixelGrid, rng: np.random.Generator) -> NDArray[np.int16]:
    """Blur, add noise and round one slice.

    Parameters
    ----------
    hu : array, shape (rows, columns)
        Noiseless Hounsfield units.
    scanner : Scanner
        Gives blur (FWHM, mm) and noise (SD, HU, in the middle of the body).
    grid : PixelGrid
    rng : numpy Generator
        One a slice: the noise of a slice does not depend on the others.

    Returns
    -------
    image : array, shape (rows, columns), int16, -1024 to 3071
        Noise is correlated over about the point-spread function, as after filtered back-projection, and weaker
        towards the skin, where the rays are shorter.
    """
    sigma = scanner.blur_mm * _FWHM_TO_SIGMA / grid.spacing_mm
    image = ndimage.gaussian_filter(hu, sigma, mode="nearest", truncate=3) if sigma > 0.25 else hu
    white = rng.standard_normal(hu.shape, dtype=np.float32)
    grain = max(sigma, 0.6)
    # Filtered back-projection gives band-pass noise: little power at the lowest frequencies.
    noise = ndimage.gaussian_filter(white, grain, mode="wrap", truncate=3)
    noise -= 0.75 * ndimage.gaussian_filter(noise, 2.2 * grain, mode="wrap", truncate=3)
    noise *= scanner.noise_hu / max(float(noise.std()), 1e-6)
    radius = np.hypot(grid.x_mm[None, :] / 190.0, grid.y_mm[:, None] / 130.0)
    noise *= np.clip(1.12 - 0.35 * radius**2, 0.45, 1.12)
    out: NDArray[np.int16] = np.clip(np.rint(image + noise), -1024, 3071).astype(np.int16)
    return out
