"""One synthetic examination as the scanner sees it: table positions, pixel grid, slices in Hounsfield units.

Everything that writes files (training slices, NIfTI crops, DICOM studies) reads from here, so that the same patient
has the same pixels in every format. Slices are made on request and not kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from gastromap.synthetic.scanners import sample_scanner
from gastromap.synthetic.types import Case, Phase, PixelGrid, Scanner, rng_for

if TYPE_CHECKING:
    from gastromap.synthetic.phantom import Phantom

__all__ = ["MATRIX", "Scan", "one_blas_thread", "plan_scan"]

#: Rows and columns of a clinical CT image.
MATRIX: Final = 512

# Area is compared on a grid this many times coarser before the three best positions are compared on the real one:
# the mask is smooth, and a hundred full masks would cost more than the images themselves.
_COARSE: Final = 4


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_blas_thread() -> Any:
    """Context in which BLAS uses one thread.

    The products are thin (14 terms a pixel): BLAS threads triple the time when the cores are shared, and the sums must
    not depend on how many there are.
    """
    return _blas().limit(limits=1, user_api="blas")


@dataclass(frozen=True)
class Scan:
    """One examination of one patient.

    Attributes
    ----------
    case, scanner : Case, Scanner
        Whom, and with what.
    phantom : Phantom
        The anatomy.
    grid : PixelGrid
        Pixels of every axial image.
    z_mm : array, shape (slices,)
        Table positions in patient coordinates, rising to the head in equal steps.
    examination : str
        Name of the date (``baseline`` …); part of every random stream and of every UID.
    """

    case: Case
    scanner: Scanner
    phantom: Phantom = field(repr=False)
    grid: PixelGrid
    z_mm: NDArray[np.float64] = field(repr=False)
    examination: str = "baseline"

    @property
    def step_mm(self) -> float:
        """Distance of neighbouring slices, equal to their thickness."""
        return self.scanner.slice_thickness_mm

    def hu(self, index: int, *, phase: Phase = "portal") -> NDArray[np.int16]:
        """Slice of the main reconstruction, shape (rows, columns)."""
        return self.reconstruct(float(self.z_mm[index]), self.scanner, phase=phase, label=f"{phase} {index}")

    def reconstruct(
        self,
        z_mm: float,
        scanner: Scanner,
        *,
        phase: Phase,
        label: str,
        half_matrix: bool = False,
        grid: PixelGrid | None = None,
    ) -> NDArray[np.int16]:
        """Slice at any position with another thickness, kernel or noise.

        Parameters
        ----------
        z_mm : float
            Centre of the slice.
        scanner : Scanner
            Thickness, noise and blur of this reconstruction.
        phase : {'arterial', 'portal', 'delayed'}
            Contrast phase.
        label : str
            Names the noise of this image: equal labels give equal noise, in whatever order slices are made.
        half_matrix : bool
            Render the anatomy on half the matrix and on one level, then enlarge it: about eight times cheaper,
            for images that no model reads.
        grid : PixelGrid, optional
            Another grid than that of the examination.

        Returns
        -------
        hu : array, shape (rows, columns), int16
        """
        from gastromap.synthetic.acquisition import acquire

        grid = grid or self.grid
        with one_blas_thread():
            if half_matrix:
                clean = self._enlarged(z_mm, phase)
            else:
                clean = self.phantom.render(z_mm, grid, phase=phase, thickness_mm=scanner.slice_thickness_mm)
        rng = rng_for(self.case.seed, self.case.number, f"{self.examination} noise {label}")
        return acquire(clean, scanner, grid, rng)

    def _enlarged(self, z_mm: float, phase: Phase) -> NDArray[np.float32]:
        from scipy import ndimage

        # Pixel centres of the half matrix lie between those of the full one, so both cover the same field of view.
        half = replace(
            self.grid,
            rows=self.grid.rows // 2,
            columns=self.grid.columns // 2,
            spacing_mm=self.grid.spacing_mm * 2,
        )
        small = self.phantom.render(z_mm, half, phase=phase, thickness_mm=1.0)
        return np.asarray(ndimage.zoom(small, 2, order=1, grid_mode=True, mode="nearest"), dtype=np.float32)

    def masks(self, index: int) -> dict[str, NDArray[np.bool_]]:
        """Masks ``tumour`` and ``stomach`` of a slice, shape (rows, columns)."""
        return self.masks_at(float(self.z_mm[index]), self.grid)

    def masks_at(self, z_mm: float, grid: PixelGrid) -> dict[str, NDArray[np.bool_]]:
        """Masks ``tumour`` and ``stomach`` on any plane and grid."""
        with one_blas_thread():
            return self.phantom.masks(z_mm, grid)

    def tumour_masks(self) -> NDArray[np.bool_]:
        """Tumour in every slice, shape (slices, rows, columns)."""
        masks = np.zeros((len(self.z_mm), self.grid.rows, self.grid.columns), dtype=np.bool_)
        for index in self._near_tumour:
            masks[index] = self.masks(index)["tumour"]
        return masks

    @property
    def _near_tumour(self) -> list[int]:
        # Everything of the tumour lies within one diameter of its centre, even where the wall folds back.
        reach_mm = 10 * self.case.size_cm + 2 * self.step_mm
        return [i for i, z in enumerate(self.z_mm) if abs(float(z) - self.phantom.tumour_z_mm) <= reach_mm]

    @cached_property
    def key_index(self) -> int:
        """Index of the slice with the largest tumour area, never the first or the last one."""
        coarse = PixelGrid(
            rows=max(self.grid.rows // _COARSE, 64),
            columns=max(self.grid.columns // _COARSE, 64),
            spacing_mm=self.grid.spacing_mm * self.grid.rows / max(self.grid.rows // _COARSE, 64),
            centre_x_mm=self.grid.centre_x_mm,
            centre_y_mm=self.grid.centre_y_mm,
        )
        near = [index for index in self._near_tumour if 0 < index < len(self.z_mm) - 1]
        areas = {i: int(self.masks_at(float(self.z_mm[i]), coarse)["tumour"].sum()) for i in near}
        best = sorted(near, key=lambda i: (-areas[i], abs(float(self.z_mm[i]) - self.phantom.tumour_z_mm)))[:3]
        return max(best, key=lambda i: (int(self.masks(i)["tumour"].sum()), -i))

    def affine_lps(self, *, first: int = 0, row: int = 0, column: int = 0) -> NDArray[np.float64]:
        """Affine of a stack of slices that starts at this slice, row and column.

        Returns
        -------
        affine : array, shape (4, 4)
            Maps (column, row, slice, 1) to LPS patient coordinates in mm.
        """
        affine = np.diag([self.grid.spacing_mm, self.grid.spacing_mm, self.step_mm, 1.0])
        # In double precision: the grid's own single-precision axes would put noise into the header's decimals.
        affine[0, 3] = (column - (self.grid.columns - 1) / 2) * self.grid.spacing_mm + self.grid.centre_x_mm
        affine[1, 3] = (row - (self.grid.rows - 1) / 2) * self.grid.spacing_mm + self.grid.centre_y_mm
        affine[2, 3] = self.z_mm[first]
        return affine


def plan_scan(
    case: Case,
    *,
    scanner: Scanner | None = None,
    phantom: Phantom | None = None,
    matrix: int = MATRIX,
    thickness_mm: float | None = None,
    examination: str = "baseline",
) -> Scan:
    """Lay out the examination of a patient without rendering anything.

    Parameters
    ----------
    case : Case
        The patient.
    scanner : Scanner, optional
        Drawn from the centre's preset without it.
    phantom : Phantom, optional
        Anatomy of this date; made from the case without it.
    matrix : int
        Rows and columns. A smaller matrix keeps the field of view: the pixels grow.
    thickness_mm : float, optional
        Replaces the drawn slice thickness.
    examination : str
        ``baseline`` or the name of another date.

    Returns
    -------
    scan : Scan
    """
    if phantom is None:
        from gastromap.synthetic.phantom import Phantom

        phantom = Phantom(case)
    if scanner is None:
        scanner = sample_scanner(case, stream="scanner" if examination == "baseline" else f"{examination} scanner")
    if thickness_mm is not None:
        scanner = replace(scanner, slice_thickness_mm=thickness_mm)
    scanner = replace(scanner, pixel_spacing_mm=round(scanner.pixel_spacing_mm * MATRIX / matrix, 6))
    low, high = phantom.z_range_mm
    step = scanner.slice_thickness_mm
    # The first position is not tied to the anatomy; tenths keep the decimal strings of the header exact.
    shift = float(rng_for(case.seed, case.number, f"{examination} table").uniform(0.0, step))
    first = round(low + shift, 1)
    count = int((high - first) // step) + 1
    return Scan(
        case=case,
        scanner=scanner,
        phantom=phantom,
        grid=PixelGrid(rows=matrix, columns=matrix, spacing_mm=scanner.pixel_spacing_mm),
        z_mm=np.round(first + step * np.arange(count), 2),
        examination=examination,
    )
