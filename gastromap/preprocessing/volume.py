"""Sample a CT volume, or a mask of it, on a grid along the patient's axes, and bring values back.

The networks for whole volumes read such grids: slices from the feet to the head, rows to the back, columns to the
left, whatever the orientation of the source (``Orientationd(axcodes="SPL")`` in MONAI's terms). Training, evaluation
and the application call the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gastromap.errors import ModelError

__all__ = [
    "SOFT_TISSUE_HU",
    "PatientGrid",
    "VolumeProfile",
    "mask_centre",
    "point_at",
    "sample_ct",
    "sample_mask",
    "to_source",
]

#: Level 40, width 400 (longitudinal design, section 1).
SOFT_TISSUE_HU = (-160.0, 240.0)

_Triple = tuple[float, float, float]
_Prepare = Callable[[Any], NDArray[np.float32]]


@dataclass(frozen=True)
class VolumeProfile:
    """How a network for volumes wants its input; a checkpoint names it and runs with no other.

    Attributes
    ----------
    spacing_mm : (slice, row, column)
    patch : (slices, rows, columns)
        Voxels the network was trained on; inference takes the same.
    regions : tuple of str
        What the output channels mean.
    window_hu : (low, high)
        Becomes 0 to 1.
    """

    spacing_mm: _Triple
    patch: tuple[int, int, int]
    regions: tuple[str, ...] = ("tumour",)
    window_hu: tuple[float, float] = SOFT_TISSUE_HU
    name: str = "volume"

    def __str__(self) -> str:
        """Name for results: ``volume 2 x 1 x 1 mm, 64 x 128 x 128``."""
        steps = " x ".join(f"{step:g}" for step in self.spacing_mm)
        return f"{self.name} {steps} mm, {' x '.join(map(str, self.patch))}"

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> VolumeProfile:
        """Read a profile from a model card.

        Raises
        ------
        ModelError
            ``PROFILE_UNKNOWN``.
        """
        try:
            spacing = [float(value) for value in values["spacing_mm"]]
            patch = [int(value) for value in values["patch"]]
            window = [float(value) for value in values.get("window_hu", SOFT_TISSUE_HU)]
            regions = tuple(str(value) for value in values.get("regions", ("tumour",)))
            known = set(values) <= set(cls.__dataclass_fields__) and values.get("name", "volume") == "volume"
            positive = min(*spacing, *patch) > 0 and window[0] < window[1]
            if not (known and positive and (len(spacing), len(patch), len(window)) == (3, 3, 2)):
                raise ValueError(values)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                "PROFILE_UNKNOWN",
                where="model",
                expected="the preprocessing of a network for volumes",
                got="something else",
                remedy="Correct the model card.",
            ) from error
        return cls(
            spacing_mm=(spacing[0], spacing[1], spacing[2]),
            patch=(patch[0], patch[1], patch[2]),
            regions=regions,
            window_hu=(window[0], window[1]),
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return the plain values for a model card."""
        return asdict(self)


@dataclass(frozen=True)
class PatientGrid:
    """Regular grid along the patient's axes.

    Attributes
    ----------
    origin_lps : (x, y, z)
        Centre of voxel (0, 0, 0) in DICOM patient coordinates, mm: the lowest, foremost one on the patient's right.
    spacing_mm : (slice, row, column)
    shape : (slices, rows, columns)
    """

    origin_lps: _Triple
    spacing_mm: _Triple
    shape: tuple[int, int, int]

    @classmethod
    def around(cls, centre_lps: Sequence[float], spacing_mm: _Triple, shape: tuple[int, int, int]) -> PatientGrid:
        """Grid whose middle is a point (x, y, z) in mm."""
        x, y, z = (float(value) for value in centre_lps)
        half = [(n - 1) / 2 * step for n, step in zip(shape, spacing_mm, strict=True)]
        return cls((x - half[2], y - half[1], z - half[0]), spacing_mm, shape)

    @classmethod
    def around_box(
        cls,
        corners_lps: tuple[Sequence[float], Sequence[float]],
        spacing_mm: _Triple,
        *,
        margin_mm: float,
        multiples: tuple[int, int, int],
        least: tuple[int, int, int] = (1, 1, 1),
    ) -> PatientGrid:
        """Grid around a box, given by its lowest and its highest corner (x, y, z) in mm, and so much more on each side.

        ``multiples`` and ``least`` are of the (slices, rows, columns).
        """
        low, high = (np.asarray(corner, float) for corner in corners_lps)
        sides = (high - low + 2 * margin_mm)[::-1]
        shape = [
            max(-(-int(np.ceil(side / step)) // multiple) * multiple, fewest)
            for side, step, multiple, fewest in zip(sides, spacing_mm, multiples, least, strict=True)
        ]
        return cls.around((low + high) / 2, spacing_mm, (shape[0], shape[1], shape[2]))

    @classmethod
    def covering(
        cls, affine_lps: NDArray[np.floating], shape: tuple[int, int, int], spacing_mm: _Triple, *, multiple: int = 1
    ) -> PatientGrid:
        """Smallest grid that holds all voxel centres of a source, with sides that are multiples of a number.

        Parameters
        ----------
        affine_lps : array, shape (4, 4)
            Of the source: (column, row, slice, 1) to mm.
        shape : (slices, rows, columns)
            Of the source.
        """
        corners = np.stack(np.meshgrid(*([0, n - 1] for n in shape[::-1]), indexing="ij"), axis=-1).reshape(-1, 3)
        points = corners @ np.asarray(affine_lps, float)[:3, :3].T + np.asarray(affine_lps, float)[:3, 3]
        low, high = points.min(axis=0), points.max(axis=0)
        sides = [
            int(np.floor((high[axis] - low[axis]) / step + 1e-6)) + 1
            for axis, step in zip((2, 1, 0), spacing_mm, strict=True)
        ]
        sides = [-(-side // multiple) * multiple for side in sides]
        return cls.around((low + high) / 2, spacing_mm, (sides[0], sides[1], sides[2]))

    @property
    def affine_lps(self) -> NDArray[np.float64]:
        """Maps (column, row, slice, 1) to DICOM patient coordinates, like that of a CT volume; shape (4, 4)."""
        affine = np.diag([*self.spacing_mm[::-1], 1.0])
        affine[:3, 3] = self.origin_lps
        return affine

    def point(self, index: Sequence[float]) -> _Triple:
        """Patient coordinates (x, y, z) in mm of an index (slice, row, column), which may be fractional."""
        return point_at(self.affine_lps, index)


def point_at(affine_lps: NDArray[np.floating], index: Sequence[float]) -> _Triple:
    """Patient coordinates (x, y, z) in mm of an index (slice, row, column), which may be fractional."""
    affine = np.asarray(affine_lps, float)
    x, y, z = affine[:3, :3] @ np.asarray(index, float)[::-1] + affine[:3, 3]
    return float(x), float(y), float(z)


def mask_centre(mask: NDArray[Any], affine_lps: NDArray[np.floating]) -> _Triple:
    """Mean of the voxel centres of a mask, not empty, as (x, y, z) in mm."""
    return point_at(affine_lps, [float(axis.mean()) for axis in np.nonzero(mask)])


def sample_ct(
    hu: NDArray[np.floating],
    affine_lps: NDArray[np.floating],
    grid: PatientGrid,
    *,
    window_hu: tuple[float, float] = SOFT_TISSUE_HU,
) -> NDArray[np.float32]:
    """Windowed CT on a grid.

    Parameters
    ----------
    hu : array, shape (slices, rows, columns)
        Hounsfield units.
    affine_lps : array, shape (4, 4)
        (column, row, slice, 1) to mm.
    grid : PatientGrid
    window_hu : (low, high)
        Becomes 0 to 1, clipped before anything else.

    Returns
    -------
    array, shape ``grid.shape``, 0 to 1
        0 outside the source.
    """
    low, high = window_hu

    def prepare(block: NDArray[np.floating]) -> NDArray[np.float32]:
        return np.clip((block.astype(np.float32) - low) / (high - low), 0, 1)

    return _sample(hu, affine_lps, grid, prepare)


def sample_mask(mask: NDArray[np.generic], affine_lps: NDArray[np.floating], grid: PatientGrid) -> NDArray[np.float32]:
    """Share of each voxel of a grid that lies in a mask; at 0.5 it becomes a mask again.

    Parameters
    ----------
    mask : array, shape (slices, rows, columns)
        Not zero is inside.
    affine_lps : array, shape (4, 4)
    grid : PatientGrid

    Returns
    -------
    array, shape ``grid.shape``, 0 to 1
    """
    return _sample(mask, affine_lps, grid, lambda block: (block != 0).astype(np.float32))


def to_source(
    values: NDArray[np.floating], grid: PatientGrid, affine_lps: NDArray[np.floating], shape: tuple[int, int, int]
) -> NDArray[np.float32]:
    """Values of a grid on the voxels of a source, linearly interpolated.

    Parameters
    ----------
    values : array, shape ``grid.shape``
    grid : PatientGrid
    affine_lps : array, shape (4, 4)
        Of the source.
    shape : (slices, rows, columns)
        Of the source.

    Returns
    -------
    array, shape ``shape``
        0 outside the grid.
    """
    out = np.zeros(shape, np.float32)
    to_index = np.linalg.inv(np.asarray(affine_lps, float))
    found = _block(to_index @ grid.affine_lps, grid.shape, shape, margin=np.ones(3, np.int64))
    if found is None:
        return out
    start, stop = found
    target = np.asarray(affine_lps, float) @ _shift(start)
    sides = tuple(int(b - a) for a, b in zip(start, stop, strict=True))
    inside = _affine(np.asarray(values, np.float32), np.linalg.inv(grid.affine_lps) @ target, sides)
    out[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = inside
    return out


def _sample(
    source: NDArray[np.generic], affine_lps: NDArray[np.floating], grid: PatientGrid, prepare: _Prepare
) -> NDArray[np.float32]:
    affine = np.asarray(affine_lps, float)
    factors = _factors(affine, grid)
    found = _block(np.linalg.inv(affine) @ grid.affine_lps, grid.shape, source.shape, margin=factors + 1)
    if found is None:
        return np.zeros(grid.shape, np.float32)
    start, stop = found
    block = prepare(source[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))])
    block, affine = _averaged(block, affine @ _shift(start), factors)
    return _affine(block, np.linalg.inv(affine) @ grid.affine_lps, grid.shape)


def _factors(affine: NDArray[np.float64], grid: PatientGrid) -> NDArray[np.int64]:
    """Voxels of the source, along (slice, row, column), that are averaged before interpolation.

    Where the grid is coarser by two or more, interpolation alone would pick single noisy voxels.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    wanted = np.abs(affine[:3, :3] / spacing).T @ np.asarray(grid.spacing_mm[::-1])
    found: NDArray[np.int64] = np.maximum(np.floor(wanted / spacing + 1e-3).astype(np.int64), 1)[::-1]
    return found


def _shift(start: Sequence[int]) -> NDArray[np.float64]:
    move = np.eye(4)
    move[:3, 3] = start[::-1]
    return move


def _block(
    to_source_index: NDArray[np.float64],
    shape: Sequence[int],
    source_shape: Sequence[int],
    *,
    margin: NDArray[np.int64],
) -> tuple[list[int], list[int]] | None:
    """First and behind-last index of the source voxels that a grid touches; None where there are none."""
    corners = np.stack(np.meshgrid(*([-0.5, n - 0.5] for n in shape[::-1]), indexing="ij"), axis=-1).reshape(-1, 3)
    index = (corners @ to_source_index[:3, :3].T + to_source_index[:3, 3])[:, ::-1]
    first = np.floor(index.min(axis=0)).astype(int) - margin
    behind = np.ceil(index.max(axis=0)).astype(int) + 1 + margin
    start = [max(int(value), 0) for value in first]
    stop = [min(int(value), n) for value, n in zip(behind, source_shape, strict=True)]
    return None if any(a >= b for a, b in zip(start, stop, strict=True)) else (start, stop)


def _averaged(
    block: NDArray[np.float32], affine: NDArray[np.float64], factors: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    if np.all(factors == 1):
        return block, affine
    factors = np.minimum(factors, block.shape)
    # An incomplete last group repeats the border.
    rest = [(0, int(-n % f)) for n, f in zip(block.shape, factors, strict=True)]
    padded = np.pad(block, rest, mode="edge")
    for axis, factor in enumerate(factors):
        if factor > 1:
            sides = [*padded.shape[:axis], padded.shape[axis] // factor, int(factor), *padded.shape[axis + 1 :]]
            padded = padded.reshape(sides).mean(axis=axis + 1, dtype=np.float32)
    scaled = affine @ np.diag([*factors[::-1].astype(float), 1.0])
    scaled[:3, 3] = affine[:3, 3] + affine[:3, :3] @ ((factors[::-1] - 1) / 2)
    return padded, scaled


def _affine(values: NDArray[np.float32], to_index: NDArray[np.float64], shape: Sequence[int]) -> NDArray[np.float32]:
    """Interpolate; ``to_index`` maps (column, row, slice, 1) of the output to that of ``values``."""
    matrix = to_index[:3, :3][::-1, ::-1]
    offset = to_index[:3, 3][::-1]
    diagonal = np.allclose(matrix, np.diag(np.diag(matrix)), atol=1e-9)
    # The border voxel counts to its outer edge; scipy alone would stop at its centre.
    padded = np.pad(values, 1, mode="edge")
    out: NDArray[np.float32] = ndimage.affine_transform(
        padded,
        np.diag(matrix) if diagonal else matrix,
        offset=offset + 1,
        output_shape=tuple(shape),
        output=np.float32,
        order=1,
        mode="constant",
        cval=0.0,
    )
    return out
