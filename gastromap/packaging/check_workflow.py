"""A workflow of MONAI Deploy Express: the rules its Workflow Manager validates, and those its task plug-ins impose.

Read from the Workflow Manager's source (WorkflowValidator, Docker and Argo plug-ins): rules that need the running
platform, such as whether a data origin is registered there, are left to it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from gastromap.packaging.check_findings import Finding, Source
from gastromap.packaging.check_reading import as_mapping, as_mappings, shown

__all__ = ["check_image_tag", "check_workflow", "tasks_of_type"]

_TASK_ID = re.compile(r"[a-zA-Z0-9_-]+")
_LONGEST_AE_TITLE = 15
#: Named in the documentation; the validator does not check it.
_LONGEST_NAME = 15
_TYPES = (
    "router", "docker", "argo", "export", "remote_app_execution", "email", "export_hl7", "aide_clinical_review",
)  # fmt: skip
_EXPORTING = frozenset({"export", "export_hl7", "remote_app_execution"})
_DOCKER_NEEDS = ("server_url", "entrypoint", "command", "container_image", "temp_storage_container_path")
_ARGO_ALLOWS = frozenset({
    "workflow_template_name", "namespace", "server_url", "allow_insecure", "timeoutSeconds", "apiToken", "endpoint",
    "username", "password", "exchange", "virtualHost", "resources", "parameters", "priority", "cpu", "memory",
    "gpu_required",
})  # fmt: skip
_REFERENCE = re.compile(r"context\.executions\.([a-zA-Z0-9_-]+)\.artifacts\.([\w-]+)")

_error = partial(Finding, level="error", source=Source.EXPRESS)


def tasks_of_type(workflow: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    """Give the tasks of one type, in order."""
    return [task for task in as_mappings(workflow.get("tasks")) if str(task.get("type", "")).lower() == kind]


def check_workflow(workflow: Mapping[str, Any], name: str) -> Iterator[Finding]:
    """Yield what the Workflow Manager would refuse, or what would fail when the task starts.

    Parameters
    ----------
    workflow : mapping
        Content of the JSON file.
    name : str
        Its name in findings.
    """
    for field in ("name", "version"):
        if not isinstance(workflow.get(field), str) or not workflow[field].strip():
            yield _error("workflow-text", file=name, field=field, expected="text", found=shown(workflow.get(field)))
    title = workflow.get("name")
    if isinstance(title, str) and len(title) > _LONGEST_NAME:
        yield Finding(
            "workflow-name",
            "warning",
            name,
            "name",
            f"at most {_LONGEST_NAME} characters",
            f"{len(title)}",
            Source.EXPRESS,
        )
    gateway = workflow.get("informatics_gateway")
    yield from _gateway(gateway, name)
    tasks = workflow.get("tasks")
    if not isinstance(tasks, list) or not tasks or not all(isinstance(task, Mapping) for task in tasks):
        yield _error("workflow-tasks", file=name, field="tasks", expected="a list of tasks", found=shown(tasks))
        return
    yield from _graph(tasks, name)
    exported = as_mapping(gateway).get("export_destinations")
    exported = exported if isinstance(exported, list) else []
    outputs = {str(task.get("id")): {str(item.get("name")) for item in _artifacts(task, "output")} for task in tasks}
    for task in tasks:
        yield from _task(task, name, exported)
        yield from _references(task, name, outputs)


def _gateway(gateway: object, name: str) -> Iterator[Finding]:
    if not isinstance(gateway, Mapping):
        yield _error(
            "workflow-gateway", file=name, field="informatics_gateway", expected="a section", found=shown(gateway)
        )
        return
    title = gateway.get("ae_title")
    if not isinstance(title, str) or not title.strip() or len(title) > _LONGEST_AE_TITLE:
        yield _error(
            "workflow-ae-title",
            file=name,
            field="informatics_gateway.ae_title",
            expected=f"1 to {_LONGEST_AE_TITLE} characters",
            found=shown(title),
        )


def _destinations(task: Mapping[str, Any]) -> list[str]:
    return [str(item.get("name")) for item in as_mappings(task.get("task_destinations"))]


def _graph(tasks: list[Mapping[str, Any]], name: str) -> Iterator[Finding]:
    ids = [str(task.get("id", "")) for task in tasks]
    for task_id, count in Counter(ids).items():
        if not _TASK_ID.fullmatch(task_id):
            yield _error(
                "workflow-task-id", file=name, field="tasks.id", expected="letters, digits, - _", found=shown(task_id)
            )
        if count > 1:
            yield _error(
                "workflow-task-id", file=name, field=f"task {task_id}", expected="once", found=f"{count} times"
            )
    led_to = Counter(target for task in tasks for target in _destinations(task))
    for target, count in led_to.items():
        where = f"task {target}"
        if target == ids[0]:
            yield _error(
                "workflow-graph", file=name, field=where, expected="no way back to the first task", found="one"
            )
        elif target not in ids:
            yield _error("workflow-graph", file=name, field=where, expected="a task of that id", found="none")
        if count > 1:
            yield _error("workflow-graph", file=name, field=where, expected="one task before it", found=f"{count}")
    for task_id in ids[1:]:
        if task_id not in led_to:
            yield _error("workflow-graph", file=name, field=f"task {task_id}", expected="one task before it", found="0")


def _artifacts(task: Mapping[str, Any], side: str) -> list[Mapping[str, Any]]:
    return as_mappings(as_mapping(task.get("artifacts")).get(side))


def _task(task: Mapping[str, Any], name: str, exported: list[Any]) -> Iterator[Finding]:
    error = partial(_error, file=name)
    kind, where = str(task.get("type", "")).lower(), f"task {task.get('id')}"
    if kind not in _TYPES:
        yield error(
            "workflow-task-type", field=f"{where}: type", expected=", ".join(_TYPES), found=shown(task.get("type"))
        )
        return
    names = [str(item.get("name")) for item in _artifacts(task, "output")]
    if len(names) != len(set(names)):
        yield error("workflow-output", field=f"{where}: artifacts.output", expected="each name once", found="twice")
    if kind != "router":
        inputs = _artifacts(task, "input")
        if not inputs:
            yield error("workflow-input", field=f"{where}: artifacts.input", expected="an artifact", found="none")
        for item in inputs:
            for key in ("name", "value"):
                if not isinstance(item.get(key), str) or not item[key].strip():
                    yield error(
                        "workflow-input",
                        field=f"{where}: artifacts.input.{key}",
                        expected="text",
                        found=shown(item.get(key)),
                    )
    if kind in _EXPORTING or task.get("export_destinations"):
        yield from _export(task, name, exported, kind)
    args = as_mapping(task.get("args"))
    for key, value in args.items():
        if not isinstance(value, str):
            yield error("workflow-args", field=f"{where}: args.{key}", expected="text", found=shown(value))
    if kind == "docker":
        yield from _docker(task, args, name)
    elif kind == "argo":
        yield from _argo(args, where, name)


def _export(task: Mapping[str, Any], name: str, exported: list[Any], kind: str) -> Iterator[Finding]:
    error = partial(_error, "workflow-export", file=name, field=f"task {task.get('id')}: export_destinations")
    # .NET reads names of JSON members without regard to case; the samples write Name and name.
    targets = [
        str({key.lower(): value for key, value in item.items()}.get("name"))
        for item in as_mappings(task.get("export_destinations"))
    ]
    if kind in _EXPORTING and not targets:
        yield error(expected="a destination", found="none")
    if len(targets) != len(set(targets)):
        yield error(expected="each destination once", found="twice")
    for target in targets:
        if target not in exported:
            yield error(expected="a destination named in informatics_gateway.export_destinations", found=shown(target))


def _docker(task: Mapping[str, Any], args: Mapping[str, Any], name: str) -> Iterator[Finding]:
    error = partial(_error, file=name)
    where = f"task {task.get('id')}"
    for key in _DOCKER_NEEDS:
        # An empty command would be one empty argument.
        if not str(args.get(key) or "").strip():
            yield error("workflow-docker", field=f"{where}: args.{key}", expected="text", found=shown(args.get(key)))
    minutes = args.get("task_timeout_minutes")
    if minutes is not None and not re.fullmatch(r"\d+(\.\d+)?", str(minutes)):
        yield error(
            "workflow-docker", field=f"{where}: args.task_timeout_minutes", expected="minutes", found=shown(minutes)
        )
    user = args.get("user")
    if user is not None and not re.fullmatch(r"\d+(:\d+)?", str(user)):
        yield error("workflow-docker", field=f"{where}: args.user", expected="numbers, uid:gid", found=shown(user))
    for side in ("input", "output"):
        for item in _artifacts(task, side):
            key = str(item.get("name"))
            # The plug-in mounts each artifact at the value of the variable that is named like it.
            if not key.startswith("env_") or not str(args.get(key, "")).startswith("/"):
                yield error(
                    "workflow-mount",
                    field=f"{where}: artifacts.{side} {key}",
                    expected="the name of an argument env_… with a path",
                    found=shown(args.get(key)),
                )
    outputs = _artifacts(task, "output")
    if not any(item.get("mandatory") is True for item in outputs):
        # A container that failed counts as done unless its output is mandatory and missing.
        yield error(
            "workflow-mandatory", field=f"{where}: artifacts.output", expected="one with mandatory: true", found="none"
        )
    for key in args:
        if key.startswith("env_") and "env_" in key.removeprefix("env_"):
            yield error(
                "workflow-variable",
                field=f"{where}: args.{key}",
                expected="no env_ within the name, which would be removed",
                found="one",
            )


def _argo(args: Mapping[str, Any], where: str, name: str) -> Iterator[Finding]:
    error = partial(_error, "workflow-argo", file=name)
    if not args.get("workflow_template_name"):
        yield error(field=f"{where}: args.workflow_template_name", expected="text", found="none")
    for key in sorted(set(args) - _ARGO_ALLOWS):
        yield error(field=f"{where}: args.{key}", expected="an argument the validator allows", found="another")
    if str(args.get("priority", "low")).lower() not in {"high", "standard", "low"}:
        found = shown(args["priority"])
        yield error(field=f"{where}: args.priority", expected="high, standard or low", found=found)
    if "cpu" in args and not re.fullmatch(r"[1-9]\d*", str(args["cpu"])):
        yield error(field=f"{where}: args.cpu", expected="a whole number from 1", found=shown(args["cpu"]))
    if str(args.get("gpu_required", "true")).lower() not in {"true", "false"}:
        found = shown(args["gpu_required"])
        yield error(field=f"{where}: args.gpu_required", expected="true or false", found=found)


def _references(task: Mapping[str, Any], name: str, outputs: Mapping[str, set[str]]) -> Iterator[Finding]:
    for item in _artifacts(task, "input"):
        for other, artifact in _REFERENCE.findall(str(item.get("value", ""))):
            if artifact not in outputs.get(other, set()):
                yield _error(
                    "workflow-reference",
                    file=name,
                    field=f"task {task.get('id')}: artifacts.input",
                    expected="an output artifact of another task",
                    found=f"{other}.{artifact}",
                )


def check_image_tag(image: object, version: object, name: str, field: str, source: Source) -> Iterator[Finding]:
    """Check that an image is named with the tag of one version."""
    if not isinstance(image, str) or not image.strip():
        yield Finding("image-tag", "error", name, field, "an image", shown(image), source)
    elif "@sha256:" not in image and image.rpartition("/")[2].rpartition(":")[2] != version:
        yield Finding("image-tag", "error", name, field, f"the tag {shown(version)}", shown(image), source)
