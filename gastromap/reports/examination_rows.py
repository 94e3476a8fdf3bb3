"""What is said of one CT examination in any report: key slice, images, tumour size."""

from __future__ import annotations

from dataclasses import dataclass

from gastromap.reports.catalogue import known
from gastromap.reports.phrases import KEY_SLICE_ORIGINS, LOST, PHASES, VOTERS, VOTES, percent
from gastromap.results import KeySlice, ModelIdentity, Tumour
from gastromap.text import Text, in_a_row
from gastromap.volume import CtVolume, SeriesRecord

__all__ = [
    "MEASURED",
    "TumourContent",
    "key_slice_rows",
    "millilitres",
    "millimetres",
    "model_rows",
    "other_series",
    "series_reason",
    "series_rows",
    "tumour_content",
]

Rows = tuple[tuple[str, str], ...]

#: As sentences; the words alone are ``SIZE_ORIGINS``.
MEASURED = {
    "seg": Text("Measured in a DICOM segmentation."),
    "auto": Text("Measured in the mask of the segmentation model, checked by nobody."),
}


@dataclass(frozen=True)
class TumourContent:
    """Size of the tumour of one examination."""

    rows: Rows
    origin: str  #: a sentence
    notice: str  #: of the segmentation model; empty for a DICOM segmentation


def key_slice_rows(volume: CtVolume, key: KeySlice) -> Rows:
    """Place and origin of the key slice."""
    area: Rows = ()
    if key.tumour_area_mm2 is not None:
        area = ((Text("Tumour area"), Text("{area} mm²", area=f"{key.tumour_area_mm2:.0f}")),)
    place = Text("{number} from the feet (0 = lowest), of {slices}", number=key.index_from_feet, slices=len(volume.hu))
    return (
        (Text("Slice"), place),
        (Text("Position z"), f"{key.position_mm:.1f} mm".replace("-", "−")),
        (Text("Found by"), KEY_SLICE_ORIGINS.get(key.origin, key.origin)),
        *area,
    )


def _named(series: SeriesRecord) -> str:
    return Text("unnumbered") if series.series_number is None else Text("number {number}", number=series.series_number)


def _votes(series: SeriesRecord) -> str:
    said = [
        Text("{source}: {vote}", source=VOTERS.get(source, source), vote=VOTES.get(vote, vote))
        for source, vote in series.votes.items()
    ]
    return in_a_row(said) or Text("none")


def series_rows(volume: CtVolume) -> Rows:
    """Series, phase and grid."""
    series = volume.series
    rows, columns = volume.hu.shape[1:]
    down, across = volume.pixel_spacing_mm
    voxel = f"{down:.2f}×{across:.2f}×{series.step_mm:.2f} mm"
    grid = Text("{slices} slices of {pixels}, {voxel}", slices=len(volume.hu), pixels=f"{rows}×{columns}", voxel=voxel)
    return (
        (Text("Series"), _named(series)),
        (Text("Phase"), PHASES.get(series.phase, series.phase)),
        (Text("Phase evidence"), _votes(series)),
        (Text("Grid"), grid),
        (Text("Kernel"), series.kernel or Text("not given")),
    )


def series_reason(volume: CtVolume) -> str:
    """Why this series and no other, as a sentence."""
    series = volume.series
    if series.phase != "portal-venous":
        return Text("Chosen because it was named by the caller; the phase was not decided from evidence.")
    said = [vote for vote in series.votes.values() if vote != "no evidence"]
    return Text(
        "Chosen because {portal} of {asked} sources with evidence say portal-venous.",
        portal=said.count("portal"),
        asked=len(said),
    )


def other_series(volume: CtVolume) -> tuple[tuple[str, str, str], ...]:
    """Series that were looked at and not chosen: number, slices, reason."""
    rows = []
    for series in volume.runners_up:
        reason = series.phase.removeprefix("lost: ")
        number = "–" if series.series_number is None else str(series.series_number)
        rows.append((number, str(series.number_of_slices), LOST.get(reason, reason)))
    return tuple(rows)


def model_rows(model: ModelIdentity) -> Rows:
    """Which model, with which weights."""
    return (
        (Text("Model"), f"{model.name} {model.version} ({model.network})"),
        (Text("Weights"), f"SHA-256 {model.weights_sha256[:16]}…"),
        (Text("Preprocessing"), model.preprocessing),
        (Text("Trained on"), known(model.trained_on)),
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
    mean: Rows = ()
    if tumour.probability is not None:
        mean = ((Text("Mean in mask"), Text("{share}, not calibrated", share=percent(tumour.probability))),)
    return TumourContent(
        rows=(
            (Text("Long axis"), Text("{length} in one axial slice", length=millimetres(sizes.long_axis_mm))),
            (Text("Volume"), millilitres(sizes.volume_ml)),
            (Text("Wall thickness"), Text("{length} at its thickest", length=millimetres(sizes.thickness_mm))),
            (Text("Fat around it"), Text("{share} of the nearest 2 mm", share=percent(sizes.fat_contact))),
            *mean,
        ),
        origin=MEASURED[tumour.origin],
        notice="" if tumour.model is None else known(tumour.model.notice),
    )
