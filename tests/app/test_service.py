"""The service: every study ends in a result or a named refusal, none twice, none lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.__main__ import main
from app.service.store import JobStore, QueueFullError
from benchmarks.service_process import ServiceProcess


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, random_models: Path, study_folder: Path
) -> Iterator[ServiceProcess]:
    server = ServiceProcess(tmp_path_factory.mktemp("service"), random_models, "--queue", "5", "--threads", "1")
    shutil.copytree(study_folder, server.inputs / "good")
    (server.inputs / "empty").mkdir()
    (server.inputs / "empty" / "note.txt").write_text("no DICOM")
    server.start()
    yield server
    if server.process.poll() is None:
        server.kill()


class TestStudies:
    def test_a_study_gets_the_result_of_the_application(
        self, server: ServiceProcess, random_models: Path, tmp_path: Path
    ) -> None:
        job = server.ended(server.submit("good"))
        assert (job["state"], job["exit_code"], job["attempts"]) == ("done", 0, 1)
        served = server.client.get(job["result"]).json()
        out = tmp_path / "direct"
        assert main(["-i", str(server.inputs / "good"), "-o", str(out), "-m", str(random_models)]) == 0
        direct = json.loads((out / "result.json").read_text())
        for block in ("key_slice", "nomogram", "tumour", "comparison"):
            assert served[block] == direct[block]
        assert served["input"]["digest"] == direct["input"]["digest"]
        assert served["stage"]["probabilities"] == pytest.approx(direct["stage"]["probabilities"], abs=1e-6)
        names = {file["name"] for file in server.client.get(f"/studies/{job['id']}/files").json()["files"]}
        assert {"result.json", "report.html", "dicom/sr.dcm"} <= names
        assert server.client.get(f"/studies/{job['id']}/files/dicom/sr.dcm").content[128:132] == b"DICM"

    def test_a_faulty_study_ends_in_the_line_of_the_refusal_and_no_folder(self, server: ServiceProcess) -> None:
        job = server.ended(server.submit("empty"))
        assert (job["state"], job["code"], job["exit_code"]) == ("refused", "NO_DICOM", 3)
        assert job["message"].startswith("NO_DICOM input: expected")
        assert not (server.outputs / job["id"]).exists()
        answer = server.client.get(f"/studies/{job['id']}/result")
        assert (answer.status_code, answer.json()["error"]) == (409, job["message"])

    def test_the_same_key_is_the_same_study(self, server: ServiceProcess) -> None:
        first, second = server.submit("empty", key="case 7"), server.submit("empty", key="case 7")
        assert first["id"] == second["id"]
        assert server.ended(first)["attempts"] == 1

    def test_a_study_outside_the_input_root_cannot_be_named(self, server: ServiceProcess) -> None:
        for name in ("../out", "/etc", "good/../../out"):
            answer = server.client.post("/studies", json={"folder": name})
            assert (answer.status_code, answer.json()["error"].split()[0]) == (400, "REQUEST_INVALID")
        assert server.client.post("/studies", json={"folder": "absent"}).status_code == 400
        assert server.client.post("/studies", content=b"{").status_code == 400
        assert server.client.get("/studies/x/files/../../jobs.sqlite").status_code == 404

    def test_no_name_of_a_folder_comes_back(self, server: ServiceProcess) -> None:
        server.ended(server.submit("empty"))
        assert "empty" not in server.client.get("/studies").text
        assert "empty" not in server.client.get("/metrics").text

    def test_metrics_count_what_has_ended(self, server: ServiceProcess) -> None:
        server.ended(server.submit("empty"))
        text = server.client.get("/metrics").text
        assert 'gastromap_studies_total{code="NO_DICOM",state="refused"}' in text
        assert "gastromap_worker_resident_bytes" in text
        assert "gastromap_ready 1.0" in text


class TestFaults:
    def test_after_kill_9_every_study_ends_and_none_twice(self, server: ServiceProcess) -> None:
        jobs = [server.submit("good", key=f"kill {n}") for n in range(3)]
        server.until(lambda: server.client.get(f"/studies/{jobs[0]['id']}").json()["state"] == "running", seconds=60)
        server.kill()
        server.start()
        again = [server.submit("good", key=f"kill {n}") for n in range(3)]
        assert [job["id"] for job in again] == [job["id"] for job in jobs]
        ends = [server.ended(job) for job in jobs]
        assert [end["state"] for end in ends] == ["done"] * 3
        for end in ends:
            assert (server.outputs / end["id"] / "result.json").is_file()
            assert not list((server.outputs / end["id"]).glob(".staging*"))

    def test_a_stop_lets_the_study_in_hand_end(self, server: ServiceProcess) -> None:
        job = server.submit("good")
        server.until(lambda: server.client.get(f"/studies/{job['id']}").json()["state"] != "queued", seconds=60)
        assert server.stop() == 0
        assert (server.outputs / job["id"] / "result.json").is_file()
        server.start()
        assert server.client.get(f"/studies/{job['id']}").json()["state"] == "done"


class TestStore:
    def test_the_line_is_bounded_and_keeps_its_order(self, tmp_path: Path) -> None:
        store = JobStore(tmp_path / "jobs.sqlite", limit=2)
        first, _ = store.add({"folder": "a"})
        second, _ = store.add({"folder": "b"})
        with pytest.raises(QueueFullError):
            store.add({"folder": "c"})
        claimed = store.claim()
        assert claimed is not None
        assert claimed.id == first.id
        store.requeue(first.id)
        assert store.cancel(second.id)
        assert not store.cancel(second.id)
        taken = store.claim()
        assert taken is not None
        assert (taken.id, taken.attempts) == (first.id, 2)
        assert store.claim() is None

    def test_an_end_is_final(self, tmp_path: Path) -> None:
        store = JobStore(tmp_path / "jobs.sqlite")
        job, _ = store.add({"folder": "a"})
        store.claim()
        store.finish(job.id, "refused", code="GAP")
        store.finish(job.id, "done")
        store.requeue(job.id)
        found = store.get(job.id)
        assert found is not None
        assert (found.state, found.code) == ("refused", "GAP")

    def test_jobs_outlive_the_process(self, tmp_path: Path) -> None:
        job, _ = JobStore(tmp_path / "jobs.sqlite").add({"folder": "a"}, key="k")
        again, new = JobStore(tmp_path / "jobs.sqlite").add({"folder": "a"}, key="k")
        assert (again.id, new) == (job.id, False)


def test_models_that_cannot_be_read_are_said_and_nothing_is_ready(tmp_path: Path) -> None:
    server = ServiceProcess(tmp_path, tmp_path / "nothing")
    try:
        server.start(wait=False)
        server.until(lambda: server.client.get("/health/ready").json()["fault"] != "", seconds=60)
        answer = server.client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["fault"].startswith("BUNDLE_MISSING")
    finally:
        server.kill()


def test_a_token_is_asked_for_everything_but_health(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    server = ServiceProcess(tmp_path, tmp_path / "nothing", "--token-file", str(tmp_path / "token"))
    try:
        server.start(wait=False)
        server.until(lambda: server.client.get("/health/live").status_code == 200, seconds=60)
        assert server.client.get("/studies").status_code == 401
        assert server.client.get("/studies", headers={"Authorization": "Bearer secret"}).status_code == 200
    finally:
        server.kill()
