"""Build context: what lies where, with which modes, the same each time."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gastromap.errors import UsageError
from gastromap.packaging.configuration import PackagingError
from gastromap.packaging.stage import stage
from gastromap.packaging.tree import normalise, tree_digest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stage(tmp_path_factory.mktemp("stage") / "context", flavour="cpu").folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with two small bundles, of which one has weights."""
    root = tmp_path / "checkout"
    for name in ("app", "operators", "gastromap"):
        (root / name).mkdir(parents=True)
        (root / name / "__init__.py").write_text('"""Code."""\n')
    (root / "docs").mkdir()
    for name in ("packaging", "MAP.yaml", "README.md", "LICENSE"):
        source = REPOSITORY / name
        shutil.copytree(source, root / name) if source.is_dir() else shutil.copyfile(source, root / name)
    for name in ("with", "without"):
        (root / "bundles" / name / "configs").mkdir(parents=True)
        (root / "bundles" / name / "configs" / "metadata.json").write_text("{}")
        (root / "bundles" / name / "eval").mkdir()
        (root / "bundles" / name / "eval" / "log.json").write_text("{}")
    (root / "bundles" / "with" / "models").mkdir()
    (root / "bundles" / "with" / "models" / "model.pt").write_bytes(b"weights")
    return root


class TestLayout:
    def test_it_is_that_of_nvidia_s_packager(self, context):
        names = {path.name for path in context.iterdir()}
        assert names == {
            "app", "models", "map", "docs", "pip", "image", "wheelhouse", "tools", "app.config", "Dockerfile",
        }  # fmt: skip

    def test_no_folder_has_a_name_that_nvidia_s_packager_drops(self, context):
        names = {path.name for path in context.rglob("*") if path.is_dir()}
        assert not names & {"wheels", "env", "venv"}
        assert not [name for name in names if name.startswith("build-")]

    def test_the_three_packages_and_a_start_lie_in_app(self, context):
        names = {path.name for path in (context / "app").iterdir()}
        assert names == {"app", "operators", "gastromap", "__main__.py", "requirements.txt"}

    def test_no_file_of_the_code_stays_behind(self, context):
        # Catalogue, scripts and font of the reports had been left out: no image could write a result.
        listed = subprocess.run(
            ["git", "ls-files", "app", "gastromap", "operators"], cwd=REPOSITORY, capture_output=True, text=True
        )
        if listed.returncode:
            pytest.skip("code: this is no checkout, git cannot list what belongs to it")
        assert [name for name in listed.stdout.split() if not (context / "app" / name).is_file()] == []

    def test_caches_tests_images_and_hidden_files_stay_out(self, context):
        paths = [path.relative_to(context) for path in context.rglob("*")]
        assert not [p for p in paths if {"__pycache__", "tests", ".git"} & set(p.parts) or p.name.startswith(".")]
        assert not [p for p in paths if p.suffix in {".pyc", ".dcm"}]

    def test_configuration_licence_and_readme_are_there(self, context):
        assert (context / "app.config").read_bytes() == (REPOSITORY / "MAP.yaml").read_bytes()
        assert {"LICENSE", "README.md"} <= {path.name for path in (context / "docs").iterdir()}

    def test_the_requirements_end_with_a_line_end(self, context):
        assert (context / "app" / "requirements.txt").read_text().endswith("\n")


class TestModels:
    def test_each_bundle_with_configs_is_staged_without_what_training_left(self, checkout, tmp_path):
        staged = stage(tmp_path / "out", flavour="cpu", repository=checkout)
        assert staged.models == ("with", "without")
        assert not list((tmp_path / "out" / "models").rglob("eval"))

    def test_only_those_with_weights_are_called_models_in_the_manifest(self, checkout, tmp_path):
        stage(tmp_path / "out", flavour="cpu", repository=checkout)
        assert '"name": "with"' in (tmp_path / "out" / "map" / "pkg.json").read_text()
        assert '"name": "without"' not in (tmp_path / "out" / "map" / "pkg.json").read_text()

    def test_one_that_needs_a_package_which_the_image_lacks_is_refused(self, checkout, tmp_path):
        card = checkout / "bundles" / "with" / "models" / "model.json"
        card.write_text('{"preprocessing": {"bias_correction": true}}')
        with pytest.raises(PackagingError, match="MODEL_NEEDS_MORE"):
            stage(tmp_path / "out", flavour="cpu", repository=checkout)

    def test_without_a_bundle_nothing_is_staged(self, checkout, tmp_path):
        shutil.rmtree(checkout / "bundles")
        with pytest.raises(PackagingError, match="NO_MODELS"):
            stage(tmp_path / "out", flavour="cpu", repository=checkout)


class TestModes:
    def test_everybody_may_read_and_only_the_entrypoint_is_a_program(self, context):
        for path in context.rglob("*"):
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode == (0o755 if path.is_dir() or path == context / "tools" else 0o644), path

    def test_weights_that_only_their_owner_may_read_become_readable(self, checkout, tmp_path):
        (checkout / "bundles" / "with" / "models" / "model.pt").chmod(0o600)
        stage(tmp_path / "out", flavour="cpu", repository=checkout)
        mode = (tmp_path / "out" / "models" / "with" / "models" / "model.pt").stat().st_mode
        assert stat.S_IMODE(mode) == 0o644


class TestTheSameInputs:
    def test_give_the_same_digest_whatever_times_modes_and_caches_the_checkout_has(self, checkout, tmp_path):
        first = stage(tmp_path / "a", flavour="cpu", repository=checkout).digest
        (checkout / "app" / "__pycache__").mkdir()
        (checkout / "app" / "__pycache__" / "x.pyc").write_bytes(b"x")
        os.utime(checkout / "LICENSE", (1, 1))
        (checkout / "LICENSE").chmod(0o600)
        assert stage(tmp_path / "b", flavour="cpu", repository=checkout).digest == first

    def test_and_another_byte_gives_another(self, checkout, tmp_path):
        first = stage(tmp_path / "a", flavour="cpu", repository=checkout).digest
        (checkout / "app" / "__init__.py").write_text('"""Other."""\n')
        assert stage(tmp_path / "a", flavour="cpu", repository=checkout).digest != first

    def test_all_files_have_the_time_of_source_date_epoch(self, checkout, tmp_path, monkeypatch):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
        stage(tmp_path / "out", flavour="cpu", repository=checkout)
        assert {path.stat().st_mtime for path in (tmp_path / "out").rglob("*")} == {86400.0}


class TestDigestOfATree:
    def test_it_changes_with_name_mode_content_and_target_of_a_link(self, tmp_path):
        def tree(name: str = "a", mode: int = 0o644, content: str = "1", target: str = "a") -> str:
            folder = tmp_path / "tree"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / name).write_text(content)
            (folder / name).chmod(mode)
            (folder / "link").symlink_to(target)
            return tree_digest(folder)

        found = [tree(), tree(name="b"), tree(mode=0o755), tree(content="2"), tree(target="b"), tree()]
        assert len(set(found)) == 5
        assert found[0] == found[-1]

    def test_the_first_line_is_as_documented(self, tmp_path):
        # printf 'f\0file\000644\0%s\n' $(printf x | sha256sum | cut -d' ' -f1) | sha256sum, with coreutils
        (tmp_path / "f").write_text("x")
        normalise(tmp_path, epoch=0)
        assert tree_digest(tmp_path) == "e0cb888c2174025cfdee14c9d405fa28d05762214ab33d7d0c4ba15d4831ae39"


class TestRefusals:
    def test_a_dicom_file_in_the_code_stops_the_staging(self, checkout, tmp_path):
        (checkout / "docs" / "image.md").write_bytes(b"\0" * 128 + b"DICM")
        with pytest.raises(PackagingError, match="DICOM_IN_CONTEXT"):
            stage(tmp_path / "out", flavour="cpu", repository=checkout)

    def test_a_folder_with_other_files_is_not_replaced(self, tmp_path):
        (tmp_path / "mine.txt").write_text("x")
        with pytest.raises(UsageError, match="CONTEXT_EXISTS"):
            stage(tmp_path, flavour="cpu")
        assert (tmp_path / "mine.txt").is_file()

    def test_outside_of_a_checkout_nothing_can_be_packaged(self, tmp_path):
        with pytest.raises(PackagingError, match="NOT_A_CHECKOUT"):
            stage(tmp_path / "out", flavour="cpu", repository=tmp_path)


def test_the_staged_application_starts_from_its_folder_as_in_the_image(context, tmp_path):
    done = subprocess.run(
        [sys.executable, "-I", str(context / "app"), "--version"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert done.stdout.startswith("GastroMAP ")
    assert done.returncode == 0


def test_the_command_line_stages_and_tells_the_digest(tmp_path, capsys):
    from gastromap.cli import main

    assert main(["package", "--flavour", "cpu", "--stage-only", "--context", str(tmp_path / "out")]) == 0
    assert tree_digest_of(tmp_path / "out") in capsys.readouterr().out


def tree_digest_of(folder: Path) -> str:
    (folder / "wheelhouse").rmdir()
    return tree_digest(folder)
