"""Each rule for the files of a package fires on a broken tree and is silent on a right one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders.map_tree import APP, ENVIRONMENT, PKG, edit_json, places, write_context
from hypothesis import given, settings
from hypothesis import strategies as st

from gastromap.errors import UsageError
from gastromap.packaging.check_app_manifest import check_app_manifest
from gastromap.packaging.check_dockerfile import instructions
from gastromap.packaging.check_findings import CheckPart, Finding
from gastromap.packaging.check_layout import Profile, find_tree, profile_of
from gastromap.packaging.check_pkg_manifest import check_pkg_manifest
from gastromap.packaging.check_tree import check_tree


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return write_context(tmp_path / "context")


def found_in(root: Path, profile: Profile | None = None, *, run_entrypoint: bool = False) -> list[Finding]:
    tree = find_tree(root)
    parts = check_tree(tree, profile or profile_of(tree), run_entrypoint=run_entrypoint)
    return [finding for part in parts for finding in part.findings if finding.rule != "entrypoint-not-run"]


def rules(root: Path, profile: Profile | None = None) -> set[str]:
    return {finding.rule for finding in found_in(root, profile)}


class TestARightContext:
    def test_has_no_finding(self, context: Path) -> None:
        assert found_in(context, run_entrypoint=True) == []

    def test_is_known_as_gastromap_by_its_package(self, context: Path) -> None:
        assert profile_of(find_tree(context)) == "gastromap"

    def test_of_another_application_is_held_to_the_specification_only(self, context: Path) -> None:
        for name in ("gastromap", "operators", "app"):
            shutil.rmtree(context / "app" / name)
        assert profile_of(find_tree(context)) == "generic"
        assert found_in(context) == []

    def test_extracted_has_no_finding(self, context: Path, tmp_path: Path) -> None:
        folder = tmp_path / "export"
        shutil.copytree(context / "map", folder / "config")
        shutil.copy(context / "app.config", folder / "config" / "app.yaml")
        for name in ("app", "models", "docs"):
            shutil.copytree(context / name, folder / name)
        assert find_tree(folder).kind == "extract"
        assert found_in(folder) == []

    def test_in_the_paths_of_an_image_has_no_finding(self, context: Path, tmp_path: Path) -> None:
        root = tmp_path / "root"
        shutil.copytree(context / "map", root / "etc" / "holoscan")
        for name in ("app", "models", "docs"):
            shutil.copytree(context / name, root / "opt" / "holoscan" / name)
        (root / "var" / "holoscan").mkdir(parents=True)
        shutil.copy(context / "app.config", root / "var" / "holoscan" / "app.yaml")
        assert find_tree(root).kind == "image"
        assert found_in(root) == []


class TestAnotherApplication:
    def test_is_advised_where_gastromap_is_held_to_its_own_rules(self, context: Path) -> None:
        for name in ("pip", "app"):
            path = context / name / "requirements.txt"
            path.write_text(path.read_text() + "numpy>=2\n")
        (context / "app.config").write_text("sections: {mine: 1}\n")
        (context / "docs" / "LICENSE").chmod(0o664)
        path = context / "Dockerfile"
        path.write_text(path.read_text().replace("COPY app", "RUN apt-get update\nCOPY app"))
        edit_json(context / "map" / "pkg.json", {"version": None})
        wanted = {
            "requirements-pin", "config-application", "config-formats", "config-resources", "docker-network", "mode",
        }  # fmt: skip
        for profile, level in (("gastromap", "error"), ("generic", "warning")):
            found = found_in(context, profile)  # type: ignore[arg-type]
            assert {finding.rule for finding in found} == wanted
            assert {finding.level for finding in found} == {level}


class TestAFolderThatIsNoPackage:
    def test_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="TREE_UNKNOWN"):
            find_tree(tmp_path)

    def test_is_refused_if_it_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="TREE_MISSING"):
            find_tree(tmp_path / "none")


#: Rule, and what is changed in app.json. None takes a field out.
APP_FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("app-type", {"type": None}),
    ("app-type", {"type": "app"}),
    ("app-command", {"command": ""}),
    ("app-command", {"command": "python3 'open"}),
    ("app-command-list", {"command": '["python3", "/opt/holoscan/app"]'}),
    ("app-environment", {"environment": None}),
    ("app-environment", {"environment": {k: v for k, v in ENVIRONMENT.items() if k != "HOLOSCAN_LOGS"}}),
    ("app-environment-absolute", {"environment": {**ENVIRONMENT, "HOLOSCAN_INPUT_PATH": "input/"}}),
    ("app-environment-type", {"environment": {**ENVIRONMENT, "THREADS": 1}}),
    ("app-environment-twin", {"environment": {**ENVIRONMENT, "HOLOSCAN_DOCS_PATH": "/docs"}}),
    ("app-input", {"input": None}),
    ("app-input-formats", {"input": {"formats": None}}),
    ("app-input-formats", {"input": {"formats": []}}),
    ("app-path", {"input": {"formats": ["file"], "path": 3}}),
    ("app-output", {"output": "output/"}),
    ("app-output-format", {"output": {"formats": ["file"]}}),
    ("app-output-formats", {"output": {"format": "file", "formats": ["screen"]}}),
    ("app-output-formats", {"output": {"format": "file"}}),
    ("app-format-word", {"input": {"formats": ["dicom"]}}),
    ("app-format-type", {"input": {"formats": [1]}}),
    ("app-version", {"version": 0.1}),
    ("app-version", {"version": "0.1"}),
    ("app-version", {"version": None}),
    ("app-api", {"apiVersion": "v1"}),
    ("app-timeout", {"timeout": -1}),
    ("app-timeout", {"timeout": True}),
    ("app-probe", {"readiness": "http"}),
    ("app-probe", {"type": "service"}),
    ("app-text", {"sdk": 4}),
    ("app-directory", {"workingDirectory": "var"}),
    ("app-key", {"working-directory": "/var/holoscan"}),
]
PKG_FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("pkg-root", {"applicationRoot": None}),
    ("pkg-root", {"modelRoot": "models"}),
    ("pkg-version", {"version": "one"}),
    ("pkg-api", {"apiVersion": 1}),
    ("pkg-models-list", {"models": {"stage": "/opt/holoscan/models/stage"}}),
    ("pkg-models", {"models": "stage"}),
    ("pkg-models", {"models": [{"name": "stage"}]}),
    ("pkg-model-name", {"models": [{"name": "a b", "path": "stage"}]}),
    ("pkg-model-name", {"models": [{"name": "é" * 65, "path": "stage"}]}),
    ("pkg-model-name", {"models": [{"name": "a", "path": "stage"}, {"name": "a", "path": "stage"}]}),
    ("pkg-resources", {"resources": ["4Gi"]}),
    ("pkg-size", {"resources": {"memory": "4GB"}}),
    ("pkg-size", {"resources": {"memory": "4.25Gi"}}),
    ("pkg-size", {"resources": {"gpuMemoryLimit": "4G"}}),
    ("pkg-size", {"resources": {"fragments": {"one": {"sharedMemory": 64}}}}),
    ("pkg-count", {"resources": {"cpu": 0}}),
    ("pkg-count", {"resources": {"gpu": "1"}}),
    ("pkg-resource", {"resources": {"disk": "1Gi"}}),
    ("pkg-key", {"sdk-version": "4"}),
]


class TestManifests:
    @pytest.mark.parametrize(("rule", "change"), APP_FAULTS, ids=lambda value: str(value)[:40])
    def test_a_fault_of_app_json_is_found_by_its_rule(self, rule: str, change: dict[str, Any], context: Path) -> None:
        edit_json(context / "map" / "app.json", change)
        assert rule in rules(context)

    @pytest.mark.parametrize(("rule", "change"), PKG_FAULTS, ids=lambda value: str(value)[:40])
    def test_a_fault_of_pkg_json_is_found_by_its_rule(self, rule: str, change: dict[str, Any], context: Path) -> None:
        edit_json(context / "map" / "pkg.json", change)
        assert rule in rules(context)

    def test_decimals_and_limits_of_resources_are_accepted(self) -> None:
        resources = {"cpu": 1, "cpuLimit": 2, "gpu": 0, "memory": "1.5Gi", "memoryLimit": "2048Mi"}
        assert list(check_pkg_manifest({**PKG, "resources": resources})) == []

    def test_formats_as_objects_are_accepted_too(self) -> None:
        app = {**APP, "input": {"formats": [{"file": {}}]}, "output": {"format": {"file": {}}, "formats": [{}]}}
        assert list(check_app_manifest(app)) == []

    @pytest.mark.parametrize("content", [b"\xff\xfe{}", b"{", b"[]", b'{"version": "1.0.0", "version": "2.0.0"}'])
    def test_what_is_no_json_object_in_utf_8_is_found(self, content: bytes, context: Path) -> None:
        (context / "map" / "app.json").write_bytes(content)
        assert {finding.file for finding in found_in(context) if finding.level == "error"} >= {"map/app.json"}

    def test_a_missing_manifest_is_found(self, context: Path) -> None:
        (context / "map" / "pkg.json").unlink()
        assert "file-missing" in rules(context)

    def test_departures_of_nvidia_s_packager_are_warnings_in_what_it_wrote(self, context: Path) -> None:
        # As holoscan-cli 4.2.0 wrote them for MAP.yaml; the model's name apart.
        edit_json(
            context / "map" / "app.json",
            {
                "command": '["python3", "/opt/holoscan/app"]',
                "type": None,
                "environment": {
                    **{k: v for k, v in ENVIRONMENT.items() if k not in {"HOLOSCAN_DOCS", "HOLOSCAN_LOGS"}},
                    "HOLOSCAN_INPUT_PATH": "input/",
                    "HOLOSCAN_OUTPUT_PATH": "output/",
                },
                "output": {"path": "output/", "formats": ["file"]},
            },
        )
        edit_json(
            context / "map" / "pkg.json",
            {"models": {"stage": "/opt/holoscan/models/stage"}, "platformConfig": "dgpu"},
        )
        found = found_in(context)
        assert {finding.rule for finding in found} == {
            "app-command-list", "app-type", "app-environment", "app-environment-absolute", "app-output-format",
            "pkg-models-list",
        }  # fmt: skip
        assert {finding.level for finding in found} == {"warning"}

    @given(path=st.integers(0, 200), junk=st.sampled_from([None, 0, "", "x", [], [1], {}, {"a": None}, True]))
    @settings(max_examples=60, deadline=None)
    def test_any_value_in_any_place_is_a_finding_or_nothing_but_no_fault_of_the_checker(
        self, path: int, junk: object
    ) -> None:
        for manifest, check in ((APP, check_app_manifest), (PKG, check_pkg_manifest)):
            content = json.loads(json.dumps(manifest))
            found = places(content)
            owner, key = found[path % len(found)]
            owner[key] = junk
            assert all(isinstance(finding, Finding) for finding in check(content))


class TestModels:
    def test_a_model_that_is_not_there_is_found(self, context: Path) -> None:
        shutil.rmtree(context / "models" / "stage")
        assert "model-missing" in rules(context)

    def test_a_path_out_of_the_model_root_is_found(self, context: Path) -> None:
        edit_json(context / "map" / "pkg.json", {"models": [{"name": "stage", "path": "../app"}]})
        assert "model-missing" in rules(context)

    def test_an_absolute_path_below_the_model_root_is_right(self, context: Path) -> None:
        edit_json(context / "map" / "pkg.json", {"models": [{"name": "s", "path": "/opt/holoscan/models/stage"}]})
        assert rules(context) == set()

    def test_a_bundle_needs_its_metadata(self, context: Path) -> None:
        (context / "models" / "stage" / "configs" / "metadata.json").unlink()
        assert "bundle-metadata" in rules(context)

    @pytest.mark.parametrize("content", [None, ""])
    def test_a_bundle_needs_weights(self, content: str | None, context: Path) -> None:
        weights = context / "models" / "stage" / "models" / "model.pt"
        weights.unlink() if content is None else weights.write_text(content)
        assert "bundle-weights" in rules(context)

    def test_a_pickle_is_found(self, context: Path) -> None:
        (context / "models" / "stage" / "models" / "scaler.pkl").write_text("x")
        assert "bundle-pickle" in rules(context)

    def test_a_folder_that_the_manifest_does_not_name_is_a_warning(self, context: Path) -> None:
        (context / "models" / "other").mkdir()
        assert "model-unlisted" in rules(context)

    def test_a_file_beside_the_models_is_a_warning(self, context: Path) -> None:
        (context / "models" / "labels.txt").write_text("T1")
        assert "model-loose-file" in rules(context)

    def test_a_model_without_configuration_is_enough_for_another_application(self, context: Path) -> None:
        shutil.rmtree(context / "models" / "stage" / "configs")
        assert rules(context, "generic") == set()
        shutil.rmtree(context / "models" / "stage" / "models")
        assert rules(context, "generic") == {"model-empty"}


class TestVersions:
    @pytest.mark.parametrize(
        ("name", "old", "new"),
        [
            ("app.config", '"0.1.0"', '"0.2.0"'),
            ("app/gastromap/__init__.py", "0.1.0", "0.2.0"),
            ("map/pkg.json", '"version": "0.1.0"', '"version": "0.2.0"'),
        ],
    )
    def test_another_version_in_one_place_is_found(self, name: str, old: str, new: str, context: Path) -> None:
        (context / name).write_text((context / name).read_text().replace(old, new))
        assert "version-equal" in rules(context)

    @pytest.mark.parametrize(
        ("old", "new", "rule"),
        [
            ('"0.1.0"', "1.0", "config-version"),
            ("title: GastroMAP", "name: GastroMAP", "config-title"),
            ("input-formats: [file]", "kind: [file]", "config-formats"),
            ("input-formats: [file]", "input-formats: [screen]", "config-formats"),
            ("memory: 4Gi,", "memory: 8Gi,", "config-resources-equal"),
            ("resources:", "limits:", "config-resources"),
            ("application:", "app:", "config-application"),
            ("application:", "application: {", "yaml"),
        ],
    )
    def test_a_fault_of_the_configuration_is_found(self, old: str, new: str, rule: str, context: Path) -> None:
        text = (context / "app.config").read_text()
        assert old in text
        (context / "app.config").write_text(text.replace(old, new))
        assert rule in rules(context)

    def test_a_gpu_package_may_ask_for_a_gpu_that_the_configuration_does_not(self, context: Path) -> None:
        edit_json(context / "map" / "pkg.json", lambda pkg: pkg["resources"].update(gpu=1))
        assert rules(context) == set()

    def test_another_sdk_than_the_pinned_one_is_found(self, context: Path) -> None:
        edit_json(context / "map" / "app.json", {"sdkVersion": "3.0.0"})
        assert "sdk-version" in rules(context)


class TestRequirements:
    @pytest.mark.parametrize(
        ("rule", "change"),
        [
            ("requirements-newline", lambda text: text.rstrip()),
            ("requirements-pin", lambda text: text + "numpy>=2\n"),
            ("requirements-pin", lambda text: text + "numpy==2.*\n"),
            ("requirements-pin", lambda text: text + "numpy\n"),
            ("requirements-pin", lambda text: text + "numpy @ file:///numpy.whl\n"),
            ("requirements-line", lambda text: text + "--index-url https://example.org\n"),
            ("requirements-line", lambda text: text + "???\n"),
            ("requirements-twice", lambda text: text + "Torch==2.14.1\n"),
            ("requirements-holoscan", lambda text: text.replace("holoscan-cu13==4.2.0\n", "")),
            ("requirements-cudart", lambda text: text.replace("nvidia-cuda-runtime==13.0.96\n", "")),
            ("requirements-cli", lambda text: text + "holoscan_cli==4.2.0\n"),
            ("requirements-unwanted", lambda text: text + "scikit-survival==0.28.0\n"),
            ("requirements-unwanted", lambda text: text + "torchvision==0.29.1\n"),
        ],
    )
    def test_a_fault_is_found_by_its_rule(self, rule: str, change: Callable[[str], str], context: Path) -> None:
        for name in ("pip", "app"):
            path = context / name / "requirements.txt"
            path.write_text(change(path.read_text()))
        assert rules(context) == {rule}

    def test_hashes_and_continued_lines_are_right(self, context: Path) -> None:
        for name in ("pip", "app"):
            path = context / name / "requirements.txt"
            path.write_text(path.read_text() + "numpy==2.4.6 \\\n    --hash=sha256:00\n")
        assert rules(context) == set()

    def test_two_lists_that_differ_are_found(self, context: Path) -> None:
        path = context / "app" / "requirements.txt"
        path.write_text(path.read_text() + "numpy==2.4.6\n")
        assert rules(context) == {"requirements-differ"}

    def test_the_gpu_package_may_hold_torchvision(self, context: Path) -> None:
        edit_json(context / "map" / "pkg.json", {"platformConfig": "dgpu"})
        for name in ("pip", "app"):
            path = context / name / "requirements.txt"
            path.write_text(path.read_text() + "torchvision==0.29.1\n")
        assert rules(context) == set()


def _write(path: Path, content: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o755)
    path.write_bytes(content)
    path.chmod(mode)


class TestFiles:
    @pytest.mark.parametrize(
        ("rule", "name", "content"),
        [
            ("stray", "app/gastromap/__pycache__/a.txt", b""),
            ("stray", "app/.git/HEAD", b""),
            ("stray", "app/tests/test_a.py", b""),
            ("stray", "app/gastromap/a.pyc", b""),
            ("dicom", "docs/image.dcm", b""),
            ("dicom", "models/stage/example", bytes(128) + b"DICM"),
            ("dropped-folder", "app/wheels/a.py", b""),
            ("dropped-folder", "models/stage/build-1/a.txt", b""),
            ("secret", "app/gastromap/key.txt", b"-----BEGIN RSA PRIVATE KEY-----"),
            ("secret", "docs/install.md", b"pip --extra https://me:hunter2@pypi.example.org"),
            ("secret-file", "app/pip.conf", b"[global]"),
            ("secret-file", "app/.env", b"A=1"),
        ],
    )
    def test_what_does_not_belong_there_is_found(self, rule: str, name: str, content: bytes, context: Path) -> None:
        _write(context / name, content)
        assert rule in rules(context)

    @pytest.mark.parametrize(
        ("name", "content"),
        [("docs/licences/torch/test/LICENSE", b""), ("docs/roots.pem", b"-----BEGIN CERTIFICATE-----")],
    )
    def test_licences_of_tests_and_certificates_are_right(self, name: str, content: bytes, context: Path) -> None:
        _write(context / name, content)
        for folder in (context / "docs").rglob("*"):
            folder.chmod(0o755 if folder.is_dir() else 0o644)
        assert rules(context) == set()

    @pytest.mark.parametrize("name", ["app/app", "app/operators"])
    def test_a_missing_package_is_found(self, name: str, context: Path) -> None:
        shutil.rmtree(context / name)
        assert "app-package" in rules(context)

    @pytest.mark.parametrize("command", ["python3 /opt/holoscan/app", "python3 -u /opt/holoscan/app/main.py -v"])
    def test_a_command_without_its_program_is_found(self, command: str, context: Path) -> None:
        edit_json(context / "map" / "app.json", {"command": command})
        (context / "app" / "__main__.py").unlink()
        assert "app-program" in rules(context)

    @pytest.mark.parametrize("name", ["README.md", "LICENSE"])
    def test_papers_that_are_missing_are_an_error_here_and_a_warning_elsewhere(self, name: str, context: Path) -> None:
        (context / "docs" / name).unlink()
        levels = {
            profile: {finding.level for finding in found_in(context, profile) if finding.rule == "docs"}
            for profile in ("gastromap", "generic")
        }
        assert levels == {"gastromap": {"error"}, "generic": {"warning"}}

    @pytest.mark.parametrize(
        ("name", "mode"),
        [("models/stage/models/model.pt", 0o600), ("tools", 0o644), ("app/gastromap", 0o700), ("docs/LICENSE", 0o666)],
    )
    def test_another_mode_is_found(self, name: str, mode: int, context: Path) -> None:
        (context / name).chmod(mode)
        assert rules(context) == {"mode"}

    def test_a_link_out_of_the_package_is_found(self, context: Path) -> None:
        os.symlink("/etc/hostname", context / "app" / "host")
        assert "link" in rules(context)


class TestDockerfile:
    @pytest.mark.parametrize(
        ("rule", "old", "new"),
        [
            ("env-equal", "HOLOSCAN_LOGS=/var/holoscan/logs", "HOLOSCAN_LOGS=/var/log"),
            ("env-equal", "HOLOSCAN_WORKDIR=/var/holoscan/ ", "X=y "),
            ("docker-user", "USER ${UID}:${GID}", "USER root"),
            ("docker-user", "USER ${UID}:${GID}", "USER 0:0"),
            ("docker-user", "USER ${UID}:${GID}", "USER holoscan"),
            ("docker-user", "ARG UID=1000", "ARG UID=0"),
            ("docker-user", "USER ${UID}:${GID}\n", ""),
            ("docker-network", "COPY app", "RUN apt-get update && apt-get install -y git\nCOPY app"),
            ("docker-network", "COPY app", "RUN curl -O http://example.org/a\nCOPY app"),
            ("docker-network", "COPY app", "ADD https://example.org/a.tar /\nCOPY app"),
            ("docker-network", "--no-index ", ""),
            ("docker-label", "org.opencontainers.image.title", "title"),
            ("docker-entrypoint", 'ENTRYPOINT ["/var/holoscan/tools"]', "ENTRYPOINT /var/holoscan/tools"),
            ("docker-entrypoint", 'ENTRYPOINT ["/var/holoscan/tools"]', ""),
            ("docker-from", "FROM", "#"),
            ("label-pin", "LABEL ", "LABEL org.nvidia.holoscan=5.0.0 "),
        ],
    )
    def test_a_fault_is_found_by_its_rule(self, rule: str, old: str, new: str, context: Path) -> None:
        path = context / "Dockerfile"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        assert rules(context) == {rule}

    def test_an_environment_of_an_earlier_stage_does_not_count(self, context: Path) -> None:
        path = context / "Dockerfile"
        path.write_text(path.read_text() + '\nFROM scratch AS last\nUSER 1000\nENTRYPOINT ["/a"]\n')
        assert "env-equal" in rules(context)

    def test_continued_lines_and_comments_within_are_one_instruction(self) -> None:
        found = instructions("FROM a\n# note\nRUN one \\\n  # why\n  && two\n\nUSER 1\n")
        assert [(line.line, line.word, line.rest) for line in found] == [
            (1, "FROM", "a"),
            (3, "RUN", "one    && two"),
            (7, "USER", "1"),
        ]


class TestPartsOfTheReport:
    def test_name_every_group_of_rules_that_was_looked_at(self, context: Path) -> None:
        parts = check_tree(find_tree(context), "gastromap", run_entrypoint=False)
        assert [part.name for part in parts] == [
            "manifests", "models", "versions", "requirements", "files", "Dockerfile", "entrypoint",
        ]  # fmt: skip
        assert all(isinstance(part, CheckPart) and not part.skipped for part in parts)
