"""One version everywhere, and one configuration that says what the manifests say."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gastromap.packaging.check_findings import Finding, Source
from gastromap.packaging.check_reading import as_mapping, shown
from gastromap.packaging.configuration import is_semver

__all__ = ["check_configuration", "check_one_version", "package_version"]

_SPELLINGS = (("inputFormats", "input-formats"), ("outputFormats", "output-formats"))
#: The GPU package asks for a GPU where the configuration asks for none.
_DIFFERS_BY_FLAVOUR = frozenset({"gpu"})


def package_version(package: Path) -> str | None:
    """Read ``__version__`` of a Python package without importing it."""
    try:
        module = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None
    for line in module.body:
        if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant):
            names = [target.id for target in line.targets if isinstance(target, ast.Name)]
            if "__version__" in names and isinstance(line.value.value, str):
                return line.value.value
    return None


def check_one_version(versions: Mapping[str, object]) -> Iterator[Finding]:
    """Hold the versions of several places against that of ``app.json``.

    Parameters
    ----------
    versions : mapping of str to object
        Place to version, ``app.json`` among them; None where a place has none and need not have one.
    """
    wanted = versions.get("app.json")
    for place, found in versions.items():
        if found is not None and found != wanted:
            yield Finding(
                "version-equal",
                "error",
                place,
                "version",
                f"{shown(wanted)} as in app.json",
                shown(found),
                Source.SPECIFICATION,
            )


def check_configuration(
    config: Mapping[str, Any], name: str, app: Mapping[str, Any], pkg: Mapping[str, Any]
) -> Iterator[Finding]:
    """Check the configuration that packaging reads, and hold the manifests against it.

    Parameters
    ----------
    config : mapping
        ``MAP.yaml``, in the image ``/var/holoscan/app.yaml``.
    name : str
        Its name in findings.
    app, pkg : mapping
        The manifests; empty ones are not compared.
    """
    error = partial(Finding, level="error", file=name, source=Source.HOLOSCAN)
    application, resources = config.get("application"), config.get("resources")
    if not isinstance(application, Mapping):
        yield error("config-application", field="application", expected="a section", found=shown(application))
        application = {}
    elif not isinstance(application.get("title"), str) or not application["title"].strip():
        yield error(
            "config-title", field="application.title", expected="a title", found=shown(application.get("title"))
        )
    if application and not is_semver(application.get("version")):
        yield error(
            "config-version",
            field="application.version",
            expected="a quoted semantic version",
            found=shown(application.get("version")),
        )
    yield from _formats(application, name, app)
    if not isinstance(resources, Mapping):
        yield error("config-resources", field="resources", expected="a section", found=shown(resources))
        return
    stated = pkg.get("resources")
    for key, value in resources.items():
        if isinstance(stated, Mapping) and key in stated and key not in _DIFFERS_BY_FLAVOUR and stated[key] != value:
            yield error(
                "config-resources-equal",
                field=f"resources.{key}",
                expected=f"{shown(stated[key])} as in pkg.json",
                found=shown(value),
            )


def _formats(application: Mapping[str, Any], name: str, app: Mapping[str, Any]) -> Iterator[Finding]:
    error = partial(Finding, level="error", file=name, source=Source.HOLOSCAN)
    stated = {
        "inputFormats": as_mapping(app.get("input")).get("formats"),
        "outputFormats": as_mapping(app.get("output")).get("formats"),
    }
    for examples, packager in _SPELLINGS:
        # The SDK's examples say inputFormats, its packager reads input-formats and writes null without it.
        if packager not in application:
            yield error("config-formats", field=f"application.{packager}", expected="a list", found="none")
        elif examples in application and application[examples] != application[packager]:
            yield error(
                "config-formats",
                field=f"application.{examples}",
                expected=f"{shown(application[packager])} as in {packager}",
                found=shown(application[examples]),
            )
        elif isinstance(stated[examples], list) and stated[examples] != application[packager]:
            yield error(
                "config-formats-equal",
                field=f"application.{packager}",
                expected=f"{shown(stated[examples])} as in app.json",
                found=shown(application[packager]),
            )
