"""The application from DICOM to results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pydicom
import pytest
from builders.bundle import BUNDLE, REPOSITORY

from app.__main__ import main
from gastromap.reports.json_result import SCHEMA_PATH


def portal_series(study: Path) -> list[pydicom.Dataset]:
    """Slices of the portal series, feet first."""
    slices = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted((study / "S003").iterdir())]
    return sorted(slices, key=lambda s: float(s.ImagePositionPatient[2]))


@pytest.fixture(scope="module")
def result_folder(
    study_folder: Path, clinical_file: Path, random_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Results of one run with everything given."""
    out = tmp_path_factory.mktemp("run") / "out"
    assert (
        main(["-i", str(study_folder), "-o", str(out), "-m", str(random_models), "--clinical", str(clinical_file)]) == 0
    )
    return out


@pytest.fixture
def content(result_folder: Path) -> dict:
    return json.loads((result_folder / "result.json").read_text())


class TestResult:
    def test_all_files_are_there(self, result_folder: Path) -> None:
        names = {str(p.relative_to(result_folder)) for p in result_folder.rglob("*") if p.is_file()}
        assert {
            "result.json",
            "metadata.json",
            "report.html",
            "report.pdf",
            "dicom/sr.dcm",
            "dicom/cam.dcm",
            "dicom/kos.dcm",
            "dicom/key.dcm",
            "dicom/overlay.dcm",
        } <= names
        assert not [name for name in names if name.startswith(".")]

    def test_result_json_follows_its_schema(self, content: dict) -> None:
        jsonschema.validate(content, json.loads(SCHEMA_PATH.read_text()))

    def test_the_key_slice_is_the_one_with_the_largest_tumour(
        self, content: dict, synthetic_study: Path, study_folder: Path
    ) -> None:
        truth = json.loads(next((synthetic_study / "records").iterdir()).read_text())["study"]
        assert content["key_slice"]["sop_instance_uid"] == truth["key_sop_instance_uid"]
        assert content["key_slice"]["origin"] == "seg"

    def test_the_portal_series_was_chosen(self, content: dict, synthetic_study: Path) -> None:
        truth = json.loads(next((synthetic_study / "records").iterdir()).read_text())["study"]
        assert content["input"]["series"]["series_instance_uid"] == truth["portal_series_uid"]

    def test_objects_carry_the_patient_and_study_of_the_images(self, result_folder: Path, study_folder: Path) -> None:
        source = portal_series(study_folder)[0]
        for path in (result_folder / "dicom").iterdir():
            made = pydicom.dcmread(path)
            assert made.PatientID == source.PatientID
            assert made.PatientName == source.PatientName
            assert made.StudyInstanceUID == source.StudyInstanceUID

    def test_result_json_holds_no_patient_data(self, result_folder: Path, study_folder: Path) -> None:
        source = portal_series(study_folder)[0]
        text = (result_folder / "result.json").read_text()
        for value in (source.PatientID, source.PatientName, source.AccessionNumber, source.PatientBirthDate):
            assert str(value) not in text

    def test_a_second_run_into_the_same_folder_is_refused(
        self, result_folder: Path, study_folder: Path, random_models: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = (result_folder / "result.json").read_bytes()
        assert main(["-i", str(study_folder), "-o", str(result_folder), "-m", str(random_models)]) == 12
        assert capsys.readouterr().err.startswith("OUTPUT_EXISTS")
        assert (result_folder / "result.json").read_bytes() == before


class TestChoices:
    def test_index_and_uid_name_the_same_slice(self, study_folder: Path, random_models: Path, tmp_path: Path) -> None:
        uid = str(portal_series(study_folder)[7].SOPInstanceUID)
        found = []
        for key, name in ((uid, "a"), ("7", "b")):
            arguments = [
                "-i",
                str(study_folder),
                "-o",
                str(tmp_path / name),
                "-m",
                str(random_models),
                "--key-slice",
                key,
            ]
            assert main(arguments) == 0
            content = json.loads((tmp_path / name / "result.json").read_text())
            found.append((content["key_slice"]["sop_instance_uid"], content["stage"]["probabilities"]))
        assert found[0] == found[1]
        assert found[0][0] == uid

    def test_without_clinical_variables_the_nomogram_is_left_out_and_names_them(
        self, study_folder: Path, random_models: Path, tmp_path: Path
    ) -> None:
        assert main(["-i", str(study_folder), "-o", str(tmp_path / "o"), "-m", str(random_models)]) == 0
        html = (tmp_path / "o" / "report.html").read_text()
        assert "Missing" in html
        content = json.loads((tmp_path / "o" / "result.json").read_text())
        # The segmentation that came with the study gives the size.
        assert set(content["nomogram"]["missing"]) == {"differentiation", "lauren"}

    def test_the_size_of_the_mask_stands_in_for_one_that_nobody_gave(
        self, study_folder: Path, random_models: Path, tmp_path: Path
    ) -> None:
        clinical = tmp_path / "c.json"
        clinical.write_text('{"differentiation": "poor", "lauren": "diffuse"}')
        arguments = ["-i", str(study_folder), "-m", str(random_models), "--clinical", str(clinical)]
        assert main([*arguments, "-o", str(tmp_path / "o")]) == 0
        content = json.loads((tmp_path / "o" / "result.json").read_text())
        size = next(r for r in content["nomogram"]["contributions"] if r["name"] == "Tumour size")["value"]
        assert size.startswith(f"{content['tumour']['long_axis_mm'] / 10:.1f} cm"[:3])
        assert "measured in the segmentation" in size

    def test_a_csv_row_gives_the_clinical_variables(
        self, study_folder: Path, random_models: Path, tmp_path: Path
    ) -> None:
        patient = str(portal_series(study_folder)[0].PatientID)
        table = tmp_path / "cohort.csv"
        table.write_text(
            f"PatientID,tumour_size_cm,differentiation,lauren\nother,1,well,mixed\n{patient},6.2,poor,diffuse\n"
        )
        arguments = ["-i", str(study_folder), "-o", str(tmp_path / "o"), "-m", str(random_models)]
        assert main([*arguments, "--clinical", str(table)]) == 0
        content = json.loads((tmp_path / "o" / "result.json").read_text())
        assert {row["value"] for row in content["nomogram"]["contributions"]} >= {"diffuse", "poor"}

    def test_environment_variables_stand_in_for_arguments(
        self, study_folder: Path, random_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOLOSCAN_INPUT_PATH", str(study_folder))
        monkeypatch.setenv("HOLOSCAN_OUTPUT_PATH", str(tmp_path / "o"))
        monkeypatch.setenv("HOLOSCAN_MODEL_PATH", str(random_models))
        assert main([]) == 0
        assert (tmp_path / "o" / "result.json").is_file()


class TestBadInput:
    """One clear line, an exit code, nothing written."""

    @pytest.fixture
    def run(self, random_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        def run(*arguments: str, models: Path = random_models, out: Path | None = None) -> tuple[int, str]:
            target = out or tmp_path / "out"
            code = main(["-o", str(target), "-m", str(models), *arguments])
            captured = capsys.readouterr()
            assert captured.out == ""
            assert "Traceback" not in captured.err
            assert not (tmp_path / "out").exists()
            lines = captured.err.strip().splitlines()
            assert len(lines) == 1, captured.err
            return code, lines[0]

        return run

    def test_an_empty_folder(self, run, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        code, line = run("-i", str(tmp_path / "in"))
        assert (code, line.split()[0]) == (3, "NO_DICOM")

    def test_a_folder_without_dicom(self, run, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "readme.txt").write_text("nothing here")
        code, line = run("-i", str(tmp_path / "in"))
        assert (code, line.split()[0]) == (3, "NO_DICOM")

    def test_a_folder_that_is_not_there(self, run, tmp_path: Path) -> None:
        code, line = run("-i", str(tmp_path / "nowhere"))
        assert (code, line.split()[0]) == (2, "INPUT_MISSING")

    def test_no_input_at_all(self, run) -> None:
        code, line = run()
        assert (code, line.split()[0]) == (2, "ARGUMENT_MISSING")

    @pytest.mark.parametrize("key", ["999", "-1", "1.2.3.4", "middle"])
    def test_an_unknown_key_slice(self, run, study_folder: Path, key: str) -> None:
        code, line = run("-i", str(study_folder), f"--key-slice={key}")
        assert (code, line.split()[0]) == (2, "KEY_SLICE_UNKNOWN")

    def test_no_key_slice_anywhere(self, run, study_folder: Path, tmp_path: Path) -> None:
        shutil.copytree(study_folder, tmp_path / "in")
        for path in (tmp_path / "in").rglob("*.dcm"):
            if pydicom.dcmread(path, stop_before_pixels=True).Modality == "SEG":
                path.unlink()
        code, line = run("-i", str(tmp_path / "in"))
        assert (code, line.split()[0]) == (3, "NO_KEY_SLICE")

    def test_an_unknown_series(self, run, study_folder: Path) -> None:
        code, line = run("-i", str(study_folder), "--series", "1.2.3")
        assert (code, line.split()[0]) == (2, "SERIES_UNKNOWN")

    @pytest.mark.parametrize(
        "text", ["{", "[]", '{"tumour_size_cm": "big"}', '{"lauren": "unclear"}', '{"tumour_size_cm": -3}']
    )
    def test_a_corrupt_clinical_file(self, run, study_folder: Path, tmp_path: Path, text: str) -> None:
        (tmp_path / "clinical.json").write_text(text)
        code, line = run("-i", str(study_folder), "--clinical", str(tmp_path / "clinical.json"))
        assert (code, line.split()[0]) == (2, "CLINICAL_INVALID")

    @pytest.mark.parametrize(
        "text", ["dicom_input: {min_coverage: 3}", "dicom_input: {min_slices: many}", "a: [", "speed: 3", "- 1"]
    )
    def test_a_wrong_configuration(self, run, study_folder: Path, tmp_path: Path, text: str) -> None:
        (tmp_path / "config.yaml").write_text(text)
        code, line = run("-i", str(study_folder), "--config", str(tmp_path / "config.yaml"))
        assert (code, line.split()[0]) == (2, "CONFIG_INVALID")

    def test_an_unwritable_output(self, run, study_folder: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        code, line = run("-i", str(study_folder), out=tmp_path / "file" / "out")
        assert (code, line.split()[0]) == (12, "OUTPUT_UNWRITABLE")

    def test_missing_weights(self, run, study_folder: Path, random_models: Path, tmp_path: Path) -> None:
        shutil.copytree(random_models, tmp_path / "models")
        (tmp_path / "models" / BUNDLE.name / "models" / "model.pt").unlink()
        code, line = run("-i", str(study_folder), models=tmp_path / "models")
        assert (code, line.split()[0]) == (11, "WEIGHTS_MISSING")

    def test_no_bundle(self, run, study_folder: Path, tmp_path: Path) -> None:
        code, line = run("-i", str(study_folder), models=tmp_path)
        assert (code, line.split()[0]) == (11, "BUNDLE_MISSING")

    def test_an_unknown_device(self, run, study_folder: Path) -> None:
        code, line = run("-i", str(study_folder), "--device", "abacus")
        assert (code, line.split()[0]) == (2, "DEVICE_UNKNOWN")


class TestProcess:
    """What only a process of its own shows."""

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app", *arguments],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=200,
        )

    def test_a_refusal_in_an_operator_is_the_only_line(
        self, study_folder: Path, random_models: Path, tmp_path: Path
    ) -> None:
        done = self.call(
            "-i", str(study_folder), "-o", str(tmp_path / "o"), "-m", str(random_models), "--key-slice", "999"
        )
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr

    def test_debug_shows_the_stack_trace_and_the_line_last(
        self, study_folder: Path, random_models: Path, tmp_path: Path
    ) -> None:
        done = self.call(
            "-i", str(study_folder), "-o", str(tmp_path / "o"), "-m", str(random_models),
            "--key-slice", "999", "--log-level", "DEBUG",
        )  # fmt: skip
        assert done.returncode == 2
        assert "Traceback" in done.stderr
        assert done.stderr.strip().splitlines()[-1].startswith("KEY_SLICE_UNKNOWN")

    def test_a_result_prints_stage_probabilities_and_paths_and_no_patient(
        self, study_folder: Path, random_models: Path, tmp_path: Path
    ) -> None:
        done = self.call("-i", str(study_folder), "-o", str(tmp_path / "o"), "-m", str(random_models))
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        for text in ("Stage", "P(cT1)", "P(cT4)", str(tmp_path / "o" / "result.json"), "not for diagnosis"):
            assert text in done.stdout
        source = portal_series(study_folder)[0]
        assert str(source.PatientID) not in done.stdout


class TestTwoStudies:
    """Baseline and follow-up of one patient in one folder."""

    @pytest.fixture(scope="class")
    def pair_folder(self, synthetic_pair: Path) -> Path:
        return next((synthetic_pair / "studies").iterdir())

    @pytest.fixture(scope="class")
    def pair_models(self, random_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        from builders.pairs import make_longitudinal_bundle

        models = tmp_path_factory.mktemp("pair") / "models"
        shutil.copytree(random_models, models)
        return make_longitudinal_bundle(models)

    @pytest.fixture(scope="class")
    def compared(self, pair_folder: Path, pair_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        out = tmp_path_factory.mktemp("compared") / "out"
        assert main(["-i", str(pair_folder), "-o", str(out), "-m", str(pair_models)]) == 0
        return out

    def test_both_are_measured_and_compared(self, compared: Path, synthetic_pair: Path) -> None:
        content = json.loads((compared / "result.json").read_text())
        jsonschema.validate(content, json.loads(SCHEMA_PATH.read_text()))
        truth = json.loads(next((synthetic_pair / "records").iterdir()).read_text())
        comparison = content["comparison"]
        assert content["input"]["series"]["study_instance_uid"] == truth["study1"]["study_instance_uid"]
        assert comparison["interval_days"] == truth["clinical"]["interval_days"]
        change = next(row for row in comparison["changes"] if row["name"] == "volume_ml")
        # The cohort knows the volumes before they became voxels of 5 mm.
        assert np.log(change["after"] / change["before"]) == pytest.approx(truth["truth"]["log_volume_ratio"], abs=0.35)
        assert comparison["outlook"]["inputs"] == "pair"
        survival = list(comparison["outlook"]["survival"].values())
        assert survival == sorted(survival, reverse=True)
        assert not comparison["stage"]["staged"]
        assert comparison["stage"]["label"].startswith("ycT")

    def test_pixels_are_filed_in_their_study_and_the_comparison_in_the_later_one(
        self, compared: Path, synthetic_pair: Path
    ) -> None:
        truth = json.loads(next((synthetic_pair / "records").iterdir()).read_text())
        studies = {
            path.stem: pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID
            for path in (compared / "dicom").iterdir()
        }
        first, second = (truth[name]["study_instance_uid"] for name in ("study1", "study2"))
        assert {studies["key"], studies["overlay"]} == {first}
        assert {studies["key_after"], studies["overlay_after"], studies["sr"], studies["report"]} == {second}

    def test_one_of_them_can_be_staged_alone(self, pair_folder: Path, random_models: Path, tmp_path: Path) -> None:
        arguments = ["-i", str(pair_folder), "-m", str(random_models), "--only", "followup"]
        assert main([*arguments, "-o", str(tmp_path / "o")]) == 0
        content = json.loads((tmp_path / "o" / "result.json").read_text())
        assert (content["input"]["role"], content["comparison"]) == ("followup", None)
        assert content["stage"]["label"].startswith("ycT")

    def test_without_a_longitudinal_model_size_and_stage_are_left_and_that_is_said(
        self, pair_folder: Path, random_models: Path, tmp_path: Path
    ) -> None:
        assert main(["-i", str(pair_folder), "-m", str(random_models), "-o", str(tmp_path / "o")]) == 0
        comparison = json.loads((tmp_path / "o" / "result.json").read_text())["comparison"]
        assert comparison["outlook"] is None
        assert comparison["omitted"] == "No longitudinal model is installed."
        assert len(comparison["changes"]) == 3
