"""The checked CT volume that the input gate hands to everything behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pydicom
from numpy.typing import NDArray

__all__ = ["CtVolume", "SeriesRecord", "SliceSource"]


@dataclass(frozen=True)
class SliceSource:
    """Origin of one slice of a volume: the header (without pixels) and a hash of its stored pixels."""

    sop_instance_uid: str
    header: pydicom.Dataset = field(repr=False)
    pixel_sha256: str = ""


@dataclass(frozen=True)
class SeriesRecord:
    """What the gate knows of a series, fit for ``result.json``: no description, no patient data."""

    series_instance_uid: str
    study_instance_uid: str
    series_number: int | None
    label: str  #: ``series N #h8``, the name used in messages
    number_of_slices: int
    step_mm: float
    thickness_mm: float | None
    kernel: str | None
    phase: str  #: ``portal-venous``, ``named by the caller`` …
    votes: Mapping[str, str]  #: text, timing, order, image -> ``portal`` | ``other`` | ``no evidence``


@dataclass(frozen=True)
class CtVolume:
    """A CT series as Hounsfield units with the geometry and origin of every voxel.

    Attributes
    ----------
    hu : array, shape (slices, rows, columns), float32
        Hounsfield units, at least -1024; the slice index rises along the slice normal (IOP row x column).
    affine_lps : array, shape (4, 4)
        Maps (column, row, slice, 1) to DICOM patient coordinates in mm (PS3.3 C.7.6.2.1.1).
    sources : tuple of SliceSource
        Headers of exactly the slices in ``hu``, in the same order. Writers take patient and study only from here.
    series : SeriesRecord
        The chosen series.
    role : str
        ``baseline`` or ``followup``.
    warnings : tuple of str
        Warning codes of the gate (``FOREIGN_FILES`` …).
    runners_up : tuple of SeriesRecord
        The series that were candidates and lost.
    digest : str
        SHA-256 over the SHA-256 of each slice's HU (little endian: int16 where slope and intercept are whole numbers,
        else float32), the affine (float64) and the SOP Instance UIDs, each ended by a zero byte.
    """

    hu: NDArray[np.float32] = field(repr=False)
    affine_lps: NDArray[np.float64] = field(repr=False)
    sources: tuple[SliceSource, ...] = field(repr=False)
    series: SeriesRecord
    role: str = "baseline"
    warnings: tuple[str, ...] = ()
    runners_up: tuple[SeriesRecord, ...] = ()
    digest: str = ""

    @property
    def pixel_spacing_mm(self) -> tuple[float, float]:
        """Distance between rows and between columns, in the order of PixelSpacing (0028,0030)."""
        return (
            float(np.linalg.norm(self.affine_lps[:3, 1])),
            float(np.linalg.norm(self.affine_lps[:3, 0])),
        )

    @property
    def step_mm(self) -> float:
        """Distance between neighbouring slices in mm."""
        return float(np.linalg.norm(self.affine_lps[:3, 2]))

    @property
    def rises_to_head(self) -> bool:
        """Whether a larger slice index is nearer to the head (+z of the patient)."""
        return bool(self.affine_lps[2, 2] > 0)

    def index_from_feet(self, index: int) -> int:
        """Convert between slice index and the index counted from the feet upwards (its own inverse)."""
        return index if self.rises_to_head else len(self.sources) - 1 - index
