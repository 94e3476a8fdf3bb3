"""``gastromap prepare`` on DICOM studies with a table that is a mess, as tables are."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from cohort.conftest import findings_of, identities_of, records_of
from gastromap.cli import main

MARK = "王小明Zhang"


@pytest.fixture(scope="module")
def studies(dicom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The studies of four patients under names of their own; the fourth has lost its portal-venous series."""
    folder = tmp_path_factory.mktemp("tree")
    for number, study in enumerate(sorted((dicom_cohort / "studies").iterdir()), start=1):
        shutil.copytree(study, folder / f"{MARK} {number}")
    shutil.rmtree(folder / f"{MARK} 4" / "S003")
    shutil.rmtree(folder / f"{MARK} 4" / "S006")
    (folder / "readme.txt").write_text(MARK)
    return folder


@pytest.fixture(scope="module")
def table(clinical_rows: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["住院号", "姓名", "病理T分期", "肿瘤大小(cm)", "分化程度", "Lauren分型", "医院"])
    grades = {"well": "高分化", "moderate": "中分化", "poor": "低分化"}
    types = {"intestinal": "肠型", "diffuse": "弥漫型", "mixed": "混合型"}
    one, two, three, four = (
        [row["patient_id"], MARK, f"p{row['stage']}", float(row["tumour_size_cm"]), grades[row["differentiation"]],
         types[row["lauren"]], f"医院{row['centre']}"]
        for row in clinical_rows[:4]
    )  # fmt: skip
    one[3] = f"{10 * float(one[3]):g} mm"
    two[3], two[5] = 350, MARK
    for line in (
        one,
        two,
        list(one),
        [*three[:2], "T9", *three[3:]],
        four,
        ["GHOST", MARK, "pT2"],
        [None, MARK, "pT1"],
    ):
        sheet.append(line)
    path = tmp_path_factory.mktemp("table") / "cohort.xlsx"
    book.save(path)
    return path


@pytest.fixture(scope="module")
def command(studies: Path, table: Path) -> list[str]:
    columns = ["--patient", "住院号", "--stage", "病理T分期", "--size", "肿瘤大小(cm)", "--centre", "医院"]
    columns += ["--differentiation", "分化程度", "--lauren", "Lauren分型"]
    return ["prepare", "--images", str(studies), "--table", str(table), "--workers", "2", "--quiet", *columns]


@pytest.fixture(scope="module")
def prepared(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "data"
    assert main([*command, "--out", str(out)]) == 0
    return out


def identities_file(out: Path) -> Path:
    return out.with_name(f"{out.name}_identities.csv")


class TestDatalist:
    def test_it_holds_the_patients_with_a_stage_and_images_with_their_labels(
        self, prepared: Path, clinical_rows: list[dict[str, str]]
    ) -> None:
        names = identities_of(identities_file(prepared))
        found = {names[patient]: record["label"] for patient, record in records_of(prepared).items()}
        assert found == {row["patient_id"]: int(row["label"]) for row in clinical_rows[:2]}

    def test_its_images_are_those_of_the_synthetic_slices(self, prepared: Path, slice_cohort: Path) -> None:
        names, reference = identities_of(identities_file(prepared)), records_of(slice_cohort)
        for patient, record in records_of(prepared).items():
            mine: Any = nibabel.load(prepared / record["image"])
            theirs: Any = nibabel.load(slice_cohort / reference[names[patient]]["image"])
            assert np.array_equal(mine.dataobj, theirs.dataobj)
            assert mine.get_data_dtype() == theirs.get_data_dtype()
            np.testing.assert_allclose(mine.affine, theirs.affine, atol=1e-4)

    def test_training_and_application_give_the_network_the_same_input(self, prepared: Path, studies: Path) -> None:
        from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

        from gastromap.dicom_input import GateSettings, build_volume, load_folder, select_series
        from gastromap.key_slice import find_key_slice
        from gastromap.preprocessing import PreprocessingProfile, SlicePreprocessing
        from gastromap.preprocessing.transforms import PrepareCtSliced
        from gastromap.training import read_datalist

        splits = read_datalist(prepared)
        load = Compose([LoadImaged("image"), EnsureChannelFirstd("image"), PrepareCtSliced("image")])
        inputs = [np.asarray(load(record)["image"]) for records in splits.values() for record in records]
        settings = GateSettings()
        folder = load_folder(studies / f"{MARK} 1", settings=settings)
        volume = build_volume(select_series(folder, settings=settings), settings=settings)
        key = find_key_slice(folder, volume)
        prepare = SlicePreprocessing(PreprocessingProfile.named("paper"))
        expected = prepare(volume.hu[key.index], volume.affine_lps).tensor.numpy()
        assert min(float(np.abs(found - expected).max()) for found in inputs) < 1e-4

    def test_clinical_values_are_read_and_impossible_ones_are_missing(
        self, prepared: Path, clinical_rows: list[dict[str, str]]
    ) -> None:
        import csv

        names = identities_of(identities_file(prepared))
        with (prepared / "clinical.csv").open() as stream:
            rows = {names[row["patient_id"]]: row for row in csv.DictReader(stream)}
        first, second = clinical_rows[0], clinical_rows[1]
        mine = rows[first["patient_id"]]
        assert float(mine["tumour_size_cm"]) == float(first["tumour_size_cm"])
        assert (mine["differentiation"], mine["lauren"]) == (first["differentiation"], first["lauren"])
        assert rows[second["patient_id"]]["tumour_size_cm"] == rows[second["patient_id"]]["lauren"] == ""


def test_the_reconciliation_names_each_fault_once_with_its_row(prepared: Path) -> None:
    found = {(row["code"], row["rows"], row["effect"]) for row in findings_of(prepared)}
    assert found == {
        ("VALUE_IMPOSSIBLE", "3", "emptied"),
        ("VALUE_UNREADABLE", "3", "emptied"),
        ("DUPLICATE_ROWS", "2 4", "kept"),
        ("STAGE_IMPOSSIBLE", "5", "left out"),
        ("STUDY_REFUSED", "6", "left out"),
        ("ROW_WITHOUT_IMAGES", "7", "left out"),
        ("ROW_WITHOUT_PATIENT", "8", "left out"),
        ("LOOSE_FILES", "", "left out"),
    }
    refused = next(row for row in findings_of(prepared) if row["code"] == "STUDY_REFUSED")
    assert refused["detail"] == "NO_PORTAL_SERIES"


def test_the_page_needs_no_other_file_and_shows_every_finding(prepared: Path) -> None:
    page = (prepared / "reconciliation.html").read_text()
    for row in findings_of(prepared):
        assert row["code"] in page
    assert "src=" not in page
    assert "href=" not in page


class TestPrivacy:
    def test_only_the_file_of_identities_holds_patient_data_and_only_its_owner_may_read_it(
        self, prepared: Path, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([*command, "--out", str(tmp_path / "again"), "--log-level", "DEBUG"]) == 0
        said = "".join(capsys.readouterr())
        texts = [said, *(path.name for path in prepared.rglob("*"))]
        texts += [path.read_bytes().decode("latin-1") for path in prepared.rglob("*") if path.is_file()]
        marks = (MARK, MARK.encode().decode("latin-1"), "SYNTHETIC-5", "1.2.826", "GHOST")
        assert not [mark for mark in marks for text in texts if mark in text]
        private = identities_file(prepared)
        assert all(mark in private.read_text() for mark in (MARK, "SYNTHETIC-5", "GHOST"))
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
        assert str(identities_file(tmp_path / "again")) in said

    def test_pseudonyms_differ_between_cohorts_but_the_split_does_not(
        self, prepared: Path, command: list[str], tmp_path: Path
    ) -> None:
        assert main([*command, "--out", str(tmp_path / "again")]) == 0
        mine, theirs = ({}, {})
        for folder, split in ((prepared, mine), (tmp_path / "again", theirs)):
            names = identities_of(identities_file(folder))
            split.update({names[patient]: record["split"] for patient, record in records_of(folder).items()})
        assert mine == theirs
        assert not set(records_of(prepared)) & set(records_of(tmp_path / "again"))

    def test_the_file_of_identities_may_not_lie_in_the_prepared_folder(
        self, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([*command, "--out", str(tmp_path), "--identities", str(tmp_path / "ids.csv")]) == 2
        assert "PREPARE_ARGUMENTS" in capsys.readouterr().err


def test_a_series_and_a_key_slice_may_be_named_in_columns(
    studies: Path, clinical_rows: list[dict[str, str]], write_csv: Any, tmp_path: Path
) -> None:
    import pydicom

    arterial = pydicom.dcmread(next((studies / f"{MARK} 4" / "S002").iterdir()), stop_before_pixels=True)
    rows = [
        {"ID": f"{MARK} 4", "pT": "T3", "series": str(arterial.SeriesInstanceUID), "key": "0"},
        {"ID": f"{MARK} 1", "pT": "T2", "series": "", "key": "5.0"},
    ]
    out = tmp_path / "out"
    command = [
        "prepare",
        "--images",
        str(studies),
        "--table",
        str(write_csv(rows)),
        "--out",
        str(out),
        "--match",
        "name",
    ]
    assert main([*command, "--series", "series", "--key-slice", "key", "--quiet"]) == 0
    names = identities_of(identities_file(out))
    shapes = {names[p]: nibabel.load(out / r["image"]).shape[2] for p, r in records_of(out).items()}
    # Nothing lies below the first slice: it stands alone, so that it stays in the middle.
    assert shapes == {f"{MARK} 4": 1, f"{MARK} 1": 3}
    codes = {row["code"] for row in findings_of(out)}
    assert codes == {"NEIGHBOUR_MISSING", "IMAGES_WITHOUT_ROW", "LOOSE_FILES"}


@pytest.mark.realdata
def test_real_studies_are_read_as_simpleitk_reads_them_and_broken_ones_are_refused_by_code(
    real_data: Path, write_csv: Any, tmp_path: Path
) -> None:
    import SimpleITK

    names = ("tcga_coad_ay4070", "cptac_pda_c3l00189", "tcga_lihc_bca10x_messy")
    rows = [{"ID": name, "pT": "T3", "key": "30", "series": "only"} for name in names]
    out = tmp_path / "out"
    command = ["prepare", "--images", str(real_data / "ct"), "--table", str(write_csv(rows)), "--out", str(out)]
    assert main([*command, "--match", "name", "--key-slice", "key", "--series", "series", "--quiet"]) == 0
    refused = [row["detail"] for row in findings_of(out) if row["code"] == "STUDY_REFUSED"]
    assert refused == ["GAP"]
    found = {pseudonym: record["image"] for pseudonym, record in records_of(out).items()}
    by_name = {name: out / found[p] for p, name in identities_of(identities_file(out)).items() if p in found}
    assert set(by_name) == set(names[:2])
    for name, path in by_name.items():
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(next((real_data / "ct" / name).rglob("*.dcm")).parent)))
        expected = SimpleITK.GetArrayFromImage(reader.Execute())
        mine: Any = nibabel.load(path)
        assert np.array_equal(np.asarray(mine.dataobj).transpose(2, 1, 0), np.maximum(expected[29:32], -1024))
