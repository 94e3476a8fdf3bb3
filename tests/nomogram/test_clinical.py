"""The clinical file: what is read, what is missing, what is refused, and that a refusal quotes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from gastromap.errors import UsageError
from gastromap.nomogram import check_clinical, read_clinical, with_measured_size
from gastromap.results import ClinicalVariables, Tumour
from gastromap.segmentation.measures import TumourMeasures

MARK = "Zhang^San"


def write(folder, name: str, content: str | bytes):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read_json(folder, content: str | bytes, patient_id: str = "P1") -> ClinicalVariables:
    return read_clinical(write(folder, "clinical.json", content), patient_id=patient_id)


def read_table(folder, content: str | bytes, patient_id: str = "P1") -> ClinicalVariables:
    return read_clinical(write(folder, "clinical.csv", content), patient_id=patient_id)


class TestJson:
    def test_the_three_variables_are_read(self, tmp_path):
        text = '{"tumour_size_cm": 4.2, "differentiation": "poor", "lauren": "diffuse"}'
        assert read_json(tmp_path, text) == ClinicalVariables(4.2, "poor", "diffuse")

    def test_null_and_absent_are_missing(self, tmp_path):
        assert read_json(tmp_path, '{"lauren": null}').missing == ("tumour_size_cm", "differentiation", "lauren")

    def test_case_and_blanks_of_a_category_do_not_matter(self, tmp_path):
        assert read_json(tmp_path, '{"lauren": " Diffuse "}').lauren == "diffuse"

    def test_a_whole_number_is_a_size(self, tmp_path):
        assert read_json(tmp_path, '{"tumour_size_cm": 4}').tumour_size_cm == 4.0

    def test_other_variables_are_passed_over(self, tmp_path):
        assert read_json(tmp_path, '{"age_years": 62, "lauren": "mixed"}') == ClinicalVariables(lauren="mixed")

    def test_a_longer_name_beside_the_variable_is_another_variable(self, tmp_path):
        assert read_json(tmp_path, '{"lauren_source": "biopsy", "lauren": "mixed"}').lauren == "mixed"

    def test_a_byte_order_mark_is_no_damage(self, tmp_path):
        assert read_json(tmp_path, '\ufeff{"lauren": "mixed"}').lauren == "mixed"

    def test_a_file_of_another_patient_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match="another PatientID"):
            read_json(tmp_path, '{"PatientID": "P2", "lauren": "mixed"}')

    def test_a_file_that_names_this_patient_is_read(self, tmp_path):
        assert read_json(tmp_path, '{"PatientID": "P1 ", "lauren": "mixed"}').lauren == "mixed"


class TestTable:
    TABLE = (
        "PatientID,age,tumour_size_cm,differentiation,lauren\n"
        "P1,60,5.5,well,mixed\nP2,61,,NA,\nP3,62,400,bad,none\n007,50,1,well,mixed\nP5,1,2,well,mixed\nP5,1,2,well,mixed\n"
    )

    def test_the_row_of_the_patient_is_read_whatever_the_other_rows_hold(self, tmp_path):
        assert read_table(tmp_path, self.TABLE) == ClinicalVariables(5.5, "well", "mixed")

    def test_empty_cells_and_na_are_missing(self, tmp_path):
        assert len(read_table(tmp_path, self.TABLE, "P2").missing) == 3

    @pytest.mark.parametrize("patient_id", ["P9", "", " ", "7"])
    def test_an_unknown_patient_has_no_variables(self, tmp_path, patient_id):
        assert read_table(tmp_path, self.TABLE, patient_id) == ClinicalVariables()

    def test_an_empty_identifier_does_not_match_a_row_without_one(self, tmp_path):
        assert read_table(tmp_path, "PatientID,lauren\n,mixed\n", "") == ClinicalVariables()

    def test_leading_zeros_belong_to_the_identifier(self, tmp_path):
        assert read_table(tmp_path, self.TABLE, "007").tumour_size_cm == 1.0

    def test_two_rows_of_the_patient_are_ambiguous_even_if_equal(self, tmp_path):
        with pytest.raises(UsageError, match=r"CLINICAL_AMBIGUOUS.*2 rows"):
            read_table(tmp_path, self.TABLE, "P5")

    def test_a_row_of_another_patient_that_breaks_off_does_not_matter(self, tmp_path):
        assert read_table(tmp_path, "lauren,age,PatientID\nmixed\ndiffuse,60,P1\n").lauren == "diffuse"

    def test_the_export_of_a_spreadsheet_with_byte_order_mark_and_crlf_is_read(self, tmp_path):
        text = "\ufeffPatientID,tumour_size_cm\r\nP1,3.5\r\n"
        assert read_table(tmp_path, text).tumour_size_cm == 3.5

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "id,lauren\nP1,mixed\n",
            "PatientID;lauren\nP1;mixed\n",
            "PatientID,PatientID\nP1,P1\n",
            "PatientID,lauren,lauren\nP1,mixed,diffuse\n",
            "PatientID,lauren\nP1,mixed,extra\n",
            'PatientID,tumour_size_cm\nP1,"4,2"\n',
            'PatientID,lauren\nP1,"mixed\n',
            "PatientID,lauren\nP1,mixed\n".encode("utf-16"),
        ],
    )
    def test_a_damaged_table_is_refused(self, tmp_path, text):
        with pytest.raises(UsageError, match="CLINICAL_INVALID"):
            read_table(tmp_path, text)


class TestRefusal:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[]",
            "null",
            "[" * 100_000,
            '{"lauren": "mixed", "lauren": "diffuse"}',
            f'{{"lauren": "{MARK}"}}',
            '{"lauren": 3}',
            '{"lauren": true}',
            '{"differentiation": ["poor"]}',
            '{"differentiation": ""}',
            f'{{"tumour_size_cm": "{MARK}"}}',
            '{"tumour_size_cm": "4.2"}',
            '{"tumour_size_cm": true}',
            '{"tumour_size_cm": 0}',
            '{"tumour_size_cm": -1}',
            '{"tumour_size_cm": 41}',
            '{"tumour_size_cm": NaN}',
            '{"tumour_size_cm": 1e999}',
            '{"tumour_size_cm": ' + "9" * 5000 + "}",
            '{"tumour_size_cm": ' + "9" * 400 + "}",
            '{"tumor_size_cm": 4.2}',
            '{"tumour_size_mm": 42}',
            '{"Lauren": "mixed"}',
            '{"lauren_type": "mixed"}',
            '{"differentiation_status": "poor"}',
            b'{"lauren": "\xff"}',
        ],
    )
    def test_it_is_one_line_with_the_code_and_quotes_nothing(self, tmp_path, text):
        with pytest.raises(UsageError) as caught:
            read_json(tmp_path, text)
        line = str(caught.value)
        assert line.startswith("CLINICAL_INVALID clinical file: expected ")
        assert "\n" not in line
        assert MARK not in line
        assert str(tmp_path) not in line
        assert int(caught.value.exit_code) == 2

    def test_the_limit_of_size_is_itself_allowed(self, tmp_path):
        assert read_json(tmp_path, '{"tumour_size_cm": 40}').tumour_size_cm == 40.0

    def test_a_file_above_one_megabyte_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match="more than 1 MB"):
            read_json(tmp_path, " " * 1_000_001)

    def test_an_absent_file_a_folder_and_another_ending_are_refused(self, tmp_path):
        (tmp_path / "folder.json").mkdir()
        for path in (tmp_path / "no.json", tmp_path / "folder.json", write(tmp_path, "a.xlsx", "x")):
            with pytest.raises(UsageError, match="CLINICAL_INVALID"):
                read_clinical(path, patient_id="P1")


class TestMeasuredSize:
    @staticmethod
    def _tumour(long_axis_mm: float) -> Tumour:
        mask = np.ones((1, 1, 1), bool)
        return Tumour("auto", mask, (0.0, 0.0, 0.0), TumourMeasures(1.0, long_axis_mm, 5.0, 0.5), 0.9)

    def test_stands_in_where_nobody_gave_one_and_says_so(self) -> None:
        filled = with_measured_size(ClinicalVariables(lauren="mixed"), self._tumour(43.7))
        assert (filled.tumour_size_cm, filled.size_origin, filled.lauren) == (4.4, "auto", "mixed")
        assert check_clinical(filled) == filled

    def test_never_replaces_the_clinical_one(self) -> None:
        given = ClinicalVariables(tumour_size_cm=2.0)
        assert with_measured_size(given, self._tumour(43.7)) is given
        assert with_measured_size(given, None) is given

    def test_out_of_the_range_of_sizes_is_left_out(self) -> None:
        assert with_measured_size(ClinicalVariables(), self._tumour(0.2)).tumour_size_cm is None
        assert with_measured_size(ClinicalVariables(), self._tumour(900.0)).tumour_size_cm is None
