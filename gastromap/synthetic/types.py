"""The nouns of the synthetic cohort: a case (labels), a scanner, a pixel grid.

Coordinates everywhere are DICOM patient coordinates (LPS) in mm: x grows to the patient's left, y to the back,
z to the head. The phantom's origin lies in the middle of the body on the level of the first lumbar vertebra.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Case", "Differentiation", "Lauren", "Phase", "PixelGrid", "Scanner", "Stage", "Third", "rng_for"]

Stage = Literal["T1", "T2", "T3", "T4"]
Third = Literal["lower", "middle", "upper"]
Lauren = Literal["intestinal", "diffuse", "mixed"]
Differentiation = Literal["well", "moderate", "poor"]
Phase = Literal["arterial", "portal", "delayed"]


@dataclass(frozen=True)
class Case:
    """Labels and clinical variables of one synthetic patient at one date."""

    seed: int  #: seed of the cohort
    number: int  #: running number in the cohort, starts at 1
    centre: int  #: 1, 2 or 3 (3 is the external test centre)
    stage: Stage
    third: Third
    size_cm: float  #: largest tumour diameter
    lauren: Lauren
    differentiation: Differentiation
    age_years: int
    sex: Literal["M", "F"]
    cea_ng_ml: float
    ca199_u_ml: float
    node_positive: bool
    positive_nodes: int

    @property
    def patient_id(self) -> str:
        """Identifier that says SYNTHETIC wherever it is printed."""
        return f"SYNTHETIC-{self.seed}-{self.number:05d}"


@dataclass(frozen=True)
class Scanner:
    """Acquisition of one centre, after the published Table 4."""

    centre: int
    manufacturer: str
    model: str
    kernel: str  #: name of the soft-tissue kernel
    slice_thickness_mm: float  #: also the distance of the slices
    pixel_spacing_mm: float
    noise_hu: float  #: standard deviation in soft tissue
    blur_mm: float  #: full width at half maximum of the in-plane point-spread function
    table_y_mm: float  #: top of the table below the back of the body


@dataclass(frozen=True)
class PixelGrid:
    """Pixel centres of an axial image; square pixels, rows run to the back, columns to the left."""

    rows: int
    columns: int
    spacing_mm: float
    centre_x_mm: float = 0.0
    centre_y_mm: float = 0.0

    @property
    def x_mm(self) -> NDArray[np.float32]:
        """X of each column, shape (columns,)."""
        offset = (self.columns - 1) / 2
        return np.asarray((np.arange(self.columns) - offset) * self.spacing_mm + self.centre_x_mm, dtype=np.float32)

    @property
    def y_mm(self) -> NDArray[np.float32]:
        """Y of each row, shape (rows,)."""
        offset = (self.rows - 1) / 2
        return np.asarray((np.arange(self.rows) - offset) * self.spacing_mm + self.centre_y_mm, dtype=np.float32)


def rng_for(seed: int, number: int, stream: str) -> np.random.Generator:
    """Independent random stream of one patient; adding a stream never changes another one."""
    return np.random.default_rng([seed, number, *stream.encode("ascii")])
