"""Draw the scanner of one synthetic patient: three centres after the published Table 4.

Noise and blur belong to the images of the main (portal-venous) series; a sharp or thin reconstruction of the same
acquisition derives its own from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gastromap.synthetic.types import Case, Scanner, rng_for

__all__ = ["CENTRES", "sample_scanner"]

CENTRES: Final = (1, 2, 3)


@dataclass(frozen=True)
class _Preset:
    manufacturer: str
    models: tuple[str, ...]
    kernels: tuple[str, ...]
    thickness_mm: tuple[float, ...]
    spacing_mm: tuple[float, float]
    noise_hu: tuple[float, float]
    blur_mm: tuple[float, float]
    table_y_mm: tuple[float, float]


_PRESETS: Final[dict[int, _Preset]] = {
    1: _Preset(
        manufacturer="TOSHIBA",
        models=("Aquilion ONE", "Aquilion"),
        kernels=("FC13", "FC18"),
        thickness_mm=(1.0, 1.5, 3.0, 5.0),
        spacing_mm=(0.65, 0.85),
        noise_hu=(10.0, 16.0),
        blur_mm=(1.1, 1.4),
        table_y_mm=(4.0, 14.0),
    ),
    2: _Preset(
        manufacturer="Philips",
        models=("Brilliance 64", "iCT 256"),
        kernels=("B", "C"),
        thickness_mm=(3.0,),
        spacing_mm=(0.68, 0.82),
        noise_hu=(8.0, 12.0),
        blur_mm=(1.0, 1.3),
        table_y_mm=(10.0, 20.0),
    ),
    3: _Preset(
        manufacturer="Philips",
        models=("Ingenuity CT",),
        kernels=("A", "B"),
        thickness_mm=(1.0, 1.5, 2.0),
        spacing_mm=(0.7, 0.9),
        noise_hu=(12.0, 18.0),
        blur_mm=(0.9, 1.15),
        table_y_mm=(2.0, 10.0),
    ),
}


def sample_scanner(case: Case, *, stream: str = "scanner") -> Scanner:
    """Draw scanner and protocol of one examination.

    Parameters
    ----------
    case : Case
        Its centre names the preset; seed and number make the draw repeatable.
    stream : str
        Name of the random stream. A second examination of the same patient passes another one.

    Returns
    -------
    scanner : Scanner
    """
    preset = _PRESETS[case.centre]
    rng = rng_for(case.seed, case.number, stream)
    return Scanner(
        centre=case.centre,
        manufacturer=preset.manufacturer,
        model=preset.models[int(rng.integers(len(preset.models)))],
        kernel=preset.kernels[int(rng.integers(len(preset.kernels)))],
        slice_thickness_mm=preset.thickness_mm[int(rng.integers(len(preset.thickness_mm)))],
        # Three decimals: the spacing is written as a decimal string, and image and header must agree exactly.
        pixel_spacing_mm=round(float(rng.uniform(*preset.spacing_mm)), 3),
        noise_hu=round(float(rng.uniform(*preset.noise_hu)), 2),
        blur_mm=round(float(rng.uniform(*preset.blur_mm)), 3),
        table_y_mm=round(float(rng.uniform(*preset.table_y_mm)), 1),
    )
