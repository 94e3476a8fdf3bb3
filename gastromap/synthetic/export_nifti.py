"""Write a synthetic patient as NIfTI: three training slices, or a crop around the stomach.

Files are the same bytes for the same case, in the layout of :mod:`gastromap.nifti`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gastromap.nifti import write_nifti
from gastromap.synthetic.export_scan import Scan

__all__ = ["STOMACH_LABEL", "TUMOUR_LABEL", "write_close", "write_crop", "write_key_slices"]

STOMACH_LABEL: Final = 1  #: in the mask of a crop
TUMOUR_LABEL: Final = 2  #: in the mask of a crop; in the mask of training slices the tumour is 1

_MARGIN_MM: Final = 20.0
#: The stomach is looked for on pixels of about this size: distances are interpolated over three of them.
_COARSE_MM: Final = 3.0


def write_key_slices(scan: Scan, image: Path, mask: Path, *, count: int = 3) -> None:
    """Write the key slice, with its neighbours below and above.

    Parameters
    ----------
    scan : Scan
        The examination.
    image : Path
        ``.nii.gz``, int16 HU, shape (columns, rows, 3): below, key, above.
    mask : Path
        ``.nii.gz``, uint8 tumour mask of the same shape.
    count : {3, 1}
        1 writes the key slice alone, a third of the work.
    """
    first = scan.key_index - count // 2
    indices = range(first, first + count)
    affine = scan.affine_lps(first=first)
    _write(np.stack([scan.hu(i) for i in indices]), affine, image)
    _write(np.stack([scan.masks(i)["tumour"] for i in indices]).astype(np.uint8), affine, mask)


def write_crop(scan: Scan, image: Path, mask: Path, *, whole: bool = False) -> None:
    """Write the portal-venous volume cropped in plane to the stomach and 20 mm around it, in full depth.

    Parameters
    ----------
    scan : Scan
        The examination.
    image : Path
        ``.nii.gz``, int16 HU, shape (columns, rows, slices).
    mask : Path
        ``.nii.gz``, uint8: 1 stomach, 2 tumour.
    whole : bool
        Keep the whole field of view.
    """
    labels = np.zeros((len(scan.z_mm), scan.grid.rows, scan.grid.columns), dtype=np.uint8)
    for index in range(len(scan.z_mm)):
        labels[index] = _labelled(scan.masks(index))
    margin = round(_MARGIN_MM / scan.grid.spacing_mm)
    rows, columns = slice(0, scan.grid.rows), slice(0, scan.grid.columns)
    if not whole:
        rows, columns = _span(labels.max(axis=(0, 2)), margin), _span(labels.max(axis=(0, 1)), margin)
    affine = scan.affine_lps(row=rows.start, column=columns.start)
    hu = np.stack([scan.hu(index)[rows, columns] for index in range(len(scan.z_mm))])
    _write(hu, affine, image)
    _write(labels[:, rows, columns], affine, mask)


def write_close(scan: Scan, image: Path, mask: Path) -> None:
    """Reconstruct the stomach and 20 mm around it on a field of view of its own: less than half the work of the crop.

    Parameters
    ----------
    scan, image, mask
        As of :func:`write_crop`. Pixels lie where they lie in the crop; noise, and a fraction of a HU where distances
        are interpolated, differ from it.
    """
    step = scan.grid.spacing_mm
    times = max(int(_COARSE_MM / step), 1)
    coarse = replace(
        scan.grid, rows=scan.grid.rows // times, columns=scan.grid.columns // times, spacing_mm=step * times
    )
    there = np.stack([scan.masks_at(float(z), coarse)["stomach"] for z in scan.z_mm]).astype(np.uint8)
    # A pixel more, since a large one counts by its middle.
    margin = math.ceil(_MARGIN_MM / coarse.spacing_mm) + 1
    slices = _span(there.max(axis=(1, 2)), math.ceil(_MARGIN_MM / scan.step_mm))
    rows, columns = (
        slice(part.start * times, part.stop * times)
        for part in (_span(there.max(axis=axes), margin) for axes in ((0, 2), (0, 1)))
    )
    grid = replace(
        scan.grid,
        rows=rows.stop - rows.start,
        columns=columns.stop - columns.start,
        centre_x_mm=(columns.start + columns.stop - scan.grid.columns) / 2 * step + scan.grid.centre_x_mm,
        centre_y_mm=(rows.start + rows.stop - scan.grid.rows) / 2 * step + scan.grid.centre_y_mm,
    )
    hu, labels = [], []
    for index in range(slices.start, slices.stop):
        z = float(scan.z_mm[index])
        hu.append(scan.reconstruct(z, scan.scanner, phase="portal", label=f"close {index}", grid=grid))
        labels.append(_labelled(scan.masks_at(z, grid)))
    affine = scan.affine_lps(first=slices.start, row=rows.start, column=columns.start)
    _write(np.stack(hu), affine, image)
    _write(np.stack(labels), affine, mask)


def _labelled(masks: dict[str, NDArray[np.bool_]]) -> NDArray[np.uint8]:
    labels = np.zeros(masks["stomach"].shape, np.uint8)
    labels[masks["stomach"]] = STOMACH_LABEL
    labels[masks["tumour"]] = TUMOUR_LABEL
    return labels


def _span(used: NDArray[np.uint8], margin: int) -> slice:
    index = np.flatnonzero(used)
    return slice(max(int(index[0]) - margin, 0), min(int(index[-1]) + margin + 1, len(used)))


def _write(volume: NDArray[np.int16] | NDArray[np.uint8], affine_lps: NDArray[np.float64], path: Path) -> None:
    write_nifti(volume, affine_lps, path, description=b"SYNTHETIC, not a patient")
