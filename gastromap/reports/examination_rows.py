"""What is said of one CT examination in any report: key slice, images, tumour size."""

from __future__ import annotations

from dataclasses import dataclass

from gastromap.reports.phrases import KEY_SLICE_ORIGINS, SIZE_ORIGINS, VOTES, percent, sentence
from gastromap.results import KeySlice, ModelIdentity, Tumour
from gastromap.volume import CtVolume

__all__ = [
    "TumourContent",
    "key_slice_rows",
    "millilitres",
    "millimetres",
    "model_rows",
    "series_rows",
    "tumour_content",
]

Rows = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class TumourContent:
    """Size of the tumour of one examination."""

    rows: Rows
    origin: str  #: a sentence
    notice: str  #: of the segmentation model; empty for a DICOM segmentation


def key_slice_rows(volume: CtVolume, key: KeySlice) -> Rows:
    """Place and origin of the key slice."""
    area = () if key.tumour_area_mm2 is None else (("Tumour area", f"{key.tumour_area_mm2:.0f} mm²"),)
    return (
        ("Slice", f"{key.index_from_feet} from the feet (0 = lowest), of {len(volume.sources)}"),
        ("Position z", f"{key.position_mm:.1f} mm".replace("-", "−")),
        ("Found by", KEY_SLICE_ORIGINS.get(key.origin, key.origin)),
        *area,
    )


def series_rows(volume: CtVolume) -> Rows:
    """Series, phase and grid."""
    series = volume.series
    votes = ", ".join(f"{source} {VOTES.get(vote, vote)}" for source, vote in series.votes.items())
    rows, columns = volume.hu.shape[1:]
    down, across = volume.pixel_spacing_mm
    voxel = f"{down:.2f}×{across:.2f}×{series.step_mm:.2f} mm"
    return (
        ("Series", "unnumbered" if series.series_number is None else f"number {series.series_number}"),
        ("Phase", series.phase),
        ("Phase evidence", votes or "none"),
        ("Grid", f"{len(volume.sources)} slices of {rows}×{columns}, {voxel}"),
        ("Kernel", series.kernel or "not given"),
    )


def model_rows(model: ModelIdentity) -> Rows:
    """Which model, with which weights."""
    return (
        ("Model", f"{model.name} {model.version} ({model.network})"),
        ("Weights", f"SHA-256 {model.weights_sha256[:16]}…"),
        ("Preprocessing", model.preprocessing),
        ("Trained on", model.trained_on),
    )


def millimetres(value: float) -> str:
    """Return a length for the reader."""
    return f"{value:.1f} mm"


def millilitres(value: float) -> str:
    """Return a volume for the reader."""
    return f"{value:.1f} ml"


def tumour_content(tumour: Tumour | None) -> TumourContent | None:
    """Put the size of a tumour in words."""
    if tumour is None:
        return None
    sizes = tumour.measures
    mean = () if tumour.probability is None else (("Mean in mask", f"{percent(tumour.probability)}, not calibrated"),)
    return TumourContent(
        rows=(
            ("Long axis", f"{millimetres(sizes.long_axis_mm)} in one axial slice"),
            ("Volume", millilitres(sizes.volume_ml)),
            ("Wall thickness", f"{millimetres(sizes.thickness_mm)} at its thickest"),
            ("Fat around it", f"{percent(sizes.fat_contact)} of the nearest 2 mm"),
            *mean,
        ),
        origin=sentence(SIZE_ORIGINS[tumour.origin]),
        notice="" if tumour.model is None else tumour.model.notice,
    )
