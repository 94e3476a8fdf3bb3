"""``app.json``: the tables of the MAP specification 1.0.0, and what NVIDIA's runner reads besides.

The field tables type the formats as objects while the prose names the values ``none``, ``network``, ``file`` and
``screen``; both are accepted here, other words are a warning.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from gastromap.packaging.check_findings import Finding, Source
from gastromap.packaging.check_reading import shown
from gastromap.packaging.configuration import is_semver

__all__ = [
    "PACKAGER_DEPARTURES",
    "REQUIRED_VARIABLES",
    "check_app_manifest",
    "command_words",
    "written_by_packager",
]

#: MAP specification 1.0.0, table of app.json#environment.
REQUIRED_VARIABLES = (
    "HOLOSCAN_INPUT_PATH",
    "HOLOSCAN_OUTPUT_PATH",
    "HOLOSCAN_WORKDIR",
    "HOLOSCAN_MODEL_PATH",
    "HOLOSCAN_CONFIG_PATH",
    "HOLOSCAN_APP_MANIFEST_PATH",
    "HOLOSCAN_PKG_MANIFEST_PATH",
    "HOLOSCAN_DOCS",
    "HOLOSCAN_LOGS",
)
#: NVIDIA's names for two of them.
_TWINS = {"HOLOSCAN_DOCS": "HOLOSCAN_DOCS_PATH", "HOLOSCAN_LOGS": "HOLOSCAN_LOGS_PATH"}
_FORMATS = ("none", "network", "file", "screen")
_TYPES = ("application", "service")
_KEYS = frozenset({
    "apiVersion", "command", "environment", "input", "liveness", "output", "readiness", "sdk", "sdkVersion", "timeout",
    "type", "version", "workingDirectory",
})  # fmt: skip

#: Rules that the packager of holoscan-cli 4.2.0 is known to break, whatever the author writes.
PACKAGER_DEPARTURES = frozenset({
    "app-type", "app-command-list", "app-environment", "app-environment-absolute", "app-input-formats",
    "app-output-format", "pkg-models-list", "app-version", "pkg-version", "version-equal",
})  # fmt: skip

_error = partial(Finding, level="error", file="app.json", source=Source.SPECIFICATION)
_warning = partial(Finding, level="warning", file="app.json", source=Source.SPECIFICATION)


def written_by_packager(app: Mapping[str, Any], pkg: Mapping[str, Any]) -> bool:
    """Whether NVIDIA's packager wrote the manifests: a JSON list as command, models as an object."""
    return _command_list(app.get("command")) is not None and isinstance(pkg.get("models"), Mapping)


def check_app_manifest(app: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what is wrong with the content of ``app.json``."""
    yield from _command(app.get("command"))
    yield from _environment(app.get("environment"))
    yield from _input(app.get("input"))
    yield from _output(app.get("output"))
    if app.get("type") not in _TYPES:
        yield _error("app-type", field="type", expected=" or ".join(_TYPES), found=shown(app.get("type")))
    if not is_semver(app.get("version")):
        yield _error("app-version", field="version", expected="a semantic version", found=shown(app.get("version")))
    if "apiVersion" in app and not is_semver(app["apiVersion"]):
        yield _error("app-api", field="apiVersion", expected="a semantic version", found=shown(app["apiVersion"]))
    yield from _optional(app)


def _command_list(command: object) -> list[Any] | None:
    if not isinstance(command, str) or not command.lstrip().startswith("["):
        return None
    try:
        parsed = json.loads(command)
    except json.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, list) else None


def command_words(command: object) -> list[str]:
    """Give the words of a command, also of one that is a JSON list; none if it is neither."""
    listed = _command_list(command)
    if listed is not None:
        return [str(word) for word in listed]
    try:
        return shlex.split(command) if isinstance(command, str) else []
    except ValueError:
        return []


def _command(command: object) -> Iterator[Finding]:
    if not isinstance(command, str) or not command.strip():
        yield _error("app-command", field="command", expected="a shell command", found=shown(command))
    elif _command_list(command) is not None:
        yield _error(
            "app-command-list", field="command", expected="a shell command", found="a JSON list, which no shell runs"
        )
    else:
        try:
            shlex.split(command)
        except ValueError:
            yield _error("app-command", field="command", expected="a shell command", found="an open quotation mark")


def _environment(environment: object) -> Iterator[Finding]:
    if not isinstance(environment, Mapping):
        yield _error("app-environment", field="environment", expected="an object", found=shown(environment))
        return
    for name in REQUIRED_VARIABLES:
        if name not in environment:
            yield _error("app-environment", field=f"environment.{name}", expected="a path", found="none")
    for ours, theirs in _TWINS.items():
        if ours in environment and theirs not in environment:
            yield _warning(
                "app-environment-twin",
                field=f"environment.{theirs}",
                expected=f"the value of {ours}",
                found="none",
                source=Source.HOLOSCAN,
            )
        elif ours in environment and environment[theirs] != environment[ours]:
            yield _error(
                "app-environment-twin",
                field=f"environment.{theirs}",
                expected=f"{shown(environment[ours])} as in {ours}",
                found=shown(environment[theirs]),
                source=Source.HOLOSCAN,
            )
    for name, value in environment.items():
        if not isinstance(value, str):
            yield _error(
                "app-environment-type", field=f"environment.{name}", expected="text", found=type(value).__name__
            )
        elif name in REQUIRED_VARIABLES and not value.startswith("/"):
            yield _error(
                "app-environment-absolute",
                field=f"environment.{name}",
                expected="an absolute path",
                found=shown(value),
            )


def _input(section: object) -> Iterator[Finding]:
    if not isinstance(section, Mapping):
        yield _error("app-input", field="input", expected="an object with formats", found=shown(section))
        return
    formats = section.get("formats")
    if not isinstance(formats, list) or not formats:
        yield _error("app-input-formats", field="input.formats", expected="a list", found=shown(formats))
    else:
        yield from _words(formats, "input.formats")
    yield from _path(section, "input.path")


def _output(section: object) -> Iterator[Finding]:
    if not isinstance(section, Mapping):
        yield _error("app-output", field="output", expected="an object with format", found=shown(section))
        return
    single, several = section.get("format"), section.get("formats")
    if not isinstance(single, str | Mapping) or not single:
        yield _error("app-output-format", field="output.format", expected="a format", found=shown(single))
    else:
        yield from _words([single], "output.format")
    if not isinstance(several, list):
        yield _warning(
            "app-output-formats",
            field="output.formats",
            expected="a list",
            found=shown(several),
            source=Source.HOLOSCAN,
        )
    elif isinstance(single, str) and single not in several:
        yield _error(
            "app-output-formats",
            field="output.formats",
            expected=f"a list with {shown(single)}",
            found=shown(several),
            source=Source.HOLOSCAN,
        )
    yield from _path(section, "output.path")


def _words(formats: list[Any], field: str) -> Iterator[Finding]:
    for value in formats:
        if isinstance(value, str):
            if value not in _FORMATS:
                yield _warning("app-format-word", field=field, expected=", ".join(_FORMATS), found=shown(value))
        elif not isinstance(value, Mapping):
            yield _error("app-format-type", field=field, expected="text or an object", found=shown(value))


def _path(section: Mapping[str, Any], field: str) -> Iterator[Finding]:
    value = section.get("path")
    if value is not None and (not isinstance(value, str) or not value):
        yield _error("app-path", field=field, expected="a path", found=shown(value))


def _optional(app: Mapping[str, Any]) -> Iterator[Finding]:
    timeout = app.get("timeout", 0)
    if isinstance(timeout, bool) or not isinstance(timeout, int) or timeout < 0:
        yield _error("app-timeout", field="timeout", expected="whole seconds, 0 for none", found=shown(timeout))
    for name in ("readiness", "liveness"):
        probe = app.get(name)
        if probe is not None and not isinstance(probe, Mapping):
            yield _error("app-probe", field=name, expected="an object", found=shown(probe))
        elif probe is None and app.get("type") == "service":
            yield _warning("app-probe", field=name, expected="a probe, since type is service", found="none")
    for name in ("sdk", "sdkVersion", "workingDirectory"):
        if name in app and (not isinstance(app[name], str) or not app[name]):
            yield _error("app-text", field=name, expected="text", found=shown(app[name]))
    folder = app.get("workingDirectory", "/")
    if isinstance(folder, str) and not folder.startswith("/"):
        yield _error("app-directory", field="workingDirectory", expected="an absolute path", found=shown(folder))
    for name in sorted(set(app) - _KEYS):
        kind = "a key of releases 0.x" if "-" in name else "a key outside the specification"
        yield _warning("app-key", field=name, expected="keys of the specification", found=kind)
