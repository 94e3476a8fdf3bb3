"""The results folder holds a whole result or nothing."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from builders.study_result import make_study_result

from gastromap import output
from gastromap.errors import ExitCode, GastromapError, OutputError
from gastromap.output import prepare_output, write_study

FILES = {
    *("result.json", "metadata.json", "report.html", "report.pdf", "key_slice.png", "grad_cam.png"),
    *(f"dicom/{name}.dcm" for name in ("sr", "cam", "kos", "key", "overlay", "report")),
}
MARK = "ZZMARKZZ"


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


class TestWholeResult:
    def test_the_files_are_those_of_the_layout_and_the_commit_mark_is_last(self, tmp_path):
        written = write_study(make_study_result(), tmp_path / "new" / "out")
        assert files_in(tmp_path / "new" / "out") == FILES
        assert {str(path.relative_to(tmp_path / "new" / "out")) for path in written} == FILES
        assert written[-1].name == "result.json"

    def test_the_json_lists_every_other_file_with_its_hash(self, tmp_path):
        write_study(make_study_result(), tmp_path)
        listed = json.loads((tmp_path / "result.json").read_text())["files"]
        assert {item["name"] for item in listed} == FILES - {"result.json"}
        for item in listed:
            assert hashlib.sha256((tmp_path / item["name"]).read_bytes()).hexdigest() == item["sha256"]

    def test_a_run_id_cannot_lead_out_of_the_folder(self, tmp_path):
        write_study(make_study_result(run_id="../../escape"), tmp_path / "deep" / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["deep"]
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]

    def test_the_same_result_can_be_written_to_two_folders(self, tmp_path):
        for name in "ab":
            write_study(make_study_result(), tmp_path / name)
        assert files_in(tmp_path / "a") == files_in(tmp_path / "b")


class TestBeforeTheRun:
    def test_a_missing_folder_is_made_and_can_be_discarded(self, tmp_path):
        folder = prepare_output(tmp_path / "a" / "b")
        assert folder.path.is_dir()
        folder.discard()
        assert list(tmp_path.iterdir()) == []

    def test_an_existing_folder_is_never_discarded(self, tmp_path):
        prepare_output(tmp_path).discard()
        assert tmp_path.is_dir()

    @pytest.mark.parametrize("name", ["result.json", "dicom", "report.pdf"])
    def test_an_earlier_result_is_not_overwritten(self, tmp_path, name):
        (tmp_path / name).write_text("old") if "." in name else (tmp_path / name).mkdir()
        for attempt in (prepare_output, lambda path: write_study(make_study_result(), path)):
            with pytest.raises(OutputError) as raised:
                attempt(tmp_path)
            assert raised.value.code == "OUTPUT_EXISTS"
            assert raised.value.exit_code == ExitCode.OUTPUT
        assert [path.name for path in tmp_path.iterdir()] == [name]

    def test_other_files_in_the_folder_are_no_objection_and_stay(self, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        write_study(make_study_result(), tmp_path)
        assert (tmp_path / "notes.txt").read_text() == "mine"

    def test_a_file_in_the_place_of_the_folder_is_refused(self, tmp_path):
        (tmp_path / MARK).write_text("")
        for path in (tmp_path / MARK, tmp_path / MARK / "below"):
            with pytest.raises(OutputError) as raised:
                prepare_output(path)
            assert raised.value.code == "OUTPUT_UNWRITABLE"
            assert MARK not in str(raised.value)

    def test_a_place_that_takes_no_files_is_refused_even_for_root(self):
        with pytest.raises(OutputError) as raised:
            prepare_output(Path("/proc/gastromap-output"))
        assert raised.value.code == "OUTPUT_UNWRITABLE"

    def test_the_staging_of_a_dead_run_is_removed(self, tmp_path):
        (tmp_path / ".staging-dead" / "dicom").mkdir(parents=True)
        (tmp_path / ".staging-dead" / "dicom" / "sr.dcm").write_text("half")
        prepare_output(tmp_path)
        assert list(tmp_path.iterdir()) == []


class TestNothingOnFailure:
    @pytest.mark.parametrize(("fail_at", "existing"), [(1, True), (1, False), (5, False), (9, True), (9, False)])
    def test_a_disk_that_fills_up_leaves_nothing(self, tmp_path, monkeypatch, fail_at, existing):
        target = tmp_path / "out"
        if existing:
            target.mkdir()
        calls, write = [], output._write

        def full(path: Path, content: bytes) -> None:
            calls.append(path)
            if len(calls) == fail_at:
                path.write_bytes(content[: len(content) // 2])
                raise OSError(28, "No space left on device")
            write(path, content)

        monkeypatch.setattr(output, "_write", full)
        with pytest.raises(OutputError) as raised:
            write_study(make_study_result(), target)
        assert "no space left" in str(raised.value)
        assert target.exists() is existing
        assert not existing or list(target.iterdir()) == []

    @pytest.mark.parametrize(
        ("fail_at", "error"),
        [
            *((number, KeyboardInterrupt()) for number in range(1, 7)),
            (6, SystemExit(143)),
            (6, OSError(5, "Input/output error")),
        ],
    )
    def test_a_stop_between_two_renames_leaves_nothing(self, tmp_path, monkeypatch, fail_at, error):
        calls, rename = [], os.rename

        def stopped(source, target):
            calls.append(target)
            if len(calls) == fail_at:
                raise error
            rename(source, target)

        monkeypatch.setattr(output.os, "rename", stopped)
        with pytest.raises((OutputError, KeyboardInterrupt, SystemExit)):
            write_study(make_study_result(), tmp_path / "out")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "writer",
        [
            "gastromap.reports.pdf.render_pdf",
            "gastromap.reports.html.render_html",
            "gastromap.reports.pictures.draw_pictures",
            "gastromap.dicom_output.structured_report.build_structured_report",
            "gastromap.dicom_output.secondary_capture.build_secondary_capture",
        ],
    )
    @pytest.mark.parametrize("error", [RuntimeError, OSError])
    def test_a_writer_that_raises_leaves_nothing_and_the_folder_is_not_blamed(
        self, tmp_path, monkeypatch, writer, error
    ):
        def broken(*arguments, **options):
            raise error

        monkeypatch.setattr(writer, broken)
        with pytest.raises(error):
            write_study(make_study_result(), tmp_path / "out")
        assert list(tmp_path.iterdir()) == []

    def test_bytes_that_change_on_the_disk_are_noticed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(output, "_write", lambda path, content: path.write_bytes(content[:-2] + b"xx"))
        with pytest.raises(GastromapError) as raised:
            write_study(make_study_result(), tmp_path / "out")
        assert raised.value.exit_code == ExitCode.INTERNAL
        assert list(tmp_path.iterdir()) == []

    def test_of_two_runs_into_one_folder_the_second_fails_and_the_first_stays_whole(self, tmp_path):
        first, second = prepare_output(tmp_path / "out"), prepare_output(tmp_path / "out")
        write_study(make_study_result(run_id="first"), first)
        with pytest.raises(OutputError) as raised:
            write_study(make_study_result(run_id="second"), second)
        assert raised.value.code == "OUTPUT_EXISTS"
        assert files_in(tmp_path / "out") == FILES
        assert json.loads((tmp_path / "out" / "result.json").read_text())["run"]["id"] == "first"

    def test_a_killed_process_leaves_no_commit_mark_and_the_next_start_cleans_up(self, tmp_path):
        script = textwrap.dedent(
            """
            import os, signal, sys
            from pathlib import Path
            from builders.study_result import make_study_result
            from gastromap import output
            calls, write = [], output._write
            def killed(path, content):
                calls.append(path)
                if len(calls) == 6:
                    os.kill(os.getpid(), signal.SIGKILL)
                write(path, content)
            output._write = killed
            output.write_study(make_study_result(), Path(sys.argv[1]))
            """
        )
        root = Path(__file__).resolve().parents[2]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")])}
        target = tmp_path / "out"
        done = subprocess.run([sys.executable, "-c", script, str(target)], env=environment, check=False, timeout=60)
        assert done.returncode == -signal.SIGKILL
        assert [path.name.startswith(".staging-") for path in target.iterdir()] == [True]
        write_study(make_study_result(), target)
        assert files_in(target) == FILES


class TestPrivacy:
    def test_patient_data_reach_the_report_but_no_json_file_name_log_or_warning(self, tmp_path, caplog, capfd, recwarn):
        marked = dict.fromkeys(
            (
                *("PatientName", "PatientID", "IssuerOfPatientID", "StudyDescription", "AccessionNumber", "StudyID"),
                *("ReferringPhysicianName", "SeriesDescription", "PatientAge", "StudyDate", "PatientBirthDate"),
            ),
            MARK,
        )
        result = make_study_result(**marked, config={"input": Path(MARK), "n": 1})
        caplog.set_level(logging.DEBUG)
        caplog.clear()  # the builder makes pydicom complain about the dates before anything of ours runs
        recwarn.clear()
        write_study(result, tmp_path / "out")
        assert MARK not in (tmp_path / "out" / "result.json").read_text()
        assert MARK not in "".join(files_in(tmp_path))
        out, _ = capfd.readouterr()
        assert MARK not in out
        assert MARK not in caplog.text
        assert all(MARK not in str(warning.message) for warning in recwarn.list)
        assert MARK in (tmp_path / "out" / "report.html").read_text()
