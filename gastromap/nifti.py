"""Write a stack of CT slices as NIfTI, the same bytes for the same stack.

nibabel's convention holds: the first axis runs along the columns (x), the affine maps to RAS. gzip is written without a
time stamp.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["LPS_TO_RAS", "write_nifti"]

#: Its own inverse: NIfTI counts x to the right and y to the front, DICOM to the left and to the back.
LPS_TO_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_nifti(
    volume: NDArray[np.int16] | NDArray[np.uint8], affine_lps: NDArray[np.float64], path: Path, *, description: bytes
) -> None:
    """Write a stack and make its folder.

    Parameters
    ----------
    volume : array, shape (slices, rows, columns)
        HU as int16, or a mask as uint8.
    affine_lps : array, shape (4, 4)
        Maps (column, row, slice, 1) to LPS patient coordinates in mm.
    path : Path
        ``.nii.gz``.
    description : bytes
        Of at most 79 characters; no patient data.
    """
    import nibabel

    image = nibabel.Nifti1Image(np.ascontiguousarray(volume.transpose(2, 1, 0)), LPS_TO_RAS @ affine_lps)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = description
    # One is the code of scanner coordinates: both forms say the same, so no reader has to choose.
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))
