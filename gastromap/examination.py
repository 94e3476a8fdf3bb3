"""What is known of one CT examination before it is staged: key slice, tumour, size.

Whoever marked the tumour comes first; the segmentation model is asked where nobody did, and where two examinations are
to be compared and the size is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gastromap.dicom_input.folder import DicomFolder
from gastromap.dicom_input.labels import quiet_pydicom
from gastromap.dicom_input.seg_mask import marked_tumour
from gastromap.dicom_input.segments import OutlineError
from gastromap.dicom_input.time_points import key_slice_requests
from gastromap.key_slice import automatic_key_slice, marked_key_slice, no_key_slice
from gastromap.results import Examination, KeySlice, Tumour
from gastromap.volume import CtVolume

if TYPE_CHECKING:
    from gastromap.segmentation.finder import TumourFinding
    from gastromap.segmentation.lazy import LazyTumourFinder

__all__ = ["examine", "examine_all"]

_NOBODY_LOOKED = "nobody has marked a tumour, and no segmentation model is installed"


def examine(
    folder: DicomFolder,
    volume: CtVolume,
    *,
    requested: str | None = None,
    finder: LazyTumourFinder | None = None,
    measure: bool = False,
    required: bool = True,
) -> Examination:
    """Find key slice and tumour of one examination.

    Parameters
    ----------
    folder : DicomFolder
        The folder the volume comes from, with its SEG, RTSTRUCT and key objects.
    volume : CtVolume
    requested : str, optional
        Key slice, as of :func:`gastromap.key_slice.marked_key_slice`.
    finder : LazyTumourFinder, optional
    measure : bool
        Ask the finder for the size even where somebody has marked the key slice and nothing else.
    required : bool
        Refuse where there is no key slice. A follow-up compared with its baseline need not have one: treatment may
        have left nothing to see.

    Returns
    -------
    Examination
        Warnings: ``SEG_UNMEASURED`` (a segmentation names the slice, but its size could not be taken),
        ``TUMOUR_ELSEWHERE`` (what the model found does not reach the key slice that was named; its size is left out),
        ``TUMOUR_UNSURE`` (weak signs alone make it a tumour for the model).

    Raises
    ------
    UsageError
        ``KEY_SLICE_UNKNOWN``.
    Refusal
        ``NO_KEY_SLICE`` and ``NO_TUMOUR`` where one is required; ``PIXEL_DATA``.
    """
    key_slice = marked_key_slice(folder, volume, requested=requested)
    mask, warnings = _marked(folder, volume, key_slice)
    looked = mask is not None and not mask.any()
    if looked and key_slice is None and not required:
        return Examination(volume, None, None, "no tumour in the segmentation that was sent", warnings=tuple(warnings))
    if mask is not None and mask.any():
        return Examination(volume, key_slice, _tumour(volume, mask), warnings=tuple(warnings))
    if finder is None:
        if key_slice is None and required:
            raise no_key_slice(folder, volume)
        return Examination(volume, key_slice, None, _NOBODY_LOOKED, searched=False, warnings=tuple(warnings))
    if key_slice is not None and not measure:
        return Examination(volume, key_slice, None, "not measured", searched=False, warnings=tuple(warnings))
    finding = finder(volume.hu, volume.affine_lps)
    if key_slice is None and (finding.found or required):
        key_slice = automatic_key_slice(volume, finding)
    if not finding.found:
        return Examination(volume, key_slice, None, finding.reason, warnings=tuple(warnings))
    if key_slice is not None and not finding.mask[key_slice.index].any():
        warnings.append("TUMOUR_ELSEWHERE")
        return Examination(
            volume, key_slice, None, "the model found a tumour, but not on the key slice", warnings=tuple(warnings)
        )
    if not finding.sure:
        warnings.append("TUMOUR_UNSURE")
    return Examination(volume, key_slice, _found(finding, finder), warnings=tuple(warnings))


def examine_all(
    folder: DicomFolder,
    volumes: Sequence[CtVolume],
    *,
    requested: Sequence[str] = (),
    finder: LazyTumourFinder | None = None,
) -> tuple[Examination, ...]:
    """Examine the volume of one study, or those before and after treatment.

    Parameters
    ----------
    folder, finder
        As of :func:`examine`.
    volumes : sequence of CtVolume
        The baseline first; it must have a key slice, and of two both are measured.
    requested : sequence of str
        Key slices, as of :func:`gastromap.dicom_input.key_slice_requests`.

    Raises
    ------
    UsageError, Refusal
        As of both.
    """
    return tuple(
        examine(
            folder,
            volume,
            requested=name,
            finder=finder,
            measure=len(volumes) > 1,
            required=volume is volumes[0],
        )
        for volume, name in zip(volumes, key_slice_requests(volumes, requested), strict=True)
    )


def _marked(
    folder: DicomFolder, volume: CtVolume, key_slice: KeySlice | None
) -> tuple[NDArray[np.bool_] | None, list[str]]:
    """Mask of the segmentations that were sent; one that does not reach a key slice named otherwise is not of it."""
    try:
        with quiet_pydicom():
            mask = marked_tumour(folder.objects, volume)
    except OutlineError:
        # Good enough to name the slice, or find_key_slice had refused it; a size must be on the grid of the images.
        return None, ["SEG_UNMEASURED"]
    if mask is not None and mask.any() and key_slice is not None and not mask[key_slice.index].any():
        return None, ["TUMOUR_ELSEWHERE"]
    return mask, []


def _tumour(volume: CtVolume, mask: NDArray[np.bool_]) -> Tumour:
    from gastromap.preprocessing.volume import mask_centre
    from gastromap.segmentation.measures import measure_tumour

    spacing = (volume.step_mm, *volume.pixel_spacing_mm)
    return Tumour(
        origin="seg",
        mask=mask,
        centre_lps=mask_centre(mask, volume.affine_lps),
        measures=measure_tumour(mask, spacing, volume.hu),
    )


def _found(finding: TumourFinding, finder: LazyTumourFinder) -> Tumour:
    assert finding.measures is not None  # noqa: S101 -- of every finding that found something
    assert finding.centre_lps is not None  # noqa: S101
    return Tumour(
        origin="auto",
        mask=finding.mask,
        centre_lps=finding.centre_lps,
        measures=finding.measures,
        probability=finding.probability,
        model=finder.loaded.identity,
    )
