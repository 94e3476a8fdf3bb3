"""An Argo WorkflowTemplate, and whether it belongs to a workflow of MONAI Deploy Express."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from gastromap.packaging.check_findings import Finding, Source
from gastromap.packaging.check_reading import as_mapping, as_mappings, shown
from gastromap.packaging.check_workflow import tasks_of_type

__all__ = ["argo_images", "check_argo", "check_argo_and_docker", "check_argo_and_workflow"]

_error = partial(Finding, level="error", source=Source.ARGO)


def _templates(template: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return as_mappings(as_mapping(template.get("spec")).get("templates"))


def _artifacts(step: Mapping[str, Any], side: str) -> dict[str, str]:
    items = as_mappings(as_mapping(step.get(side)).get("artifacts"))
    return {str(item.get("name")): str(item.get("path")) for item in items}


def _containers(template: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    return [(step, step["container"]) for step in _templates(template) if isinstance(step.get("container"), Mapping)]


def argo_images(template: Mapping[str, Any]) -> list[str]:
    """Give the images of the template's containers."""
    return [str(container.get("image")) for _, container in _containers(template)]


def check_argo(template: Mapping[str, Any], name: str) -> Iterator[Finding]:
    """Check the structure of a WorkflowTemplate and that its containers are not root."""
    error = partial(_error, file=name)
    for field, wanted in (("apiVersion", "argoproj.io/v1alpha1"), ("kind", "WorkflowTemplate")):
        if template.get(field) != wanted:
            yield error("argo-kind", field=field, expected=wanted, found=shown(template.get(field)))
    metadata, spec = template.get("metadata"), template.get("spec")
    if not as_mapping(metadata).get("name"):
        yield error("argo-name", field="metadata.name", expected="a name", found="none")
    if not isinstance(spec, Mapping) or not _containers(template):
        yield error("argo-spec", field="spec.templates", expected="a template with a container", found="none")
        return
    names = [str(step.get("name")) for step in _templates(template)]
    if spec.get("entrypoint") not in names:
        yield error(
            "argo-entrypoint", field="spec.entrypoint", expected=", ".join(names), found=shown(spec.get("entrypoint"))
        )
    for step, container in _containers(template):
        where = f"template {step.get('name')}"
        volumes = {
            str(item.get("name")) for item in [*as_mappings(step.get("volumes")), *as_mappings(spec.get("volumes"))]
        }
        for mount in as_mappings(container.get("volumeMounts")):
            if str(mount.get("name")) not in volumes:
                yield error(
                    "argo-volume", field=f"{where}: volumeMounts", expected="a volume", found=shown(mount.get("name"))
                )
        security: dict[str, Any] = {}
        for owner in (spec, step, container):
            security |= as_mapping(owner.get("securityContext"))
        if security.get("runAsNonRoot") is not True:
            yield error(
                "argo-user",
                field=f"{where}: securityContext.runAsNonRoot",
                expected="true",
                found=shown(security.get("runAsNonRoot")),
                source=Source.HARDENING,
            )
        for side in ("inputs", "outputs"):
            for artifact, path in _artifacts(step, side).items():
                if not path.startswith("/"):
                    yield error(
                        "argo-artifact", field=f"{where}: {side} {artifact}", expected="an absolute path", found=path
                    )


def check_argo_and_workflow(template: Mapping[str, Any], workflow: Mapping[str, Any], name: str) -> Iterator[Finding]:
    """Check that the argo task of a workflow fits the template: its name and the names of the artifacts."""
    error = partial(_error, file=name)
    steps = {str(step.get("name")): step for step in _templates(template)}
    start = steps.get(str(as_mapping(template.get("spec")).get("entrypoint")))
    title = as_mapping(template.get("metadata")).get("name")
    for task in tasks_of_type(workflow, "argo"):
        where = f"task {task.get('id')}"
        named = as_mapping(task.get("args")).get("workflow_template_name")
        if named != title:
            yield error("argo-template-name", field=where, expected=shown(title), found=shown(named))
        for side, ours in (("inputs", "input"), ("outputs", "output")):
            wanted = set(_artifacts(start, side)) if start is not None else set()
            found = {str(item.get("name")) for item in as_mappings(as_mapping(task.get("artifacts")).get(ours))}
            if wanted != found:
                yield error(
                    "argo-artifact-names",
                    field=f"{where}: artifacts.{ours}",
                    expected=", ".join(sorted(wanted)) or "none",
                    found=", ".join(sorted(found)) or "none",
                )


def check_argo_and_docker(template: Mapping[str, Any], workflow: Mapping[str, Any], name: str) -> Iterator[Finding]:
    """Check that the template starts the image of a workflow's docker task at the same mount points."""
    error = partial(_error, file=name)
    for task in tasks_of_type(workflow, "docker"):
        args = as_mapping(task.get("args"))
        for image in argo_images(template):
            if image != args.get("container_image"):
                wanted = shown(args.get("container_image"))
                yield error("argo-image", field="container.image", expected=wanted, found=shown(image))
        for side, ours in (("inputs", "input"), ("outputs", "output")):
            mounted = {
                str(args.get(str(item.get("name")))).rstrip("/")
                for item in as_mappings(as_mapping(task.get("artifacts")).get(ours))
            }
            paths = {path.rstrip("/") for step, _ in _containers(template) for path in _artifacts(step, side).values()}
            if paths != mounted:
                yield error(
                    "argo-artifact-path",
                    field=f"{side}.artifacts",
                    expected=", ".join(sorted(mounted)),
                    found=", ".join(sorted(paths)) or "none",
                )
