"""Workflow, template and module files: ours are right, and each rule of the platforms fires on a broken one."""

from __future__ import annotations

import copy
import glob
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders.map_tree import places
from hypothesis import given, settings
from hypothesis import strategies as st

from gastromap import __version__
from gastromap.packaging.check_argo import check_argo, check_argo_and_docker, check_argo_and_workflow
from gastromap.packaging.check_deploy import check_deployment, check_mercure
from gastromap.packaging.check_findings import Finding, Source
from gastromap.packaging.check_workflow import check_image_tag, check_workflow

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
FILES = [
    DEPLOY / "express" / "gastromap.json",
    DEPLOY / "argo" / "workflow.json",
    DEPLOY / "argo" / "template.yaml",
    DEPLOY / "mercure" / "modules.json",
]
EXPRESS = json.loads(FILES[0].read_text())
ARGO_WORKFLOW = json.loads(FILES[1].read_text())
ARGO = yaml.safe_load(FILES[2].read_text())
MERCURE = json.loads(FILES[3].read_text())
Change = Callable[[Any], object]


def changed(content: dict[str, Any], change: Change) -> dict[str, Any]:
    content = copy.deepcopy(content)
    change(content)
    return content


def put(*path: Any) -> Change:
    """Change one place: all but the last of ``path`` lead to it, the last is the value; ``...`` takes it out."""
    *way, key, value = path

    def change(content: Any) -> None:
        for step in way:
            content = content[step]
        if value is ...:
            del content[key]
        else:
            content[key] = value

    return change


def test_our_files_have_no_finding_and_our_version() -> None:
    assert check_deployment(FILES, __version__).findings == ()


#: Rule, and what is changed in the Express workflow. Tasks: 0 router, 1 gastromap (docker), 2 export.
WORKFLOW_FAULTS: list[tuple[str, Change]] = [
    ("workflow-text", put("name", "")),
    ("workflow-text", put("version", ...)),
    ("workflow-name", put("name", "gastric-cancer-staging")),
    ("workflow-gateway", put("informatics_gateway", ...)),
    ("workflow-ae-title", put("informatics_gateway", "ae_title", "SIXTEEN-LETTERS-")),
    ("workflow-ae-title", put("informatics_gateway", "ae_title", "")),
    ("workflow-tasks", put("tasks", [])),
    ("workflow-task-id", put("tasks", 2, "id", "ex port")),
    ("workflow-task-id", put("tasks", 2, "id", "router")),
    ("workflow-task-type", put("tasks", 1, "type", "kubernetes")),
    ("workflow-graph", put("tasks", 1, "task_destinations", [])),
    ("workflow-graph", put("tasks", 1, "task_destinations", [{"name": "nobody"}])),
    ("workflow-graph", put("tasks", 2, "task_destinations", [{"name": "router"}])),
    ("workflow-graph", put("tasks", 2, "task_destinations", [{"name": "gastromap"}])),
    ("workflow-input", put("tasks", 1, "artifacts", "input", [])),
    ("workflow-input", put("tasks", 1, "artifacts", "input", 0, "value", "")),
    ("workflow-output", lambda c: c["tasks"][1]["artifacts"]["output"].append(c["tasks"][1]["artifacts"]["output"][0])),
    ("workflow-export", put("tasks", 2, "export_destinations", [])),
    ("workflow-export", put("tasks", 2, "export_destinations", [{"name": "PACS"}])),
    ("workflow-export", put("informatics_gateway", "export_destinations", [])),
    ("workflow-docker", put("tasks", 1, "args", "container_image", ...)),
    ("workflow-docker", put("tasks", 1, "args", "command", "")),
    ("workflow-docker", put("tasks", 1, "args", "user", "holoscan")),
    ("workflow-docker", put("tasks", 1, "args", "task_timeout_minutes", "soon")),
    ("workflow-args", put("tasks", 1, "args", "task_timeout_minutes", 15)),
    ("workflow-mount", put("tasks", 1, "args", "env_HOLOSCAN_INPUT_PATH", ...)),
    ("workflow-mount", put("tasks", 1, "artifacts", "input", 0, "name", "input")),
    ("workflow-mandatory", put("tasks", 1, "artifacts", "output", 0, "mandatory", False)),
    ("workflow-variable", put("tasks", 1, "args", "env_MY_env_VALUE", "1")),
    (
        "workflow-reference",
        put("tasks", 2, "artifacts", "input", 0, "value", "{{ context.executions.gastromap.artifacts.other }}"),
    ),
]
ARGO_TASK_FAULTS: list[Change] = [
    put("tasks", 1, "args", "workflow_template_name", ...),
    put("tasks", 1, "args", "image", "gastromap"),
    put("tasks", 1, "args", "priority", "urgent"),
    put("tasks", 1, "args", "cpu", "1.5"),
    put("tasks", 1, "args", "cpu", "0"),
    put("tasks", 1, "args", "gpu_required", "maybe"),
]


class TestAWorkflow:
    @pytest.mark.parametrize(("rule", "change"), WORKFLOW_FAULTS, ids=[rule for rule, _ in WORKFLOW_FAULTS])
    def test_with_a_fault_is_found_by_its_rule(self, rule: str, change: Change) -> None:
        found = list(check_workflow(changed(EXPRESS, change), "workflow.json"))
        assert rule in {finding.rule for finding in found}

    @pytest.mark.parametrize("change", ARGO_TASK_FAULTS)
    def test_with_a_fault_of_its_argo_task_is_found(self, change: Change) -> None:
        found = list(check_workflow(changed(ARGO_WORKFLOW, change), "workflow.json"))
        assert {finding.rule for finding in found} == {"workflow-argo"}

    def test_may_write_the_names_of_destinations_in_capitals_as_the_samples_do(self) -> None:
        workflow = changed(EXPRESS, put("tasks", 2, "export_destinations", [{"Name": "ORTHANC"}]))
        assert list(check_workflow(workflow, "workflow.json")) == []

    @given(path=st.integers(0, 400), junk=st.sampled_from([None, 0, "", "x", [], [1], {}, {"a": None}, True]))
    @settings(max_examples=80, deadline=None)
    def test_of_any_shape_gives_findings_and_no_fault_of_the_checker(self, path: int, junk: object) -> None:
        for content, check in (
            (EXPRESS, lambda c: check_workflow(c, "a")),
            (ARGO_WORKFLOW, lambda c: [*check_workflow(c, "a"), *check_argo_and_workflow(ARGO, c, "a")]),
            (ARGO, lambda c: [*check_argo(c, "a"), *check_argo_and_docker(c, EXPRESS, "a")]),
            (MERCURE, lambda c: check_mercure(c, "a")),
        ):
            broken = copy.deepcopy(content)
            found = places(broken)
            owner, key = found[path % len(found)]
            owner[key] = junk
            assert all(isinstance(finding, Finding) for finding in check(broken))


STEP = ("spec", "templates", 0)


class TestAnArgoTemplate:
    @pytest.mark.parametrize(
        ("rule", "change"),
        [
            ("argo-kind", put("kind", "Workflow")),
            ("argo-kind", put("apiVersion", "v1")),
            ("argo-name", put("metadata", {})),
            ("argo-spec", put("spec", "templates", [])),
            ("argo-entrypoint", put("spec", "entrypoint", "main")),
            ("argo-volume", put(*STEP, "volumes", [])),
            ("argo-user", put(*STEP, "securityContext", "runAsNonRoot", False)),
            ("argo-artifact", put(*STEP, "outputs", "artifacts", 0, "path", "output")),
        ],
    )
    def test_with_a_fault_is_found_by_its_rule(self, rule: str, change: Change) -> None:
        assert rule in {finding.rule for finding in check_argo(changed(ARGO, change), "template.yaml")}

    def test_is_held_to_the_image_and_the_paths_of_the_express_workflow(self) -> None:
        assert list(check_argo_and_docker(ARGO, EXPRESS, "template.yaml")) == []
        other = changed(ARGO, put(*STEP, "container", "image", "gastromap:0.0.9"))
        assert {finding.rule for finding in check_argo_and_docker(other, EXPRESS, "a")} == {"argo-image"}
        other = changed(ARGO, put(*STEP, "inputs", "artifacts", 0, "path", "/data"))
        assert {finding.rule for finding in check_argo_and_docker(other, EXPRESS, "a")} == {"argo-artifact-path"}

    def test_is_held_to_the_artifact_names_of_its_workflow(self) -> None:
        assert list(check_argo_and_workflow(ARGO, ARGO_WORKFLOW, "workflow.json")) == []
        other = changed(ARGO, put(*STEP, "outputs", "artifacts", 0, "name", "result"))
        assert {f.rule for f in check_argo_and_workflow(other, ARGO_WORKFLOW, "a")} == {"argo-artifact-names"}
        other = changed(ARGO, put("metadata", "name", "other"))
        assert {f.rule for f in check_argo_and_workflow(other, ARGO_WORKFLOW, "a")} == {"argo-template-name"}


MODULE = ("modules", "gastromap")


class TestAMercureModule:
    @pytest.mark.parametrize(
        ("rule", "change"),
        [
            ("mercure-image", put(*MODULE, "docker_tag", "")),
            ("mercure-field", put(*MODULE, "gpu", True)),
            ("mercure-json", put(*MODULE, "environment", "A=1")),
            ("mercure-json", put(*MODULE, "docker_arguments", {"init": True})),
            ("mercure-argument", put(*MODULE, "docker_arguments", '{"network_mode": "none"}')),
            ("mercure-path", put(*MODULE, "environment", '{"HOLOSCAN_INPUT_PATH": "/var/holoscan/input"}')),
            ("mercure-root", put(*MODULE, "requires_root", True)),
        ],
    )
    def test_with_a_fault_is_found_by_its_rule(self, rule: str, change: Change) -> None:
        assert rule in {finding.rule for finding in check_mercure(changed(MERCURE, change), "modules.json")}

    @pytest.mark.parametrize(
        ("status", "names", "ends_with", "at_the_top"),
        [
            (0, ["sr.dcm", "kos.dcm"], 0, ["kos.dcm", "sr.dcm"]),
            (3, [], 3, []),
            (3, ["sr.dcm"], 3, []),
            (0, [], 1, []),
        ],
    )
    def test_of_ours_puts_the_results_where_mercure_looks_and_passes_the_status_on(
        self, status: int, names: list[str], ends_with: int, at_the_top: list[str], tmp_path: Path
    ) -> None:
        arguments = json.loads(MERCURE["modules"]["gastromap"]["docker_arguments"])
        program, option, code = arguments["entrypoint"]
        assert (program, option) == ("python3", "-c")
        (tmp_path / "bin").mkdir()
        output, application = tmp_path / "output", tmp_path / "app.py"
        (output / "dicom").mkdir(parents=True)
        made = "".join(f"open({str(output / 'dicom' / name)!r}, 'w').close()\n" for name in names)
        application.write_text(f"import sys\n{made}sys.exit({status})\n")
        python = tmp_path / "bin" / "python3"
        python.symlink_to(sys.executable)
        code = code.replace("/opt/holoscan/app", str(application)).replace("/tmp/output", str(output))
        done = subprocess.run([sys.executable, "-c", code], env={"PATH": str(python.parent)}, check=False)
        assert done.returncode == ends_with
        assert sorted(Path(path).name for path in glob.glob(f"{output}/*.dcm")) == at_the_top


class TestTogether:
    def test_an_image_with_another_tag_is_found(self, tmp_path: Path) -> None:
        for path in FILES:
            shutil.copy(path, tmp_path / path.name)
        path = tmp_path / "gastromap.json"
        path.write_text(path.read_text().replace("gastromap:0.1.0", "registry.example:5000/gastromap:0.0.9"))
        found = {finding.rule for finding in check_deployment([tmp_path / p.name for p in FILES], "0.1.0").findings}
        assert found == {"image-tag", "argo-image"}

    @pytest.mark.parametrize("image", ["a/b:0.1.0", "host:5000/a/b:0.1.0", "a@sha256:00"])
    def test_a_registry_with_a_port_and_a_digest_are_right(self, image: str) -> None:
        assert list(check_image_tag(image, "0.1.0", "a", "image", Source.EXPRESS)) == []

    @pytest.mark.parametrize("image", ["a/b", "host:5000/a/b", "a:latest", "", None])
    def test_an_image_without_the_version_is_found(self, image: str | None) -> None:
        assert [f.rule for f in check_image_tag(image, "0.1.0", "a", "image", Source.EXPRESS)] == ["image-tag"]

    def test_another_version_of_the_workflow_is_found(self) -> None:
        found = {finding.rule for finding in check_deployment(FILES, "9.9.9").findings}
        assert found == {"version-equal", "image-tag"}

    def test_what_is_none_of_the_known_files_is_found(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("a: 1\n")
        (tmp_path / "b.json").write_text("{")
        found = [finding.rule for finding in check_deployment([tmp_path / "a.yaml", tmp_path / "b.json"]).findings]
        assert found == ["deploy-kind", "json"]
