"""The checks that need an engine: their rules, with a made-up engine in its place, and the honest skip without one."""

from __future__ import annotations

import copy
import io
import json
import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from builders.map_tree import APP, ENVIRONMENT, write_context

from gastromap.packaging.check_commands import check_manifest_commands
from gastromap.packaging.check_findings import CheckPart, CheckReport, Finding, Source
from gastromap.packaging.check_image import check_image
from gastromap.packaging.check_image_config import check_history, check_image_config
from gastromap.packaging.check_image_files import ImageFile, check_image_files, read_export
from gastromap.packaging.check_layout import Profile
from gastromap.packaging.check_report import report_table
from gastromap.packaging.check_runs import HARDENED, Runs, check_runs
from gastromap.packaging.check_samples import Samples, make_samples, read_study, synthetic_study
from gastromap.packaging.engine import Engine, EngineMissing, Finished, Mount

INSPECTED: dict[str, Any] = {
    "Os": "linux",
    "Architecture": "amd64",
    "Size": 1_200_000_000,
    "Config": {
        "Labels": {"org.opencontainers.image.title": "GastroMAP", "org.opencontainers.image.version": "0.1.0"},
        "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
        "User": "1000:1000",
        "Entrypoint": ["/var/holoscan/tools"],
    },
}


def config_rules(**changes: Any) -> set[str]:
    found = copy.deepcopy(INSPECTED)
    config = changes.pop("config", {})
    found.update(changes)
    found["Config"].update(config)
    pins = {"monai-deploy-app-sdk": "4.0.0", "holoscan-cu13": "4.2.0"}
    return {finding.rule for finding in check_image_config(found, APP, pins, budget_bytes=1.6e9)}


class TestWhatTheEngineKnows:
    def test_of_a_right_image_has_no_finding(self) -> None:
        assert config_rules() == set()

    @pytest.mark.parametrize(
        ("rule", "changes"),
        [
            ("label-title", {"config": {"Labels": {"org.opencontainers.image.version": "0.1.0"}}}),
            ("label-version", {"config": {"Labels": {"org.opencontainers.image.title": "a"}}}),
            ("label-pin", {"config": {"Labels": {"org.nvidia.holoscan": "5.0.0"}}}),
            ("platform", {"Architecture": "s390x"}),
            ("env-equal", {"config": {"Env": []}}),
            ("env-secret", {"config": {"Env": ["PIP_INDEX_URL=https://example.org"]}}),
            ("env-secret", {"config": {"Env": ["SERVICE_TOKEN=abc"]}}),
            ("image-user", {"config": {"User": ""}}),
            ("image-user", {"config": {"User": "0:0"}}),
            ("image-user", {"config": {"User": "holoscan"}}),
            ("image-start", {"config": {"Entrypoint": None, "Cmd": None}}),
            ("image-size", {"Size": 1_700_000_000}),
        ],
    )
    def test_with_a_fault_is_found_by_its_rule(self, rule: str, changes: dict[str, Any]) -> None:
        assert rule in config_rules(**changes)

    @pytest.mark.parametrize(
        "line",
        [
            "RUN pip install --extra-index-url https://example.org torch",
            "RUN PIP_TRUSTED_HOST=a pip install b",
            "RUN git clone https://me:hunter2@example.org/a",
        ],
    )
    def test_of_its_history_a_package_index_or_a_password_is_found(self, line: str) -> None:
        assert {finding.rule for finding in check_history(["COPY app", line])} == {"history-secret"}
        assert list(check_history(["COPY app /opt/holoscan/app"])) == []


def file_rules(*files: ImageFile, profile: Profile = "gastromap") -> set[str]:
    return {finding.rule for finding in check_image_files(files, INSPECTED["Config"], profile)}


class TestTheFilesOfAnImage:
    def test_that_are_right_have_no_finding(self) -> None:
        right = (
            ImageFile("etc", "folder", 0o755, 0, 0),
            ImageFile("etc/shadow", "file", 0o640, 0, 42),
            ImageFile("etc/holoscan/app.json", "file", 0o644, 0, 0),
            ImageFile("opt/holoscan/app/__main__.py", "file", 0o644, 0, 0),
            ImageFile("root", "folder", 0o700, 0, 0),
            ImageFile("usr/bin/sh", "link", 0o777, 0, 0),
            ImageFile("opt/venv/bin/python3", "link", 0o777, 0, 0),
        )
        assert file_rules(*right) == set()

    @pytest.mark.parametrize(
        ("rule", "file"),
        [
            ("image-secret", ImageFile("etc/pip.conf", "file", 0o644, 0, 0, secret=True)),
            ("image-unreadable", ImageFile("opt/holoscan/models/a/model.pt", "file", 0o600, 0, 0)),
            ("image-unreadable", ImageFile("var/holoscan", "folder", 0o750, 0, 0)),
            ("image-setuid", ImageFile("usr/bin/su", "file", 0o4755, 0, 0)),
            ("manifest-writable", ImageFile("etc/holoscan/app.json", "file", 0o664, 0, 0)),
            ("manifest-writable", ImageFile("etc/holoscan/pkg.json", "file", 0o644, 1000, 1000)),
            ("manifest-writable", ImageFile("etc/holoscan", "folder", 0o777, 0, 0)),
            ("image-tool", ImageFile("usr/bin/gcc-12", "file", 0o755, 0, 0)),
            ("image-tool", ImageFile("usr/bin/apt-get", "file", 0o755, 0, 0)),
            ("image-tool", ImageFile("opt/venv/bin/pip3.11", "file", 0o755, 0, 0)),
        ],
    )
    def test_with_a_fault_are_found_by_its_rule(self, rule: str, file: ImageFile) -> None:
        assert file_rules(file) == {rule}

    def test_of_another_package_may_hold_a_package_manager(self) -> None:
        assert file_rules(ImageFile("usr/bin/apt-get", "file", 0o755, 0, 0), profile="generic") == set()

    def test_are_read_from_the_engine_s_export(self, tmp_path: Path) -> None:
        contents = {
            "etc/holoscan/app.json": b"{}",
            "opt/holoscan/app/key.txt": b"-----BEGIN PRIVATE KEY-----",
            "etc/ssl/certs/authority.pem": b"-----BEGIN CERTIFICATE-----",
            "home/me/.netrc": b"machine a",
            "opt/venv/lib/python3.11/site-packages/certifi/cacert.pem": b"-----BEGIN CERTIFICATE-----",
            "usr/lib/python3/key.pem": b"-----BEGIN EC PRIVATE KEY-----",
            "usr/lib/other.so": b"x",
        }
        with tarfile.open(tmp_path / "export.tar", "w") as archive:
            for name, content in contents.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        files = read_export(tmp_path / "export.tar", tmp_path / "files")
        assert {file.path for file in files if file.secret} == {
            "opt/holoscan/app/key.txt", "home/me/.netrc", "usr/lib/python3/key.pem",
        }  # fmt: skip
        unpacked = {path.relative_to(tmp_path / "files").as_posix() for path in (tmp_path / "files").rglob("*.*")}
        assert unpacked == {"etc/holoscan/app.json", "opt/holoscan/app/key.txt"}


class Container(Engine):
    """In place of an engine: a package that behaves, with one fault if asked for.

    It judges its input as an application would: by the number of CT images.
    """

    fault: str
    lines: list[tuple[str, ...]]

    def __init__(self, fault: str = "") -> None:
        super().__init__("none")
        # The engine is frozen; its stand-in keeps what it was told.
        object.__setattr__(self, "fault", fault)
        object.__setattr__(self, "lines", [])

    def run(self, image: str, arguments: Sequence[str] = (), **how: Any) -> Finished:
        options, mounts = how.get("options", ()), how.get("mounts", ())
        self.lines.append((*options, *arguments))
        given = {mount.target: mount for mount in mounts}
        if "-c" in arguments:
            return self._end(0, b"") if self.fault != "imports" else self._end(1, b"ImportError: no module pypdf")
        if "cat" in options:
            return self._end({"mercure-detection": 127}.get(self.fault, 1))
        source = next(mount for target, mount in given.items() if "input" in target or "data" in target).source
        output = next(mount for target, mount in given.items() if "output" in target)
        if not output.writable:
            return self._end(12)
        if "/opt/holoscan/models" in given:
            return self._end(11)
        if "name in the log" in self.fault:
            return self._finish(output.source, log=b"staging Quintillian")
        images = [path for path in source.rglob("*.dcm") if b"CT Image" in path.read_bytes()]
        if len(images) < 10 and self.fault != "0 on failure":
            if self.fault == "left-overs":
                (output.source / "partial.json").write_text("{}")
            return self._end({"another status": 1, "no start": 125}.get(self.fault, 3))
        if len(images) < 10:
            return self._end(0)
        return self._finish(output.source)

    def _finish(self, output: Path, log: bytes = b"") -> Finished:
        if self.fault == "no result":
            return self._end(0)
        if self.fault == "late":
            return self._end(None)
        if self.fault != "no json":
            (output / "result.json").write_text("{}")
        if self.fault == "folder":
            (output / "dicom").mkdir()
            output = output / "dicom"
        if self.fault == "name of dicom":
            (output / "sr").write_bytes(bytes(128) + b"DICM")
        if self.fault == "broken dicom":
            (output / "sr.dcm").write_bytes(b"no")
        elif self.fault != "name of dicom":
            shutil.copy(SAMPLE, output / "sr.dcm")
        return self._end(0, log)

    def stopped(self, image: str, **how: Any) -> tuple[Finished, float]:
        self.lines.append(tuple(how["options"]))
        return (self._end(137), 10.0) if self.fault == "stop" else (self._end(143), 0.3)

    def _end(self, status: int | None, log: bytes = b"") -> Finished:
        return Finished(status, b"", log, 1.0)


SAMPLE = Path(__file__)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    global SAMPLE
    folder = tmp_path_factory.mktemp("samples")
    (folder / "study").mkdir()
    series = generate_uid()
    for number in range(12):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = CTImageStorage
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
        image.ImageType, image.SeriesDescription = ["ORIGINAL", "PRIMARY", "AXIAL"], "CT Image"
        image.PatientName, image.PatientID, image.Modality = "Zz^Quintillian", "ZZ-471100", "CT"
        image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.3", series
        image.save_as(folder / "study" / f"{number}.dcm", enforce_file_format=True)
    SAMPLE = folder / "study" / "0.dcm"
    made = make_samples(read_study(folder / "study"), folder / "inputs")
    # Called MR, an image is no CT image to the stand-in.
    for path in made.other.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.SeriesDescription = "MR"
        dataset.save_as(path)
    return made


def run_rules(tmp_path: Path, samples: Samples, fault: str = "", profile: Profile = "gastromap") -> dict[str, set[str]]:
    runs = Runs(Container(fault), "a:1", samples, tmp_path, APP, profile, 10.0)
    return {name: {finding.rule for finding in findings} for name, findings in check_runs(runs) if findings}


class TestTheRuns:
    def test_of_a_right_image_have_no_finding(self, tmp_path: Path, samples: Samples) -> None:
        assert run_rules(tmp_path, samples) == {}

    @pytest.mark.parametrize(
        ("fault", "run", "rule"),
        [
            ("no result", "hardened run", "run-output"),
            ("no json", "Express form", "run-output"),
            ("late", "Mercure form", "run-status"),
            ("name of dicom", "hardened run", "run-dicom-name"),
            ("broken dicom", "hardened run", "run-dicom"),
            ("name in the log", "hardened run", "log-patient"),
            ("folder", "Mercure form", "mercure-top-level"),
            ("mercure-detection", "Mercure form", "mercure-detection"),
            ("another status", "empty input", "failure-status"),
            ("another status", "no CT", "failure-status"),
            ("0 on failure", "junk only", "failure-status"),
            ("no start", "empty input", "failure-status"),
            ("left-overs", "too few slices", "failure-output"),
            ("stop", "docker stop", "stop"),
            ("imports", "imports", "imports"),
        ],
    )
    def test_with_a_fault_are_found_by_its_rule(
        self, fault: str, run: str, rule: str, tmp_path: Path, samples: Samples
    ) -> None:
        assert rule in run_rules(tmp_path, samples, fault)[run]

    def test_take_a_failure_with_status_0_for_a_warning_in_another_package(
        self, tmp_path: Path, samples: Samples
    ) -> None:
        runs = Runs(Container("0 on failure"), "a:1", samples, tmp_path, APP, "generic", 10.0)
        found = [finding for _, findings in check_runs(runs) for finding in findings]
        assert {finding.level for finding in found} == {"warning"}

    def test_are_hardened_without_network_capabilities_and_a_known_user(self, tmp_path: Path, samples: Samples) -> None:
        engine = Container()
        list(check_runs(Runs(engine, "a:1", samples, tmp_path, APP, "gastromap", 10.0)))
        assert engine.lines[1] == HARDENED
        words = " ".join(HARDENED)
        assert "--network none --read-only" in words
        assert "--cap-drop ALL --security-opt no-new-privileges --user 4242:4242" in words
        # Express replaces entrypoint and command: python3 with the rest of app.json's command.
        assert engine.lines[2][-3:] == ("--entrypoint", "python3", "/opt/holoscan/app")


class TestTheSamples:
    def test_hold_the_study_in_the_ways_the_platforms_deliver_it(self, samples: Samples) -> None:
        names = {path.name for path in samples.mercure.iterdir()}
        assert "task.json" in names
        assert sum("#" in name and name.endswith(".dcm") for name in names) == 12
        assert sum(name.endswith(".tags") for name in names) == 12
        assert len(list(samples.express.rglob("*.dcm.json"))) == 12
        assert len(list(samples.few.iterdir())) == 3
        assert not list(samples.empty.iterdir())

    def test_can_be_read_by_every_user(self, samples: Samples) -> None:
        for path in samples.plain.parent.rglob("*"):
            assert path.stat().st_mode & 0o004

    def test_know_what_must_not_stand_in_a_log(self, samples: Samples) -> None:
        assert samples.marks == ("Quintillian", "ZZ-471100")

    @pytest.mark.slow
    def test_are_made_of_a_synthetic_study_whose_patient_has_a_name_of_his_own(self, tmp_path: Path) -> None:
        study = synthetic_study(tmp_path)
        assert set(read_study(study.folder).marks) == set(study.marks)


class TestShowAndExtract:
    @pytest.mark.parametrize("fault", ["", "another", "nothing"])
    def test_are_held_against_the_files_of_the_image(self, fault: str, tmp_path: Path) -> None:
        context = write_context(tmp_path / "context")
        files = tmp_path / "files" / "etc" / "holoscan"
        shutil.copytree(context / "map", files)

        class Answers(Container):
            def run(self, image: str, arguments: Sequence[str] = (), **how: Any) -> Finished:
                if arguments[0] == "show":
                    text = (files / f"{arguments[1]}.json").read_bytes()
                    return Finished(0, b"{}" if fault else text, b"", 0.1)
                for mount in how["mounts"] if fault != "nothing" else ():
                    names = {"config": "config"}.get(mount.source.name, mount.source.name)
                    parts = ("app", "config", "models", "docs") if names.startswith("extract") else ("",)
                    for part in parts:
                        (mount.source / part).mkdir(exist_ok=True)
                        (mount.source / part / "app.json").write_text("{}")
                return Finished(0, b"", b"", 0.1)

        found = {f.rule for f in check_manifest_commands(Answers(), "a:1", tmp_path / "files", tmp_path)}
        assert found == {"": set(), "another": {"show"}, "nothing": {"show", "extract"}}[fault]


class TestWithoutAnEngine:
    def test_the_image_is_skipped_with_a_reason_and_77(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        profile, parts = check_image("a:1", rules="auto", budget_gb=1.6, study=None)
        assert (profile, [part.skipped for part in parts]) == (
            "generic",
            ["no docker command (Debian: apt-get install docker.io)"],
        )
        report = CheckReport("a:1", profile, parts)
        assert report.exit_code == 77
        assert report_table(report).splitlines()[-1].startswith("SKIPPED: no docker command")

    def test_that_answers_the_reason_is_its_own_last_line(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        program = tmp_path / "docker"
        program.write_text("#!/bin/sh\necho first >&2; echo 'Cannot connect to the daemon' >&2; exit 1\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin:/bin")
        with pytest.raises(EngineMissing, match="Cannot connect to the daemon"):
            Engine.reach("docker")

    def test_an_error_in_another_part_counts_more_than_the_skip(self) -> None:
        wrong = Finding("a", "error", "b", "", "c", "d", Source.GASTROMAP)
        parts = (CheckPart("tree", (wrong,)), CheckPart("image", skipped="no engine"))
        assert CheckReport("a", "generic", parts).exit_code == 1


class TestAnEngine:
    def test_gives_arguments_as_they_are_and_removes_its_container(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        program = tmp_path / "docker"
        program.write_text(
            '#!/bin/sh\necho "$*" >> "$CALLS"\n[ "$1" = run ] || exit 0\necho out; echo err >&2; exit 12\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin:/bin")
        monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
        done = Engine.reach("docker").run(
            "a:1",
            ("-x", "a b"),
            options=HARDENED,
            mounts=(Mount(Path("/in"), "/i"), Mount(Path("/out"), "/o", writable=True)),
            variables={"A": "1"},
            timeout_s=5,
        )
        assert (done.status, done.output, done.log) == (12, b"out\n", b"out\nerr\n")
        _, run, removed = (tmp_path / "calls").read_text().splitlines()
        name = run.split()[2]
        assert run == f"run --name {name} {' '.join(HARDENED)} -v /in:/i:ro -v /out:/o -e A=1 a:1 -x a b"
        assert removed == f"rm -f -v {name}"

    def test_ends_a_container_that_takes_too_long(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        program = tmp_path / "docker"
        program.write_text('#!/bin/sh\necho "$1" >> "$CALLS"\n[ "$1" != run ] || exec sleep 30\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin:/bin")
        monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
        done = Engine.reach("docker").run("a:1", timeout_s=0.3)
        assert done.status is None
        assert (tmp_path / "calls").read_text().split() == ["info", "run", "rm"]


def test_the_report_as_json_says_what_was_skipped_and_found() -> None:
    wrong = Finding("a", "error", "b", "", "c", "d", Source.GASTROMAP)
    report = CheckReport("a:1", "generic", (CheckPart("tree", (wrong,)), CheckPart("image", skipped="no engine")))
    mapping = json.loads(json.dumps(report.to_mapping()))
    assert mapping["exit_code"] == 1
    assert mapping["conforms"] is False
    assert mapping["parts"][1] == {"name": "image", "skipped": "no engine", "findings": 0}
    assert mapping["findings"][0]["source"] == "GastroMAP"
