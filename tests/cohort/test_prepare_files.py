"""``gastromap prepare`` on NIfTI and PNG; resuming, freezing, bad studies."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from cohort.conftest import findings_of, identities_of, records_of
from gastromap.cli import main
from gastromap.cohort.identities import Identities
from gastromap.cohort.matching import Columns
from gastromap.cohort.pipeline import PreparePlan, prepare_cohort
from gastromap.cohort.spreadsheet import read_table
from gastromap.nifti import write_nifti


@pytest.fixture
def images(slice_cohort: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(slice_cohort / "images", tmp_path / "images"))


@pytest.fixture
def plan(images: Path, slice_cohort: Path, tmp_path: Path) -> PreparePlan:
    return PreparePlan(
        images=images,
        out=tmp_path / "out",
        identities=tmp_path / "identities.csv",
        columns=Columns(patient="patient_id", stage="stage", centre="centre"),
        kind="nifti",
        match="name",
        workers=2,
    )


@pytest.fixture
def table(slice_cohort: Path) -> Path:
    return slice_cohort / "clinical.csv"


class TestNifti:
    def test_slices_go_through_unchanged(self, plan: PreparePlan, table: Path, slice_cohort: Path) -> None:
        summary = prepare_cohort(plan, read_table(table))
        assert (summary.used, summary.findings) == (12, ())
        names, reference = identities_of(plan.identities), records_of(slice_cohort)
        for patient, record in records_of(plan.out).items():
            mine: Any = nibabel.load(plan.out / record["image"])
            theirs: Any = nibabel.load(slice_cohort / reference[names[patient]]["image"])
            assert record["label"] == reference[names[patient]]["label"]
            assert np.array_equal(mine.dataobj, theirs.dataobj)
            np.testing.assert_allclose(mine.affine, theirs.affine, atol=1e-5)

    @pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "ARI"])
    def test_a_volume_in_any_storage_order_gives_the_same_slices(
        self, axes: str, plan: PreparePlan, write_csv: Any, tmp_path: Path
    ) -> None:
        from nibabel import orientations as turned

        rng = np.random.default_rng(0)
        volume = rng.integers(-1000, 1000, (9, 20, 30)).astype(np.int16)
        affine = np.array([[0.7, 0, 0, -10], [0, 0.8, 0, -20], [0, 0, 5, 100], [0, 0, 0, 1.0]])
        folder = tmp_path / "volumes"
        write_nifti(volume, affine, folder / "a.nii.gz", description=b"")
        stored: Any = nibabel.load(folder / "a.nii.gz")
        start, end = turned.io_orientation(stored.affine), turned.axcodes2ornt(tuple(axes))
        nibabel.save(stored.as_reoriented(turned.ornt_transform(start, end)), folder / "a.nii.gz")
        rows = write_csv([{"ID": "a", "pT": "T3", "key": "6"}])
        out = tmp_path / "turned"
        command = ["prepare", "--format", "nifti", "--images", str(folder), "--table", str(rows), "--out", str(out)]
        assert main([*command, "--key-slice", "key", "--quiet"]) == 0
        (record,) = records_of(out).values()
        found: Any = nibabel.load(out / record["image"])
        assert np.array_equal(np.asarray(found.dataobj), volume[5:8].transpose(2, 1, 0))
        np.testing.assert_allclose((np.diag([-1, -1, 1, 1]) @ found.affine)[:3, 3], [-10, -20, 125], atol=1e-4)

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            (lambda hu: np.clip(hu, 0, 255), "HU_RANGE"),
            (lambda hu: np.where(hu > 0, np.nan, hu), "HU_RANGE"),
            (lambda hu: np.concatenate([hu, hu[..., :1]], axis=2), "NO_KEY_SLICE"),
        ],
    )
    def test_what_is_no_ct_or_names_no_slice_is_refused(
        self, change: Any, code: str, plan: PreparePlan, table: Path, images: Path
    ) -> None:
        path = sorted(images.iterdir())[0]
        stored: Any = nibabel.load(path)
        changed = change(np.asarray(stored.dataobj, np.float32))
        nibabel.save(nibabel.Nifti1Image(changed, stored.affine), path)
        summary = prepare_cohort(plan, read_table(table))
        assert summary.used == 11
        (finding,) = summary.findings
        assert finding.message.startswith(f"{code} ")


class TestPng:
    def test_the_released_profile_sees_the_very_greys_of_the_picture(self, write_csv: Any, tmp_path: Path) -> None:
        from PIL import Image

        from gastromap.preprocessing import PreprocessingProfile, SlicePreprocessing

        grey = np.random.default_rng(1).integers(0, 256, (224, 224)).astype(np.uint8)
        (tmp_path / "png").mkdir()
        for name in ("10_P1.nii.png", "10_P1.nii_+01.png"):
            Image.fromarray(grey if name.endswith("i.png") else grey.T).save(tmp_path / "png" / name)
        rows = write_csv(
            [
                {"patient": "10_P1", "file": "sample\\10_P1.nii.png", "pT": "T2"},
                {"patient": "10_P1", "file": "sample\\10_P1.nii_+01.png", "pT": "T2"},
            ]
        )
        out = tmp_path / "out"
        command = [
            "prepare",
            "--format",
            "png",
            "--images",
            str(tmp_path / "png"),
            "--table",
            str(rows),
            "--out",
            str(out),
        ]
        assert main([*command, "--image", "file", "--png-spacing", "0.7", "--quiet"]) == 0
        import json

        content = json.loads((out / "datalist.json").read_text())
        records = [record for split in ("training", "validation", "test") for record in content[split]]
        assert len(records) == 2
        assert len({record["patient_id"] for record in records}) == 1
        seen = []
        for record in records:
            stored: Any = nibabel.load(out / record["image"])
            hu = np.asarray(stored.dataobj, np.float32)[..., 0].T
            tensor = SlicePreprocessing(PreprocessingProfile.named("released"))(hu, np.diag([0.7, 0.7, 1, 1])).tensor
            seen.append(np.rint((tensor[0].numpy() * 0.229 + 0.485) * 255).astype(np.uint8))
        assert any(np.array_equal(found, grey) for found in seen)
        assert any(np.array_equal(found, grey.T) for found in seen)

    def test_without_the_size_of_a_pixel_it_is_refused(
        self, real_pictures: Path, write_csv: Any, tmp_path: Path
    ) -> None:
        rows = write_csv([{"ID": "case", "pT": "T1"}])
        command = ["prepare", "--format", "png", "--images", str(real_pictures), "--table", str(rows), "--quiet"]
        assert main([*command, "--out", str(tmp_path / "out")]) == 3
        assert [row["message"].split()[0] for row in findings_of(tmp_path / "out")] == ["PNG_SPACING"]


@pytest.fixture
def real_pictures(tmp_path: Path) -> Path:
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    Image.linear_gradient("L").save(tmp_path / "pictures" / "case.png")
    return tmp_path / "pictures"


class TestGoingOn:
    def test_a_stopped_run_goes_on_and_reads_nothing_twice(self, plan: PreparePlan, table: Path) -> None:
        def stop(done: int, total: int, bad: int) -> None:
            if done == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            prepare_cohort(plan, read_table(table), progress=stop)
        assert not (plan.out / "datalist.json").exists()
        second = prepare_cohort(plan, read_table(table))
        assert (second.read, second.used) == (7, 12)
        before = {path.name: path.read_bytes() for path in plan.out.iterdir() if path.is_file()}
        third = prepare_cohort(plan, read_table(table))
        assert third.read == 0
        assert {path.name: path.read_bytes() for path in plan.out.iterdir() if path.is_file()} == before

    def test_only_changed_studies_are_read_again(self, plan: PreparePlan, table: Path, images: Path) -> None:
        prepare_cohort(plan, read_table(table))
        first, second = sorted(images.iterdir())[:2]
        shutil.copy(second, first)
        summary = prepare_cohort(plan, read_table(table))
        assert summary.read == 1
        # The copy is the image of another patient now: nobody knows whose it is.
        assert {finding.code for finding in summary.findings} == {"SAME_IMAGES"}
        assert summary.used == 10

    def test_patients_keep_their_split_and_new_ones_are_added(
        self, plan: PreparePlan, images: Path, clinical_rows: list[dict[str, str]], write_csv: Any
    ) -> None:
        moved = sorted(images.iterdir())[-1]
        later = moved.rename(images.parent / moved.name)
        prepare_cohort(plan, read_table(write_csv(clinical_rows)))
        first = {patient: record["split"] for patient, record in records_of(plan.out).items()}
        later.rename(moved)
        summary = prepare_cohort(plan, read_table(write_csv(list(reversed(clinical_rows)))))
        second = {patient: record["split"] for patient, record in records_of(plan.out).items()}
        assert summary.read == 1
        assert len(first) == 11
        assert first.items() < second.items()

    def test_another_file_of_identities_is_refused(
        self, plan: PreparePlan, table: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, images: Path
    ) -> None:
        prepare_cohort(plan, read_table(table))
        command = ["prepare", "--format", "nifti", "--images", str(images), "--table", str(table), "--quiet"]
        assert main([*command, "--out", str(plan.out), "--identities", str(tmp_path / "other.csv")]) == 2
        assert "COHORT_DIFFERS" in capsys.readouterr().err

    def test_a_folder_with_other_files_is_left_alone(self, plan: PreparePlan, table: Path, images: Path) -> None:
        command = ["prepare", "--format", "nifti", "--images", str(images), "--table", str(table), "--quiet"]
        assert main([*command, "--out", str(images)]) == 12
        assert len(list(images.iterdir())) == 12


class TestBadStudies:
    def test_a_damaged_file_costs_only_its_patient(self, plan: PreparePlan, table: Path, images: Path) -> None:
        sorted(images.iterdir())[3].write_bytes(b"\x1f\x8b damaged")
        summary = prepare_cohort(plan, read_table(table))
        assert summary.used == 11
        assert [finding.code for finding in summary.findings] == ["STUDY_REFUSED"]

    def test_studies_that_outlast_the_limit_are_ended_and_tried_again(self, plan: PreparePlan, table: Path) -> None:
        from dataclasses import replace

        summary = prepare_cohort(replace(plan, study_seconds=1e-9), read_table(table))
        assert {finding.code for finding in summary.findings} == {"STUDY_FAILED"}
        assert summary.used == 0
        assert prepare_cohort(plan, read_table(table)).used == 12


def prepare_nifti(images: Path, table: Path, out: Path) -> int:
    """Exit code of the command with nothing but the files named."""
    files = ["--images", str(images), "--table", str(table), "--out", str(out)]
    return main(["prepare", "--format", "nifti", *files, "--quiet"])


def test_two_codings_of_a_stage_column_are_refused(write_csv: Any, images: Path, tmp_path: Path, capsys: Any) -> None:
    rows = write_csv([{"ID": str(k), "pT": str(k % 4)} for k in range(8)])
    assert prepare_nifti(images, rows, tmp_path / "o") == 2
    assert "STAGE_CODES column pT" in capsys.readouterr().err


def test_leading_zeros_that_a_spreadsheet_dropped_are_forgiven_and_said(
    write_csv: Any, images: Path, tmp_path: Path
) -> None:
    for number, path in enumerate(sorted(images.iterdir())):
        path.rename(images / f"{number:04d}.nii.gz")
    rows = write_csv([{"ID": str(k), "pT": "T2"} for k in range(12)])
    assert prepare_nifti(images, rows, tmp_path / "o") == 0
    assert len(records_of(tmp_path / "o")) == 12
    assert {row["code"] for row in findings_of(tmp_path / "o")} == {"ZEROS_DIFFER"}


def test_pseudonyms_need_the_key(tmp_path: Path) -> None:
    first, second = Identities(tmp_path / "a.csv"), Identities(tmp_path / "b.csv")
    assert first.patient("7") == Identities(tmp_path / "a.csv").patient("7")
    assert first.patient("7") != second.patient("7")
    assert first.patient("7").removeprefix("P-") != first.study("7").removeprefix("S-")


def test_a_test_centre_that_nobody_belongs_to_is_refused(plan: PreparePlan, table: Path) -> None:
    from dataclasses import replace

    from gastromap.cohort.splitting import SplitPlan
    from gastromap.errors import UsageError

    with pytest.raises(UsageError, match="TEST_CENTRE"):
        prepare_cohort(replace(plan, split=SplitPlan(test_centres=("nowhere",))), read_table(table))


def test_a_wrong_rule_of_matching_is_met_with_advice(
    images: Path, table: Path, tmp_path: Path, write_csv: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_csv([{"ID": "somebody", "pT": "T1"}])
    assert prepare_nifti(images, rows, tmp_path / "o") == 3
    assert "No identifier of the table belongs to a study (--match name)" in capsys.readouterr().out
