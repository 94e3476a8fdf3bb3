"""Which column holds what: options, YAML, names in two rows, units."""

from __future__ import annotations

from pathlib import Path

import pytest

from cohort.pair_builder import write_xlsx
from gastromap.cohort.pair_column_file import read_column_file
from gastromap.cohort.pair_columns import ClinicalColumn, parse_clinical, resolve_columns
from gastromap.cohort.spreadsheet import Table, read_table
from gastromap.errors import UsageError


def table(*columns: str) -> Table:
    return Table(columns, ((2, dict.fromkeys(columns, "1")),))


class TestNames:
    def test_width_case_and_blanks_do_not_matter(self) -> None:
        found = resolve_columns(
            table("编号", "CT (before)", "LNM", "OS(月)", "Death"),
            {"patient_id": "编号 ", "image1": "ct（before）", "lnm": "lnm", "os_time": "ＯＳ（月）", "death": "DEATH"},
        )
        assert (found.patient_id, found.image1, found.lnm, found.os_time) == ("编号", "CT (before)", "LNM", "OS(月)")

    def test_the_columns_of_the_synthetic_cohort_need_no_names(self) -> None:
        found = resolve_columns(
            table("patient_id", "image1", "mask1", "image2", "mask2", "lnm", "death", "os_months"), {}
        )
        assert (found.image2, found.os_time, found.os_unit) == ("image2", "os_months", "months")

    def test_one_column_for_two_things_is_refused(self) -> None:
        with pytest.raises(UsageError, match="COLUMNS_INVALID"):
            resolve_columns(table("ID", "ct", "N"), {"image1": "ct", "image2": "ct", "lnm": "N"})

    def test_no_label_at_all_is_refused(self) -> None:
        with pytest.raises(UsageError, match="--lnm, --death, --os-time"):
            resolve_columns(table("ID", "ct", "died"), {"image1": "ct", "death": "died"})


class TestUnits:
    def test_a_time_without_a_unit_is_refused(self) -> None:
        with pytest.raises(UsageError, match="TIME_UNIT column OS"):
            resolve_columns(table("ID", "OS", "death"), {"os_time": "OS"})

    @pytest.mark.parametrize(("name", "unit"), [("OS_days", "days"), ("随访时间(月)", "months"), ("生存天数", "days")])
    def test_the_name_of_the_column_may_state_it(self, name: str, unit: str) -> None:
        assert resolve_columns(table("ID", name, "death"), {"os_time": name}).os_unit == unit

    def test_a_unit_against_the_name_of_the_column_is_refused(self) -> None:
        with pytest.raises(UsageError, match="TIME_UNIT"):
            resolve_columns(table("ID", "生存时间(月)", "death"), {"os_time": "生存时间(月)"}, os_unit="days")


class TestColumnFile:
    def test_the_map_of_the_design_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "map.yaml").write_text(
            "table: cohort.xlsx\n"
            "columns: {patient_id: ID, image1: CT_before, mask1: null, lnm: 'N+', death: died, os_time: OS}\n"
            "os_unit: days\n"
            "missing_values: ['', NA, 9]\n"
            "clinical:\n"
            "  age: {column: Age, type: numeric}\n"
            "  lauren: {column: Lauren, type: categorical, levels: [intestinal, diffuse], missing: [0]}\n"
        )
        found = read_column_file(tmp_path / "map.yaml")
        assert found["table"] == tmp_path / "cohort.xlsx"
        assert found["columns"] == {
            "patient_id": "ID", "image1": "CT_before", "lnm": "N+", "death": "died", "os_time": "OS",
        }  # fmt: skip
        assert found["missing_values"] == ("", "NA", "9")
        assert found["clinical"][1] == ClinicalColumn(
            "lauren", "Lauren", "categorical", ("intestinal", "diffuse"), ("0",)
        )

    @pytest.mark.parametrize(
        "text",
        ["columns: {imagel: a}", "os_unit: weeks", "clinical: {a: {column: A, type: text}}", "colums: {}", "- a",
         "a: [", "clinical: {a: {column: A, type: ordinal}}", "mask_label: tumour", "words: {death: {yes: 1}}",
         "words: [a]",
         "clinical: {a: {column: A, type: categorical, levels: [yes, no]}}"],
    )  # fmt: skip
    def test_a_slip_in_it_is_refused(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "map.yaml").write_text(text)
        with pytest.raises(UsageError, match="COLUMNS_INVALID"):
            read_column_file(tmp_path / "map.yaml")


def test_the_map_of_the_documentation_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "cohort.md").read_text(encoding="utf-8")
    (tmp_path / "map.yaml").write_text(page.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    found = read_column_file(tmp_path / "map.yaml")
    assert found["columns"]["os_time"] == "总生存时间"
    assert [one.type for one in found["clinical"]] == ["numeric", "ordinal", "categorical"]
    assert found["words"] == ("death:失访=0", "split:外院=test")


def test_a_clinical_variable_in_one_argument() -> None:
    assert parse_clinical("ct=cT分期：ordinal：T1,T2,T3") == ClinicalColumn(
        "ct", "cT分期", "ordinal", ("T1", "T2", "T3")
    )
    assert parse_clinical("age=年龄") == ClinicalColumn("age", "年龄")


class TestNamesInTwoRows:
    def test_merged_cells_give_their_names_to_the_row_below(self, tmp_path: Path) -> None:
        rows = [{"": "", "CT": 1, "分割": 2, "CT ": 3, "分割 ": 4}]
        path = write_xlsx(tmp_path / "t.xlsx", rows, title=["编号", "治疗前", None, "治疗后", None])
        assert read_table(path, header_row=2).columns == (
            "编号",
            "治疗前 CT",
            "治疗前 分割",
            "治疗后 CT",
            "治疗后 分割",
        )

    def test_a_title_above_the_names_changes_nothing(self, tmp_path: Path) -> None:
        path = write_xlsx(tmp_path / "t.xlsx", [{"编号": 1, "CT": 2}], title=["胃癌队列"])
        found = read_table(path, header_row=2)
        assert found.columns == ("编号", "CT")
        assert [number for number, _ in found.rows] == [3]
