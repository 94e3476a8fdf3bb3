"""Longitudinal cohorts: what the treatment changes, what stays, and what is written."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import datetime
from pathlib import Path

import nibabel
import numpy as np
import pytest

from gastromap.cli import main
from gastromap.dicom_input import GateSettings
from gastromap.dicom_input.inspection import inspect_folder
from gastromap.errors import UsageError
from gastromap.synthetic.cases import sample_case
from gastromap.synthetic.cohort import CohortPlan, iter_cohort, write_cohort
from gastromap.synthetic.dicom_headers import plan_study
from gastromap.synthetic.dicom_study import write_study
from gastromap.synthetic.export_crop import OUTSIDE_HU, render_cube
from gastromap.synthetic.export_scan import Scan, plan_scan
from gastromap.synthetic.longitudinal import LongitudinalPlan, write_longitudinal
from gastromap.synthetic.types import PixelGrid
from gastromap.synthetic.visits import Visits, iter_longitudinal, visits_of

PLAN = LongitudinalPlan(seed=1, format="nifti", matrix=64, thickness_mm=5.0, missing_followup=0.3)
PATIENTS = 3
COMPLETE = 8  # of seed 1: a T4 tumour of which nothing is left


def visits(number: int) -> Visits:
    return list(iter_longitudinal(number, 1))[number - 1]


def digest(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by relative path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def tumour_mm3(scan: Scan) -> float:
    """Volume of the mask on a grid of 1 x 1 x 2 mm."""
    x, y, z = (float(v) for v in scan.phantom.tumour_site_mm)
    grid = PixelGrid(144, 144, 1.0, x, y)
    return 2.0 * sum(int(scan.masks_at(z + level, grid)["tumour"].sum()) for level in range(-71, 72, 2))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cohort") / "pairs"
    write_longitudinal(PLAN, out, patients=PATIENTS)
    return out


@pytest.fixture(scope="module")
def rows(cohort: Path) -> list[dict[str, str]]:
    with (cohort / "clinical.csv").open() as file:
        return list(csv.DictReader(file))


class TestCohortsOfOneDateStayAsTheyWere:
    # All values of this class were made by commit 4538745, before there was a second date.
    def test_labels(self) -> None:
        text = "\n".join(repr(case) for case in iter_cohort(300, 101))
        stored = "33a28374cdb4461bed625393f0618f0c9589a24d432252336b7d41a51a2a3e87"
        assert hashlib.sha256(text.encode()).hexdigest() == stored

    def test_pixels_masks_and_uids(self) -> None:
        stored = {
            1: (16, 51, "2.25.109000276762104759456524227069875358064"),
            2: (15, 126, "2.25.54357409824264828626200996444876945579"),
        }
        means = {
            1: [
                [-1000.0, -1000.0, -999.5, -999.6],
                [-687.2, -96.9, -333.9, -696.1],
                [-665.4, -33.4, -69.6, -707.5],
                [-961.9, -959.4, -959.0, -962.1],
            ],
            2: [
                [-998.8, -886.0, -845.0, -988.7],
                [-369.6, -58.2, -269.5, -364.5],
                [-290.1, 91.4, 40.6, -315.3],
                [-929.4, -832.5, -832.8, -932.3],
            ],
        }
        for number, case in enumerate(iter_cohort(2, 101), start=1):
            scan = plan_scan(case, matrix=128, thickness_mm=5.0)
            assert (scan.key_index, int(scan.tumour_masks().sum()), plan_study(scan).uid) == stored[number]
            blocks = scan.hu(scan.key_index).astype(float).reshape(4, 32, 4, 32).mean(axis=(1, 3))
            # A tenth of rounding in the stored values, the rest for another processor's arithmetic.
            assert blocks == pytest.approx(np.array(means[number]), abs=0.15)

    def test_plan_of_a_folder_that_is_to_be_continued(self, tmp_path: Path) -> None:
        write_cohort(CohortPlan(seed=5, format="slices", matrix=64, thickness_mm=5.0, slices=1), tmp_path, patients=1)
        keys = ["seed", "format", "centres", "stages", "matrix", "thickness_mm", "with_seg", "slices"]
        assert list(json.loads((tmp_path / "cohort.json").read_text())) == keys


class TestBeforeTreatment:
    def test_patient_and_images_are_those_of_the_cohort_of_one_date(self) -> None:
        (case,) = iter_cohort(1, 1, stages=("T2", "T3", "T4"))
        pair = visits(1)
        assert pair.case == case
        plain, before = (
            scan.hu(scan.key_index)
            for scan in (plan_scan(case, matrix=64, thickness_mm=5.0), pair.baseline(matrix=64, thickness_mm=5.0))
        )
        assert np.array_equal(plain, before)


class TestResponse:
    @pytest.mark.parametrize("number", [1, 3, 4, 7])
    def test_the_masks_shrink_by_the_drawn_ratio(self, number: int) -> None:
        pair = visits(number)
        before, after = pair.baseline(), pair.followup()
        assert np.log(tumour_mm3(after) / tumour_mm3(before)) == pytest.approx(pair.course.response, abs=0.08)

    def test_a_nearly_complete_response_leaves_its_rest(self) -> None:
        # Here the thin layer of wall beyond the rim was once counted as tumour, and the real one shrunk to nothing.
        pair = visits_of(sample_case(7, 94, centre=1, stage="T3"))
        assert not pair.course.complete
        before, after = tumour_mm3(pair.baseline()), tumour_mm3(pair.followup())
        assert np.log(after / before) == pytest.approx(pair.course.response, abs=0.15)

    def test_thickness_shrinks_with_the_extent(self) -> None:
        pair = visits(3)
        before, after = pair.baseline().phantom._stomach, pair.followup().phantom._stomach
        assert pair.course.response < -1.5
        assert after.tumour_half_extent < 0.7 * before.tumour_half_extent
        assert after.inward < 0.7 * before.inward
        assert after.outward < before.outward

    def test_a_complete_response_leaves_no_tumour(self) -> None:
        pair = visits(COMPLETE)
        assert pair.course.complete
        assert pair.course.ypt == "T0"
        assert tumour_mm3(pair.baseline()) > 0
        assert tumour_mm3(pair.followup()) == 0

    def test_the_body_lies_elsewhere_and_the_stomach_is_filled_otherwise(self) -> None:
        pair = visits(2)
        before, after = pair.baseline(matrix=64), pair.followup(matrix=64)
        assert np.linalg.norm(after.phantom.tumour_site_mm - before.phantom.tumour_site_mm) > 3
        assert after.z_mm[0] != before.z_mm[0]
        areas = [scan.masks_at(scan.phantom.tumour_z_mm, scan.grid)["stomach"].sum() for scan in (before, after)]
        assert areas[0] != areas[1]

    def test_the_same_patient_gives_the_same_second_image(self) -> None:
        first, second = (visits(2).followup(matrix=64).hu(20) for _ in range(2))
        assert np.array_equal(first, second)


class TestSameSeedSameBytes:
    def test_whatever_the_number_of_workers(self, cohort: Path, tmp_path: Path) -> None:
        write_longitudinal(PLAN, tmp_path / "again", patients=PATIENTS, workers=2)
        assert digest(tmp_path / "again") == digest(cohort)

    def test_when_a_stopped_run_goes_on(self, cohort: Path, tmp_path: Path) -> None:
        out = tmp_path / "stopped"
        write_longitudinal(PLAN, out, patients=2)
        (out / "records" / "SYNTHETIC-1-00001.json").unlink()
        (out / "masks" / "SYNTHETIC-1-00001_baseline.nii.gz").unlink()
        (out / ".partial" / "SYNTHETIC-1-00001").mkdir(parents=True)
        (out / ".partial" / "SYNTHETIC-1-00001" / "followup.nii.gz").write_bytes(b"half")
        write_longitudinal(PLAN, out, patients=PATIENTS)
        assert digest(out) == digest(cohort)

    def test_a_folder_of_one_date_is_not_continued(self, cohort: Path) -> None:
        one_date = CohortPlan(seed=1, format="nifti", matrix=64, thickness_mm=5.0, stages=("T2", "T3", "T4"))
        with pytest.raises(UsageError, match=r"COHORT_DIFFERS.*other longitudinal"):
            write_cohort(one_date, cohort, patients=1)


class TestCubes:
    def test_image_and_mask_are_a_cube_of_144_mm_on_one_grid(self, cohort: Path) -> None:
        paths = sorted((cohort / "images").iterdir())
        assert len(paths) > PATIENTS
        for path in paths:
            image, mask = nibabel.load(path), nibabel.load(cohort / "masks" / path.name)
            assert image.shape == mask.shape == (18, 18, 72)
            assert image.header.get_zooms() == pytest.approx((8, 8, 2))
            assert np.array_equal(image.affine, mask.affine)
            assert image.get_data_dtype() == np.int16
            assert set(np.unique(np.asarray(mask.dataobj))) <= {0, 1}

    @pytest.mark.parametrize("thickness_mm", [1.0, 5.0])
    def test_the_tumour_lies_in_the_middle_and_where_the_affine_says(self, thickness_mm: float) -> None:
        scan = visits(4).followup(thickness_mm=thickness_mm)
        cube = render_cube(scan, pixel_mm=4.0)
        index = np.argwhere(cube.tumour)[:, ::-1].mean(axis=0)
        assert index == pytest.approx((np.array(cube.tumour.shape[::-1]) - 1) / 2, abs=12)
        x, y, z = (cube.affine_lps @ [*index, 1])[:3]
        # Mucosa lies inwards of the point on the outer wall that the phantom knows.
        assert np.linalg.norm(scan.phantom.tumour_site_mm - (x, y, z)) < 15
        inside = cube.hu[cube.tumour == 1]
        assert 60 < np.median(inside) < 120

    def test_levels_beyond_the_scan_are_filled(self) -> None:
        scans = [pair.baseline(thickness_mm=5.0) for pair in iter_longitudinal(20, 1)]
        scan = max(scans, key=lambda scan: abs(scan.phantom.tumour_z_mm))
        cube = render_cube(scan, pixel_mm=8.0)
        levels = cube.affine_lps[2, 3] + 2.0 * np.arange(72)
        beyond = (levels > scan.z_mm[-1] + 2.5) | (levels < scan.z_mm[0] - 2.5)
        assert beyond.any()
        assert (cube.hu[beyond] == OUTSIDE_HU).all()
        assert (cube.hu[~beyond] != OUTSIDE_HU).any(axis=(1, 2)).all()


class TestTables:
    def test_no_patient_stands_on_two_sides_and_the_test_is_centre_3(self, cohort: Path) -> None:
        parts = json.loads((cohort / "datalist.json").read_text())
        sides = {part: {r["patient_id"]: r for r in parts[part]} for part in ("training", "validation", "test")}
        assert sum(len(side) for side in sides.values()) == len(set.union(*map(set, sides.values()))) == PATIENTS
        assert {record["cohort"] for record in parts["test"]} == {"centre 3"}

    def test_absent_values_are_absent_keys_and_empty_cells(self, cohort: Path, rows: list[dict[str, str]]) -> None:
        parts = json.loads((cohort / "datalist.json").read_text())
        records = {r["patient_id"]: r for part in ("training", "validation", "test") for r in parts[part]}
        lost = [row["patient_id"] for row in rows if not row["image2"]]
        assert 0 < len(lost) < PATIENTS
        for row in rows:
            record = records[row["patient_id"]]
            absent = {"image2", "mask2", "date2"}
            assert absent.isdisjoint(record) == (row["patient_id"] in lost)
            assert record["image1"] == row["image1"]
            assert None not in record.values()
            assert record["lnm"] == int(row["lnm"]) == int(row["ypn"] != "N0")
            assert all((cohort / record[key]).is_file() for key in ("image1", "mask1", "image2") if key in record)

    def test_the_second_date_is_the_interval_later(self, rows: list[dict[str, str]]) -> None:
        for row in rows:
            if row["date2"]:
                days = np.datetime64(row["date2"]) - np.datetime64(row["date1"])
                assert days.astype(int) == int(row["interval_days"]) > 0

    def test_the_truth_is_not_in_what_training_reads(self, cohort: Path, rows: list[dict[str, str]]) -> None:
        read = (cohort / "datalist.json").read_text() + ",".join(rows[0])
        for word in ("hazard", "ratio", "response", "node_positive", "node_before", "stage"):
            assert word not in read
        with (cohort / "oracle" / "patients.csv").open() as file:
            truth = list(csv.DictReader(file))
        assert [row["patient_id"] for row in truth] == [row["patient_id"] for row in rows]
        assert all(float(row["log_hazard"]) for row in truth)

    def test_values_known_only_after_surgery_are_no_inputs(self, cohort: Path) -> None:
        parts = json.loads((cohort / "datalist.json").read_text())
        assert {"ypt", "ypn"}.isdisjoint(parts["training"][0]["clinical"])

    def test_the_list_names_its_table(self, cohort: Path) -> None:
        meta = json.loads((cohort / "datalist.json").read_text())["meta"]
        assert meta["schema"] == 1
        assert meta["table_sha256"] == hashlib.sha256((cohort / "clinical.csv").read_bytes()).hexdigest()


class TestDicom:
    @pytest.fixture(scope="class")
    def written(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        out = tmp_path_factory.mktemp("pair")
        plan = LongitudinalPlan(seed=1, matrix=64, thickness_mm=5.0, centres=(1,), with_seg=True)
        write_longitudinal(plan, out, patients=1, validation_share=0.0)
        return out

    @pytest.fixture(scope="class")
    def folder(self, written: Path) -> Path:
        return written / "studies" / "SYNTHETIC-1-00001"

    def test_the_gate_sees_one_patient_with_baseline_and_follow_up(self, folder: Path) -> None:
        seen = inspect_folder(folder, settings=GateSettings())
        assert seen.patients == 1
        assert seen.studies == {1: "baseline", 2: "followup"}
        assert not seen.damaged
        assert seen.decision.code == "CHOSEN"
        assert [volume.study for volume in seen.volumes if volume.chosen] == [1]

    @pytest.mark.parametrize("study", ["baseline", "followup"])
    def test_the_gate_takes_the_portal_series_of_each_study(self, folder: Path, study: str) -> None:
        seen = inspect_folder(folder / study, settings=GateSettings())
        (chosen,) = [volume for volume in seen.volumes if volume.chosen]
        assert chosen.votes["timing"] == "portal"

    def test_the_patient_is_the_same_and_the_study_another(self, folder: Path) -> None:
        import pydicom

        first, second = (pydicom.dcmread(next((folder / name).rglob("I0001.dcm"))) for name in ("baseline", "followup"))
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
            assert first[keyword].value == second[keyword].value
        for keyword in ("StudyInstanceUID", "StudyDate", "AccessionNumber", "StudyID", "FrameOfReferenceUID"):
            assert first[keyword].value != second[keyword].value
        days = datetime.strptime(second.StudyDate, "%Y%m%d") - datetime.strptime(first.StudyDate, "%Y%m%d")
        assert days.days == visits(1).course.interval_days

    def test_after_a_complete_response_the_segmentation_is_empty(self, tmp_path: Path) -> None:
        import highdicom

        scan = visits(COMPLETE).followup(matrix=64, thickness_mm=5.0)
        write_study(scan, tmp_path, with_seg=True)
        seg = highdicom.seg.segread(tmp_path / "S900" / "I0001.dcm")
        assert not seg.pixel_array.any()

    def test_the_list_names_both_studies_and_their_segmentations(self, written: Path) -> None:
        (record,) = json.loads((written / "datalist.json").read_text())["training"]
        for number in ("1", "2"):
            assert any((written / record["image" + number]).rglob("*.dcm"))
            assert (written / record["mask" + number]).is_file()
        assert (written / "clinical" / "SYNTHETIC-1-00001.json").is_file()


class TestCommand:
    SMALL = ("--matrix", "64", "--thickness", "5", "--quiet", "--workers", "1")

    def test_it_prints_what_can_be_reached(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["synth", "--out", str(tmp_path / "o"), "--patients", "1", "--longitudinal", "--format", "nifti"]
        assert main([*arguments, *self.SMALL]) == 0
        printed = capsys.readouterr().out
        for words in ("C-index of the true hazard", "visible part", "AUC of node size alone"):
            assert words in printed
        assert "SYNTHETIC" not in printed

    @pytest.mark.parametrize(
        "wrong",
        [
            ["--longitudinal", "--format", "slices"],
            ["--missing-followup", "0.1"],
            ["--longitudinal", "--missing-followup", "1"],
        ],
    )
    def test_arguments_that_do_not_fit_are_refused(
        self, wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["synth", "--out", str(tmp_path / "o"), *wrong, *self.SMALL]) == 2
        assert capsys.readouterr().err.startswith("SYNTH_ARGUMENT ")
        assert not (tmp_path / "o").exists()
