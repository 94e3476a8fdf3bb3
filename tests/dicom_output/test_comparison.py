"""Two studies: what is filed where, and what the structured report says of both, read back with other software."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
from builders.study_result import (
    FOLLOWUP_STUDY_UID,
    OUTLOOK_NOTICE,
    STUDY_UID,
    make_outcome,
    make_outlook,
    make_pair_result,
    make_study_result,
    make_tumour,
    make_volume,
)
from builders.validators import ALLOWED, run, unexplained_warnings
from PIL import Image

from gastromap.errors import GastromapError
from gastromap.output import write_study

PIXELS_BEFORE = ("seg", "cam", "gsps", "kos", "key", "overlay")
PIXELS_AFTER = tuple(f"{name}_after" for name in PIXELS_BEFORE)
ALL = ("sr", "report", *PIXELS_BEFORE, *PIXELS_AFTER)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    result = make_pair_result(PatientName="Wang^XiaoDong=王^小东")
    write_study(result, folder)
    return result, folder


@pytest.fixture(scope="module")
def nothing_found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("none")
    write_study(make_pair_result(tumour_after=False), folder)
    return folder


def read(folder, name):
    return pydicom.dcmread(folder / "dicom" / f"{name}.dcm")


def document(folder):
    return json.loads((folder / "result.json").read_text())


def groups(folder):
    """Measurement groups by tracking identifier, in their order, read by highdicom."""
    report = highdicom.sr.Comprehensive3DSR.from_dataset(read(folder, "sr"))
    content = report.content
    found = [*content.get_image_measurement_groups(), *content.get_volumetric_roi_measurement_groups()]
    return {group.tracking_identifier: group for group in found}


def numbers(group):
    """Measurements as {code: (value, unit)}, by pydicom alone."""
    found = {}
    for item in group[0].ContentSequence:
        if item.ValueType == "NUM" and item.RelationshipType == "CONTAINS":
            value = item.MeasuredValueSequence[0]
            unit = value.MeasurementUnitsCodeSequence[0].CodeValue
            found[item.ConceptNameCodeSequence[0].CodeValue] = (float(value.FloatingPointValue), unit)
    return found


def texts(dataset):
    """All strings of a content tree."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from texts(item)
        elif element.VR in {"UT", "LO", "SH"}:
            yield str(element.value)


def time_point(group):
    """Text, type and order of a group's time point."""
    items = {item.ConceptNameCodeSequence[0].get("CodeValue"): item for item in group[0].ContentSequence}
    return (
        items["C2348792"].TextValue,
        items["126072"].ConceptCodeSequence[0].CodeValue,
        float(items["126073"].MeasuredValueSequence[0].NumericValue),
    )


class TestConformance:
    @pytest.mark.parametrize("name", ALL)
    def test_dciodvfy_finds_no_error_and_only_explained_warnings(self, written, name):
        assert unexplained_warnings(written[1] / "dicom" / f"{name}.dcm") == []

    @pytest.mark.parametrize("name", ["sr", "key_after", "report"])
    def test_nor_where_no_tumour_was_found(self, nothing_found, name):
        assert unexplained_warnings(nothing_found / "dicom" / f"{name}.dcm") == []

    def test_nor_in_the_size_of_one_study(self, tmp_path):
        volume = make_volume()
        result = replace(make_study_result(volume=volume), tumour=make_tumour(volume, origin="seg"))
        write_study(result, tmp_path / "out")
        assert unexplained_warnings(tmp_path / "out" / "dicom" / "sr.dcm") == []
        assert numbers(groups(tmp_path / "out")["Tumour size"]) == {
            "103339001": (52.4, "mm"),
            "118565006": (38.2, "cm3"),
            "122445": (14.6, "mm"),
        }

    @pytest.mark.parametrize("later", [False, True])
    def test_dcentvfy_finds_one_patient_and_study_in_sources_and_results(self, later, written, tmp_path):
        result, folder = written
        volume = result.comparison.followup.volume if later else result.volume
        paths = []
        for index, source in enumerate(volume.sources[4:7]):
            image = pydicom.Dataset(source.header)
            image.file_meta = pydicom.dataset.FileMetaDataset()
            image.file_meta.MediaStorageSOPClassUID = source.header.SOPClassUID
            image.file_meta.MediaStorageSOPInstanceUID = source.sop_instance_uid
            image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
            paths.append(tmp_path / f"{index}.dcm")
            image.save_as(paths[-1], enforce_file_format=True)
        names = (*PIXELS_AFTER, "report", "sr") if later else PIXELS_BEFORE
        objects = [folder / "dicom" / f"{name}.dcm" for name in names]
        report = run("dcentvfy", *paths, *objects)
        lines = [line for line in report.stderr.splitlines() if "Error" in line or "Warning" in line]
        assert [line for line in lines if not any(re.search(allowed, line) for allowed in ALLOWED)] == []


class TestWhereItIsFiled:
    def test_report_and_pictures_after_treatment_lie_in_the_later_study_the_others_in_the_earlier(self, written):
        for name in ALL:
            item = read(written[1], name)
            later = name not in PIXELS_BEFORE
            assert item.StudyInstanceUID == (FOLLOWUP_STUDY_UID if later else STUDY_UID)
            assert item.AccessionNumber == ("A-91" if later else "A-77")
            assert item.StudyDate == ("20240620" if later else "20240305")
            assert item.PatientAge == ("065Y" if later else "064Y")
            assert str(item.PatientName) == "Wang^XiaoDong=王^小东"

    def test_the_evidence_names_the_later_study_first_and_the_earlier_as_other(self, written):
        result, folder = written
        report = read(folder, "sr")
        (current,) = report.CurrentRequestedProcedureEvidenceSequence
        (other,) = report.PertinentOtherEvidenceSequence
        assert (current.StudyInstanceUID, other.StudyInstanceUID) == (FOLLOWUP_STUDY_UID, STUDY_UID)
        for study, stage in ((current, result.comparison.stage), (other, result.stage)):
            uids = {
                item.ReferencedSOPInstanceUID
                for series in study.ReferencedSeriesSequence
                for item in series.ReferencedSOPSequence
            }
            outline = read(folder, "seg_after" if study is current else "seg").SOPInstanceUID
            assert uids == {outline, *(part.sop_instance_uid for part in stage.slices)}

    def test_captures_after_treatment_hold_the_pixels_of_their_pictures_and_refer_to_their_slice(self, written):
        result, folder = written
        followup = result.comparison.followup
        item = read(folder, "key_after")
        assert np.array_equal(item.pixel_array, np.asarray(Image.open(folder / "key_slice_after.png")))
        (reference,) = item.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == followup.key_slice.sop_instance_uid
        item, key = read(folder, "overlay_after"), np.asarray(Image.open(folder / "grad_cam_after.png"))
        assert np.array_equal(item.pixel_array[1, :-96], key[:-96])
        shown = [reference.ReferencedSOPInstanceUID for reference in item.SourceImageSequence]
        assert shown == [followup.volume.sources[index].sop_instance_uid for index in (4, 5, 6)]
        assert "explanation of class ycT2" in read(folder, "overlay_after").DerivationDescription

    def test_the_pdf_is_about_both_key_slices(self, written):
        result, folder = written
        uids = [item.ReferencedSOPInstanceUID for item in read(folder, "report").SourceInstanceSequence]
        keys = (result.comparison.followup.key_slice, result.key_slice)
        assert uids == [key.sop_instance_uid for key in keys]

    def test_without_a_key_slice_there_is_no_overlay_and_a_slice_of_the_follow_up_stands_for_it(self, nothing_found):
        assert not (nothing_found / "dicom" / "overlay_after.dcm").exists()
        assert not (nothing_found / "grad_cam_after.png").exists()
        (study,) = read(nothing_found, "sr").CurrentRequestedProcedureEvidenceSequence
        assert study.StudyInstanceUID == FOLLOWUP_STUDY_UID
        # The slice at the centre of the crop, which the builder places on slice 5.
        assert study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID.endswith(".6")


class TestStructuredReport:
    def test_every_group_names_its_time_point(self, written):
        before = ("baseline, before treatment", "C3539075", 1.0)
        after = ("follow-up, yc", "126074", 2.0)
        found = {name: time_point(group) for name, group in groups(written[1]).items()}
        earlier = {"cT stage", *(f"P(cT{n})" for n in range(1, 5)), "Tumour size before treatment"}
        later = {"ycT stage", *(f"P(ycT{n})" for n in range(1, 5)), "Tumour size after treatment"}
        later |= {"Lymph-node metastasis after treatment", "Overall survival"}
        assert found == {**dict.fromkeys(earlier, before), **dict.fromkeys(later, after)}

    @pytest.mark.parametrize("days", [107, None])
    def test_the_later_time_point_says_how_many_days_lie_between_where_both_dates_are_known(self, tmp_path, days):
        write_study(make_pair_result(comparison={"interval_days": days}), tmp_path)
        assert document(tmp_path)["comparison"]["interval_days"] == days
        for name, group in groups(tmp_path).items():
            items = {item.ConceptNameCodeSequence[0].get("CodeValue"): item for item in group[0].ContentSequence}
            if time_point(group)[2] == 1.0 or days is None:
                assert "128740" not in items, name
                continue
            (value,) = items["128740"].MeasuredValueSequence
            assert (float(value.NumericValue), value.MeasurementUnitsCodeSequence[0].CodeValue) == (days, "d")
            (event,) = items["128740"].ContentSequence
            # The event is the time point type of the earlier groups.
            assert event.ConceptCodeSequence[0].CodeValue == "C3539075"

    def test_what_the_later_scan_changed_can_be_read(self, written):
        alone = document(written[1])["comparison"]["outlook"]["baseline_only"]
        found = groups(written[1])
        nodes = " ".join(texts(found["Lymph-node metastasis after treatment"][0]))
        assert f"From the CT before treatment alone: {100 * alone['lnm_probability']:.0f} %." in nodes
        curve = ", ".join(f"S({month} months) {100 * value:.0f} %" for month, value in alone["survival"].items())
        months = f"{alone['rmst_months']:.1f} months"
        said = " ".join(texts(found["Overall survival"][0]))
        assert f"From the CT before treatment alone: {curve}; {months}." in said

    def test_sizes_of_both_dates_are_those_of_the_json_result(self, written):
        stored, found = document(written[1]), groups(written[1])
        for name, size in (
            ("Tumour size before treatment", stored["tumour"]),
            ("Tumour size after treatment", stored["comparison"]["followup"]["tumour"]),
        ):
            assert numbers(found[name]) == {
                "103339001": (size["long_axis_mm"], "mm"),
                "118565006": (size["volume_ml"], "cm3"),
                "122445": (size["thickness_mm"], "mm"),
            }

    def test_node_metastasis_and_survival_are_those_of_the_json_result(self, tmp_path):
        rng = np.random.default_rng(11)
        curve = tuple(np.sort(rng.uniform(size=5))[::-1].tolist())
        outcome = replace(make_outcome(lnm=float(rng.uniform()), survival=curve), rmst_months=1 / 3, os_risk=-1 / 3)
        write_study(make_pair_result(comparison={"outlook": make_outlook(pair=outcome)}), tmp_path)
        stored, found = document(tmp_path)["comparison"]["outlook"], groups(tmp_path)
        nodes = found["Lymph-node metastasis after treatment"]
        assert nodes.finding_type.value == "128462008"
        assert [site.value.value for site in nodes.finding_sites] == ["312500006"]
        assert numbers(nodes) == {"122157": (stored["lnm_probability"], "1")}
        assert numbers(found["Overall survival"]) == {
            "os-risk": (stored["os_risk"], "mo"),
            "rmst": (stored["rmst_months"], "mo"),
            **{f"os-{month}-months": (value, "1") for month, value in stored["survival"].items()},
        }

    def test_the_longitudinal_model_is_named_with_its_weights_and_its_notice(self, written):
        for name in ("Lymph-node metastasis after treatment", "Overall survival"):
            said = list(texts(groups(written[1])[name][0]))
            assert any("1a" * 32 in text for text in said)
            assert "GastroMAP longitudinal" in said
            assert any(OUTLOOK_NOTICE in text for text in said)
        said = " ".join(said)
        assert "Expected survival within the first 80 months: 48.4 months" in said
        assert "S(36 months) 62 %" in said
        assert "above the median of the training patients" in said

    def test_nothing_said_of_the_follow_up_is_a_plain_ct(self, written):
        later = {name: group for name, group in groups(written[1]).items() if time_point(group)[2] == 2.0}
        assert len(later) == 8
        for group in later.values():
            words = " ".join(texts(group[0]))
            assert re.search(r"(?<!y)cT", words) is None
            assert not {"399504009", "1228889001", "1228929004", "1228938002", "1228944003"} & set(words.split())
        (category,) = (i for i in later["ycT stage"][0].ContentSequence if i.get("TextValue") == "ycT2")
        assert category.ConceptNameCodeSequence[0].CodeMeaning == "ycT category, after treatment"

    def test_an_uncertain_stage_after_treatment_is_no_category_and_says_why(self, tmp_path):
        stage_after = {"staged": False, "reasons": ("The slices disagree.",), "prediction_set": ()}
        write_study(make_pair_result(stage_after=stage_after), tmp_path)
        group = groups(tmp_path)["ycT stage"]
        said = list(texts(group[0]))
        assert "ycT2" not in said
        assert any("NOT CONFIDENTLY STAGED. The slices disagree." in text for text in said)

    def test_no_tumour_after_treatment_is_said_with_its_reason_and_is_no_response(self, nothing_found):
        found = groups(nothing_found)
        assert "Tumour size after treatment" not in found
        assert not any(name.startswith("P(yc") for name in found)
        words = " ".join(texts(found["ycT stage"][0]))
        assert "No tumour found after treatment (the segmentation model found none)" in words
        said = {(item.name.value, item.value.value) for item in found["ycT stage"].get_qualitative_evaluations()}
        assert ("tumour-found", "373067005") in said
        assert "response" not in " ".join(texts(read(nothing_found, "sr"))).lower()
        assert "placed by the stomach" in " ".join(texts(found["Overall survival"][0]))

    def test_a_missing_outlook_is_explained(self, tmp_path):
        write_study(make_pair_result(outlook=False), tmp_path)
        found = groups(tmp_path)
        assert "Overall survival" not in found
        assert "No longitudinal model was given." in " ".join(texts(found["ycT stage"][0]))


class TestWrongPairIsStopped:
    @pytest.mark.parametrize(
        ("keyword", "value"),
        [
            ("PatientID", "P-SECRETMARK"),
            ("PatientName", "Secretmark^Erika"),
            ("PatientBirthDate", "19700707"),
            ("PatientSex", "M"),
        ],
    )
    def test_two_patients_give_no_result(self, tmp_path, keyword, value):
        with pytest.raises(GastromapError) as raised:
            write_study(make_pair_result(followup={keyword: value}), tmp_path / "out")
        assert raised.value.code == "RESULT_IDENTITY"
        assert keyword in str(raised.value)
        assert value not in str(raised.value)
        assert not (tmp_path / "out").exists()

    def test_an_empty_field_agrees_as_it_does_for_the_gate(self, tmp_path):
        write_study(make_pair_result(followup={"PatientBirthDate": ""}), tmp_path)
        assert read(tmp_path, "sr").PatientBirthDate == ""

    def test_one_study_twice_is_no_comparison(self, tmp_path):
        with pytest.raises(GastromapError) as raised:
            write_study(make_pair_result(followup={"study_uid": STUDY_UID}), tmp_path / "out")
        assert raised.value.code == "RESULT_IDENTITY"

    def changed(self, **comparison):
        result = make_pair_result()
        return replace(result, comparison=replace(result.comparison, **comparison))

    def wrong(self, name):
        pair = make_pair_result()
        after, stage, outlook = pair.comparison.followup, pair.comparison.stage, pair.comparison.outlook
        rising = replace(outlook.outcome, survival={12: 0.5, 24: 0.6})
        return {
            "roles": lambda: self.changed(followup=replace(after, volume=replace(after.volume, role="baseline"))),
            "slices": lambda: self.changed(
                followup=replace(after, key_slice=replace(after.key_slice, sop_instance_uid="1.2.3"))
            ),
            "probabilities": lambda: self.changed(
                stage=replace(stage, probabilities={"T1": 0.5, "T2": 0.5, "T3": 0.5, "T4": 0.5})
            ),
            "survival": lambda: self.changed(outlook=replace(outlook, outcome=rising)),
            "survival not a number": lambda: self.changed(
                outlook=replace(outlook, outcome=replace(outlook.outcome, survival={12: float("nan")}))
            ),
            "size": lambda: self.changed(changes=(replace(pair.comparison.changes[0], before=99.0),)),
            "stage without key slice": lambda: self.changed(followup=replace(after, key_slice=None)),
            "neither outlook nor reason": lambda: self.changed(outlook=None),
        }[name]()

    @pytest.mark.parametrize(
        "name",
        [
            *("roles", "slices", "probabilities", "survival", "survival not a number", "size"),
            *("stage without key slice", "neither outlook nor reason"),
        ],
    )
    def test_parts_that_do_not_fit_together_give_no_result(self, tmp_path, name):
        with pytest.raises(GastromapError) as raised:
            write_study(self.wrong(name), tmp_path / "out")
        assert raised.value.code == "RESULT_INCONSISTENT"
        assert not (tmp_path / "out").exists()


class TestFolder:
    def test_the_files_of_a_pair_are_whole_and_listed(self, written):
        _, folder = written
        names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert names == {
            *("result.json", "metadata.json", "report.html", "report.pdf", "key_slice.png", "grad_cam.png"),
            *("key_slice_after.png", "grad_cam_after.png"),
            *(f"dicom/{name}.dcm" for name in ALL),
        }
        assert {item["name"] for item in document(folder)["files"]} == names - {"result.json"}

    @pytest.mark.parametrize("fail_at", [2, 7, 12])
    def test_a_disk_that_fills_up_leaves_nothing(self, tmp_path, monkeypatch, fail_at):
        from gastromap import output

        calls, write = [], output._write

        def full(path, content):
            calls.append(path)
            if len(calls) == fail_at:
                raise OSError(28, "No space left on device")
            write(path, content)

        monkeypatch.setattr(output, "_write", full)
        with pytest.raises(GastromapError):
            write_study(make_pair_result(), tmp_path / "out")
        assert not (tmp_path / "out").exists()
