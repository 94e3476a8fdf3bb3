"""All checks of a package that need no container engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from gastromap.packaging.check_app_manifest import PACKAGER_DEPARTURES, check_app_manifest, written_by_packager
from gastromap.packaging.check_dockerfile import check_dockerfile
from gastromap.packaging.check_entrypoint import check_entrypoint
from gastromap.packaging.check_files import check_application, check_documents, check_modes, check_strays
from gastromap.packaging.check_findings import CheckPart, Finding, Source, relaxed
from gastromap.packaging.check_layout import MapTree, Profile
from gastromap.packaging.check_pkg_manifest import check_models, check_pkg_manifest
from gastromap.packaging.check_reading import as_mapping, read_json, read_text, read_yaml, shown
from gastromap.packaging.check_requirements import check_requirements, pinned_versions
from gastromap.packaging.check_versions import check_configuration, check_one_version, package_version

__all__ = ["check_tree", "tree_pins"]

_SDK = "monai-deploy-app-sdk"
#: What GastroMAP asks of itself and another author may have good reasons to do otherwise.
_ADVICE = frozenset({
    "config-application", "config-title", "config-version", "config-formats", "config-formats-equal",
    "config-resources", "config-resources-equal", "docker-network", "mode", "stray",
    "requirements-missing", "requirements-pin", "requirements-line", "requirements-twice", "requirements-newline",
    "requirements-differ",
})  # fmt: skip


def check_tree(tree: MapTree, profile: Profile, *, run_entrypoint: bool = True) -> tuple[CheckPart, ...]:
    """Check manifests, versions, requirements, files, Dockerfile and entrypoint of a package.

    Parameters
    ----------
    tree : MapTree
        From :func:`gastromap.packaging.check_layout.find_tree`.
    profile : {"generic", "gastromap"}
    run_entrypoint : bool
        Whether to run the entrypoint of a build context under ``sh``; everything else only reads.

    Returns
    -------
    tuple of CheckPart
        In the order of the checks. Parts that such a tree does not have are left out.
    """
    manifests: list[Finding] = []
    app, pkg = (
        _object(read_json(path, tree.name(path), Source.SPECIFICATION), manifests)
        for path in (tree.app_manifest, tree.pkg_manifest)
    )
    if app:
        manifests += check_app_manifest(app)
    if pkg:
        manifests += check_pkg_manifest(pkg)
    parts = [CheckPart("manifests", tuple(manifests))]
    parts.append(CheckPart("models", tuple(check_models(pkg, tree.models, profile))))
    parts.append(CheckPart("versions", tuple(_versions(tree, app, pkg, profile))))
    parts.append(CheckPart("requirements", tuple(_requirements(tree, app, pkg, profile))))
    files: list[Callable[[], Iterable[Finding]]] = [
        lambda: check_application(tree, app, profile),
        lambda: check_documents(tree, profile),
        lambda: check_strays(tree, profile),
    ]
    if tree.kind == "context":
        files.append(lambda: check_modes(tree))
    parts.append(CheckPart("files", tuple(finding for check in files for finding in check())))
    if tree.dockerfile is not None:
        parts.append(CheckPart("Dockerfile", tuple(_dockerfile(tree, tree.dockerfile, app))))
    if tree.kind == "context" and tree.entrypoint is not None:
        parts.append(_entrypoint(tree, tree.entrypoint, run=run_entrypoint))
    mild = _ADVICE if profile == "generic" else frozenset()
    if written_by_packager(app, pkg):
        mild |= PACKAGER_DEPARTURES
    return tuple(CheckPart(part.name, relaxed(part.findings, mild), part.skipped) for part in parts)


def tree_pins(tree: MapTree) -> dict[str, str]:
    """Give the exact versions that the package's first requirements file names."""
    for path in tree.requirements:
        text = read_text(path, tree.name(path), Source.HARDENING)
        if isinstance(text, str):
            return pinned_versions(text)
    return {}


def _object(read: dict[str, Any] | Finding, findings: list[Finding]) -> dict[str, Any]:
    if isinstance(read, Finding):
        findings.append(read)
        return {}
    return read


def _versions(tree: MapTree, app: Mapping[str, Any], pkg: Mapping[str, Any], profile: Profile) -> Iterable[Finding]:
    name = tree.name(tree.config)
    findings: list[Finding] = []
    config: dict[str, Any] = {}
    if tree.config.is_file() or profile == "gastromap":
        config = _object(read_yaml(tree.config, name, Source.HOLOSCAN), findings)
    if config:
        findings += check_configuration(config, name, app, pkg)
    places: dict[str, object] = {"app.json": app.get("version"), "pkg.json": pkg.get("version")}
    places[name] = as_mapping(config.get("application")).get("version")
    if profile == "gastromap":
        places["gastromap.__version__"] = package_version(tree.app / "gastromap")
    return findings + list(check_one_version(places))


def _requirements(tree: MapTree, app: Mapping[str, Any], pkg: Mapping[str, Any], profile: Profile) -> Iterable[Finding]:
    present = [path for path in tree.requirements if path.is_file()]
    if not present and (tree.kind == "context" or profile == "gastromap"):
        name = tree.name(tree.requirements[0])
        return [Finding("requirements-missing", "error", name, "", "exact versions", "none", Source.HARDENING)]
    findings: list[Finding] = []
    texts: dict[str, str] = {}
    for path in present:
        text = read_text(path, tree.name(path), Source.HARDENING)
        if isinstance(text, Finding):
            findings.append(text)
        else:
            texts[tree.name(path)] = text
    cpu = pkg.get("platformConfig") != "dgpu"
    for name, text in texts.items():
        findings += check_requirements(text, name, profile, cpu=cpu)
        pin = pinned_versions(text).get(_SDK)
        if app.get("sdk") == "monai-deploy" and pin is not None and app.get("sdkVersion") != pin:
            wanted = f"{shown(pin)} as pinned in {name}"
            found = shown(app.get("sdkVersion"))
            findings.append(
                Finding("sdk-version", "error", "app.json", "sdkVersion", wanted, found, Source.SPECIFICATION)
            )
    if len(set(texts.values())) > 1:
        findings.append(
            Finding(
                "requirements-differ",
                "error",
                " and ".join(texts),
                "",
                "the same lines",
                "different ones",
                Source.HOLOSCAN,
            )
        )
    return findings


def _dockerfile(tree: MapTree, path: Path, app: Mapping[str, Any]) -> Iterable[Finding]:
    text = read_text(path, tree.name(path), Source.HARDENING)
    if isinstance(text, Finding):
        return [text]
    return check_dockerfile(text, as_mapping(app.get("environment")), tree_pins(tree), tree.name(path))


def _entrypoint(tree: MapTree, path: Path, *, run: bool) -> CheckPart:
    name = tree.name(path)
    if not path.is_file():
        missing = Finding("entrypoint-missing", "error", name, "", "a program", "none", Source.SPECIFICATION)
        return CheckPart("entrypoint", (missing,))
    if not run:
        asked = Finding(
            "entrypoint-not-run", "note", name, "", "a run under sh", "left out, as asked", Source.GASTROMAP
        )
        return CheckPart("entrypoint", (asked,))
    return CheckPart("entrypoint", tuple(check_entrypoint(path, name)))
