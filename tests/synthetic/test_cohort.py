"""Cohorts on disk: same bytes, split by patient, resuming, tables."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from gastromap.errors import OutputError, UsageError
from gastromap.synthetic.cases import sample_case
from gastromap.synthetic.cohort import CohortPlan, iter_cohort, write_cohort
from gastromap.synthetic.export_scan import plan_scan
from gastromap.synthetic.export_tables import split_cases

SLICES = CohortPlan(seed=5, format="slices", matrix=96, thickness_mm=5.0)


def digest(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by relative path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cohort") / "slices"
    write_cohort(SLICES, out, patients=6)
    return out


class TestSameSeedSameBytes:
    def test_whatever_the_number_of_workers(self, cohort: Path, tmp_path: Path) -> None:
        write_cohort(SLICES, tmp_path / "again", patients=6, workers=2)
        assert digest(tmp_path / "again") == digest(cohort)

    def test_when_a_smaller_cohort_is_continued(self, cohort: Path, tmp_path: Path) -> None:
        write_cohort(SLICES, tmp_path / "grown", patients=2)
        write_cohort(SLICES, tmp_path / "grown", patients=6)
        assert digest(tmp_path / "grown") == digest(cohort)

    def test_after_a_stop_between_two_files_of_a_patient(self, cohort: Path, tmp_path: Path) -> None:
        out = tmp_path / "stopped"
        write_cohort(SLICES, out, patients=6)
        (out / "records" / "SYNTHETIC-5-00003.json").unlink()
        (out / "masks" / "SYNTHETIC-5-00003.nii.gz").unlink()
        (out / ".partial" / "SYNTHETIC-5-00003").mkdir(parents=True)
        (out / ".partial" / "SYNTHETIC-5-00003" / "image.nii.gz").write_bytes(b"half")
        write_cohort(SLICES, out, patients=6)
        assert digest(out) == digest(cohort)

    def test_another_seed_gives_other_pixels(self, cohort: Path, tmp_path: Path) -> None:
        write_cohort(CohortPlan(seed=6, format="slices", matrix=96, thickness_mm=5.0), tmp_path / "o", patients=1)
        ours = (tmp_path / "o" / "images" / "SYNTHETIC-6-00001.nii.gz").read_bytes()
        assert ours != (cohort / "images" / "SYNTHETIC-5-00001.nii.gz").read_bytes()


class TestSlices:
    def test_the_middle_slice_is_the_key_slice(self, cohort: Path) -> None:
        scan = plan_scan(sample_case(5, 1, centre=1, stage=None), matrix=96, thickness_mm=5.0)
        image = nibabel.load(cohort / "images" / "SYNTHETIC-5-00001.nii.gz")
        assert image.shape == (96, 96, 3)
        assert image.get_data_dtype() == np.int16
        assert np.array_equal(np.asarray(image.dataobj)[:, :, 1].T, scan.hu(scan.key_index))

    def test_no_slice_has_a_larger_tumour_than_the_key_slice(self) -> None:
        scan = plan_scan(sample_case(5, 4, centre=1), matrix=96, thickness_mm=5.0)
        areas = [int(scan.masks(index)["tumour"].sum()) for index in range(len(scan.z_mm))]
        assert areas[scan.key_index] >= 0.9 * max(areas)
        assert np.array_equal(scan.tumour_masks().sum(axis=(1, 2)), areas)

    def test_the_mask_marks_tumour_in_the_key_slice(self, cohort: Path) -> None:
        for path in sorted((cohort / "masks").iterdir()):
            mask = nibabel.load(path)
            assert mask.get_data_dtype() == np.uint8
            assert np.asarray(mask.dataobj)[:, :, 1].any()
            assert set(np.unique(np.asarray(mask.dataobj))) <= {0, 1}

    def test_an_independent_reader_finds_the_position_in_lps(self, cohort: Path) -> None:
        scan = plan_scan(sample_case(5, 1, centre=1), matrix=96, thickness_mm=5.0)
        image = SimpleITK.ReadImage(str(cohort / "images" / "SYNTHETIC-5-00001.nii.gz"))
        expected = (scan.grid.x_mm[0], scan.grid.y_mm[0], scan.z_mm[scan.key_index - 1])
        assert image.GetOrigin() == pytest.approx(expected, abs=1e-3)
        assert image.GetSpacing() == pytest.approx((scan.grid.spacing_mm, scan.grid.spacing_mm, 5.0), abs=1e-4)
        assert image.GetDirection() == pytest.approx(np.eye(3).ravel(), abs=1e-6)


class TestTables:
    def test_no_patient_stands_on_two_sides(self, cohort: Path) -> None:
        parts = json.loads((cohort / "datalist.json").read_text())
        sides = [{record["patient_id"] for record in parts[part]} for part in ("training", "validation", "test")]
        assert sum(len(side) for side in sides) == len(set.union(*sides)) == 6

    def test_the_test_side_is_centre_3_alone(self, cohort: Path) -> None:
        parts = json.loads((cohort / "datalist.json").read_text())
        assert {record["centre"] for record in parts["test"]} == {3}
        assert {record["centre"] for record in parts["training"]} == {1, 2}

    def test_records_name_existing_files_and_the_label(self, cohort: Path) -> None:
        with (cohort / "clinical.csv").open() as file:
            stages = {row["patient_id"]: row["stage"] for row in csv.DictReader(file)}
        parts = json.loads((cohort / "datalist.json").read_text())
        for record in (*parts["training"], *parts["validation"], *parts["test"]):
            assert (cohort / record["image"]).is_file()
            assert (cohort / record["mask"]).is_file()
            assert stages[record["patient_id"]] == f"T{record['label'] + 1}"

    def test_every_stage_gives_its_share_to_validation(self) -> None:
        cases = list(iter_cohort(600, 2))
        split = split_cases(cases, validation_share=0.2)
        for stage in ("T1", "T2", "T3", "T4"):
            inside = [split[case.patient_id] for case in cases if case.stage == stage and case.centre != 3]
            assert inside.count("validation") == round(0.2 * len(inside))
        assert {split[case.patient_id] for case in cases if case.centre == 3} == {"test"}


class TestNiftiCrop:
    def test_the_crop_holds_stomach_and_tumour_in_full_depth(self, tmp_path: Path) -> None:
        plan = CohortPlan(seed=5, format="nifti", matrix=96, thickness_mm=5.0)
        write_cohort(plan, tmp_path / "n", patients=1)
        image = nibabel.load(tmp_path / "n" / "images" / "SYNTHETIC-5-00001.nii.gz")
        mask = nibabel.load(tmp_path / "n" / "masks" / "SYNTHETIC-5-00001.nii.gz")
        scan = plan_scan(sample_case(5, 1, centre=1), matrix=96, thickness_mm=5.0)
        labels = np.asarray(mask.dataobj)
        assert image.shape == mask.shape
        assert image.shape[2] == len(scan.z_mm)
        assert np.array_equal(image.affine, mask.affine)
        assert int((labels == 2).sum()) == int(scan.tumour_masks().sum())
        # The same pixel through the affine: RAS back to LPS, then to the index in the full image.
        full = np.linalg.inv(scan.affine_lps()) @ np.diag([-1, -1, 1, 1]) @ image.affine @ [3, 4, 5, 1]
        column, row, index = np.round(full[:3]).astype(int)
        assert np.asarray(image.dataobj)[3, 4, 5] == scan.hu(int(index))[row, column]

    def test_a_whole_volume_is_the_scan_with_every_pixel(self, tmp_path: Path) -> None:
        plan = CohortPlan(seed=5, format="nifti", matrix=64, thickness_mm=5.0, whole=True)
        write_cohort(plan, tmp_path / "n", patients=1)
        image = nibabel.load(tmp_path / "n" / "images" / "SYNTHETIC-5-00001.nii.gz")
        scan = plan_scan(sample_case(5, 1, centre=1), matrix=64, thickness_mm=5.0)
        assert np.array_equal(np.asarray(image.dataobj)[..., 4].T, scan.hu(4))
        assert image.shape == (64, 64, len(scan.z_mm))
        assert json.loads((tmp_path / "n" / "cohort.json").read_text())["whole"] is True

    def test_a_close_volume_is_the_stomach_of_the_scan_but_for_noise(self, tmp_path: Path) -> None:
        plan = CohortPlan(seed=5, format="nifti", matrix=256, thickness_mm=5.0, close=True)
        write_cohort(plan, tmp_path / "n", patients=1)
        image = nibabel.load(tmp_path / "n" / "images" / "SYNTHETIC-5-00001.nii.gz")
        labels = np.asarray(nibabel.load(tmp_path / "n" / "masks" / "SYNTHETIC-5-00001.nii.gz").dataobj)
        scan = plan_scan(sample_case(5, 1, centre=1), matrix=256, thickness_mm=5.0)
        assert image.shape[0] < 200
        assert image.shape[2] < len(scan.z_mm)
        full = np.linalg.inv(scan.affine_lps()) @ np.diag([-1, -1, 1, 1]) @ image.affine @ [0, 0, 0, 1]
        assert np.allclose(full, np.round(full), atol=1e-3)
        column, row, first = np.round(full[:3]).astype(int)
        rows, columns = (slice(start, start + n) for start, n in ((row, image.shape[1]), (column, image.shape[0])))
        both = np.stack([scan.hu(first + i)[rows, columns] for i in range(image.shape[2])]).astype(float)
        differ = np.asarray(image.dataobj).transpose(2, 1, 0) - both
        # Two independent draws of the same noise.
        assert abs(float(differ.mean())) < 0.3
        assert float(np.percentile(np.abs(differ), 95)) < 2.2 * 2**0.5 * scan.scanner.noise_hu
        # All of stomach and tumour, to a few voxels of their border.
        for value, name in ((1, "stomach"), (2, "tumour")):
            inside = labels >= value
            true = sum(int(scan.masks(index)[name].sum()) for index in range(len(scan.z_mm)))
            assert int(inside.sum()) == pytest.approx(true, rel=0.01)
            assert not inside[[0, -1]].any()
            assert not inside[:, [0, -1]].any()

    def test_close_and_whole_are_not_both_possible(self) -> None:
        with pytest.raises(UsageError, match=r"SYNTH_ARGUMENT.*not with whole"):
            CohortPlan(seed=1, format="nifti", whole=True, close=True)


class TestRefusals:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"seed": -1},
            {"centres": ()},
            {"whole": True, "format": "slices"},
            {"close": True, "format": "slices"},
            {"centres": (4,)},
            {"stages": ("T5",)},
            {"matrix": 65},
            {"thickness_mm": 0.0},
            {"with_seg": True, "format": "slices"},
        ],
    )
    def test_wrong_arguments_are_named(self, wrong: dict[str, object]) -> None:
        with pytest.raises(UsageError, match="SYNTH_ARGUMENT"):
            CohortPlan(**{"seed": 1, **wrong})  # type: ignore[arg-type]

    def test_a_folder_of_another_cohort_is_refused(self, cohort: Path) -> None:
        before = digest(cohort)
        with pytest.raises(UsageError, match=r"COHORT_DIFFERS.*other seed"):
            write_cohort(CohortPlan(seed=9, format="slices", matrix=96, thickness_mm=5.0), cohort, patients=1)
        assert digest(cohort) == before

    def test_a_folder_with_other_files_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.docx").write_text("precious")
        with pytest.raises(UsageError, match="COHORT_DIFFERS"):
            write_cohort(SLICES, tmp_path, patients=1)

    def test_a_file_in_place_of_the_folder_is_an_output_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="OUTPUT_UNWRITABLE"):
            write_cohort(SLICES, tmp_path / "file" / "below", patients=1)
