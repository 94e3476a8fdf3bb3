"""Split a series into sub-series that each have one image a position.

Scanners and archives put several phases, reconstructions or a localizer under one series UID. Taking one image a
position from such a series gives a volume that no scanner ever made, so either an attribute separates them or the
series is refused.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from gastromap.dicom_input.image import CtImage
from gastromap.errors import Refusal

__all__ = ["SplitSeries", "is_axial", "split_series"]

#: Hash of the stored pixels, read on demand: only images at one position are compared.
PixelDigest = Callable[[CtImage], str]

_TIME_GAP_S = 5.0


@dataclass(frozen=True)
class SplitSeries:
    """Sub-series of one series and what was dropped on the way."""

    parts: tuple[tuple[CtImage, ...], ...]
    warnings: tuple[str, ...]


def is_axial(image: CtImage, *, max_degrees: float) -> bool:
    """Whether the slice normal is along the body axis; images without orientation count as axial."""
    normal = image.normal
    return normal is None or float(np.degrees(np.arccos(min(1.0, abs(float(normal[2])))))) <= max_degrees


def _place(image: CtImage) -> Hashable:
    # 0.01 mm: decimal strings round positions, and no two slices of a volume are nearer.
    return None if image.position_mm is None else tuple(np.round(image.position_mm, 2).tolist())


def _places(images: Sequence[CtImage]) -> dict[Hashable, list[CtImage]]:
    groups: dict[Hashable, list[CtImage]] = defaultdict(list)
    for image in images:
        place = _place(image)
        groups[place if place is not None else ("no position", image.sop_uid)].append(image)
    return groups


def _without_duplicates(images: Sequence[CtImage], digest: PixelDigest) -> list[CtImage]:
    kept: list[CtImage] = []
    for group in _places(images).values():
        if len(group) == 1:
            kept.append(group[0])
            continue
        seen: set[tuple[object, ...]] = set()
        for image in sorted(group, key=lambda item: item.sop_uid):
            content = (image.rows, image.columns, image.slope, image.intercept, digest(image))
            if content not in seen:
                kept.append(image)
            seen.add(content)
    return sorted(kept, key=lambda image: image.sop_uid)


def _conflicts(images: Sequence[CtImage]) -> int:
    """Return how many volumes are mixed at least; 1 means one image a position."""
    most = max((len(group) for group in _places(images).values()), default=1)
    numbers = Counter(image.instance_number for image in images if image.instance_number is not None)
    return max(most, max(numbers.values(), default=1))


def _time_clusters(images: Sequence[CtImage], time: Callable[[CtImage], float | None]) -> list[Hashable] | None:
    times = [time(image) for image in images]
    if any(value is None for value in times):
        return None
    distinct = sorted({value for value in times if value is not None})
    cluster, number = {}, 0
    for index, value in enumerate(distinct):
        number += index > 0 and value - distinct[index - 1] > _TIME_GAP_S
        cluster[value] = number
    return [cluster[value] for value in times if value is not None]


def _instance_runs(images: Sequence[CtImage]) -> list[Hashable] | None:
    """Label the runs of InstanceNumber in which the position moves one way."""
    if any(image.instance_number is None or image.position_mm is None for image in images):
        return None
    numbers = [image.instance_number for image in images]
    if len(set(numbers)) < len(numbers):
        return None
    order = sorted(range(len(images)), key=lambda index: images[index].instance_number or 0)
    labels: list[Hashable] = [0] * len(images)
    run, direction, previous = 0, 0.0, None
    for index in order:
        place = images[index].position_mm
        z = 0.0 if place is None else float(place[2])
        if previous is not None:
            move = float(np.sign(z - previous))
            if direction and move != direction:
                run, direction = run + 1, 0.0
            else:
                direction = move
        previous = z
        labels[index] = run
    counts = Counter(labels)
    # A whole phase, not a slice or two at a wrong position.
    return labels if min(counts.values()) >= max(counts.values()) / 2 else None


def _keys(images: Sequence[CtImage]) -> list[list[Hashable] | None]:
    return [
        [image.acquisition_number for image in images],
        _time_clusters(images, lambda image: image.acquisition_s),
        _time_clusters(images, lambda image: image.content_s),
        [image.temporal_position for image in images],
        [image.image_type for image in images],
        [image.kernel for image in images],
        [(image.rows, image.columns) for image in images],
        [image.frame_uid for image in images],
        _instance_runs(images),
    ]


def _split_by(images: Sequence[CtImage], labels: list[Hashable] | None) -> list[tuple[CtImage, ...]] | None:
    if labels is None or len(set(labels)) < 2:
        return None
    groups: dict[Hashable, list[CtImage]] = defaultdict(list)
    for image, label in zip(images, labels, strict=True):
        groups[label].append(image)
    # Groups of one image come from attributes that number slices, not phases.
    if len(groups) < _conflicts(images) or any(len(group) < 2 or _conflicts(group) > 1 for group in groups.values()):
        return None
    return sorted((tuple(group) for group in groups.values()), key=lambda group: group[0].sop_uid)


def _is_localizer(image: CtImage) -> bool:
    return any("LOCALIZER" in word or "SURVIEW" in word for word in image.image_type)


def split_series(
    images: Sequence[CtImage], *, digest: PixelDigest, where: str, max_axial_degrees: float
) -> SplitSeries:
    """Drop localizers and duplicates of a series and split what is left.

    Parameters
    ----------
    images : sequence of CtImage
        One series, each SOP Instance UID once.
    digest : callable
        Hash of the stored pixels of an image.
    where : str
        Role and series label for messages.
    max_axial_degrees : float
        Limit between axial and other planes.

    Returns
    -------
    split : SplitSeries
        At least one part; a series of localizers only is returned whole.

    Raises
    ------
    Refusal
        ``PHASE_MIXED`` if images of several volumes cannot be told apart.
    """
    warnings: list[str] = []
    slices = [image for image in images if not _is_localizer(image) and is_axial(image, max_degrees=max_axial_degrees)]
    if not slices:
        return SplitSeries((tuple(images),), ())
    if len(slices) < len(images):
        warnings.append("LOCALIZER_DROPPED")
    distinct = _without_duplicates(slices, digest)
    if len(distinct) < len(slices):
        warnings.append("DUPLICATES_DROPPED")
    if _conflicts(distinct) == 1:
        return SplitSeries((tuple(distinct),), tuple(warnings))
    for labels in _keys(distinct):
        parts = _split_by(distinct, labels)
        if parts:
            return SplitSeries(tuple(parts), tuple(warnings))
    if max(len(group) for group in _places(distinct).values()) == 1 and not _interleaved(distinct):
        # Repeated InstanceNumbers alone, on evenly spaced slices, are a fault of numbering.
        return SplitSeries((tuple(distinct),), tuple(warnings))
    raise Refusal(
        "PHASE_MIXED",
        where=where,
        expected="one image a position",
        got=f"{len(distinct)} images at {len(_places(distinct))} positions, not separable",
        remedy="Export the phases as separate series.",
    )


def _interleaved(images: Sequence[CtImage]) -> bool:
    """Whether steps along z are uneven, as where a second phase lies between the slices of the first."""
    heights = np.sort([float(image.position_mm[2]) for image in images if image.position_mm is not None])
    steps = np.diff(heights)
    return bool(len(steps) and np.ptp(steps) > 0.1)
