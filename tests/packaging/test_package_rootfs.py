"""The first stage of the Dockerfile: what of the base goes into the image."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import pytest
from builders.scripts import load_script

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def rootfs() -> ModuleType:
    """``packaging/image/rootfs.py``."""
    return load_script(REPOSITORY / "packaging" / "image" / "rootfs.py")


class TestCopyingFromTheBase:
    def test_a_link_comes_with_what_it_points_to(self, rootfs, tmp_path):
        base, out = tmp_path / "base", tmp_path / "out"
        base.mkdir()
        out.mkdir()
        (base / "lib.so.1.2").write_text("library")
        (base / "lib.so.1").symlink_to("lib.so.1.2")
        (base / "lib.so").symlink_to(base / "lib.so.1")  # absolute
        root = rootfs.Root(out)
        root.add(str(base / "lib.so"))
        copied = out / str(base).lstrip("/")
        assert os.readlink(copied / "lib.so.1") == "lib.so.1.2"
        assert (copied / "lib.so.1.2").read_text() == "library"
        assert root.files == {str(base / "lib.so.1.2")}

    def test_what_is_not_there_is_left_out(self, rootfs, tmp_path):
        root = rootfs.Root(tmp_path)
        root.add("/no/such/file")
        assert root.files == set()


@pytest.mark.skipif(not Path("/bin/sh").exists(), reason="libraries: no /bin/sh")
def test_the_libraries_of_a_program_are_found_with_the_loader(rootfs):
    found = {Path(name).name for name in rootfs.libraries([Path(os.path.realpath("/bin/sh"))])}
    assert any(name.startswith("libc.so") or name.startswith("libc.musl") for name in found)
    assert any(name.startswith("ld-") for name in found)


class TestWhatStaysOut:
    def test_installers_and_tests_of_python(self, rootfs):
        assert {"ensurepip", "test", "venv", "dist-packages"} <= rootfs.STDLIB_PARTS
        assert {"pip", "setuptools"} <= set(rootfs.INSTALLERS)

    @pytest.mark.parametrize("module", ["readline", "_crypt", "_dbm", "_gdbm", "nis"])
    def test_modules_whose_libraries_are_not_permissive(self, rootfs, module):
        assert f"{module}.cpython-311-x86_64-linux-gnu.so".startswith(rootfs.EXTENSIONS)

    @pytest.mark.parametrize("module", ["_ssl", "_sqlite3", "_ctypes", "_lzma", "_uuid", "mmap"])
    def test_but_not_those_that_the_application_loads(self, rootfs, module):
        assert not f"{module}.cpython-311-x86_64-linux-gnu.so".startswith(rootfs.EXTENSIONS)
