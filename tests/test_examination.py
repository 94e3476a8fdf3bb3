"""What is known of an examination: who marked the tumour, how large it is, and when the model is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from builders.outlines import make_kos, make_seg, slice_uid, square
from dicom_input.series_builder import make_series, write_dataset

from gastromap.dicom_input import DicomFolder, GateSettings, build_volume, load_folder, select_series
from gastromap.errors import Refusal
from gastromap.examination import examine
from gastromap.results import ModelIdentity
from gastromap.segmentation.finder import TumourFinding
from gastromap.segmentation.measures import measure_tumour
from gastromap.volume import CtVolume

_IDENTITY = ModelIdentity("finder", "1", "U-Net", "0" * 64, "test", "synthetic", "Test.")


class Finder:
    """Answers every volume with a tumour of 20 x 16 pixels on some slices, or with none."""

    def __init__(self, *slices: int, sure: bool = True) -> None:
        self.slices, self.sure = slices, sure
        self.asked = 0
        self.loaded = SimpleNamespace(identity=_IDENTITY)

    def __call__(self, hu: np.ndarray, affine_lps: np.ndarray) -> TumourFinding:
        self.asked += 1
        mask = np.zeros(hu.shape, bool)
        if not self.slices:
            return TumourFinding("no tumour found", 0.2, mask)
        mask[list(self.slices), 20:40, 10:26] = True
        spacing = tuple(float(v) for v in np.linalg.norm(affine_lps[:3, :3], axis=0)[::-1])
        measures = measure_tumour(mask, spacing, hu)  # type: ignore[arg-type]
        return TumourFinding("", 0.9, mask, measures, self.slices[0], 100.0, (0.0, 0.0, -390.0), sure=self.sure)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Twenty slices from z = -400 to -305, 5 mm apart."""
    make_series().write(tmp_path)
    return tmp_path


def load(folder: Path, *, role: str = "baseline") -> tuple[DicomFolder, CtVolume]:
    settings = GateSettings()
    content = load_folder(folder, settings=settings)
    volume = build_volume(select_series(content, settings=settings), settings=settings)
    return content, replace(volume, role=role)


def ask(study: Path, finder: Finder | None = None, *, role: str = "baseline", **options: Any) -> Any:
    return examine(*load(study, role=role), finder=finder, **options)  # type: ignore[arg-type]


class TestASegmentation:
    def test_gives_key_slice_and_size_without_the_model(self, study: Path) -> None:
        write_dataset(make_seg({-350.0: square(10), -345.0: square(8)}), study / "seg.dcm")
        finder = Finder(3)
        found = ask(study, finder, measure=True)
        assert (found.key_slice.index, found.key_slice.origin, finder.asked) == (10, "seg", 0)
        assert found.tumour.origin == "seg"
        assert found.tumour.model is None
        # 100 and 64 pixels of 0.78125 mm a side, 5 mm apart.
        assert found.tumour.measures.volume_ml == pytest.approx(164 * 0.78125**2 * 5 / 1000)
        assert found.tumour.measures.long_axis_mm == pytest.approx(10 * 0.78125 * 2**0.5)

    def test_that_does_not_reach_the_key_slice_named_by_the_caller_is_not_of_it(self, study: Path) -> None:
        write_dataset(make_seg({-350.0: square(10)}), study / "seg.dcm")
        found = ask(study, requested="3")
        assert found.key_slice.index == 3
        assert found.tumour is None
        assert found.warnings == ("TUMOUR_ELSEWHERE",)

    def test_on_another_grid_names_the_slice_and_gives_no_size(self, study: Path) -> None:
        write_dataset(make_seg({-350.0: square(10)}, spacing=(0.5, 0.5)), study / "seg.dcm")
        found = ask(study)
        assert (found.key_slice.index, found.tumour, found.warnings) == (10, None, ("SEG_UNMEASURED",))

    def test_that_is_empty_says_that_treatment_has_left_nothing(self, study: Path) -> None:
        write_dataset(make_seg({-350.0: square(0)}), study / "seg.dcm")
        finder = Finder(3)
        found = ask(study, finder, role="followup", required=False, measure=True)
        assert (found.key_slice, found.tumour, found.searched, finder.asked) == (None, None, True, 0)
        assert found.no_tumour


class TestTheModel:
    def test_is_not_asked_about_one_study_whose_key_slice_is_known(self, study: Path) -> None:
        write_dataset(make_kos(slice_uid(4)), study / "kos.dcm")
        finder = Finder(4)
        found = ask(study, finder)
        assert (found.key_slice.origin, found.tumour, found.searched, finder.asked) == ("kos", None, False, 0)

    def test_measures_where_two_studies_are_compared(self, study: Path) -> None:
        write_dataset(make_kos(slice_uid(4)), study / "kos.dcm")
        found = ask(study, Finder(4, 5), measure=True)
        assert found.key_slice.origin == "kos"
        assert (found.tumour.origin, found.tumour.model, found.tumour.probability) == ("auto", _IDENTITY, 0.9)

    def test_is_not_believed_about_a_tumour_elsewhere(self, study: Path) -> None:
        found = ask(study, Finder(12), measure=True, requested="3")
        assert found.key_slice.index == 3
        assert found.tumour is None
        assert found.warnings == ("TUMOUR_ELSEWHERE",)

    def test_chooses_the_slice_where_nobody_has(self, study: Path) -> None:
        finder = Finder(7, 8)
        found = ask(study, finder)
        assert (found.key_slice.index, found.key_slice.origin, finder.asked) == (7, "auto", 1)
        assert found.tumour.mask.sum() == 2 * 20 * 16
        assert found.warnings == ()
        assert not found.key_slice.weak_signs

    def test_that_sees_weak_signs_alone_is_taken_at_its_word_with_a_warning(self, study: Path) -> None:
        found = ask(study, Finder(7, 8, sure=False))
        assert (found.key_slice.index, found.key_slice.origin, found.warnings) == (7, "auto", ("TUMOUR_UNSURE",))
        assert found.key_slice.weak_signs
        assert found.tumour.mask.sum() == 2 * 20 * 16


class TestNothingFound:
    def test_a_study_to_be_staged_is_refused(self, study: Path) -> None:
        with pytest.raises(Refusal, match="NO_TUMOUR"):
            ask(study, Finder())

    def test_a_study_nobody_can_look_at_is_refused_too(self, study: Path) -> None:
        with pytest.raises(Refusal, match="NO_KEY_SLICE"):
            ask(study)

    def test_a_follow_up_is_not(self, study: Path) -> None:
        found = ask(study, Finder(), role="followup", required=False, measure=True)
        assert (found.key_slice, found.tumour, found.no_tumour) == (None, None, "no tumour found")
        assert found.searched

    def test_a_follow_up_nobody_can_look_at_is_not_called_free_of_tumour(self, study: Path) -> None:
        found = ask(study, role="followup", required=False, measure=True)
        assert (found.key_slice, found.tumour, found.searched) == (None, None, False)
