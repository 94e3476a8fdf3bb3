"""A study from a real PACS and results back to it: an Orthanc on this computer, by both protocols."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
import requests
from builders.orthanc_server import USER, OrthancServer, running_pacs
from builders.study_result import make_pair_result, make_study_result, make_tumour

from gastromap.cli._main import main
from gastromap.errors import ExitCode
from gastromap.output import write_study
from gastromap.pacs import (
    DicomWebSettings,
    DimseSettings,
    PacsSettings,
    fetch_study,
    read_pacs_settings,
    remote_of,
    send_result,
)
from gastromap.pacs.remote import PacsError

PROTOCOLS = ("dicomweb", "get", "move")


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_PASSWORD", USER[1])


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[OrthancServer]:
    with running_pacs(tmp_path / "pacs") as server:
        yield server


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison with every kind of object, of a patient with a Chinese name."""
    folder = tmp_path_factory.mktemp("result")
    write_study(make_pair_result(PatientName="Wang^XiaoDong=王^小东"), folder)
    return folder


def settings_of(server: OrthancServer, protocol: str) -> PacsSettings:
    if protocol == "dicomweb":
        return PacsSettings(
            DicomWebSettings(f"{server.url}/dicom-web", username=USER[0], password_env="TEST_PASSWORD", timeout_s=20),
            wait_s=0.1,
        )
    remote = DimseSettings("127.0.0.1", server.dicom_port, "ORTHANC", retrieve=protocol, listen_port=server.listen_port)
    return PacsSettings(remote, wait_s=0.1)


def objects(folder: Path) -> dict[str, pydicom.Dataset]:
    return {
        str(item.SOPInstanceUID): item for item in (pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm")))
    }


class TestSending:
    @pytest.mark.parametrize("protocol", ["dicomweb", "get"])
    def test_every_object_comes_back_element_by_element(self, pacs, result, protocol) -> None:
        settings = settings_of(pacs, protocol)
        done = send_result(result, settings)
        sent = objects(result)
        assert (done.objects, done.sent) == (len(sent), len(sent))
        back = pacs.datasets()
        assert set(back) == set(sent)
        for uid, item in sent.items():
            assert back[uid] == item, item.SeriesDescription
        assert len(pacs.ids("patients")) == 1
        assert len(pacs.ids("studies")) == 2

    @pytest.mark.parametrize("protocol", ["dicomweb", "get"])
    def test_a_second_time_nothing_is_sent(self, pacs, result, protocol) -> None:
        settings = settings_of(pacs, protocol)
        send_result(result, settings)
        again = send_result(result, settings)
        assert again.sent == 0
        assert len(pacs.ids("instances")) == again.objects

    @pytest.mark.parametrize("protocol", ["dicomweb", "get"])
    def test_what_is_missing_is_sent_alone(self, pacs, result, protocol) -> None:
        pacs.upload([result / "dicom" / "sr.dcm", result / "dicom" / "seg.dcm"])
        settings = settings_of(pacs, protocol)
        done = send_result(result, settings)
        assert done.sent == done.objects - 2
        assert len(pacs.ids("instances")) == done.objects

    def test_the_command_sends_and_says_how_many(self, pacs, result, tmp_path, capsys) -> None:
        (tmp_path / "pacs.yaml").write_text(pacs.settings)
        assert main(["send", str(result), "--pacs", str(tmp_path / "pacs.yaml")]) == ExitCode.OK
        count = len(objects(result))
        assert capsys.readouterr().out == f"{count} objects in the PACS, {count} sent now\n"


class TestFetching:
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_the_study_comes_whole_and_unchanged(self, archive, study_folder, study_uid, tmp_path, protocol) -> None:
        settings = settings_of(archive, protocol)
        source = objects(study_folder)
        count = fetch_study(study_uid, tmp_path, remote=remote_of(settings), settings=settings)
        fetched = objects(tmp_path)
        assert count == len(fetched) == len(source)
        for uid, item in source.items():
            assert fetched[uid] == item

    def test_names_hold_nothing_of_the_patient(self, archive, study_uid, tmp_path) -> None:
        settings = settings_of(archive, "dicomweb")
        fetch_study(study_uid, tmp_path, remote=remote_of(settings), settings=settings)
        names = {part for path in tmp_path.rglob("*") for part in path.relative_to(tmp_path).parts}
        assert all(name.removesuffix(".dcm").isdecimal() for name in names)

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_an_unknown_study_is_said(self, archive, tmp_path, protocol) -> None:
        settings = settings_of(archive, protocol)
        with pytest.raises(PacsError, match=r"PACS_NO_STUDY.*none under this UID"):
            fetch_study("1.2.3.4.5", tmp_path, remote=remote_of(settings), settings=settings)

    def test_own_results_are_left_where_they_are(self, pacs, study_folder, tmp_path) -> None:
        source = objects(study_folder)
        first = next(iter(source.values()))
        made = make_study_result(PatientID=first.PatientID, StudyInstanceUID=first.StudyInstanceUID)
        write_study(replace(made, tumour=make_tumour(made.volume)), tmp_path / "result")
        pacs.upload(path for path in study_folder.rglob("*") if path.is_file())
        pacs.upload((tmp_path / "result" / "dicom").iterdir())
        (tmp_path / "in").mkdir()
        settings = settings_of(pacs, "get")
        fetch_study(str(first.StudyInstanceUID), tmp_path / "in", remote=remote_of(settings), settings=settings)
        assert set(objects(tmp_path / "in")) == set(source)

    def test_the_command_leaves_nothing_of_a_study_it_cannot_get(self, archive, study_folder, tmp_path, capsys) -> None:
        (tmp_path / "pacs.yaml").write_text(
            f"dimse: {{host: 127.0.0.1, port: {archive.dicom_port}, called_aet: ORTHANC}}\n"
        )
        study = str(next(iter(objects(study_folder).values())).StudyInstanceUID)
        common = ["--pacs", str(tmp_path / "pacs.yaml"), "--out"]
        assert main(["fetch", study, "1.2.3", *common, str(tmp_path / "bad")]) == ExitCode.PACS
        assert "PACS_NO_STUDY" in capsys.readouterr().err
        assert not (tmp_path / "bad").exists()
        assert main(["fetch", study, *common, str(tmp_path / "good")]) == ExitCode.OK
        assert len(objects(tmp_path / "good")) == len(objects(study_folder))
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


class TestRefusals:
    def test_a_wrong_called_title_is_named_at_once(self, archive, result) -> None:
        settings = settings_of(archive, "get")
        wrong = replace(settings, remote=replace(settings.remote, called_aet="WRONG"), wait_s=60)
        with pytest.raises(PacsError, match=r"PACS_CREDENTIALS association.*rejected"):
            send_result(result, wrong)

    def test_a_caller_the_pacs_does_not_know_gets_and_stores_nothing(self, archive, result, tmp_path) -> None:
        settings = settings_of(archive, "get")
        stranger = replace(settings, remote=replace(settings.remote, calling_aet="STRANGER"), attempts=1)
        before = len(archive.ids("instances"))
        with pytest.raises(PacsError):
            send_result(result, stranger)
        with pytest.raises(PacsError):
            fetch_study("1.2.3", tmp_path, remote=remote_of(stranger), settings=stranger)
        assert len(archive.ids("instances")) == before

    @pytest.mark.parametrize("user", ["", USER[0]])
    def test_no_or_wrong_credentials_are_named_at_once(self, archive, result, user, monkeypatch) -> None:
        monkeypatch.setenv("TEST_PASSWORD", "wrong")
        settings = settings_of(archive, "dicomweb")
        settings = replace(settings, remote=replace(settings.remote, username=user), wait_s=60)
        with pytest.raises(PacsError, match=r"PACS_CREDENTIALS query.*status 401"):
            send_result(result, settings)

    def test_a_study_filed_under_another_patient_is_not_taken_for_a_success(self, pacs, result) -> None:
        """Orthanc keeps the same object under two patients: ours must be found under its own."""
        item = pydicom.dcmread(result / "dicom" / "sr.dcm")
        item.PatientID = "SOMEBODY-ELSE"
        content = io.BytesIO()
        item.save_as(content)
        answer = requests.post(f"{pacs.url}/instances", data=content.getvalue(), auth=USER, timeout=30)
        answer.raise_for_status()
        for protocol in ("dicomweb", "get"):
            settings = settings_of(pacs, protocol)
            present = remote_of(settings).stored(_known(result))
            assert item.SOPInstanceUID not in present

    def test_settings_of_the_documentation_are_read(self) -> None:
        page = Path(__file__).resolve().parents[2] / "docs" / "pacs.md"
        blocks = page.read_text().split("```yaml\n")[1:]
        assert len(blocks) == 2


def _known(folder: Path):
    from gastromap.pacs.send import result_objects

    return result_objects(folder)


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_of_the_documentation_are_valid(tmp_path: Path, number: int) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "pacs.md"
    text = page.read_text().split("```yaml\n")[1:][number].split("```")[0]
    (tmp_path / "pacs.yaml").write_text(text)
    read_pacs_settings(tmp_path / "pacs.yaml")
