"""The entrypoint under sh, with a root of its own instead of a container."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ENTRYPOINT = REPOSITORY / "packaging" / "entrypoint.sh"


@pytest.fixture
def root(tmp_path: Path) -> dict[str, str]:
    """Variables of a root that holds a small package."""
    files = {
        "app/__main__.py": "import sys, os, signal\n"
        "code = sys.argv[1]\n"
        "os.kill(os.getpid(), signal.SIGKILL) if code == 'kill' else sys.exit(int(code))\n",
        "app/inner/code.py": "x = 1\n",
        "models/bundle/models/model.pt": "weights",
        "docs/README.md": "read",
        "etc/app.json": '{"version": "1.2.3"}\n',
        "etc/pkg.json": '{"models": ["a \\\\ b"]}',  # a backslash, and no line end
        "app.yaml": "application: {}\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "work").mkdir()
    (tmp_path / "export").mkdir()
    names = {
        "APPLICATION": "app",
        "WORKDIR": "work",
        "MODEL_PATH": "models",
        "DOCS_PATH": "docs",
        "CONFIG_PATH": "app.yaml",
        "APP_MANIFEST_PATH": "etc/app.json",
        "PKG_MANIFEST_PATH": "etc/pkg.json",
        "EXPORT_PATH": "export",
    }
    return {f"HOLOSCAN_{key}": str(tmp_path / value) for key, value in names.items()}


def run(root: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(ENTRYPOINT), *words],
        env={"PATH": os.environ["PATH"], **root},
        capture_output=True,
        text=True,
        check=False,
    )


class TestShow:
    @pytest.mark.parametrize("part", ["app", "pkg"])
    def test_a_manifest_comes_out_as_it_lies_there(self, root, part):
        wanted = Path(root[f"HOLOSCAN_{part.upper()}_MANIFEST_PATH"]).read_text()
        assert run(root, "show", part).stdout == wanted.rstrip("\n") + "\n"

    def test_without_a_word_both_come_with_their_names(self, root):
        said = run(root, "show").stdout
        assert said.count("=== ") == 2
        assert "1.2.3" in said

    def test_another_word_is_refused(self, root):
        assert run(root, "show", "all-of-it").returncode == 64


class TestExtract:
    def test_into_the_parent_folder_go_all_four_parts(self, root):
        assert run(root, "extract").returncode == 0
        export = Path(root["HOLOSCAN_EXPORT_PATH"])
        found = {path.relative_to(export).as_posix() for path in export.rglob("*") if path.is_file()}
        assert found == {
            "app/__main__.py", "app/inner/code.py", "config/app.json", "config/pkg.json", "config/app.yaml",
            "models/bundle/models/model.pt", "docs/README.md",
        }  # fmt: skip

    @pytest.mark.parametrize("parts", [("models",), ("config", "docs")])
    def test_into_folders_of_parts_go_these_parts_alone(self, root, parts):
        export = Path(root["HOLOSCAN_EXPORT_PATH"])
        for part in parts:
            (export / part).mkdir()
        assert run(root, "extract").returncode == 0
        assert {path.name for path in export.iterdir()} == set(parts)
        assert all(any((export / part).iterdir()) for part in parts)

    def test_without_a_folder_it_says_what_to_mount(self, root):
        shutil.rmtree(root["HOLOSCAN_EXPORT_PATH"])
        done = run(root, "extract")
        assert (done.returncode, "mount a folder" in done.stderr) == (64, True)

    @pytest.mark.skipif(os.getuid() == 0 and not Path("/proc/sys/kernel").is_dir(), reason="root may write anywhere")
    def test_into_a_folder_that_cannot_be_written_to_is_refused(self, root):
        # A file system that is read-only for root too.
        done = run({**root, "HOLOSCAN_EXPORT_PATH": "/proc/sys/kernel"}, "extract")
        assert (done.returncode, "not writable" in done.stderr) == (64, True)

    def test_a_package_without_models_extracts_the_rest(self, root):
        shutil.rmtree(root["HOLOSCAN_MODEL_PATH"])
        assert run(root, "extract").returncode == 0


class TestTheApplication:
    @pytest.mark.parametrize("code", [0, 3, 11])
    def test_its_status_is_that_of_the_entrypoint(self, root, code):
        assert run(root, str(code)).returncode == code

    def test_its_end_by_a_signal_is_seen(self, root):
        assert run(root, "kill").returncode == -signal.SIGKILL


def test_the_variables_can_be_looked_at(root):
    assert f"HOLOSCAN_WORKDIR={root['HOLOSCAN_WORKDIR']}" in run(root, "env").stdout.splitlines()


def test_no_program_but_python_is_called():
    words = set(ENTRYPOINT.read_text().replace('"', " ").split())
    assert not words & {"cat", "cp", "rm", "ls", "sort", "sed", "mkdir", "find", "chmod"} - {"cat", "cp"}
    # In comments only.
    code = [line for line in ENTRYPOINT.read_text().splitlines() if not line.lstrip().startswith("#")]
    assert not [line for line in code if line.split()[:1] in (["cat"], ["cp"])]
