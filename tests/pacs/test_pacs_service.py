"""The service between PACS and PACS: a study is named by its UID, its result goes back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders.orthanc_server import USER, OrthancServer

from benchmarks.service_process import ServiceProcess


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, archive: OrthancServer, random_models: Path, study_folder: Path
) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("service")
    settings = folder / "pacs.yaml"
    settings.write_text(archive.settings + "attempts: 2\nwait_s: 0.1\n")
    os.environ["TEST_PASSWORD"] = USER[1]
    server = ServiceProcess(folder, random_models, "--threads", "1", "--pacs", str(settings))
    shutil.copytree(study_folder, server.inputs / "good")
    try:
        yield server.start()
    finally:
        del os.environ["TEST_PASSWORD"]
        if server.process.poll() is None:
            server.kill()


def submit(server: ServiceProcess, **body: object) -> dict:
    answer = server.client.post("/studies", json=body)
    assert answer.status_code == 202, answer.text
    return server.ended(answer.json())


def objects_of(server: ServiceProcess, job: dict) -> set[str]:
    listed = server.client.get(job["result"]).json()["files"]
    return {file["sop_instance_uid"] for file in listed if file["sop_instance_uid"]}


def test_a_study_of_the_pacs_is_staged_and_its_result_goes_back(
    server: ServiceProcess, archive: OrthancServer, study_uid: str
) -> None:
    job = submit(server, studies=[study_uid])
    assert (job["state"], job["code"], job["exit_code"]) == ("done", "", 0), job["message"]
    assert {"fetch", "send"} <= set(job["seconds"])
    assert objects_of(server, job) <= set(archive.files())


def test_nothing_is_sent_where_the_client_says_so(
    server: ServiceProcess, archive: OrthancServer, study_uid: str
) -> None:
    before = len(archive.ids("instances"))
    job = submit(server, studies=[study_uid], send=False)
    assert (job["state"], job["exit_code"]) == ("done", 0)
    assert len(archive.ids("instances")) == before


def test_a_study_the_pacs_does_not_have_has_failed_by_name(server: ServiceProcess) -> None:
    job = submit(server, studies=["1.2.3"])
    assert (job["state"], job["code"], job["exit_code"]) == ("failed", "PACS_NO_STUDY", 13)
    assert not (server.outputs / job["id"]).exists()


@pytest.mark.parametrize("body", [{"studies": ["1.2"], "folder": "good"}, {"folder": "good", "send": "yes"}, {}])
def test_a_request_that_says_two_things_or_none_is_refused(server: ServiceProcess, body: dict) -> None:
    answer = server.client.post("/studies", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("REQUEST_INVALID")


def test_a_result_that_is_not_sent_is_done_and_says_so(server: ServiceProcess, archive: OrthancServer) -> None:
    """Last: the PACS does not come back."""
    archive.process.kill()
    job = submit(server, folder="good", send=True)
    assert (job["state"], job["code"], job["exit_code"]) == ("done", "PACS_UNREACHABLE", 13)
    assert (server.outputs / job["id"] / "result.json").is_file()


def test_without_a_pacs_the_request_is_refused(tmp_path: Path) -> None:
    from app.service.requests import checked
    from gastromap.errors import UsageError

    with pytest.raises(UsageError, match="--pacs"):
        checked({"studies": ["1.2"]}, root=tmp_path, config=None)


def test_a_process_that_died_while_it_sent_goes_on_sending_and_stages_nothing_again(tmp_path: Path) -> None:
    from app.service.runner import Runner
    from app.service.store import JobStore
    from app.service.worker import Answer

    class Worker:
        alive = True

        def __init__(self) -> None:
            self.ran: list[str] = []

        def run(self, request: dict, output: Path, *, timeout_seconds: float | None) -> Answer:
            self.ran.append((output / "result.json").read_text())
            return Answer("done")

    store = JobStore(tmp_path / "jobs.sqlite")
    job, _ = store.add({"folder": "x", "send": True})
    store.claim()
    (tmp_path / job.id).mkdir()
    (tmp_path / job.id / "result.json").write_text("whole")
    worker = Worker()
    runner = Runner(store, worker, tmp_path)  # type: ignore[arg-type]
    runner._settle(store.running()[0])
    again = store.claim()
    assert again is not None
    runner._work(again)
    assert worker.ran == ["whole"]
    ended = store.get(job.id)
    assert ended is not None
    assert ended.state == "done"
