"""Licences: what may be in the image, and that nothing else is asked for."""

from __future__ import annotations

import importlib.metadata
import re
import runpy
from pathlib import Path

import pytest

from gastromap.packaging.configuration import PackagingError
from gastromap.packaging.licences import READ, READ_SYSTEM, check_licences, is_allowed, licence_of
from gastromap.packaging.wheelhouse import read_pins

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGING = REPOSITORY / "packaging"


def described(name: str) -> dict[str, str]:
    """What the metadata of an installed distribution say, as the inventory writes it."""
    metadata = importlib.metadata.metadata(name)
    return {
        "name": name,
        "license_expression": metadata.get("License-Expression") or "",
        "license": metadata.get("License") or "",
    }


def in_the_image() -> list[str]:
    """Names that the image's requirements and what they bring along leave after pruning for the CPU."""
    pruned = runpy.run_path(str(PACKAGING / "image" / "rootfs.py"))
    gone = {*pruned["UNUSED"], *pruned["UNUSED_ON_CPU"], *pruned["INSTALLERS"]}
    return [
        name
        for part in ("requirements.txt", "constraints.txt")
        for name in read_pins(PACKAGING / part)
        if name not in gone
    ]


class TestTheRuntimeRequirements:
    def test_every_package_has_a_licence_of_the_allow_list(self):
        found = check_licences(map(described, in_the_image()))
        assert len(found) > 40

    @pytest.mark.parametrize(
        "name", ["scikit-survival", "ecos", "torchvision", "pytorch-ignite", "mlflow-skinny", "matplotlib"]
    )
    def test_training_packages_and_their_licences_stay_out(self, name):
        assert name not in in_the_image()

    def test_what_the_project_tests_with_is_what_the_image_holds_but_for_torch(self):
        tested = read_pins(REPOSITORY / "requirements.txt")
        differing = {
            name: (version, tested.get(name))
            for part in ("requirements.txt", "constraints.txt")
            for name, version in read_pins(PACKAGING / part).items()
            if tested.get(name) != version
        }
        assert set(differing) <= {"torch", "setuptools"}

    def test_holoscan_and_the_cuda_runtime_it_needs_are_named(self):
        assert {"holoscan-cu13", "nvidia-cuda-runtime"} <= set(read_pins(PACKAGING / "requirements.txt"))
        assert "holoscan-cli" not in read_pins(PACKAGING / "requirements.txt")


class TestAnExpression:
    @pytest.mark.parametrize(
        ("expression", "name"),
        [
            ("MIT", "x"),
            ("Apache-2.0 WITH LLVM-exception", "x"),
            ("GPL-3.0-or-later WITH GCC-exception-3.1", "x"),
            ("MIT OR GPL-2.0-only", "x"),
            ("MPL-2.0", "certifi"),
            ("LicenseRef-NVIDIA-Proprietary", "nvidia-cuda-runtime"),
            ("LGPL-2.1-or-later", "libc6"),
        ],
    )
    def test_of_permissive_parts_is_allowed(self, expression, name):
        assert is_allowed(expression, name=name)

    @pytest.mark.parametrize(
        ("expression", "name"),
        [
            ("GPL-3.0-or-later", "x"),
            ("GPL-2.0-only", "x"),
            ("AGPL-3.0-only", "x"),
            ("MIT AND GPL-2.0-only", "x"),
            ("GPL-3.0-or-later WITH Classpath-exception-2.0", "x"),
            ("MPL-2.0", "x"),
            ("LicenseRef-NVIDIA-Proprietary", "other"),
            ("nonsense of somebody", "x"),
            ("", "x"),
        ],
    )
    def test_with_any_other_part_is_not(self, expression, name):
        assert not is_allowed(expression, name=name)


class TestAPackage:
    def test_under_the_gpl_is_refused_by_name(self):
        with pytest.raises(PackagingError, match=r"LICENCE_REFUSED.*scikit-survival"):
            check_licences([{"name": "scikit-survival", "license_expression": "GPL-3.0-or-later"}])

    def test_whose_licence_nobody_has_read_is_refused_as_unclear(self):
        with pytest.raises(PackagingError, match=r"LICENCE_UNCLEAR.*mystery"):
            check_licences([{"name": "mystery", "license": "see file"}])

    def test_of_the_system_is_judged_by_its_source(self):
        licence = licence_of({"name": "libgcc-s1", "source": "gcc-12", "kind": "deb"})
        assert licence is not None
        assert "GCC-exception" in licence.expression

    def test_of_the_system_that_is_a_tool_under_the_gpl_is_unclear(self):
        assert licence_of({"name": "coreutils", "source": "coreutils", "kind": "deb"}) is None

    def test_metadata_that_are_an_expression_need_no_reader(self):
        licence = licence_of({"name": "x", "license_expression": "BSD-3-Clause AND MIT"})
        assert licence is not None
        assert licence.expression == "BSD-3-Clause AND MIT"


def test_every_licence_that_somebody_read_is_allowed_and_says_its_evidence():
    for name, licence in READ.items():
        assert is_allowed(licence.expression, name=name), name
        assert licence.evidence
    for name, licence in READ_SYSTEM.items():
        shipped = "libc6" if name == "glibc" else name
        assert is_allowed(licence.expression, name=shipped), name


def test_pillow_is_built_without_the_two_libraries_that_would_change_its_licence():
    from PIL import features

    assert not features.check("libimagequant")
    # FriBiDi is looked for on the system, and the image has none.
    assert not [str(file) for file in importlib.metadata.files("pillow") or () if "libfribidi" in str(file)]


def test_the_wheels_with_fonts_under_the_gpl_lose_them():
    pattern = runpy.run_path(str(PACKAGING / "image" / "rootfs.py"))["GPL_FONTS"]
    files = [str(file) for file in importlib.metadata.files("reportlab") or ()]
    under_gpl = [name for name in files if re.search(r"copying-gpl", name, re.IGNORECASE)]
    assert under_gpl
    assert all(Path(name).match(pattern) for name in under_gpl)
