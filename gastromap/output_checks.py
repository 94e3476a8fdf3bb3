"""What a result has to fulfil before anything is written: its parts belong together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from gastromap.errors import GastromapError
from gastromap.results import Comparison, GradCamResult, KeySlice, StageResult, StudyResult, Tumour
from gastromap.volume import CtVolume

__all__ = ["check_result", "inconsistent"]

#: A fault of the sums of float32 probabilities.
_TOLERANCE = 1e-6


def inconsistent(expected: str, got: str) -> GastromapError:
    """Make the error ``RESULT_INCONSISTENT``: a fault of the program, never of the user."""
    return GastromapError(
        "RESULT_INCONSISTENT",
        where="output",
        expected=expected,
        got=got,
        remedy="Nothing was kept; report this fault to the developers.",
    )


def check_result(result: StudyResult) -> None:
    """Assert that slices, maps, probabilities and sizes belong to their volumes and to each other.

    Raises
    ------
    GastromapError
        ``RESULT_INCONSISTENT``.
    """
    _check_volume(result.volume, result.tumour)
    _check_stage(result.volume, result.key_slice, result.stage, result.grad_cam)
    if result.comparison is not None:
        _check_comparison(result, result.comparison)


def _check_volume(volume: CtVolume, tumour: Tumour | None) -> None:
    if len(volume.sources) != volume.hu.shape[0]:
        raise inconsistent("one source a slice", f"{len(volume.sources)} for {volume.hu.shape[0]}")
    if tumour is None:
        return
    if tumour.mask.shape != volume.hu.shape or not tumour.mask.any():
        raise inconsistent("a tumour mask on the grid of its volume", "another shape or an empty one")
    sizes = tumour.measures
    if not all(np.isfinite(size) and size > 0 for size in (sizes.volume_ml, sizes.long_axis_mm, sizes.thickness_mm)):
        raise inconsistent("a tumour with a size", "none")


def _check_slice(volume: CtVolume, index: int, uid: str) -> None:
    if not 0 <= index < len(volume.sources):
        raise inconsistent("slice indices inside the volume", "one outside")
    if volume.sources[index].sop_instance_uid != uid:
        raise inconsistent("slice UIDs that belong to their index", "another UID")


def _check_stage(volume: CtVolume, key: KeySlice, stage: StageResult, grad_cam: GradCamResult | None) -> None:
    _check_slice(volume, key.index, key.sop_instance_uid)
    for part in stage.slices:
        _check_slice(volume, part.index, part.sop_instance_uid)
    if grad_cam is not None:
        if grad_cam.index != key.index:
            raise inconsistent("a heat map of the key slice", "of another slice")
        if {item.index for item in grad_cam.neighbours} - {part.index for part in stage.slices} or len(
            {item.index for item in grad_cam.slices}
        ) != len(grad_cam.slices):
            raise inconsistent("one heat map for each of some slices that were read", "of others, or two of one")
        for item in grad_cam.slices:
            if item.heatmap.shape != volume.hu.shape[1:]:
                raise inconsistent("heat maps on the grid of their slices", "another shape")
            if not np.isfinite(item.heatmap).all():
                raise inconsistent("finite heat maps", "NaN or infinity")
    shares = stage.probabilities
    if tuple(shares) != ("T1", "T2", "T3", "T4") or abs(sum(shares.values()) - 1.0) > _TOLERANCE:
        raise inconsistent("four probabilities with sum 1", f"{len(shares)} with another sum")
    if stage.stage not in shares or (grad_cam is not None and grad_cam.stage not in shares):
        raise inconsistent("a stage from T1 to T4", "another one")


def _check_comparison(result: StudyResult, comparison: Comparison) -> None:
    followup, stage, grad_cam = comparison.followup, comparison.stage, comparison.grad_cam
    roles = (result.volume.role, followup.volume.role)
    if roles != ("baseline", "followup"):
        raise inconsistent("a baseline and its follow-up", " and ".join(roles))
    _check_volume(followup.volume, followup.tumour)
    key = followup.key_slice
    if (key is None) != (stage is None) or (stage is None and grad_cam is not None):
        raise inconsistent("a key slice with its stage after treatment, or neither", "one of them")
    if key is not None and stage is not None:
        _check_stage(followup.volume, key, stage, grad_cam)
    elif followup.tumour is not None:
        raise inconsistent("a key slice through the tumour after treatment", "none")
    _check_sizes(result, comparison)
    if (comparison.outlook is None) == (not comparison.omitted):
        raise inconsistent("an outlook, or a sentence that says why there is none", "both or neither")
    if comparison.outlook is not None:
        _check_outlook(comparison)


def _check_sizes(result: StudyResult, comparison: Comparison) -> None:
    before, after = result.tumour, comparison.followup.tumour
    for change in comparison.changes:
        if before is None or getattr(before.measures, change.name) != change.before:
            raise inconsistent("the size of the baseline before treatment", "another one")
        if change.after != (0.0 if after is None else getattr(after.measures, change.name)):
            raise inconsistent("the size of the follow-up after treatment", "another one")


def _check_outlook(comparison: Comparison) -> None:
    assert comparison.outlook is not None  # noqa: S101  asked by the caller
    last = comparison.outlook.breaks_months[-1]
    for outcome in (comparison.outlook.outcome, comparison.outlook.baseline_only):
        if outcome is None:
            continue
        curve = [1.0, *outcome.survival.values(), 0.0]
        months = list(outcome.survival)
        # NaN fails every comparison, and so this one too.
        if not all(later <= earlier for earlier, later in pairwise(curve)):
            raise inconsistent("survival that starts at 1 and never rises", "another curve")
        if months != sorted(months) or (months and not 0 < months[0] <= months[-1] <= last):
            raise inconsistent("months in order, up to the last break", "others")
        if not 0 <= outcome.lnm_probability <= 1 or not 0 <= outcome.rmst_months <= last * (1 + _TOLERANCE):
            raise inconsistent("a probability, and a survival within the last break", "others")
