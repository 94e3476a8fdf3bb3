"""The geometry gate: positions, orientation, spacing, tilt, gaps and coverage, from headers only.

Spacing comes from Image Position alone; SliceThickness and SpacingBetweenSlices are often wrong. Headers cannot prove
that the stomach is inside; that check belongs to the model side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gastromap.dicom_input.image import CtImage
from gastromap.dicom_input.limits import GateSettings
from gastromap.errors import Refusal

__all__ = ["Geometry", "continues", "plan_geometry"]

_ORIENTATION_TOLERANCE = 1e-3
_SPACING_TOLERANCE = 1e-4
_EXPORT = "Correct the export."
_SEPARATE = "Export as separate series."


@dataclass(frozen=True)
class Geometry:
    """Slices in order and the affine they lie on."""

    images: tuple[CtImage, ...]  #: rising along the slice normal
    affine_lps: NDArray[np.float64]  #: shape (4, 4), (column, row, slice, 1) to mm
    step_mm: float
    thickness_mm: float | None
    warnings: tuple[str, ...] = ()


class _Gate:
    """Carries the name of the series through the checks."""

    def __init__(self, images: Sequence[CtImage], settings: GateSettings, where: str, damaged: int) -> None:
        self.images = list(images)
        self.settings = settings
        self.where = where
        self.damaged = damaged

    def refuse(self, code: str, expected: str, got: str, remedy: str) -> Refusal:
        return Refusal(code, where=self.where, expected=expected, got=got, remedy=remedy)

    def check_values(self) -> None:
        bad = sorted({keyword for image in self.images for keyword in image.bad_values})
        if bad:
            raise self.refuse("BAD_VALUE", f"a number in {bad[0]}", "text that is none", "Correct the sender.")
        for keyword, name in (("ImagePositionPatient", "position_mm"), ("ImageOrientationPatient", "orientation")):
            lacking = sum(getattr(image, name) is None for image in self.images)
            if lacking:
                raise self.refuse("GEOMETRY_MISSING", f"{keyword} in every image", f"{lacking} without", _EXPORT)
        for keyword, name in (("Rows", "rows"), ("Columns", "columns")):
            lacking = sum(getattr(image, name) is None for image in self.images)
            if lacking:
                raise self.refuse("GEOMETRY_MISSING", f"{keyword} in every image", f"{lacking} without", _EXPORT)

        frames = {image.frame_uid for image in self.images} - {""}
        if len(frames) > 1:
            # Positions in two coordinate systems cannot be put on one line.
            raise self.refuse("ORIENTATION", "one Frame of Reference", str(len(frames)), _SEPARATE)

    def check_limits(self) -> None:
        limits, remedy = self.settings, "Split the input or raise the limit in the configuration."
        voxels = 0
        for image in self.images:
            rows, columns = image.rows or 0, image.columns or 0
            if image.frames > 1:
                raise self.refuse("LIMIT_EXCEEDED", "NumberOfFrames <= 1", str(image.frames), remedy)
            for name, value in (("Rows", rows), ("Columns", columns)):
                if value > limits.max_matrix:
                    raise self.refuse("LIMIT_EXCEEDED", f"{name} <= {limits.max_matrix}", str(value), remedy)
                if value < limits.min_matrix:
                    raise self.refuse("LIMIT_EXCEEDED", f"{name} >= {limits.min_matrix}", str(value), remedy)
            voxels += rows * columns
        if voxels > limits.max_voxels:
            raise self.refuse("LIMIT_EXCEEDED", f"voxels <= {limits.max_voxels}", str(voxels), remedy)

    def check_plane(self) -> tuple[NDArray[np.float64], tuple[float, float]]:
        expected = "one positive PixelSpacing"
        spacings = [image.spacing_mm for image in self.images]
        if any(spacing is None for spacing in spacings):
            raise self.refuse("PIXEL_SPACING", expected, "missing", _EXPORT)
        values = np.array(spacings, dtype=np.float64)
        if not (values > 0).all():
            raise self.refuse("PIXEL_SPACING", expected, "zero or less", _EXPORT)
        if np.ptp(values, axis=0).max() > _SPACING_TOLERANCE:
            raise self.refuse("PIXEL_SPACING", expected, f"{len(np.unique(values, axis=0))} values", _EXPORT)
        sizes = {(image.rows, image.columns) for image in self.images}
        if len(sizes) > 1:
            raise self.refuse("MATRIX_VARIES", "one matrix size", str(len(sizes)), _SEPARATE)
        orientations = np.array([image.orientation for image in self.images])
        if np.ptp(orientations, axis=0).max() > _ORIENTATION_TOLERANCE:
            count = len(np.unique(np.round(orientations / _ORIENTATION_TOLERANCE), axis=0))
            raise self.refuse("ORIENTATION", "one orientation", str(count), _SEPARATE)
        plane: NDArray[np.float64] = np.median(orientations, axis=0).reshape(2, 3)
        gram = plane @ plane.T
        if np.abs(gram - np.eye(2)).max() > _ORIENTATION_TOLERANCE:
            raise self.refuse("ORIENTATION", "perpendicular unit vectors", "others", _EXPORT)
        normal = np.cross(plane[0], plane[1])
        if np.degrees(np.arccos(min(1.0, abs(float(normal[2]))))) > self.settings.max_axial_degrees:
            raise self.refuse("ORIENTATION", "axial slices", "another plane", "Send the axial reconstruction.")
        # Whatever the setting: one slice has no step.
        fewest = max(2, self.settings.min_slices)
        if len(self.images) < fewest:
            raise self.refuse("TOO_FEW_SLICES", f">= {fewest} slices", str(len(self.images)), "Send the whole series.")
        return plane, (float(values[0, 0]), float(values[0, 1]))

    def check_steps(
        self, positions: NDArray[np.float64], along: NDArray[np.float64], normal: NDArray[np.float64]
    ) -> float:
        steps = np.diff(along)
        # Median: a single lost slice doubles one step, and the first pair may be just that one.
        step = float(np.median(steps))
        if step <= 0 or float(steps.min()) <= 0.01:
            raise self.refuse(
                "PHASE_MIXED",
                "one image a position",
                f"{len(along)} images at {len(np.unique(np.round(along, 2)))} positions, not separable",
                "Export the phases as separate series.",
            )
        line = positions[-1] - positions[0]
        cosine = float(line @ normal) / float(np.linalg.norm(line))
        tilt = float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
        if tilt > self.settings.max_tilt_degrees:
            raise self.refuse(
                "TILT",
                f"tilt <= {self.settings.max_tilt_degrees:g} degrees",
                f"{tilt:.1f}",
                "Reconstruct without tilt.",
            )
        tolerance = float(np.clip(0.01 * step, 0.02, 0.1))
        self._check_gaps(positions, steps, step)
        # Without gaps the mean is the better reference: jitter of the positions moves the median by as much as itself.
        step = float(np.mean(steps))
        if (np.abs(steps - step) > tolerance).any():
            raise self.refuse(
                "SPACING_VARIES",
                f"steps of {step:g} mm",
                f"{steps.min():.2f} to {steps.max():.2f}",
                "Reconstruct with equal spacing.",
            )
        ideal = positions[0] + np.linspace(0.0, 1.0, len(positions))[:, None] * line
        if float(np.abs(positions - ideal).max()) > max(2 * tolerance, 0.1):
            raise self.refuse(
                "SPACING_VARIES", f"steps of {step:g} mm", "slices off the line", "Reconstruct with equal spacing."
            )
        return step

    def _check_gaps(self, positions: NDArray[np.float64], steps: NDArray[np.float64], step: float) -> None:
        gaps = np.flatnonzero(steps >= 1.5 * step)
        missing = int(np.sum(np.rint(steps[gaps] / step) - 1))
        # If a damaged file could be the missing slice, the remedy is to send that file, and the caller says so.
        if not len(gaps) or 0 < missing <= self.damaged:
            return
        z = float(positions[gaps[0], 2])
        got = f"{len(gaps)} gaps, first after z={z:g}"
        if self.damaged:
            got += f" ({missing} slices missing, {self.damaged} damaged files)"
        raise self.refuse("GAP", f"steps of {step:g} mm", got, "Send the missing images.")


def continues(geometry: Geometry, image: CtImage) -> bool:
    """Whether an image may lie one step beyond an end of a volume, in its plane and with its pixels.

    Parameters
    ----------
    geometry : Geometry
    image : CtImage
        Not one of the slices.
    """
    first = geometry.images[0]
    if image.position_mm is None or image.orientation is None or first.orientation is None:
        # Nobody can say where it lies. Dose pages and screenshots have no place either, but say that they are derived.
        return (image.rows, image.columns) == (first.rows, first.columns) and image.image_type[:1] != ("DERIVED",)
    same = (image.rows, image.columns, image.spacing_mm) == (first.rows, first.columns, first.spacing_mm)
    if not same or np.abs(image.orientation - first.orientation).max() > _ORIENTATION_TOLERANCE:
        return False
    step = geometry.affine_lps[:3, 2]
    ends = (geometry.images[0].position_mm - step, geometry.images[-1].position_mm + step)  # type: ignore[operator]
    return any(float(np.abs(image.position_mm - end).max()) < 0.1 for end in ends)


def _thickness(images: Sequence[CtImage], step: float) -> tuple[float | None, bool]:
    """Return the nominal thickness and whether the tag is plausible for this step."""
    values = [image.thickness_mm for image in images if image.thickness_mm is not None]
    if not values:
        return None, False
    thickness = float(np.median(values))
    return thickness, 0.5 * step <= thickness <= 3 * step


def _ends_may_be_missing(images: Sequence[CtImage]) -> bool:
    numbers = sorted(image.instance_number for image in images if image.instance_number is not None)
    if len(numbers) != len(images):
        return False
    return numbers[0] > 1 or numbers[-1] - numbers[0] != len(numbers) - 1


def _order_disagrees(images: Sequence[CtImage]) -> bool:
    """Whether the numbers of the slices, or their SliceLocation, run against their positions.

    Either may rise or fall along the volume. Two slices with exchanged positions are found by nothing else.
    """
    for values in ([i.instance_number for i in images], [i.slice_location_mm for i in images]):
        known = [float(value) for value in values if value is not None]
        steps = np.diff(known)
        # Numbers given twice or not at all show no order.
        if len(known) == len(images) and (steps > 0).any() and (steps < 0).any():
            return True
    return False


def plan_geometry(images: Sequence[CtImage], *, settings: GateSettings, where: str, damaged: int = 0) -> Geometry:
    """Sort the slices of a series along their normal and check that they form one volume.

    Parameters
    ----------
    images : sequence of CtImage
        Of one sub-series, without duplicates, in any order.
    settings : GateSettings
    where : str
        Role and series label for messages.
    damaged : int
        Damaged files that may belong to the series. Gaps that they could explain are ``SPACING_VARIES`` here, which
        the caller turns into ``FILE_UNREADABLE``. More missing slices than damaged files are a proven ``GAP``.

    Returns
    -------
    geometry : Geometry

    Raises
    ------
    Refusal
        ``BAD_VALUE``, ``GEOMETRY_MISSING``, ``LIMIT_EXCEEDED``, ``PIXEL_SPACING``, ``MATRIX_VARIES``,
        ``ORIENTATION``, ``TOO_FEW_SLICES``, ``PHASE_MIXED``, ``TILT``, ``GAP``, ``SPACING_VARIES``, ``COVERAGE``.

    Notes
    -----
    PixelSpacing is (between rows, between columns), Image Orientation is (along a row, along a column): the column
    index moves along the first vector by the *second* spacing (PS3.3 C.7.6.2.1.1).
    """
    gate = _Gate(images, settings, where, damaged)
    gate.check_values()
    gate.check_limits()
    plane, (between_rows, between_columns) = gate.check_plane()
    normal = np.cross(plane[0], plane[1])
    normal /= np.linalg.norm(normal)
    ordered = sorted(images, key=lambda image: (float(np.dot(image.position_mm, normal)), image.sop_uid))  # type: ignore[arg-type]
    positions = np.array([image.position_mm for image in ordered])
    along = positions @ normal
    step = gate.check_steps(positions, along, normal)
    thickness, plausible = _thickness(ordered, step)
    extent = float(along[-1] - along[0]) + (thickness if thickness is not None and plausible else step)
    if extent < settings.min_coverage_mm:
        raise gate.refuse(
            "COVERAGE", f">= {settings.min_coverage_mm:g} mm along z", f"{extent:g}", "Send the whole abdomen."
        )
    affine = np.eye(4)
    affine[:3, 0] = plane[0] * between_columns
    affine[:3, 1] = plane[1] * between_rows
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(ordered) - 1)
    affine[:3, 3] = positions[0]
    affine.setflags(write=False)
    warnings = [] if plausible else ["THICKNESS_TAG"]
    if _ends_may_be_missing(ordered):
        warnings.append("ENDS_MISSING")
    if _order_disagrees(ordered):
        warnings.append("ORDER_DISAGREES")
    return Geometry(tuple(ordered), affine, step, thickness, tuple(warnings))
