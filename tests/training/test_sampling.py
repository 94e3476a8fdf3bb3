"""How often a patient is drawn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gastromap.training.sampling import more_of_small


@pytest.fixture
def records(tmp_path: Path) -> list[dict[str, str]]:
    """Masks of 1 ml and of 16 ml, one with the organ alone."""
    found = []
    for name, voxels, value in (("small", 125, 2), ("large", 2000, 2), ("organ", 3000, 1)):
        mask = np.zeros(4000, np.uint8)
        mask[:voxels] = value
        # 2 mm voxels: 125 are 1 ml.
        nib.save(nib.Nifti1Image(mask.reshape(20, 20, 10), np.diag([2.0, 2.0, 2.0, 1.0])), tmp_path / f"{name}.nii.gz")
        found.append({"label": str(tmp_path / f"{name}.nii.gz")})
    return found


def _drawn(records: list[dict[str, str]], power: float, *, seed: int = 0) -> list[int]:
    sampler = more_of_small(records * 2000, [2], power=power, seed=seed)
    assert sampler is not None
    return [index % len(records) for index in sampler]


def test_a_quarter_takes_one_millilitre_twice_as_often_as_sixteen(records: list[dict[str, str]]) -> None:
    counts = Counter(_drawn(records[:2], 0.25))
    assert counts.total() == 4000
    # Two thirds, within five standard deviations.
    assert counts[0] / 4000 == pytest.approx(2 / 3, abs=0.04)


def test_a_mask_without_tumour_counts_as_the_smallest(records: list[dict[str, str]]) -> None:
    counts = Counter(_drawn(records, 0.25))
    assert counts[2] / counts[0] == pytest.approx(1, abs=0.12)


def test_without_any_tumour_all_are_alike(records: list[dict[str, str]]) -> None:
    sampler = more_of_small(records[2:] * 3, [2], power=0.25)
    assert sampler is not None
    assert len(set(sampler.weights.tolist())) == 1


def test_power_zero_needs_no_sampler(records: list[dict[str, str]]) -> None:
    assert more_of_small(records, [2], power=0) is None


def test_the_seed_decides(records: list[dict[str, str]]) -> None:
    assert _drawn(records, 0.25, seed=3) == _drawn(records, 0.25, seed=3)
    assert _drawn(records, 0.25, seed=3) != _drawn(records, 0.25, seed=4)
