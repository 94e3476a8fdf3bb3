"""What goes wrong between here and a PACS: each fault has a name, and half a result is never taken for a whole one."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from builders.study_result import make_study_result
from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Find  # type: ignore[attr-defined]

from gastromap.cli._main import main
from gastromap.errors import ExitCode, UsageError
from gastromap.output import write_study
from gastromap.pacs import DicomWebSettings, DimseSettings, PacsSettings, fetch_study, remote_of, send_result
from gastromap.pacs.attempts import with_attempts
from gastromap.pacs.remote import PacsError, RemoteSeries, StoredObject
from gastromap.pacs.send import result_objects


class Archive:
    """A PACS in memory whose next steps a test can spoil."""

    def __init__(self) -> None:
        self.kept: list[StoredObject] = []
        self.faults: list[Callable[[list[StoredObject]], None]] = []
        self.reachable = True
        self.queries = 0

    def store(self, objects: list[StoredObject]) -> None:
        if self.faults:
            self.faults.pop(0)(objects)
        self.kept += objects

    def stored(self, objects: list[StoredObject]) -> set[str]:
        self.queries += 1
        if not self.reachable:
            raise unreachable()
        return {item.sop_uid for item in self.kept} & {item.sop_uid for item in objects}

    def dies_after(self, count: int, *, for_ever: bool = False) -> None:
        def fault(objects: list[StoredObject]) -> None:
            self.kept += objects[:count]
            self.reachable = not for_ever
            raise unreachable()

        self.faults.append(fault)


def unreachable() -> PacsError:
    return PacsError("PACS_UNREACHABLE", where="test", expected="an answer", got="none", remedy="None.")


FAST = PacsSettings(DicomWebSettings("http://nowhere"), attempts=3, wait_s=0)


class TestHalfSent:
    def test_a_pacs_that_dies_once_gets_the_rest_at_the_next_attempt(self, result: Path) -> None:
        archive = Archive()
        archive.dies_after(2)
        done = send_result(result, FAST, remote=archive)
        kept = [item.sop_uid for item in archive.kept]
        assert len(kept) == len(set(kept)) == done.objects

    def test_one_that_stays_dead_is_reported_as_not_known(self, result: Path) -> None:
        archive = Archive()
        archive.dies_after(2, for_ever=True)
        with pytest.raises(PacsError, match=r"PACS_HALF_SENT.*got an unknown number, then PACS_UNREACHABLE"):
            send_result(result, FAST, remote=archive)

    def test_one_that_refuses_the_rest_is_reported_with_the_number(self, result: Path) -> None:
        archive = Archive()
        for count in (3, 0, 0):
            archive.dies_after(count)
        with pytest.raises(PacsError, match=r"PACS_HALF_SENT.*got 3, then PACS_UNREACHABLE"):
            send_result(result, FAST, remote=archive)
        again = send_result(result, FAST, remote=archive)
        assert again.sent == again.objects - 3

    def test_nothing_sent_keeps_its_own_name(self, result: Path) -> None:
        archive = Archive()
        for _ in range(3):
            archive.dies_after(0)
        with pytest.raises(PacsError, match="PACS_UNREACHABLE test"):
            send_result(result, FAST, remote=archive)

    def test_accepted_and_not_found_is_no_success(self, result: Path) -> None:
        archive = Archive()
        archive.store = lambda objects: None  # type: ignore[method-assign]
        with pytest.raises(PacsError, match=r"PACS_NOT_FOUND.*got 0"):
            send_result(result, FAST, remote=archive)

    def test_objects_that_others_refer_to_go_first(self, result: Path) -> None:
        names = [item.path.stem for item in result_objects(result)]
        assert names == ["cam", "overlay", "key", "kos", "sr", "report"]


class TestResultFolder:
    def test_a_folder_without_a_result_is_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "pacs.yaml").write_text("dicomweb: {url: 'http://127.0.0.1:9'}\n")
        assert main(["send", str(tmp_path), "--pacs", str(tmp_path / "pacs.yaml")]) == ExitCode.USAGE
        assert "RESULT_MISSING" in capsys.readouterr().err

    @pytest.mark.parametrize("harm", ["changed", "gone"])
    def test_a_file_that_is_not_the_one_written_stops_all(self, tmp_path: Path, harm: str) -> None:
        write_study(make_study_result(), tmp_path / "r")
        path = tmp_path / "r" / "dicom" / "sr.dcm"
        if harm == "changed":
            path.write_bytes(path.read_bytes()[:-2] + b"\0\0")
        else:
            path.unlink()
        with pytest.raises(UsageError, match=r"RESULT_DAMAGED.*sr\.dcm"):
            result_objects(tmp_path / "r")

    def test_a_list_that_names_nothing_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "result.json").write_text(json.dumps({"files": []}))
        with pytest.raises(UsageError, match="RESULT_DAMAGED"):
            result_objects(tmp_path)


class TestAttempts:
    def test_waits_double_and_a_lasting_fault_is_not_tried_again(self) -> None:
        waits: list[float] = []
        settings = PacsSettings(DicomWebSettings("http://x"), attempts=4, wait_s=1.5)

        def step() -> None:
            raise unreachable()

        with pytest.raises(PacsError):
            with_attempts(settings, step, sleep=waits.append)
        assert waits == [1.5, 3.0, 6.0]
        waits.clear()

        def denied() -> None:
            raise PacsError("PACS_CREDENTIALS", where="x", expected="x", got="x", remedy="X.", lasting=True)

        with pytest.raises(PacsError):
            with_attempts(settings, denied, sleep=waits.append)
        assert waits == []


class TestFetching:
    def test_fewer_images_than_the_pacs_has_are_refused(self, tmp_path: Path) -> None:
        class Short:
            def series_of(self, study_uid: str) -> list[RemoteSeries]:
                return [RemoteSeries("1.2", "CT", "", 5)]

            def fetch(self, study_uid: str, series_uid: str, folder: Path) -> int:
                (folder / "000001.dcm").write_bytes(b"x")
                return 4

        with pytest.raises(PacsError, match=r"PACS_INCOMPLETE.*expected 5 instances, got 4"):
            fetch_study("1.2", tmp_path, remote=Short(), settings=FAST)  # type: ignore[arg-type]


@contextmanager
def web_server(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def do_POST(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def says(
    status: int, body: bytes = b"", kind: str = "application/dicom+json"
) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


class TestWeb:
    def remote(self, url: str, timeout_s: float = 5.0) -> object:
        return remote_of(PacsSettings(DicomWebSettings(url, timeout_s=timeout_s)))

    def test_a_server_that_does_not_answer_in_time_is_named(self, result: Path) -> None:
        def slow(request: BaseHTTPRequestHandler) -> None:
            time.sleep(3)

        with web_server(slow) as url:
            begin = time.monotonic()
            with pytest.raises(PacsError, match=r"PACS_UNREACHABLE query.*none in time"):
                self.remote(url, 0.5).stored(result_objects(result))  # type: ignore[attr-defined]
            assert time.monotonic() - begin < 2.5

    @pytest.mark.parametrize(("status", "lasting"), [(503, False), (404, True), (403, True)])
    def test_a_bad_status_is_named_and_tried_again_only_where_it_may_pass(self, status: int, lasting: bool) -> None:
        with web_server(says(status)) as url, pytest.raises(PacsError, match=f"status {status}") as caught:
            self.remote(url).series_of("1.2")  # type: ignore[attr-defined]
        assert caught.value.lasting is lasting

    def test_a_page_that_is_no_dicomweb_is_named(self) -> None:
        with web_server(says(200, b"<html>", "text/html")) as url, pytest.raises(PacsError, match="PACS_ANSWER"):
            self.remote(url).series_of("1.2")  # type: ignore[attr-defined]

    def test_nobody_there_is_named(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with pytest.raises(PacsError, match="PACS_UNREACHABLE"):
            self.remote(f"http://127.0.0.1:{port}").series_of("1.2")  # type: ignore[attr-defined]

    def test_a_second_attempt_sends_the_whole_body_again(self, result: Path) -> None:
        """dicomweb-client itself would send an exhausted generator the second time."""
        lengths: list[int] = []

        def answer(request: BaseHTTPRequestHandler) -> None:
            if request.command == "GET":
                says(204)(request)
                return
            lengths.append(len(request.rfile.read(int(request.headers["Content-Length"]))))
            says(503 if len(lengths) < 3 else 200, b"{}")(request)

        with web_server(answer) as url:
            settings = PacsSettings(DicomWebSettings(url), wait_s=0)
            with pytest.raises(PacsError, match=r"PACS_NOT_FOUND|PACS_HALF_SENT"):
                send_result(result, settings)
        assert len(lengths) == 3
        assert len(set(lengths)) == 1
        assert lengths[0] > sum(item.path.stat().st_size for item in result_objects(result))


_CLASSES = (
    SecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    ParametricMapStorage,
    Comprehensive3DSRStorage,
    KeyObjectSelectionDocumentStorage,
    EncapsulatedPDFStorage,
)


@contextmanager
def dicom_server(store: Callable[[evt.Event], int], *, classes: tuple[str, ...] = _CLASSES) -> Iterator[int]:
    entity = AE("PACS")
    for uid in classes:
        entity.add_supported_context(uid, ExplicitVRLittleEndian)
    entity.add_supported_context(Find)

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        yield 0x0000, None

    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store), (evt.EVT_C_FIND, find)]
    )
    assert server is not None
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


class TestDimse:
    def test_a_server_that_aborts_half_way_is_reported(self, result: Path) -> None:
        came = []

        def store(event: evt.Event) -> int:
            came.append(event)
            if len(came) == 3:
                event.assoc.abort()
            return 0x0000

        with dicom_server(store) as port:
            settings = PacsSettings(DimseSettings("127.0.0.1", port, "PACS", timeout_s=5), attempts=1)
            with pytest.raises(PacsError, match=r"PACS_REFUSED C-STORE.*got 2, then no answer"):
                remote_of(settings).store(result_objects(result))

    def test_a_status_of_failure_is_reported(self, result: Path) -> None:
        with dicom_server(lambda event: 0xA700) as port:
            settings = PacsSettings(DimseSettings("127.0.0.1", port, "PACS", timeout_s=5), attempts=1)
            with pytest.raises(PacsError, match=r"got 0, then status A700"):
                remote_of(settings).store([i for i in result_objects(result) if i.path.stem == "sr"])

    def test_a_kind_of_object_that_the_pacs_does_not_take_stops_before_the_first(self, result: Path) -> None:
        came = []
        with dicom_server(lambda event: came.append(event) or 0, classes=_CLASSES[:-1]) as port:
            settings = PacsSettings(DimseSettings("127.0.0.1", port, "PACS", timeout_s=5), attempts=1)
            with pytest.raises(PacsError, match=r"kinds of object accepted") as caught:
                remote_of(settings).store(result_objects(result))
        assert came == []
        assert caught.value.lasting

    def test_nobody_there_is_named(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = PacsSettings(DimseSettings("127.0.0.1", port, "PACS", timeout_s=2))
        with pytest.raises(PacsError, match="PACS_UNREACHABLE association"):
            remote_of(settings).series_of("1.2")
