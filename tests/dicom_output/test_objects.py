"""Content of the DICOM objects, read back with other software than wrote them."""

from __future__ import annotations

import json
import re

import highdicom
import numpy as np
import pydicom
import pytest
from builders.study_result import PROBABILITIES, make_study_result
from builders.validators import ALLOWED, run, unexplained_warnings
from PIL import Image

from gastromap.output import write_study

CATEGORIES = {"T1": "1228889001", "T2": "1228929004", "T3": "1228938002", "T4": "1228944003"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    result = make_study_result(warnings=("PHASE_ONE_SOURCE",))
    write_study(result, folder)
    return result, folder


def groups(report):
    """Measurement groups as {tracking identifier: group}, read by highdicom."""
    sr = highdicom.sr.Comprehensive3DSR.from_dataset(report)
    return {group.tracking_identifier: group for group in sr.content.get_image_measurement_groups()}


class TestConformance:
    @pytest.mark.parametrize("name", ["sr", "cam", "kos", "key", "overlay", "report"])
    @pytest.mark.parametrize("case", ["usual", "anonymous", "follow-up, not staged"])
    def test_dciodvfy_finds_no_error_and_only_explained_warnings(self, tmp_path, name, case):
        options = {
            "usual": {},
            "anonymous": dict.fromkeys(
                (
                    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge"),
                    *("StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber"),
                    *("ReferringPhysicianName", "Manufacturer", "ManufacturerModelName"),
                )
            ),
            "follow-up, not staged": {
                "role": "followup",
                "staged": False,
                "prediction_set": (),
                "rad_score": None,
                "reasons": ("The slices disagree.",),
            },
        }[case]
        write_study(make_study_result(**options), tmp_path / "out")
        assert unexplained_warnings(tmp_path / "out" / "dicom" / f"{name}.dcm") == []

    def test_dcentvfy_finds_one_patient_and_study_in_sources_and_results(self, written, tmp_path):
        result, folder = written
        paths = []
        for index, source in enumerate(result.volume.sources[4:7]):
            image = pydicom.dcmread(folder / "dicom" / "key.dcm")
            image.update(source.header)
            image.file_meta.MediaStorageSOPClassUID = source.header.SOPClassUID
            image.file_meta.MediaStorageSOPInstanceUID = source.sop_instance_uid
            paths.append(tmp_path / f"{index}.dcm")
            source.header.copy()
            full = pydicom.Dataset(source.header)
            full.file_meta = image.file_meta
            full.save_as(paths[-1], enforce_file_format=True)
        report = run("dcentvfy", *paths, *sorted((folder / "dicom").iterdir()))
        lines = [line for line in report.stderr.splitlines() if "Error" in line or "Warning" in line]
        assert [line for line in lines if not any(re.search(allowed, line) for allowed in ALLOWED)] == []

    def test_dsrdump_shows_flags_and_probabilities(self, written):
        _, folder = written
        text = run("dsrdump", "+Pc", folder / "dicom" / "sr.dcm").stdout
        assert "Imaging Measurement Report" in text
        assert "PRELIMINARY" in text
        assert "UNVERIFIED" in text
        for probability in PROBABILITIES.values():
            assert f'(122157,DCM,"Probability")="{probability}"' in text


class TestStructuredReport:
    def test_probabilities_equal_those_of_the_json_result(self, tmp_path):
        values = np.random.default_rng(3).dirichlet(np.ones(4))
        values /= values.sum()
        probabilities = dict(zip(CATEGORIES, map(float, values), strict=True))
        write_study(make_study_result(probabilities=probabilities), tmp_path)
        stored = json.loads((tmp_path / "result.json").read_text())["stage"]["probabilities"]
        found = groups(pydicom.dcmread(tmp_path / "dicom" / "sr.dcm"))
        for stage, code in CATEGORIES.items():
            group = found[f"P(c{stage})"]
            (measurement,) = group.get_measurements()
            assert group.finding_type.value == code
            assert measurement.value == stored[stage] == probabilities[stage]
            assert measurement.unit.value == "1"

    def test_every_group_points_at_the_key_slice_and_the_stomach(self, written):
        result, folder = written
        for group in groups(pydicom.dcmread(folder / "dicom" / "sr.dcm")).values():
            (image,) = group.source_images
            assert image.referenced_sop_instance_uid == result.key_slice.sop_instance_uid
            assert [site.value.value for site in group.finding_sites] == ["69695003"]

    def test_the_algorithm_is_named_with_its_weights(self, written):
        result, folder = written
        text = run("dsrdump", "+Pl", folder / "dicom" / "sr.dcm").stdout
        for part in (result.stage.model.weights_sha256, "AJCC 8", "portal-venous", "synthetic-validation-1"):
            assert part in text

    def test_a_confident_stage_is_a_coded_category(self, written):
        _, folder = written
        group = groups(pydicom.dcmread(folder / "dicom" / "sr.dcm"))["cT stage"]
        values = [(item.name.value, item.value.value) for item in group.get_qualitative_evaluations()]
        assert ("399504009", CATEGORIES["T3"]) in values
        assert [value for name, value in values if name == "prediction-set"] == [CATEGORIES["T2"], CATEGORIES["T3"]]

    def test_an_uncertain_stage_is_no_coded_category(self, tmp_path):
        write_study(make_study_result(staged=False, reasons=("The slices disagree.",)), tmp_path)
        report = pydicom.dcmread(tmp_path / "dicom" / "sr.dcm")
        values = [(i.name.value, i.value.value) for i in groups(report)["cT stage"].get_qualitative_evaluations()]
        assert "399504009" not in [name for name, _ in values]
        assert ("staging-confidence", "not-confident") in values
        text = (tmp_path / "dicom" / "sr.dcm").read_bytes()
        assert b"NOT CONFIDENTLY STAGED. The slices disagree." in text

    def test_a_follow_up_study_is_never_a_plain_ct_category(self, tmp_path):
        write_study(make_study_result(role="followup"), tmp_path)
        report = pydicom.dcmread(tmp_path / "dicom" / "sr.dcm")
        assert set(groups(report)) == {"ycT stage", *(f"P(yc{stage})" for stage in CATEGORIES)}
        for group in groups(report).values():
            assert "126074" in str(group)

    def test_the_report_refers_to_the_slices_that_were_read_and_no_others(self, written):
        result, folder = written
        report = pydicom.dcmread(folder / "dicom" / "sr.dcm")
        (study,) = report.CurrentRequestedProcedureEvidenceSequence
        uids = {
            item.ReferencedSOPInstanceUID for s in study.ReferencedSeriesSequence for item in s.ReferencedSOPSequence
        }
        assert uids == {part.sop_instance_uid for part in result.stage.slices}

    def test_the_algorithm_names_the_method_of_the_explanation(self, written):
        text = (written[1] / "dicom" / "sr.dcm").read_bytes()
        assert b"explanation HiResCAM (element-wise Grad-CAM), second residual stage" in text

    def test_the_size_stays_small(self, written):
        assert (written[1] / "dicom" / "sr.dcm").stat().st_size < 60_000


class TestPictures:
    def test_the_capture_of_the_key_slice_holds_the_pixels_of_the_png(self, written):
        _, folder = written
        item = pydicom.dcmread(folder / "dicom" / "key.dcm")
        assert np.array_equal(item.pixel_array, np.asarray(Image.open(folder / "key_slice.png")))
        assert list(item.PatientOrientation) == ["L", "P"]

    def test_the_overlay_has_a_frame_for_every_slice_that_was_read_with_the_heat_of_that_slice(self, written):
        result, folder = written
        item = pydicom.dcmread(folder / "dicom" / "overlay.dcm")
        key = np.asarray(Image.open(folder / "grad_cam.png"))
        frames = item.pixel_array
        assert list(item.FrameLabelVector) == ["slice 4", "slice 5", "slice 6"]
        assert list(item.PatientOrientation) == ["L", "P"]
        # Above the strip of text the frame of the key slice is the picture of the report.
        height = key.shape[0] - 96
        assert np.array_equal(frames[1, :height], key[:height])
        # The neighbours' maps are weaker by a fifth; where the key slice is hottest, they are of another colour.
        y, x = np.unravel_index(np.argmax(result.grad_cam.heatmap), result.grad_cam.heatmap.shape)
        rows, columns = result.grad_cam.heatmap.shape
        spot = int((y + 0.5) / rows * height), int((x + 0.5) / columns * key.shape[1])
        assert frames[1][spot].astype(int).sum() > frames[0][spot].astype(int).sum() + 30
        assert len({frame[height:].tobytes() for frame in frames}) == 3, "the strips name the same slice"

    def test_the_overlay_says_how_it_was_made_and_what_it_is_not(self, written):
        _, folder = written
        overlay, key = (pydicom.dcmread(folder / "dicom" / f"{name}.dcm") for name in ("overlay", "key"))
        assert overlay.SeriesDescription == "GastroMAP HiResCAM, research use, not for diagnosis"
        assert overlay.DerivationDescription == (
            "HiResCAM (element-wise Grad-CAM), second residual stage: explanation of class cT3, not a lesion outline"
        )
        assert "DerivationDescription" not in key

    def test_the_captures_refer_to_the_slices_they_show(self, written):
        result, folder = written
        (reference,) = pydicom.dcmread(folder / "dicom" / "key.dcm").SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == result.key_slice.sop_instance_uid
        shown = pydicom.dcmread(folder / "dicom" / "overlay.dcm").SourceImageSequence
        uids = [result.volume.sources[index].sop_instance_uid for index in (4, 5, 6)]
        assert [item.ReferencedSOPInstanceUID for item in shown] == uids


def test_the_encapsulated_pdf_is_the_report(written):
    _, folder = written
    item = pydicom.dcmread(folder / "dicom" / "report.dcm")
    assert item.EncapsulatedDocument[: item.EncapsulatedDocumentLength] == (folder / "report.pdf").read_bytes()
    assert (item.Modality, item.ConversionType) == ("DOC", "WSD")
