"""The result is on the right patient and study, in the right characters, and says what it is for."""

from __future__ import annotations

import pydicom
import pytest
from builders.study_result import make_study_result, make_volume
from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import PersonName

from gastromap.dicom_output.attributes import device_uid, object_context
from gastromap.dicom_output.charset import strip_escapes
from gastromap.dicom_output.checks import check_object
from gastromap.errors import GastromapError
from gastromap.output import write_study

OBJECTS = ("sr", "cam", "kos", "key", "overlay", "report")


def read_objects(folder):
    return {name: pydicom.dcmread(folder / "dicom" / f"{name}.dcm") for name in OBJECTS}


class TestCopiedAttributes:
    def test_every_object_carries_patient_and_study_of_the_source(self, tmp_path):
        result = make_study_result()
        write_study(result, tmp_path)
        source = result.volume.sources[0].header
        for name, item in read_objects(tmp_path).items():
            for keyword in (
                *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge"),
                *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber"),
                "ReferringPhysicianName",
            ):
                assert item[keyword].value == source[keyword].value, (name, keyword)

    def test_missing_type_2_attributes_are_written_empty_and_others_left_out(self, tmp_path):
        gone = dict.fromkeys(
            (
                *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge"),
                *("StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber"),
                *("ReferringPhysicianName", "Manufacturer", "ManufacturerModelName", "SliceThickness"),
                *("FrameOfReferenceUID", "SpecificCharacterSet"),
            )
        )
        write_study(make_study_result(**gone), tmp_path)
        for item in read_objects(tmp_path).values():
            assert item.PatientName == ""
            assert item.PatientID in ("", None)
            assert item.StudyDate in ("", None)
            assert "PatientAge" not in item

    def test_other_patient_ids_addresses_operators_and_private_elements_are_not_copied(self, tmp_path):
        def edit(index: int, header: Dataset) -> None:
            header.OtherPatientIDs = "OTHERMARK"
            header.InstitutionAddress = "ADDRESSMARK"
            header.OperatorsName = "OPERATORMARK"
            header.PatientAddress = "HOMEMARK"
            header.private_block(0x11, "MAKER", create=True).add_new(1, "LO", "PRIVATEMARK")

        write_study(make_study_result(edit=edit), tmp_path)
        for path in (tmp_path / "dicom").iterdir():
            content = path.read_bytes()
            for mark in (b"OTHERMARK", b"ADDRESSMARK", b"OPERATORMARK", b"HOMEMARK", b"PRIVATEMARK"):
                assert mark not in content

    def test_request_and_procedure_sequences_are_copied(self, tmp_path):
        def edit(index: int, header: Dataset) -> None:
            code = Dataset()
            code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "CT-1", "L", "腹部增强"
            request = Dataset()
            request.AccessionNumber, request.RequestedProcedureDescription = "A-77", "腹部CT"
            header.ProcedureCodeSequence = Sequence([code])
            header.ReferencedRequestSequence = Sequence([request])

        write_study(make_study_result(edit=edit), tmp_path)
        for item in read_objects(tmp_path).values():
            assert item.ProcedureCodeSequence[0].CodeMeaning == "腹部增强"
            assert item.ReferencedRequestSequence[0].RequestedProcedureDescription == "腹部CT"

    @pytest.mark.filterwarnings("ignore:Invalid value")  # from the builder
    def test_values_that_break_their_type_do_not_stop_the_result(self, tmp_path):
        def edit(index: int, header: Dataset) -> None:
            header._dict[0x00101020] = pydicom.dataelem.RawDataElement(
                pydicom.tag.Tag(0x00101020), "DS", 4, b"1,70", 0, False, True
            )

        write_study(make_study_result(edit=edit, StudyDate="05.03.2024"), tmp_path)
        assert read_objects(tmp_path)["sr"]["StudyDate"].value == "05.03.2024"

    def test_the_source_headers_are_not_changed(self, tmp_path):
        result = make_study_result(PatientName=None, SpecificCharacterSet="GBK")
        before = [source.header.to_json() for source in result.volume.sources]
        write_study(result, tmp_path)
        assert [source.header.to_json() for source in result.volume.sources] == before


class TestWrongPatientIsStopped:
    @pytest.mark.parametrize("keyword", ["PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber"])
    def test_slices_of_two_patients_or_studies_give_no_result(self, tmp_path, keyword):
        def edit(index: int, header: Dataset) -> None:
            if index == 9:
                setattr(header, keyword, "1.2.3" if keyword == "StudyInstanceUID" else "SECRETMARK")

        with pytest.raises(GastromapError) as raised:
            write_study(make_study_result(edit=edit), tmp_path / "out")
        assert raised.value.code == "RESULT_IDENTITY"
        assert keyword in str(raised.value)
        assert "SECRETMARK" not in str(raised.value)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("keyword", "value", "code"),
        [
            ("PatientID", "P-9999", "RESULT_IDENTITY"),
            ("PatientName", "Muster^Martha", "RESULT_IDENTITY"),
            ("AccessionNumber", "", "RESULT_IDENTITY"),
            ("SeriesDescription", "T stage", "RESULT_LABEL"),
            ("VerificationFlag", "VERIFIED", "RESULT_LABEL"),
        ],
    )
    def test_a_changed_object_fails_the_check(self, tmp_path, keyword, value, code):
        result = make_study_result()
        write_study(result, tmp_path)
        item = read_objects(tmp_path)["sr"]
        context = object_context(result)
        check_object(item, context, new_uids=())
        setattr(item, keyword, value)
        with pytest.raises(GastromapError) as raised:
            check_object(item, context, new_uids=())
        assert raised.value.code == code

    def test_a_reference_to_a_foreign_image_fails_the_check(self, tmp_path):
        result = make_study_result()
        write_study(result, tmp_path)
        item = read_objects(tmp_path)["overlay"]
        item.SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3.4"
        with pytest.raises(GastromapError) as raised:
            check_object(item, object_context(result), new_uids=())
        assert raised.value.code == "RESULT_REFERENCE"


class TestCharacterSets:
    @pytest.mark.parametrize(
        ("declared", "written"),
        [("ISO_IR 192", "ISO_IR 192"), ("GB18030", "GB18030"), ("GBK", "ISO_IR 192")],
    )
    def test_chinese_names_are_kept(self, tmp_path, declared, written):
        name = "Wang^XiaoDong=王^小东"
        write_study(
            make_study_result(SpecificCharacterSet=declared, PatientName=name, StudyDescription="腹部增强"), tmp_path
        )
        for item in read_objects(tmp_path).values():
            assert item.SpecificCharacterSet == written
            assert str(item.PatientName) == name
            assert item.StudyDescription == "腹部增强"

    def test_latin_names_become_utf_8_so_that_other_text_fits(self, tmp_path):
        notice = "仅供研究"
        write_study(
            make_study_result(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg", notice=notice), tmp_path
        )
        item = read_objects(tmp_path)["sr"]
        assert item.SpecificCharacterSet == "ISO_IR 192"
        assert str(item.PatientName) == "Müller^Jörg"
        assert notice.encode() in (tmp_path / "dicom" / "sr.dcm").read_bytes()

    def test_escape_sequences_of_code_extensions_are_stripped(self, tmp_path):
        charset = ["", "ISO 2022 IR 58"]
        raw = b"Wang^XiaoDong=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab"

        def edit(index: int, header: Dataset) -> None:
            header.SpecificCharacterSet = charset
            header.PatientName = PersonName(raw, encodings=convert_encodings(charset))

        write_study(make_study_result(edit=edit), tmp_path)
        for item in read_objects(tmp_path).values():
            assert item.SpecificCharacterSet == "ISO_IR 192"
            assert str(item.PatientName) == "Wang^XiaoDong=王^小东"

    @pytest.mark.parametrize("declared", [None, "", "UNKNOWN 7"])
    def test_undeclared_bytes_stay_as_they_are(self, tmp_path, declared):
        raw = "王^小东".encode("gb18030")

        def edit(index: int, header: Dataset) -> None:
            if declared is None:
                del header.SpecificCharacterSet
            else:
                header.SpecificCharacterSet = declared
            header._dict[0x00100010] = pydicom.dataelem.RawDataElement(
                pydicom.tag.Tag(0x00100010), "PN", len(raw), raw, 0, False, True
            )

        write_study(make_study_result(edit=edit, notice="仅供研究"), tmp_path)
        for name, item in read_objects(tmp_path).items():
            assert "SpecificCharacterSet" not in item, name
            assert item.get_item("PatientName").value.rstrip(b" ") == raw
        assert "?" not in str(read_objects(tmp_path)["sr"].ContentSequence[-1])

    def test_escape_stripping_leaves_other_text_alone(self):
        assert strip_escapes("a\x1b$)Ab\x1b(Bc") == "abc"
        assert strip_escapes("Wang $)A") == "Wang $)A"


class TestLabelsAndEquipment:
    def test_every_object_says_research_use(self, tmp_path):
        write_study(make_study_result(), tmp_path)
        objects = read_objects(tmp_path)
        for item in objects.values():
            assert item.SeriesDescription.endswith("research use, not for diagnosis")
        assert (objects["sr"].CompletionFlag, objects["sr"].PreliminaryFlag) == ("COMPLETE", "PRELIMINARY")
        assert objects["sr"].VerificationFlag == objects["report"].VerificationFlag == "UNVERIFIED"
        assert objects["key"].BurnedInAnnotation == objects["overlay"].BurnedInAnnotation == "YES"

    def test_series_numbers_are_fixed_and_uids_fresh(self, tmp_path):
        write_study(make_study_result(), tmp_path / "a")
        write_study(make_study_result(), tmp_path / "b")
        first, second = read_objects(tmp_path / "a"), read_objects(tmp_path / "b")
        numbers = {name: item.SeriesNumber for name, item in first.items()}
        assert numbers == {"cam": 9002, "sr": 9003, "kos": 9004, "key": 9005, "overlay": 9006, "report": 9007}
        uids = [
            item[keyword].value
            for items in (first, second)
            for item in items.values()
            for keyword in ("SOPInstanceUID", "SeriesInstanceUID")
        ]
        assert len(set(uids)) == 2 * 2 * len(OBJECTS)
        assert all(uid.startswith("2.25.") and uid.is_valid for uid in uids)

    def test_the_device_uid_changes_with_the_weights_only(self):
        one, two = (make_study_result(weights_sha256=digit * 64).stage.model for digit in "ab")
        assert device_uid(one) != device_uid(two)
        assert device_uid(one) == device_uid(make_study_result(weights_sha256="a" * 64, run_id="x").stage.model)

    def test_scanner_and_software_stand_in_the_contributing_equipment(self, tmp_path):
        write_study(make_study_result(), tmp_path)
        for item in read_objects(tmp_path).values():
            scanner, software = item.ContributingEquipmentSequence
            assert scanner.Manufacturer == "TestScanner"
            assert software.DeviceUID == item.DeviceUID
            assert software.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"

    @pytest.mark.parametrize(
        ("offset", "date", "time"),
        [(None, "20240306", "101112"), ("+0800", "20240306", "101112"), ("-0500", "20240305", "211112")],
    )
    def test_our_times_are_in_the_zone_of_the_source(self, tmp_path, offset, date, time):
        write_study(make_study_result(TimezoneOffsetFromUTC=offset), tmp_path)
        for item in read_objects(tmp_path).values():
            assert (item.ContentDate, item.ContentTime) == (date, time)
            assert item.get("TimezoneOffsetFromUTC") == offset
            assert item.StudyTime == "101500"


def test_volume_without_sources_is_a_fault(tmp_path):
    volume = make_volume(slices=3)
    object.__setattr__(volume, "sources", volume.sources[:2])
    with pytest.raises(GastromapError) as raised:
        write_study(make_study_result(volume=volume, key=1), tmp_path)
    assert raised.value.code == "RESULT_INCONSISTENT"
