"""``gastromap prepare --pairs`` on NIfTI crops: from a table as it is to what training reads."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from cohort.conftest import findings_of, identities_of, records_of
from cohort.pair_builder import CHINESE_OPTIONS, HEADERS, chinese_row, save, voxels, write_crops, write_xlsx
from gastromap.cli import main
from gastromap.training.volume_datalist import read_volume_datalist


class Cohort:
    """Crops of some patients and a table that a test may change."""

    def __init__(self, folder: Path, patients: int = 3) -> None:
        self.folder, self.crops, self.out = folder, folder / "crops", folder / "DATA"
        self.rows = [chinese_row(n, write_crops(self.crops, n)) for n in range(1, patients + 1)]

    def prepare(self, *more: str) -> int:
        path = write_xlsx(self.folder / "队列.xlsx", self.rows)
        command = ["prepare", "--pairs", "--table", str(path), "--images", str(self.crops), "--out", str(self.out)]
        return main([*command, "--workers", "1", "--quiet", *CHINESE_OPTIONS, *more])

    def set(self, number: int, key: str, cell: object) -> None:
        self.rows[number - 1][HEADERS[key]] = cell

    @property
    def patients(self) -> dict[str, dict[str, Any]]:
        """Entries by the identifier of the table."""
        names = identities_of(self.folder / "DATA_identities.csv")
        return {names[patient]: record for patient, record in records_of(self.out).items()}

    @property
    def findings(self) -> list[tuple[str, str, str, str]]:
        return [(one["code"], one["effect"], one["rows"], one["column"]) for one in findings_of(self.out)]

    @property
    def codes(self) -> dict[str, str]:
        """Code of each row that was left out, or that of the refusal."""
        left_out = (one for one in findings_of(self.out) if one["effect"] == "left out" and one["rows"])
        return {one["rows"]: one["detail"] or one["code"] for one in left_out}


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return Cohort(tmp_path)


def lps(path: Path) -> tuple[Any, Any]:
    """Voxels and affine (RAS) of a file, turned to LPS by nibabel alone."""
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    image: Any = nibabel.load(path)
    turned = image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt("LPS")))
    return np.asarray(turned.dataobj), turned.affine


class TestChineseTable:
    def test_one_command_gives_what_training_reads(self, cohort: Cohort) -> None:
        assert cohort.prepare() == 0
        assert cohort.findings == []
        entry = cohort.patients["GC003"]
        assert (entry["lnm"], entry["death"], entry["os_months"]) == (1, 1, pytest.approx(36.0))
        assert entry["clinical"] == {"age": 53}
        assert set(entry) == {
            "patient_id", "image1", "mask1", "image2", "mask2", "lnm", "death", "os_months", "clinical", "split",
        }  # fmt: skip
        records = [record for part in read_volume_datalist(cohort.out).values() for record in part]
        assert len(records) == 6
        assert all(Path(record["image"]).is_file() and Path(record["label"]).is_file() for record in records)

    def test_voxels_and_places_are_those_of_the_files(self, cohort: Cohort) -> None:
        cohort.prepare()
        entry = cohort.patients["GC002"]
        for key, name in (("image1", "ct1"), ("mask1", "seg1"), ("image2", "ct2"), ("mask2", "seg2")):
            mine, theirs = lps(cohort.out / entry[key]), lps(cohort.crops / "P002" / f"{name}.nii.gz")
            assert np.array_equal(mine[0], theirs[0])
            np.testing.assert_allclose(mine[1], theirs[1], atol=1e-5)

    def test_keys_are_those_of_the_synthetic_cohort(self, cohort: Cohort) -> None:
        from gastromap.synthetic.longitudinal_tables import PREOPERATIVE, longitudinal_datalist

        cohort.prepare()
        content = json.loads((cohort.out / "datalist.json").read_text())
        case = type("V", (), {"case": type("C", (), {"centre": 1, "seed": 0})()})()
        row = dict.fromkeys(
            (
                "patient_id",
                "image1",
                "mask1",
                "image2",
                "mask2",
                "date1",
                "date2",
                "lnm",
                "death",
                "os_months",
                *PREOPERATIVE,
            ),
            1,
        )
        other = json.loads(longitudinal_datalist([case], [{"clinical": row}], {1: "training"}, table=""))  # type: ignore[list-item,dict-item]
        assert set(content) == set(other)
        assert set(content["meta"]) == set(other["meta"])
        assert set(cohort.patients["GC001"]) - {"split"} <= set(other["training"][0])

    def test_no_name_and_no_identifier_is_passed_on(self, cohort: Cohort) -> None:
        cohort.set(2, "death", "张三")
        cohort.prepare()
        for path in cohort.out.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                assert not any(mark.encode() in content for mark in ("GC00", "张三", "ct1.nii"))
                if path.name.endswith(".nii.gz"):
                    assert b"Zhang" not in nibabel.load(path).header["descrip"].tobytes()
        assert (cohort.folder / "DATA_identities.csv").stat().st_mode & 0o777 == 0o600

    def test_a_column_map_replaces_the_options(self, cohort: Cohort, tmp_path: Path) -> None:
        write_xlsx(tmp_path / "cohort.xlsx", cohort.rows)
        (tmp_path / "map.yaml").write_text(
            "table: cohort.xlsx\nimages: crops\n"
            "columns: {patient_id: 编号, image1: 治疗前CT, image2: 治疗后CT, lnm: 淋巴结转移（病理）}\n"
            "clinical: {age: {column: 年龄}}\nwords: {lnm: {阳性: 0, 阴性: 1}}\n",
            encoding="utf-8",
        )
        command = ["prepare", "--pairs", "--columns", str(tmp_path / "map.yaml"), "--out", str(cohort.out), "--quiet"]
        assert main([*command, "--workers", "1"]) == 0
        assert [entry["lnm"] for _, entry in sorted(cohort.patients.items())] == [0, 1, 0]
        assert "mask1" not in cohort.patients["GC001"]


class TestRowsAndLabels:
    @pytest.mark.parametrize(
        ("key", "cell", "code"),
        [
            ("os", -3, "TIME_NEGATIVE"),
            ("os", "long", "TIME_UNREADABLE"),
            ("lnm", "perhaps", "LABEL_UNREADABLE"),
            ("death", "失访", "LABEL_UNREADABLE"),
        ],
    )
    def test_a_bad_label_costs_its_row_and_names_it(self, key: str, cell: object, code: str, cohort: Cohort) -> None:
        cohort.set(2, key, cell)
        assert cohort.prepare() == 0
        assert (code, "left out", "3", HEADERS[key].replace("（", "(").replace("）", ")")) in cohort.findings
        assert set(cohort.patients) == {"GC001", "GC003"}

    def test_missing_labels_are_absent_keys(self, cohort: Cohort) -> None:
        cohort.set(1, "lnm", "未知")
        cohort.set(2, "os", None)
        cohort.set(3, "death", None)
        cohort.prepare()
        keys = {name: {"lnm", "death", "os_months"} & set(entry) for name, entry in cohort.patients.items()}
        assert keys == {"GC001": {"death", "os_months"}, "GC002": {"lnm"}, "GC003": {"lnm"}}
        assert "null" not in (cohort.out / "datalist.json").read_text()
        assert {code for code, *_ in cohort.findings} == {"LNM_MISSING", "OS_INCOMPLETE"}

    def test_a_row_without_any_label_is_left_out(self, cohort: Cohort) -> None:
        for key in ("lnm", "os", "death"):
            cohort.set(2, key, None)
        cohort.prepare()
        assert cohort.codes == {"3": "LABEL_MISSING"}

    def test_a_row_that_is_left_out_says_only_why(self, cohort: Cohort) -> None:
        cohort.set(2, "lnm", "perhaps")
        cohort.set(2, "os", 0)
        cohort.prepare()
        assert [code for code, *_ in cohort.findings] == ["LABEL_UNREADABLE"]

    def test_a_time_of_zero_stays_and_is_reported(self, cohort: Cohort) -> None:
        cohort.set(2, "os", 0)
        cohort.prepare()
        assert cohort.patients["GC002"]["os_months"] == 0
        assert [(code, effect) for code, effect, *_ in cohort.findings] == [("TIME_ZERO", "kept")]

    def test_a_bad_clinical_value_is_emptied(self, cohort: Cohort) -> None:
        cohort.set(2, "age", 520)
        cohort.prepare()
        assert cohort.patients["GC002"]["clinical"] == {}
        assert cohort.findings == [("VALUE_IMPOSSIBLE", "emptied", "3", "年龄")]

    def test_two_rows_of_a_patient_that_differ_are_left_out_and_copies_are_not(self, cohort: Cohort) -> None:
        cohort.rows += [dict(cohort.rows[0]), {**cohort.rows[1], HEADERS["lnm"]: "阳性"}]
        cohort.prepare()
        assert set(cohort.patients) == {"GC001", "GC003"}
        assert cohort.codes == {"3 6": "SEVERAL_ROWS"}
        assert {code for code, *_ in cohort.findings} == {"SEVERAL_ROWS", "DUPLICATE_ROWS"}

    def test_dates_must_run_forward_and_are_shifted(self, cohort: Cohort) -> None:
        for row, (first, second) in zip(
            cohort.rows, [("2021-01-01", "2021-04-01"), (44197, "44197"), ("2021年4月1日", "1.1.2021")], strict=True
        ):
            row.update({"基线日期": first, "复查日期": second})
        cohort.prepare("--date1", "基线日期", "--date2", "复查日期")
        assert cohort.codes == {"3": "DATES_REVERSED", "4": "DATES_REVERSED"}
        entry = cohort.patients["GC001"]
        days = [np.datetime64(entry[key]) for key in ("date1", "date2")]
        assert (days[1] - days[0]).astype(int) == 90
        assert entry["date1"] != "2021-01-01"
        with (cohort.out / "clinical.csv").open() as stream:
            assert next(csv.DictReader(stream))["interval_days"] == "90"


class TestFiles:
    def test_a_patient_without_a_second_scan_stays(self, cohort: Cohort) -> None:
        cohort.set(2, "image2", None)
        cohort.set(2, "mask2", "无")
        for name in ("ct2", "seg2"):
            (cohort.crops / "P002" / f"{name}.nii.gz").unlink()
        cohort.prepare()
        assert not {"image2", "mask2"} & set(cohort.patients["GC002"])
        assert cohort.findings == [("NO_FOLLOWUP", "kept", "3", "")]

    def test_names_of_files_may_follow_a_pattern(self, cohort: Cohort) -> None:
        for number in (1, 2, 3):
            (cohort.crops / f"P{number:03d}").rename(cohort.crops / f"GC{number:03d}")
        (cohort.crops / "GC002" / "seg1.nii.gz").unlink()
        (cohort.crops / "GC003" / "ct2.nii.gz").unlink()
        (cohort.crops / "GC003" / "seg2.nii.gz").unlink()
        names = {"image1": "{}/ct1.nii.gz", "mask1": "{}/seg1", "image2": "{}/ct2.nii.gz", "mask2": "{}/seg2"}
        cohort.prepare(*(text for key, name in names.items() for text in (f"--{key}", name)))
        found = {name: {"image1", "mask1", "image2", "mask2"} & set(entry) for name, entry in cohort.patients.items()}
        assert found == {
            "GC001": {"image1", "mask1", "image2", "mask2"},
            "GC002": {"image1", "image2", "mask2"},
            "GC003": {"image1", "mask1"},
        }
        assert cohort.findings == [("NO_FOLLOWUP", "kept", "4", "")]

    def test_a_file_that_is_named_and_absent_is_an_error(self, cohort: Cohort) -> None:
        (cohort.crops / "P002" / "ct2.nii.gz").unlink()
        cohort.prepare()
        assert cohort.findings == [("FILE_MISSING", "left out", "3", "治疗后CT")]

    @pytest.mark.parametrize(
        "cell",
        ["P001/ct1", "P001\\ct1.nii", "./P001//ct1.nii.gz", '"P001/CT1.NII.GZ"', "\\\\server\\share\\P001\\ct1.nii.gz",
         "/mnt/elsewhere/crops/P001/ct1.nii.gz", "p001／ct1"],
    )  # fmt: skip
    def test_paths_as_people_write_them(self, cell: str, cohort: Cohort) -> None:
        cohort.set(1, "image1", cell)
        cohort.prepare()
        assert cohort.findings == []

    def test_names_that_differ_in_width_on_disk_and_in_the_table(self, cohort: Cohort) -> None:
        (cohort.crops / "P001").rename(cohort.crops / "患者（1）")
        for key in ("image1", "mask1", "image2", "mask2"):
            cohort.set(1, key, f"患者（1）/{'ct' if 'image' in key else 'seg'}{key[-1]}")
        cohort.prepare()
        assert cohort.findings == []

    def test_a_copy_as_second_scan_is_refused_by_path_and_by_voxels(self, cohort: Cohort) -> None:
        cohort.set(1, "image2", "P001/ct1")
        first: Any = nibabel.load(cohort.crops / "P002" / "ct1.nii.gz")
        flipped = first.as_reoriented([[0, -1], [1, -1], [2, 1]])
        save(cohort.crops / "P002" / "ct2.nii.gz", np.asarray(flipped.dataobj, np.float64), flipped.affine)
        cohort.prepare()
        assert cohort.codes == {"2": "CONFLICTING_REQUEST", "3": "FOLLOWUP_IS_COPY"}

    def test_one_file_for_two_patients_is_refused_by_path_and_by_voxels(self, tmp_path: Path) -> None:
        cohort = Cohort(tmp_path, patients=5)
        cohort.set(2, "image1", "P001/ct1.nii.gz")
        save(cohort.crops / "P003" / "ct2.nii.gz", voxels(41))
        cohort.prepare()
        assert cohort.codes == {"2 3": "CONFLICTING_REQUEST", "4": "SAME_IMAGES", "5": "SAME_IMAGES"}
        assert set(cohort.patients) == {"GC005"}

    def test_files_that_no_row_names_are_reported_without_their_names(self, cohort: Cohort) -> None:
        write_crops(cohort.crops, 77)
        save(cohort.crops / "P001" / "other.nii.gz", voxels(1))
        cohort.prepare()
        found = [one for one in findings_of(cohort.out) if one["code"] == "IMAGES_WITHOUT_ROW"]
        assert sorted(one["message"] for one in found) == [
            "no row names this file", "no row names this folder of 4 images",
        ]  # fmt: skip
        assert "P077" in (cohort.folder / "DATA_identities.csv").read_text()


class TestSplit:
    def test_it_is_balanced_by_both_labels_and_frozen(self, tmp_path: Path) -> None:
        cohort = Cohort(tmp_path, patients=12)
        for number in range(1, 13):
            cohort.set(number, "lnm", number % 2)
            cohort.set(number, "death", number // 7)
        cohort.prepare("--split", "50,50,0")
        parts = {name: entry["split"] for name, entry in cohort.patients.items()}
        strata = {(entry["lnm"], entry["death"], entry["split"]) for entry in cohort.patients.values()}
        # Strata of three patients: either part has at least one of each.
        assert len(strata) == 8
        cohort.rows.append(chinese_row(20, write_crops(cohort.crops, 20)))
        cohort.set(1, "lnm", 0)
        cohort.prepare("--split", "50,50,0", "--seed", "9")
        again = {name: entry["split"] for name, entry in cohort.patients.items()}
        assert {name: again[name] for name in parts} == parts
        assert set(again) - set(parts) == {"GC020"}

    def test_a_given_column_decides(self, cohort: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
        for row, cell in zip(cohort.rows, ["训练集", "二院", "external"], strict=True):
            row["队列"] = cell
        cohort.prepare("--split-column", "队列", "--word", "split:二院=validation")
        assert [entry["split"] for _, entry in sorted(cohort.patients.items())] == ["training", "validation", "test"]
        cohort.rows[0]["队列"] = "test"
        assert cohort.prepare("--split-column", "队列", "--word", "split:二院=validation") == 2
        assert "SPLIT_FROZEN" in capsys.readouterr().err

    def test_folds_and_a_test_centre(self, cohort: Cohort) -> None:
        for row, hospital, fold in zip(cohort.rows, ["A", "A", "B"], [1, 2, None], strict=True):
            row.update({"医院": hospital, "折": fold})
        cohort.prepare("--centre", "医院", "--fold", "折")
        found = {name: (entry["cohort"], entry["fold"], entry["split"]) for name, entry in cohort.patients.items()}
        assert found == {"GC001": ("A", 1, "training"), "GC002": ("A", 2, "training")}
        shutil.rmtree(cohort.out)
        cohort.prepare("--centre", "医院", "--test-centre", "B", "--split", "80,20,0")
        assert {entry["split"] for name, entry in cohort.patients.items() if name == "GC003"} == {"test"}


class TestRuns:
    def test_a_second_run_reads_only_what_changed(self, cohort: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
        cohort.prepare()
        before = {path: path.stat().st_mtime_ns for path in (cohort.out / "images").iterdir()}
        save(cohort.crops / "P002" / "ct2.nii.gz", voxels(99))
        capsys.readouterr()
        cohort.prepare()
        assert "of 1 patients read now" in capsys.readouterr().out
        changed = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
        entry = cohort.patients["GC002"]
        assert changed == {Path(entry["image1"]).name, Path(entry["image2"]).name}
        assert np.array_equal(lps(cohort.out / entry["image2"])[0], lps(cohort.crops / "P002" / "ct2.nii.gz")[0])

    def test_a_stop_in_the_middle_loses_nothing(self, cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
        from gastromap.cohort import pair_reading

        store = pair_reading.PairReader._store

        def stop(reader: Any, job: Any, result: Any, state: str) -> None:
            if reader.number_read == 1:
                raise KeyboardInterrupt
            store(reader, job, result, state)

        with monkeypatch.context() as patched:
            patched.setattr(pair_reading.PairReader, "_store", stop)
            assert cohort.prepare() == 130
        assert not (cohort.out / "datalist.json").exists()
        assert len(list((cohort.out / "records").glob("*.json"))) == 1
        assert cohort.prepare() == 0
        assert len(cohort.patients) == 3
        assert not [path for path in (cohort.out / "images").iterdir() if path.name.startswith(".")]

    def test_images_of_patients_who_are_gone_are_removed(self, cohort: Cohort) -> None:
        cohort.prepare()
        del cohort.rows[1]
        cohort.prepare()
        assert len(list((cohort.out / "images").iterdir())) == len(list((cohort.out / "masks").iterdir())) == 4

    def test_nothing_usable_is_exit_code_3(self, cohort: Cohort) -> None:
        shutil.rmtree(cohort.crops / "P001")
        cohort.rows = cohort.rows[:1]
        assert cohort.prepare() == 3

    def test_the_page_counts_what_the_table_says(self, cohort: Cohort) -> None:
        cohort.set(1, "image2", None)
        cohort.set(1, "mask2", None)
        cohort.prepare()
        page = (cohort.out / "reconciliation.html").read_text()
        assert '<div class="name">without a second scan</div><div class="value">1</div>' in page
        assert "NO_FOLLOWUP" in page

    @pytest.mark.parametrize(
        ("options", "message"),
        [(["--stage", "T"], "options of pairs"), (["--axes", "LLS"], "--axes"), (["--images", "/nowhere"], "--images")],
    )
    def test_wrong_arguments(self, options: list[str], message: str, cohort: Cohort, capsys: Any) -> None:
        assert cohort.prepare(*options) == 2
        assert message in capsys.readouterr().err

    def test_options_of_pairs_need_the_word(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["prepare", "--table", "t.csv", "--images", ".", "--out", str(tmp_path), "--lnm", "N"]) == 2
        assert "--pairs with --lnm" in capsys.readouterr().err

    def test_slices_and_pairs_do_not_share_a_folder(self, cohort: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
        cohort.prepare()
        table = str(cohort.folder / "队列.xlsx")
        command = ["prepare", "--table", table, "--images", str(cohort.crops), "--out", str(cohort.out), "--quiet"]
        assert main([*command, "--patient", "编号", "--stage", "年龄", "--format", "nifti", "--workers", "1"]) == 2
        assert "COHORT_DIFFERS" in capsys.readouterr().err
