"""The folder of wheels: complete, of the right Python, of the right flavour."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from gastromap.packaging.build import _check_torch
from gastromap.packaging.configuration import PackagingError
from gastromap.packaging.wheelhouse import check_wheels, download_wheels, read_pins, wheel_digests


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", "zope_event-6.2-py3-none-any.whl"):
        (folder / name).write_bytes(name.encode())
    return folder


def requirements(folder: Path, *lines: str) -> Path:
    path = folder / "requirements.txt"
    path.write_text("# comment\n" + "\n".join(lines) + "\n")
    return path


class TestPins:
    def test_names_are_canonical_and_comments_left_out(self, tmp_path):
        assert read_pins(requirements(tmp_path, "Zope.Event==6.2  # why", "PyYAML==6.0.3")) == {
            "zope-event": "6.2",
            "pyyaml": "6.0.3",
        }

    @pytest.mark.parametrize(
        "line", ["torch", "torch>=2", "torch==2.*", "torch==2; python_version<'4'", "-r other.txt"]
    )
    def test_a_line_that_leaves_a_choice_is_refused(self, tmp_path, line):
        with pytest.raises(PackagingError, match="REQUIREMENT_UNPINNED"):
            read_pins(requirements(tmp_path, line))


class TestAFolderOfWheels:
    def test_with_all_of_them_is_accepted_and_a_local_version_counts(self, wheels, tmp_path):
        check_wheels(wheels, requirements=requirements(tmp_path, "torch==2.13.0", "zope.event==6.2"), python=(3, 11))

    def test_without_one_is_refused_by_its_name(self, wheels, tmp_path):
        with pytest.raises(PackagingError, match=r"WHEEL_MISSING.*torch==2\.14\.1"):
            check_wheels(wheels, requirements=requirements(tmp_path, "torch==2.14.1"), python=(3, 11))

    def test_for_another_python_is_refused(self, wheels, tmp_path):
        with pytest.raises(PackagingError, match="WHEEL_MISSING"):
            check_wheels(wheels, requirements=requirements(tmp_path, "torch==2.13.0"), python=(3, 12))

    def test_gives_the_digest_of_each_wheel(self, wheels):
        content = b"zope_event-6.2-py3-none-any.whl"
        assert wheel_digests(wheels)["zope-event"] == hashlib.sha256(content).hexdigest()


class TestFlavour:
    def test_the_cpu_build_makes_no_gpu_image(self, wheels):
        _check_torch(wheels, "cpu")
        with pytest.raises(PackagingError, match="TORCH_FLAVOUR"):
            _check_torch(wheels, "gpu")

    def test_the_cuda_build_makes_no_cpu_image(self, tmp_path):
        (tmp_path / "torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl").touch()
        with pytest.raises(PackagingError, match="TORCH_FLAVOUR"):
            _check_torch(tmp_path, "cpu")


def test_nothing_is_downloaded_for_another_python_than_this_one(tmp_path):
    other = (3, sys.version_info.minor + 1)
    with pytest.raises(PackagingError, match="PYTHON_DIFFERS"):
        download_wheels(tmp_path, requirements=tmp_path / "r", constraints=tmp_path / "c", python=other)
