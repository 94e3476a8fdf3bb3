"""The image itself: built from nothing and run hardened. Only where a container engine can run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gastromap.packaging.configuration import PackagingError
from gastromap.packaging.engine import Engine, EngineMissing
from gastromap.packaging.equality import differing_numbers
from gastromap.packaging.private_engine import open_engine

REPOSITORY = Path(__file__).resolve().parents[2]
CAT = REPOSITORY / "packaging" / "image" / "cat.py"


class TestComparingTwoResults:
    def test_numbers_that_differ_by_less_than_a_millionth_are_equal(self):
        assert differing_numbers({"stage": {"p": [0.1, 0.9]}}, {"stage": {"p": [0.1 + 5e-7, 0.9]}}) == []

    def test_others_are_named_by_their_place(self):
        assert differing_numbers({"a": {"b": [1.0, 2.0]}}, {"a": {"b": [1.0, 2.1]}}) == ["a.b[1]"]

    def test_missing_values_words_and_lengths_differ_too(self):
        left, right = {"a": 1, "b": "x", "c": [1]}, {"b": "y", "c": [1, 2]}
        assert differing_numbers(left, right) == ["a", "b", "c"]

    def test_what_is_of_the_run_does_not_count(self):
        left = {"run": {"id": "1"}, "files": [1], "input": {"series": {"label": "#1", "n": 3}}}
        right = {"run": {"id": "2"}, "files": [2], "input": {"series": {"label": "#2", "n": 3}}}
        assert differing_numbers(left, right) == []


class TestTheEngine:
    def test_without_any_command_it_is_missing_with_the_reason(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(EngineMissing, match="no docker or podman command"), open_engine(tmp_path):
            pass

    def test_a_client_that_reaches_none_and_no_daemon_is_missing_too(self, tmp_path, monkeypatch):
        client = tmp_path / "docker"
        client.write_text("#!/bin/sh\nexit 1\n")
        client.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(EngineMissing, match="not root with dockerd"), open_engine(tmp_path):
            pass

    def test_a_failed_call_gives_the_last_line_it_said(self, tmp_path):
        client = tmp_path / "docker"
        client.write_text("#!/bin/sh\necho first >&2\necho 'no space left' >&2\nexit 5\n")
        client.chmod(0o755)
        with pytest.raises(PackagingError, match="ENGINE_FAILED docker build: expected status 0, got 5: no space left"):
            Engine(str(client)).call("build")

    def test_the_command_says_skipped_and_ends_with_77(self, tmp_path):
        done = subprocess.run(
            [sys.executable, "-m", "gastromap.cli", "package", "--flavour", "cpu", "-t", "x:1", "--check"],
            env={"PATH": str(tmp_path), "PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr.startswith("SKIPPED: ENGINE_MISSING")) == (77, True)


class TestCat:
    def test_it_writes_files_as_they_are(self, tmp_path):
        (tmp_path / "f").write_bytes(b"\0\xff\n1")
        done = subprocess.run([sys.executable, "-I", str(CAT), str(tmp_path / "f")], capture_output=True, check=False)
        assert (done.stdout, done.returncode) == (b"\0\xff\n1", 0)

    def test_a_missing_file_ends_with_1(self, tmp_path):
        done = subprocess.run([sys.executable, "-I", str(CAT), str(tmp_path / "f")], capture_output=True, check=False)
        assert (done.stdout, done.returncode) == (b"", 1)
        assert b"No such file" in done.stderr


@pytest.mark.engine
@pytest.mark.slow
def test_the_image_builds_from_nothing_and_passes_its_check(tmp_path):
    if os.environ.get("GASTROMAP_IMAGE_TEST") != "1":
        pytest.skip("image: takes minutes and 4 GB; set GASTROMAP_IMAGE_TEST=1")
    if shutil.which("docker") is None:
        pytest.skip("image: no docker command")
    done = subprocess.run(
        ["sh", str(REPOSITORY / "packaging" / "ci_image.sh")],
        env={**os.environ, "PY": sys.executable, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("passed ") >= 2
    assert "synthetic study: result.json equals" in done.stdout
