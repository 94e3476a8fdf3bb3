"""Turn one CT slice in Hounsfield units into the network's input, and maps of the network back to the slice.

Two profiles exist. ``paper`` follows the article (window level 50, width 350, z-score, 224 x 224) but samples a
field of fixed size in mm around the body, because the wall layers that define the stage have a size in mm; the
article does not say what happens to the field of view. ``released`` is what the authors' published script feeds
its network: the whole slice, 8 bit, three channels, ImageNet statistics.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from gastromap.errors import ModelError

__all__ = ["PreparedSlice", "PreprocessingProfile", "SlicePreprocessing"]

Array = NDArray[np.float32]

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_AIR_HU = -1024.0
#: Soft tissue starts here; lung and fat are below, which does not matter for the outline of the trunk.
_BODY_HU = -250.0
#: The outline of the trunk is found on a grid of about this step: coarse, because only its middle is needed.
_OUTLINE_STEP_MM = 3.0


@dataclass(frozen=True)
class PreprocessingProfile:
    """Named set of preprocessing choices; a checkpoint names its profile and runs with no other.

    Attributes
    ----------
    name : {"paper", "released"}
    size : int
        Rows and columns of the network's input.
    window_level, window_width : float
        HU.
    field_mm : float or None
        Side of the square field around the middle of the body; ``None`` takes the whole slice.
    channels : int
    intensity : {"zscore", "imagenet"}
        ``zscore`` standardises each slice; ``imagenet`` rounds to 8 bit and applies ImageNet mean and SD.
    bias_correction : bool
        N4 on the windowed slice. Off in the shipped profile: N4 models the coil sensitivity of MR, CT numbers
        are calibrated to water.
    """

    name: Literal["paper", "released"] = "paper"
    size: int = 224
    window_level: float = 50.0
    window_width: float = 350.0
    field_mm: float | None = 280.0
    channels: int = 1
    intensity: Literal["zscore", "imagenet"] = "zscore"
    bias_correction: bool = False

    @classmethod
    def named(cls, name: str) -> PreprocessingProfile:
        """Return the profile ``paper`` or ``released``.

        Raises
        ------
        ModelError
            ``PROFILE_UNKNOWN`` for any other name.
        """
        if name == "paper":
            return cls()
        if name == "released":
            return cls(name="released", field_mm=None, channels=3, intensity="imagenet")
        raise ModelError(
            "PROFILE_UNKNOWN",
            where="model",
            expected="preprocessing profile paper or released",
            got="another name",
            remedy="Correct the model card.",
        )

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> PreprocessingProfile:
        """Read a profile from a model card.

        Raises
        ------
        ModelError
            ``PROFILE_UNKNOWN`` if a key is unknown or the name is.
        """
        base = asdict(cls.named(str(values.get("name", ""))))
        unknown = sorted(set(values) - set(base))
        if unknown:
            raise ModelError(
                "PROFILE_UNKNOWN",
                where="model",
                expected=f"preprocessing keys {', '.join(base)}",
                got=", ".join(unknown),
                remedy="Correct the model card.",
            )
        return cls(**{**base, **values})

    def to_mapping(self) -> dict[str, Any]:
        """Return the plain values for a model card."""
        return asdict(self)


@dataclass(frozen=True)
class PreparedSlice:
    """Network input of one slice and the way back.

    Attributes
    ----------
    tensor : Tensor, shape (channels, size, size), float32
    """

    tensor: torch.Tensor = field(repr=False)
    _origin: tuple[int, int]  # first row and column of the field in the canonical slice; negative in the padding
    _extent: tuple[int, int]  # rows and columns of the field
    _canonical_shape: tuple[int, int]
    _orientation: tuple[bool, bool, bool]  # transposed, rows flipped, columns flipped

    def to_network(self, values: NDArray[np.generic]) -> torch.Tensor:
        """Sample a map of the source slice, such as a tumour mask, exactly as the image was sampled.

        Parameters
        ----------
        values : array, shape (rows, columns) of the source slice

        Returns
        -------
        Tensor, shape (1, size, size), float32
            0 outside the slice; the share of the pixel for a mask.
        """
        transposed, flip_rows, flip_columns = self._orientation
        source = np.asarray(values, np.float32)
        source = source.T if transposed else source
        source = source[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
        cut = _cut(source, self._origin, self._extent, fill=0.0)
        size = self.tensor.shape[-2:]
        return torch.nn.functional.interpolate(
            torch.from_numpy(cut)[None, None], size=size, mode="bilinear", antialias=True
        )[0]

    def to_slice(self, values: NDArray[np.floating]) -> Array:
        """Map values on the network's grid, or a coarser grid over the same field, to the source slice.

        Parameters
        ----------
        values : array, shape (n, n)
            For example a Grad-CAM of 7 x 7.

        Returns
        -------
        array, shape (rows, columns) of the source slice
            0 outside the field the network saw.
        """
        height, width = self._extent
        source = torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float32)[None, None]
        grown = torch.nn.functional.interpolate(source, size=(height, width), mode="bilinear", align_corners=False)
        out = np.zeros(self._canonical_shape, np.float32)
        r, c = self._origin
        r0, r1 = max(r, 0), min(r + height, out.shape[0])
        c0, c1 = max(c, 0), min(c + width, out.shape[1])
        if r1 > r0 and c1 > c0:
            out[r0:r1, c0:c1] = grown[0, 0, r0 - r : r1 - r, c0 - c : c1 - c].numpy()
        return np.ascontiguousarray(_from_canonical(out, self._orientation))


class SlicePreprocessing:
    """Prepare slices for the network.

    Parameters
    ----------
    profile : PreprocessingProfile

    Notes
    -----
    A slice is first turned so that rows run to the back and columns to the left of the patient, whatever the
    position of the patient in the scanner, so that a prone and a supine scan give the same input.
    """

    def __init__(self, profile: PreprocessingProfile) -> None:
        self.profile = profile

    def __call__(self, hu: NDArray[np.floating], affine_lps: NDArray[np.floating]) -> PreparedSlice:
        """Prepare one slice.

        Parameters
        ----------
        hu : array, shape (rows, columns)
            Hounsfield units.
        affine_lps : array, shape (4, 4) or (3, 2)
            First column: step in mm (LPS) from one column to the next; second: from one row to the next.

        Returns
        -------
        PreparedSlice
        """
        canonical, orientation, spacing = _to_canonical(np.asarray(hu, np.float32), np.asarray(affine_lps, float))
        p = self.profile
        if p.field_mm is None:
            origin, extent = (0, 0), canonical.shape
        else:
            centre = _body_centre(canonical, spacing)
            extent = (round(p.field_mm / spacing[0]), round(p.field_mm / spacing[1]))
            origin = (round(centre[0] - extent[0] / 2), round(centre[1] - extent[1] / 2))
        windowed = self._window(_cut(canonical, origin, cast(tuple[int, int], extent)))
        small = torch.nn.functional.interpolate(
            torch.from_numpy(windowed)[None, None], size=(p.size, p.size), mode="bilinear", antialias=True
        )[0]
        return PreparedSlice(
            tensor=self._scale(small),
            _origin=origin,
            _extent=cast(tuple[int, int], extent),
            _canonical_shape=cast(tuple[int, int], canonical.shape),
            _orientation=orientation,
        )

    def _window(self, hu: Array) -> Array:
        p = self.profile
        low = p.window_level - p.window_width / 2
        scaled = np.clip((hu - low) / p.window_width, 0, 1).astype(np.float32)
        if p.bias_correction:
            scaled = _n4(scaled)
        # The released network was trained on 8-bit PNG.
        return np.round(scaled * 255) / 255 if p.intensity == "imagenet" else scaled

    def _scale(self, image: torch.Tensor) -> torch.Tensor:
        p = self.profile
        if p.intensity == "zscore":
            return ((image - image.mean()) / image.std().clamp_min(1e-6)).expand(p.channels, -1, -1).contiguous()
        mean = torch.tensor(_IMAGENET_MEAN)[:, None, None]
        std = torch.tensor(_IMAGENET_STD)[:, None, None]
        return (image.expand(3, -1, -1) - mean) / std


def _to_canonical(hu: Array, affine: NDArray[np.float64]) -> tuple[Array, tuple[bool, bool, bool], tuple[float, float]]:
    along_columns, along_rows = affine[:3, 0], affine[:3, 1]
    transposed = bool(abs(along_columns[0]) < abs(along_rows[0]))
    if transposed:
        hu, along_columns, along_rows = hu.T, along_rows, along_columns
    flip_rows, flip_columns = bool(along_rows[1] < 0), bool(along_columns[0] < 0)
    hu = hu[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
    spacing = (float(np.linalg.norm(along_rows)), float(np.linalg.norm(along_columns)))
    return np.ascontiguousarray(hu), (transposed, flip_rows, flip_columns), spacing


def _from_canonical(values: Array, orientation: tuple[bool, bool, bool]) -> Array:
    transposed, flip_rows, flip_columns = orientation
    values = values[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
    return values.T if transposed else values


def _body_centre(hu: Array, spacing: tuple[float, float]) -> tuple[float, float]:
    """Middle of the bounding box of the trunk in rows and columns; the image's middle if there is no trunk."""
    steps = (max(1, round(_OUTLINE_STEP_MM / spacing[0])), max(1, round(_OUTLINE_STEP_MM / spacing[1])))
    body = ndimage.binary_opening(hu[:: steps[0], :: steps[1]] > _BODY_HU, iterations=1)
    labels, count = ndimage.label(body)
    if count == 0:
        return (hu.shape[0] - 1) / 2, (hu.shape[1] - 1) / 2
    # The trunk is the largest piece: the couch and the arms are smaller.
    largest = int(np.argmax(np.bincount(labels.ravel())[1:])) + 1
    rows, columns = ndimage.find_objects(labels)[largest - 1]
    return (
        (rows.start + rows.stop - 1) / 2 * steps[0],
        (columns.start + columns.stop - 1) / 2 * steps[1],
    )


def _cut(hu: Array, origin: tuple[int, int], extent: tuple[int, int], *, fill: float = _AIR_HU) -> Array:
    out = np.full(extent, fill, np.float32)
    r, c = origin
    r0, r1 = max(r, 0), min(r + extent[0], hu.shape[0])
    c0, c1 = max(c, 0), min(c + extent[1], hu.shape[1])
    if r1 > r0 and c1 > c0:
        out[r0 - r : r1 - r, c0 - c : c1 - c] = hu[r0:r1, c0:c1]
    return out


def _n4(image: Array) -> Array:
    import SimpleITK

    source = SimpleITK.GetImageFromArray(image + np.float32(1e-3))
    mask = SimpleITK.GetImageFromArray((image > 0.02).astype(np.uint8))
    corrected = SimpleITK.GetArrayFromImage(SimpleITK.N4BiasFieldCorrectionImageFilter().Execute(source, mask))
    return np.clip(corrected, 0, 1).astype(np.float32)
