"""NVIDIA's own packager code on our context and MAP.yaml, where its tool environment is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gastromap import __version__
from gastromap.packaging.stage import stage

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGING = REPOSITORY / "packaging"


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Context that the packager made."""
    tools = os.environ.get("GASTROMAP_PACKAGER")
    if not tools or not Path(tools).is_file():
        pytest.skip("packager: GASTROMAP_PACKAGER names no Python with packaging/requirements-tools.txt")
    folder = tmp_path_factory.mktemp("official")
    ours = stage(folder / "ours", flavour="cpu").folder
    (folder / "wheels").mkdir()
    libraries = sorted(Path(tools).parents[1].glob("lib/python*/site-packages/nvidia/cu13/lib"))
    done = subprocess.run(
        [
            *(tools, str(PACKAGING / "official_package.py"), "package", str(ours / "app")),
            *("-c", str(REPOSITORY / "MAP.yaml"), "-t", f"gastromap:{__version__}", "--platform", "x86_64"),
            *("-m", str(ours / "models"), "-d", str(ours / "docs"), "--source", str(PACKAGING / "source.json")),
            *("--base-image", "gastromap/python-base:bookworm"),
        ],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "MAP_CONTEXT": str(folder / "theirs"),
            "WHEELS": str(folder / "wheels"),
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if "no docker" in done.stderr.lower():
        pytest.skip("packager: it asks for a docker command")
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(folder / "ours" / "wheelhouse")
    return folder


def test_it_makes_the_same_layout_from_the_same_folders(official):
    theirs = {path.name for path in (official / "theirs").iterdir()} - {"wheelhouse"}
    assert theirs >= {path.name for path in (official / "ours").iterdir()}


def test_the_first_stage_finds_what_it_needs(official):
    for name in ("image/rootfs.py", "image/inventory.py", "image/cat.py", "pip/requirements.txt", "tools"):
        assert (official / "theirs" / name).read_bytes() == (official / "ours" / name).read_bytes()


def test_its_manifests_carry_the_version_of_the_project_and_all_models(official):
    app = json.loads((official / "theirs" / "map" / "app.json").read_text())
    package = json.loads((official / "theirs" / "map" / "pkg.json").read_text())
    assert app["version"] == package["version"] == __version__
    assert app["input"]["formats"] == ["file"]
    assert "gastric_tstage_classification" in package["models"]
