"""Pairs on public data: a clinical table as an archive gives it, a CT with a mask of many organs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from gastromap.cohort.pair_columns import resolve_columns
from gastromap.cohort.pair_images import MaskRule, nifti_scan
from gastromap.cohort.pair_roster import read_pair_roster
from gastromap.cohort.spreadsheet import read_table
from gastromap.errors import Refusal

pytestmark = pytest.mark.realdata


def test_the_labels_of_tcga_stad_are_read_as_published(real_data: Path) -> None:
    """440 patients; overall survival of 435, 168 of whom died, 19 times of 0 (cBioPortal, PanCancer Atlas 2018)."""
    table = read_table(real_data / "survival" / "tcga_stad_pancan2018_cbioportal.tsv", keep_words=True)
    columns = resolve_columns(
        table,
        {
            "patient_id": "Patient ID",
            "lnm": "Neoplasm Disease Lymph Node Stage American Joint Committee on Cancer Code",
            "death": "Overall Survival Status",
            "os_time": "Overall Survival (Months)",
        },
    )
    roster = read_pair_roster(table, columns, pseudonym=lambda name: name)
    followed = [case for case in roster.cases if case.death is not None]
    assert len(roster.rows) == 440
    assert (len(followed), sum(case.death == 1 for case in followed)) == (435, 168)
    assert sum(case.os_months == 0 for case in followed) == 19
    lnm = [case.lnm for case in roster.cases]
    # N0 131; N1 118, N2 85, N3 32, N3A 49, N3B 7; NX 17 and one empty cell, all with survival.
    assert (lnm.count(0), lnm.count(1), lnm.count(None)) == (131, 291, 18)
    assert roster.bad_cells == ()


class TestMaskOfManyOrgans:
    @pytest.fixture
    def image(self, real_data: Path, tmp_path: Path) -> Path:
        """The slices of the CT that its mask has."""
        whole: Any = nibabel.load(real_data / "ct" / "totalseg_contrast20" / "example_ct.nii.gz")
        nibabel.save(whole.slicer[:, :, :30], tmp_path / "ct.nii.gz")
        return tmp_path / "ct.nii.gz"

    @pytest.fixture
    def organs(self, real_data: Path) -> Path:
        return real_data / "ct" / "totalseg_contrast20" / "example_seg.nii.gz"

    def test_it_needs_the_value_of_the_tumour(self, image: Path, organs: Path) -> None:
        with pytest.raises(Refusal, match="MASK_VALUES"):
            nifti_scan(image, organs, number=1, rule=MaskRule())

    def test_the_named_value_keeps_its_volume_and_its_place(self, image: Path, organs: Path) -> None:
        theirs: Any = nibabel.load(organs)
        labels = np.asarray(theirs.dataobj)
        label = int(np.bincount(labels[labels > 0]).argmax())
        found = nifti_scan(image, organs, number=1, rule=MaskRule(label=label))
        assert found.mask is not None
        assert found.mask.sum() == (labels == label).sum()
        mine = found.affine_lps @ [*np.argwhere(found.mask).mean(axis=0)[::-1], 1]
        other = theirs.affine @ [*np.argwhere(labels == label).mean(axis=0), 1]
        np.testing.assert_allclose(mine[:3], other[:3] * [-1, -1, 1], atol=1e-3)
