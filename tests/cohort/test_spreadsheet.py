"""Tables as researchers have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gastromap.cohort.spreadsheet import identifier, read_table
from gastromap.errors import UsageError

TEXT = "住院号,病理T分期\n007,pT3\n,\n8,无\n"


class TestReadTable:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
    def test_chinese_text_in_the_encodings_of_spreadsheets(self, encoding: str, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text(TEXT, encoding=encoding)
        table = read_table(tmp_path / "t.csv")
        assert table.columns == ("住院号", "病理T分期")
        assert table.rows == ((2, {"住院号": "007", "病理T分期": "pT3"}), (4, {"住院号": "8", "病理T分期": ""}))

    @pytest.mark.parametrize("delimiter", [";", "\t"])
    def test_other_delimiters(self, delimiter: str, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text(TEXT.replace(",", delimiter))
        assert read_table(tmp_path / "t.csv").columns == ("住院号", "病理T分期")

    def test_an_xlsx_file_keeps_identifiers_and_row_numbers(self, tmp_path: Path) -> None:
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        sheet = book.active
        sheet.title = "患者"
        for line in (["胃癌患者", None], ["ID", "T"], ["0012", "pT1"], [13, 2], [None, None], [14.0, "T3"]):
            sheet.append(line)
        book.save(tmp_path / "t.xlsx")
        table = read_table(tmp_path / "t.xlsx", sheet="患者", header_row=2)
        assert [(number, cells["ID"], cells["T"]) for number, cells in table.rows] == [
            (3, "0012", "pT1"),
            (4, "13", "2"),
            (6, "14", "T3"),
        ]

    @pytest.mark.parametrize(
        ("text", "name"), [("a,a\n1,2\n", "t.csv"), ("a,b\n", "t.csv"), ("no workbook", "t.xlsx"), ("", "t.csv")]
    )
    def test_what_is_no_table_is_refused(self, text: str, name: str, tmp_path: Path) -> None:
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match="TABLE_INVALID"):
            read_table(tmp_path / name)

    def test_a_misspelt_column_is_met_with_the_nearest_name(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text("Patient ID,pT\n1,T1\n")
        with pytest.raises(UsageError, match="Did you mean Patient ID"):
            read_table(tmp_path / "t.csv").column("PatientID")


@pytest.mark.parametrize(
    ("cell", "same"), [("7", "7"), ("7.0", "7"), (" 7 ", "7"), ("７", "7"), ("007", "007"), ("A.0", "A.0")]
)
def test_identifiers_are_compared_as_text(cell: str, same: str) -> None:
    assert identifier(cell) == same
