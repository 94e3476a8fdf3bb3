"""Bill of materials: valid by the schema that its library ships, complete, and the same each time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from builders.scripts import load_script
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from gastromap.packaging.configuration import PackagingError, read_configuration
from gastromap.packaging.sbom import make_sbom

REPOSITORY = Path(__file__).resolve().parents[2]


def inventory_module() -> ModuleType:
    """``packaging/image/inventory.py``, which runs in the first stage of the Dockerfile."""
    return load_script(REPOSITORY / "packaging" / "image" / "inventory.py")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with two distributions, of which one needs the other."""
    folder = tmp_path / "site"
    for name, version, requires in (("Upper_Case", "1.0", "pydicom>=3; extra == 'x'"), ("pydicom", "3.0.2+cpu", "")):
        info = folder / f"{name}-{version}.dist-info"
        (info / "licenses").mkdir(parents=True)
        (info / "licenses" / "LICENSE").write_text("text")
        (folder / f"{name}.py").write_text("x = 1\n")
        needed = f"Requires-Dist: {requires}\n" if requires else ""
        if name == "Upper_Case":
            needed += "Requires-Dist: pydicom>=3\nLicense-Expression: MIT\n"
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{needed}\n")
        record = f"{name}.py,,\n{info.name}/METADATA,,\n{info.name}/licenses/LICENSE,,\ngone.py,,\n"
        (info / "RECORD").write_text(record)
    return folder


@pytest.fixture
def inventory(site: Path, tmp_path: Path) -> dict[str, Any]:
    files = [{"path": "/usr/bin/dash", "sha256": "0" * 64}]
    deb = {"name": "dash", "version": "0.5", "kind": "deb", "architecture": "amd64", "source": "dash", "files": files}
    return {
        "python": "3.11.2",
        "system": {"id": "debian", "version": "12"},
        "distributions": inventory_module().distributions(site, tmp_path / "texts"),
        "packages": [deb],
    }


@pytest.fixture
def models(tmp_path: Path) -> Path:
    bundle = tmp_path / "models" / "stage"
    (bundle / "configs").mkdir(parents=True)
    (bundle / "configs" / "metadata.json").write_text('{"version": "0.3.0"}')
    (bundle / "models").mkdir()
    (bundle / "models" / "model.pt").write_bytes(b"weights")
    return tmp_path / "models"


def made(inventory: dict[str, Any], models: Path, wheels: dict[str, str] | None = None) -> dict[str, Any]:
    configuration = read_configuration(REPOSITORY / "MAP.yaml")
    text = make_sbom(inventory, configuration=configuration, wheels=wheels or {}, models=models, epoch=86400)
    return json.loads(text)


def component(bom: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in bom["components"] if entry["name"] == name)


class TestTheDocument:
    def test_it_is_valid_by_the_strict_schema_of_cyclonedx_1_6(self, inventory, models):
        document = made(inventory, models)
        assert document["specVersion"] == "1.6"
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is None

    def test_the_same_inputs_give_the_same_text(self, inventory, models):
        assert made(inventory, models) == made(inventory, models)

    def test_it_has_the_time_it_was_given(self, inventory, models):
        assert made(inventory, models)["metadata"]["timestamp"].startswith("1970-01-02T00:00:00")


class TestAPackage:
    def test_has_version_licence_url_and_hash(self, inventory, models):
        found = component(made(inventory, models, {"upper-case": "a" * 64}), "Upper_Case")
        assert found["version"] == "1.0"
        assert found["licenses"] == [{"expression": "MIT"}]
        assert found["purl"] == "pkg:pypi/upper-case@1.0"
        assert found["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]

    def test_whose_metadata_are_unclear_names_the_evidence(self, inventory, models):
        found = component(made(inventory, models), "pydicom")
        assert found["licenses"] == [{"expression": "MIT"}]
        assert {"name": "gastromap:licence_evidence", "value": "LICENSE in the wheel"} in found["properties"]

    def test_of_the_system_is_named_with_distribution_and_architecture(self, inventory, models):
        found = component(made(inventory, models), "dash")
        assert found["purl"] == "pkg:deb/debian/dash@0.5?arch=amd64&distro=debian-12"

    def test_depends_on_what_it_requires_and_not_on_its_extras(self, inventory, models):
        dependencies = {entry["ref"]: entry.get("dependsOn", []) for entry in made(inventory, models)["dependencies"]}
        assert dependencies["pkg:pypi/upper-case@1.0"] == ["pkg:pypi/pydicom@3.0.2%2Bcpu"]

    def test_under_the_gpl_stops_the_build(self, inventory, models):
        inventory["distributions"][0]["license_expression"] = "GPL-3.0-or-later"
        inventory["distributions"][0]["name"] = "other"
        with pytest.raises(PackagingError, match="LICENCE_REFUSED"):
            made(inventory, models)


def test_weights_are_in_it_with_their_hash(inventory, models):
    found = component(made(inventory, models), "stage/model.pt")
    assert (found["type"], found["version"]) == ("machine-learning-model", "0.3.0")
    assert found["hashes"][0]["content"] == hashlib.sha256(b"weights").hexdigest()


class TestTheInventory:
    def test_it_counts_files_that_are_there_and_not_those_that_were_pruned(self, site, tmp_path):
        before = inventory_module().distributions(site, tmp_path / "texts")
        (site / "pydicom.py").unlink()
        after = inventory_module().distributions(site, tmp_path / "texts")
        assert [entry["name"] for entry in before] == ["pydicom", "Upper_Case"]
        assert before[0]["tree_sha256"] != after[0]["tree_sha256"]
        assert before[1] == after[1]

    def test_it_collects_the_licence_texts(self, site, tmp_path):
        entries = inventory_module().distributions(site, tmp_path / "texts")
        assert entries[0]["licence_texts"] == ["python/pydicom/LICENSE"]
        assert (tmp_path / "texts" / "python" / "pydicom" / "LICENSE").read_text() == "text"
