"""Manifests of the application package, held against the tables of the MAP specification 1.0.0."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from builders.map_tree import ENVIRONMENT as SPECIFIED

from gastromap import __version__
from gastromap.errors import UsageError
from gastromap.packaging.configuration import is_semver, read_configuration
from gastromap.packaging.manifests import app_manifest, package_manifest, write_manifests

REPOSITORY = Path(__file__).resolve().parents[2]
#: The nine that the specification wants, under its own names.
NINE = {
    "HOLOSCAN_INPUT_PATH", "HOLOSCAN_OUTPUT_PATH", "HOLOSCAN_WORKDIR", "HOLOSCAN_MODEL_PATH", "HOLOSCAN_CONFIG_PATH",
    "HOLOSCAN_APP_MANIFEST_PATH", "HOLOSCAN_PKG_MANIFEST_PATH", "HOLOSCAN_DOCS", "HOLOSCAN_LOGS",
}  # fmt: skip


@pytest.fixture(scope="module")
def configuration():
    return read_configuration(REPOSITORY / "MAP.yaml")


def written(folder: Path, **changes: object) -> Path:
    """MAP.yaml with entries of its sections changed."""
    content = yaml.safe_load((REPOSITORY / "MAP.yaml").read_text())
    for name, value in changes.items():
        section = "application" if name in content["application"] else "resources"
        content[section][name] = value
    path = folder / "MAP.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


class TestTheApplicationManifest:
    def test_it_has_what_the_specification_requires(self, configuration):
        manifest = app_manifest(configuration)
        assert manifest["type"] == "application"
        assert manifest["input"]["formats"] == ["file"]
        assert manifest["output"]["format"] == "file"
        assert set(manifest["environment"]) >= NINE

    def test_its_command_is_one_that_a_shell_can_run(self, configuration):
        assert app_manifest(configuration)["command"] == "python3 /opt/holoscan/app"

    def test_it_also_has_the_names_that_the_runner_of_nvidia_reads(self, configuration):
        manifest = app_manifest(configuration)
        assert manifest["output"]["formats"] == ["file"]
        assert manifest["environment"] == SPECIFIED

    def test_its_version_is_that_of_the_project(self, configuration):
        assert app_manifest(configuration)["version"] == __version__


class TestThePackageManifest:
    def test_models_are_an_array_of_names_and_paths(self, configuration):
        manifest = package_manifest(configuration, flavour="cpu", models=["b", "a"])
        assert manifest["models"] == [{"name": "a", "path": "a"}, {"name": "b", "path": "b"}]

    def test_the_cpu_flavour_asks_for_no_gpu(self, configuration):
        manifest = package_manifest(configuration, flavour="cpu", models=[])
        assert (manifest["resources"]["gpu"], manifest["platformConfig"]) == (0, "cpu")

    def test_the_gpu_flavour_asks_for_one(self, configuration):
        manifest = package_manifest(configuration, flavour="gpu", models=[])
        assert (manifest["resources"]["gpu"], manifest["platformConfig"]) == (1, "dgpu")

    def test_both_are_written_as_utf8_json(self, configuration, tmp_path):
        app, package = write_manifests(tmp_path / "map", configuration, flavour="cpu", models=["a"])
        assert json.loads(app.read_text("utf-8"))["version"] == json.loads(package.read_text("utf-8"))["version"]


class TestTheConfiguration:
    # Examples of https://semver.org/#is-there-a-suggested-regular-expression-regex-to-check-a-semver-string
    @pytest.mark.parametrize("text", ["0.0.4", "1.2.3", "1.0.0-alpha.1", "1.0.0-0A.is.legal", "1.1.2-rc.1+meta"])
    def test_semantic_versions_are_known(self, text):
        assert is_semver(text)

    @pytest.mark.parametrize("text", ["1", "1.2", "01.1.1", "1.2.3.DEV", "1.0.0-alpha_beta", "v1.2.3", "1.2.3\n", 1.0])
    def test_other_texts_are_none(self, text):
        assert not is_semver(text)

    def test_an_unquoted_version_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match="VERSION_INVALID"):
            read_configuration(written(tmp_path, version=1.0))

    def test_a_version_other_than_the_project_s_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match="VERSION_DIFFERS"):
            read_configuration(written(tmp_path, version="9.9.9"))

    def test_two_spellings_of_formats_that_differ_are_refused(self, tmp_path):
        with pytest.raises(UsageError, match="input-formats equal to inputFormats"):
            read_configuration(written(tmp_path, **{"input-formats": ["network"]}))

    @pytest.mark.parametrize("size", ["4GB", "4.25Gi", "4", 4])
    def test_sizes_are_in_mi_or_gi_with_one_decimal_at_most(self, tmp_path, size):
        with pytest.raises(UsageError, match="MAP_CONFIG"):
            read_configuration(written(tmp_path, memory=size))

    def test_a_file_that_is_no_yaml_is_refused(self, tmp_path):
        (tmp_path / "MAP.yaml").write_text("a: [")
        with pytest.raises(UsageError, match="MAP_CONFIG"):
            read_configuration(tmp_path / "MAP.yaml")
