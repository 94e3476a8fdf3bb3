"""Files that start a package on a platform: Express workflow, Argo template, Mercure module."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from gastromap.packaging.check_argo import argo_images, check_argo, check_argo_and_docker, check_argo_and_workflow
from gastromap.packaging.check_findings import CheckPart, Finding, Source
from gastromap.packaging.check_reading import as_mapping, read_json, read_yaml, shown
from gastromap.packaging.check_workflow import check_image_tag, check_workflow, tasks_of_type

__all__ = ["check_deployment", "check_mercure"]

_Kind = Literal["workflow", "argo", "mercure"]
#: Fields of a module in Mercure's configuration; others are dropped when it is read.
_MERCURE_FIELDS = frozenset({
    "docker_tag", "additional_volumes", "environment", "docker_arguments", "settings", "contact", "comment",
    "constraints", "resources", "requires_root", "requires_persistence", "persistence_folder_name", "network_enabled",
})  # fmt: skip
#: What Mercure sets itself, so that a second value makes the start fail.
_MERCURE_OWN_ARGUMENTS = frozenset({
    "volumes", "mounts", "environment", "user", "group_add", "detach", "image", "network_mode",
})  # fmt: skip


@dataclass(frozen=True)
class _File:
    name: str
    kind: _Kind
    content: Mapping[str, Any]


def check_deployment(files: Sequence[Path], version: object = None) -> CheckPart:
    """Check files of a deployment, each by its kind, and against each other.

    Parameters
    ----------
    files : sequence of Path
        JSON or YAML; what one is, its content says.
    version : str, optional
        Version of the package; by default that of the first workflow. Every image must have it as its tag.
    """
    findings: list[Finding] = []
    read: list[_File] = []
    for path in files:
        reader = read_json if path.suffix == ".json" else read_yaml
        content = reader(path, path.name, Source.GASTROMAP)
        if isinstance(content, Finding):
            findings.append(content)
            continue
        kind = _kind(content)
        if kind is None:
            found = "none of them"
            expected = "a workflow (tasks), an Argo WorkflowTemplate or Mercure modules"
            findings.append(Finding("deploy-kind", "error", path.name, "", expected, found, Source.GASTROMAP))
            continue
        read.append(_File(path.name, kind, content))
    wanted = version if version is not None else _version(read)
    for file in read:
        findings += _one(file, wanted)
    findings += _together(read)
    return CheckPart("deployment", tuple(findings))


def _kind(content: Mapping[str, Any]) -> _Kind | None:
    if "tasks" in content or "informatics_gateway" in content:
        return "workflow"
    if "apiVersion" in content or content.get("kind") == "WorkflowTemplate":
        return "argo"
    return "mercure" if isinstance(content.get("modules"), Mapping) else None


def _version(files: Sequence[_File]) -> object:
    return next((file.content.get("version") for file in files if file.kind == "workflow"), None)


def _one(file: _File, version: object) -> Iterator[Finding]:
    if file.kind == "workflow":
        yield from check_workflow(file.content, file.name)
        if version is not None and file.content.get("version") != version:
            found = shown(file.content.get("version"))
            yield Finding("version-equal", "error", file.name, "version", shown(version), found, Source.GASTROMAP)
        images = [
            (f"task {task.get('id')}: args.container_image", as_mapping(task.get("args")).get("container_image"))
            for task in tasks_of_type(file.content, "docker")
        ]
        source = Source.EXPRESS
    elif file.kind == "argo":
        yield from check_argo(file.content, file.name)
        images = [("container.image", image) for image in argo_images(file.content)]
        source = Source.ARGO
    else:
        yield from check_mercure(file.content, file.name)
        images = [
            (f"modules.{name}.docker_tag", as_mapping(module).get("docker_tag"))
            for name, module in as_mapping(file.content.get("modules")).items()
        ]
        source = Source.MERCURE
    for field, image in images if version is not None else ():
        yield from check_image_tag(image, version, file.name, field, source)


def _together(files: Sequence[_File]) -> Iterator[Finding]:
    workflows = [file for file in files if file.kind == "workflow"]
    for template in (file for file in files if file.kind == "argo"):
        for workflow in workflows:
            yield from check_argo_and_workflow(template.content, workflow.content, workflow.name)
            yield from check_argo_and_docker(template.content, workflow.content, template.name)


def check_mercure(content: Mapping[str, Any], name: str) -> Iterator[Finding]:
    """Check module definitions for Mercure's configuration: fields, and the JSON that stands in its text fields."""
    error = partial(Finding, level="error", file=name, source=Source.MERCURE)
    for title, module in as_mapping(content.get("modules")).items():
        where = f"modules.{title}"
        if not isinstance(module, Mapping) or not module.get("docker_tag"):
            yield error("mercure-image", field=f"{where}.docker_tag", expected="an image", found="none")
            continue
        for key in sorted(set(module) - _MERCURE_FIELDS):
            yield error("mercure-field", field=f"{where}.{key}", expected="a field of a module", found="another")
        parsed: dict[str, Mapping[str, Any]] = {}
        for key in ("additional_volumes", "environment", "docker_arguments"):
            text = module.get(key) or "{}"
            try:
                value = json.loads(text) if isinstance(text, str) else None
            except json.JSONDecodeError:
                value = None
            if not isinstance(value, Mapping):
                # Mercure takes text that is no JSON for nothing at all, and says nothing.
                yield error(
                    "mercure-json", field=f"{where}.{key}", expected="JSON of an object, as text", found="other"
                )
            parsed[key] = as_mapping(value)
        for key in sorted(set(parsed["docker_arguments"]) & _MERCURE_OWN_ARGUMENTS):
            yield error(
                "mercure-argument", field=f"{where}.docker_arguments.{key}", expected="left to Mercure", found="set"
            )
        for key, wanted in (("HOLOSCAN_INPUT_PATH", "/tmp/data"), ("HOLOSCAN_OUTPUT_PATH", "/tmp/output")):  # noqa: S108
            found = str(parsed["environment"].get(key, "")).rstrip("/")
            if found != wanted:
                yield error("mercure-path", field=f"{where}.environment.{key}", expected=wanted, found=shown(found))
        if module.get("requires_root"):
            yield error(
                "mercure-root",
                field=f"{where}.requires_root",
                expected="false",
                found="true",
                source=Source.HARDENING,
            )
