"""Who chooses the key slice, and that areas are measured on the right slice."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from builders.outlines import item_with, make_kos, make_rtstruct, make_seg, slice_uid, square
from dicom_input.series_builder import make_series, write_dataset
from pydicom.dataset import Dataset

from gastromap.dicom_input import DicomFolder, GateSettings, build_volume, load_folder, select_series
from gastromap.errors import Refusal, UsageError
from gastromap.key_slice import find_key_slice
from gastromap.segmentation.finder import TumourFinding
from gastromap.volume import CtVolume


def load(folder: Path, *, series_uid: str | None = None, **limits: object) -> tuple[DicomFolder, CtVolume]:
    settings = GateSettings(**limits)  # type: ignore[arg-type]
    content = load_folder(folder, settings=settings)
    selected = select_series(content, settings=settings, series_uid=series_uid)
    return content, build_volume(selected, settings=settings)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Twenty slices from z = -400 to -305."""
    make_series().write(tmp_path)
    return tmp_path


class TestRequest:
    def test_an_index_counts_from_the_feet(self, study: Path) -> None:
        key = find_key_slice(*load(study), requested="3")
        assert (key.index, key.index_from_feet, key.origin, key.position_mm) == (3, 3, "call_index", -385.0)
        assert key.sop_instance_uid == slice_uid(3)

    def test_an_index_counts_from_the_feet_where_slices_rise_to_the_feet(self, tmp_path: Path) -> None:
        make_series(ImageOrientationPatient=[1, 0, 0, 0, -1, 0]).write(tmp_path)
        key = find_key_slice(*load(tmp_path), requested="0")
        assert (key.index, key.position_mm) == (19, -400.0)

    def test_a_uid_is_found(self, study: Path) -> None:
        key = find_key_slice(*load(study), requested=slice_uid(7))
        assert (key.index, key.origin, key.tumour_area_mm2) == (7, "call_uid", None)

    @pytest.mark.parametrize("requested", ["20", "-1", "1.2.3", "middle", ""])
    def test_anything_else_is_an_error_of_usage(self, requested: str, study: Path) -> None:
        with pytest.raises(UsageError, match="KEY_SLICE_UNKNOWN"):
            find_key_slice(*load(study), requested=requested)

    def test_the_call_wins_over_a_segmentation(self, study: Path) -> None:
        write_dataset(make_seg({-350.0: square(9)}), study / "seg.dcm")
        assert find_key_slice(*load(study), requested="2").index == 2


class TestSegmentation:
    def test_the_largest_area_in_square_millimetres_wins(self, study: Path) -> None:
        write_dataset(make_seg({-395.0: square(5), -350.0: square(9), -340.0: square(8)}), study / "seg.dcm")
        key = find_key_slice(*load(study), requested=None)
        assert (key.index, key.origin) == (10, "seg")
        assert key.tumour_area_mm2 == pytest.approx(81 * 0.78125**2)

    def test_frames_that_start_inside_a_byte_are_read(self, study: Path) -> None:
        masks = {
            -350.0: np.ones((5, 5), np.uint8),
            -345.0: np.eye(5, dtype=np.uint8),
            -340.0: np.ones((5, 5), np.uint8),
        }
        masks[-340.0][0, 0] = 0
        write_dataset(make_seg(masks, spacing=(2.0, 3.0)), study / "seg.dcm")
        key = find_key_slice(*load(study))
        assert (key.index, key.tumour_area_mm2) == (10, 150.0)

    def test_a_reference_to_the_image_wins_over_the_position(self, study: Path) -> None:
        seg = make_seg({-350.0: square(4)}, by_reference={-350.0: slice_uid(3)}, FrameOfReferenceUID="1.2.3")
        write_dataset(seg, study / "seg.dcm")
        assert find_key_slice(*load(study)).index == 3

    @pytest.mark.parametrize(
        "seg",
        [
            make_seg({-350.0: square(4)}, FrameOfReferenceUID="1.2.3"),
            make_seg({-350.0: square(4)}, StudyInstanceUID="1.2.3"),
            make_seg({-350.0: square(4)}, label="Stomach"),
            make_seg({-350.0: square(4)}, label="Lymph node metastasis"),
            make_seg({-350.0: square(0)}),
            make_seg({-200.0: square(4)}),
            make_seg({-350.0: square(4)}, SeriesDescription="GastroMAP tumour, research use"),
        ],
        ids=["other frame", "other study", "organ", "node", "empty", "beyond the volume", "our own result"],
    )
    def test_what_does_not_mark_the_tumour_in_this_series_is_ignored(self, seg: Dataset, study: Path) -> None:
        write_dataset(seg, study / "seg.dcm")
        with pytest.raises(Refusal, match="NO_KEY_SLICE"):
            find_key_slice(*load(study))

    def test_another_patient_is_refused(self, study: Path) -> None:
        write_dataset(make_seg({-350.0: square(4)}, PatientID="P2"), study / "seg.dcm")
        with pytest.raises(Refusal, match="PATIENT_MISMATCH"):
            load(study)

    def test_a_cut_tumour_segmentation_is_refused_not_passed_over(self, study: Path) -> None:
        write_dataset(make_seg({-350.0: square(4)}), study / "seg.dcm")
        content = (study / "seg.dcm").read_bytes()
        (study / "seg.dcm").write_bytes(content[:-50])
        with pytest.raises(Refusal, match="PIXEL_DATA"):
            find_key_slice(*load(study))

    def test_a_code_is_enough_without_a_telling_label(self, study: Path) -> None:
        seg = make_seg({-350.0: square(4)}, label="1")
        code = item_with(CodeValue="108369006", CodingSchemeDesignator="SCT", CodeMeaning="Neoplastic growth")
        seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence = [code]
        write_dataset(seg, study / "seg.dcm")
        assert find_key_slice(*load(study)).index == 10

    def test_of_equal_areas_the_slice_nearer_to_the_feet_is_taken(self, study: Path) -> None:
        write_dataset(make_seg({-340.0: square(4), -350.0: square(4)}), study / "seg.dcm")
        assert find_key_slice(*load(study)).index == 10


class TestRtStructureSet:
    def test_the_largest_polygon_wins(self, study: Path) -> None:
        write_dataset(make_rtstruct({-350.0: 20.0, -345.0: 30.0}), study / "rt.dcm")
        key = find_key_slice(*load(study))
        assert (key.index, key.origin, key.tumour_area_mm2) == (11, "rtstruct", 900.0)

    def test_an_organ_is_ignored(self, study: Path) -> None:
        write_dataset(make_rtstruct({-350.0: 20.0}, name="Stomach", kind="ORGAN"), study / "rt.dcm")
        with pytest.raises(Refusal, match="NO_KEY_SLICE"):
            find_key_slice(*load(study))

    def test_a_segmentation_comes_first(self, study: Path) -> None:
        write_dataset(make_rtstruct({-345.0: 30.0}), study / "rt.dcm")
        write_dataset(make_seg({-395.0: square(5)}), study / "seg.dcm")
        assert find_key_slice(*load(study)).origin == "seg"


class TestKeyObject:
    def test_its_slice_is_taken(self, study: Path) -> None:
        write_dataset(make_kos(slice_uid(6), "1.2.3"), study / "kos.dcm")
        key = find_key_slice(*load(study))
        assert (key.index, key.origin) == (6, "kos")

    @pytest.mark.parametrize(
        "kos",
        [
            make_kos("1.2.3"),
            make_kos(slice_uid(6), title="113001"),
            make_kos(slice_uid(6), slice_uid(7)),
            make_kos(slice_uid(6), SeriesDescription="GastroMAP key slice"),
        ],
        ids=["other series", "rejection", "two slices", "our own result"],
    )
    def test_what_does_not_choose_one_slice_is_no_choice(self, kos: Dataset, study: Path) -> None:
        write_dataset(kos, study / "kos.dcm")
        with pytest.raises(Refusal, match="NO_KEY_SLICE"):
            find_key_slice(*load(study))


class TestWithout:
    def test_a_study_without_a_mark_is_refused(self, study: Path) -> None:
        with pytest.raises(Refusal, match=r"NO_KEY_SLICE baseline series 2 #[0-9a-f]{8}: expected a key slice"):
            find_key_slice(*load(study))


@pytest.mark.realdata
class TestDcmqiSegmentation:
    """Three CT slices with a SEG by dcmqi; its NRRD mask, read by SimpleITK, gives the areas."""

    @pytest.mark.parametrize("name", ["Liver", "Tumor"])
    def test_areas_equal_those_of_the_nrrd_mask(self, name: str, real_data: Path, tmp_path: Path) -> None:
        import SimpleITK

        source = real_data / "encodings" / "dcmqi_ct_3slice"
        seg = pydicom.dcmread(next(source.rglob("liver.dcm")))
        seg.SegmentSequence[0].SegmentLabel = name
        for path in (source / "ct-3slice").glob("*.dcm"):
            shutil.copy(path, tmp_path)
        seg.save_as(tmp_path / "seg.dcm")
        series = load_folder(tmp_path, settings=GateSettings()).series[0].uid
        loaded = load(tmp_path, series_uid=series, min_slices=3, min_coverage_mm=1.0)
        if name == "Liver":
            with pytest.raises(Refusal, match="NO_KEY_SLICE"):
                find_key_slice(*loaded)
            return
        mask = SimpleITK.ReadImage(str(source / "liver_seg.nrrd"))
        counts = (SimpleITK.GetArrayFromImage(mask) > 0).sum(axis=(1, 2))
        key = find_key_slice(*loaded)
        assert key.tumour_area_mm2 == pytest.approx(counts.max() * 0.810547**2, rel=1e-5)
        z = mask.TransformIndexToPhysicalPoint((0, 0, int(counts.argmax())))[2]
        assert key.position_mm == pytest.approx(z, abs=0.01)


class TestTheSegmentationModelIsAskedLast:
    @staticmethod
    def _finding(**values: object) -> TumourFinding:
        known: dict[str, object] = {"reason": "", "probability": 0.9, "mask": np.zeros((1, 1, 1), bool)}
        return TumourFinding(**{**known, **values})  # type: ignore[arg-type]

    def test_its_slice_is_marked_as_automatic(self, tmp_path: Path) -> None:
        make_series().write(tmp_path)
        folder, volume = load(tmp_path)
        found = find_key_slice(folder, volume, find_tumour=lambda _: self._finding(key_index=2, key_area_mm2=310.0))
        assert (found.origin, found.index, found.tumour_area_mm2) == ("auto", 2, 310.0)

    def test_it_is_not_asked_where_somebody_has_chosen(self, tmp_path: Path) -> None:
        make_series().write(tmp_path)
        folder, volume = load(tmp_path)

        def never(_: CtVolume) -> TumourFinding:
            raise AssertionError

        assert find_key_slice(folder, volume, requested="1", find_tumour=never).origin == "call_index"

    def test_without_a_visible_tumour_the_study_is_refused_as_not_staged(self, tmp_path: Path) -> None:
        make_series().write(tmp_path)
        folder, volume = load(tmp_path)
        with pytest.raises(Refusal, match=r"NO_TUMOUR baseline .* got no tumour found, not staged"):
            find_key_slice(folder, volume, find_tumour=lambda _: self._finding(reason="no tumour found"))
