"""A small build context that conforms, written by hand from the tables of the MAP specification 1.0.0.

The application is called GastroMAP and does nothing. Tests break one thing and look for its finding.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "APP",
    "CONFIG",
    "DOCKERFILE",
    "ENTRYPOINT",
    "ENVIRONMENT",
    "PKG",
    "REQUIREMENTS",
    "edit_json",
    "write_context",
]

ENVIRONMENT = {
    "HOLOSCAN_APPLICATION": "/opt/holoscan/app",
    "HOLOSCAN_WORKDIR": "/var/holoscan/",
    "HOLOSCAN_INPUT_PATH": "/var/holoscan/input/",
    "HOLOSCAN_OUTPUT_PATH": "/var/holoscan/output/",
    "HOLOSCAN_MODEL_PATH": "/opt/holoscan/models/",
    "HOLOSCAN_CONFIG_PATH": "/var/holoscan/app.yaml",
    "HOLOSCAN_APP_MANIFEST_PATH": "/etc/holoscan/app.json",
    "HOLOSCAN_PKG_MANIFEST_PATH": "/etc/holoscan/pkg.json",
    "HOLOSCAN_DOCS": "/opt/holoscan/docs",
    "HOLOSCAN_DOCS_PATH": "/opt/holoscan/docs",
    "HOLOSCAN_LOGS": "/var/holoscan/logs",
    "HOLOSCAN_LOGS_PATH": "/var/holoscan/logs",
}
APP: dict[str, Any] = {
    "apiVersion": "1.0.0",
    "version": "0.1.0",
    "type": "application",
    "command": "python3 /opt/holoscan/app",
    "environment": ENVIRONMENT,
    "input": {"path": "input/", "formats": ["file"]},
    "output": {"path": "output/", "format": "file", "formats": ["file"]},
    "readiness": None,
    "liveness": None,
    "timeout": 0,
    "sdk": "monai-deploy",
    "sdkVersion": "4.0.0",
    "workingDirectory": "/var/holoscan/",
}
PKG: dict[str, Any] = {
    "apiVersion": "1.0.0",
    "version": "0.1.0",
    "applicationRoot": "/opt/holoscan/app/",
    "modelRoot": "/opt/holoscan/models/",
    "models": [{"name": "stage", "path": "stage"}],
    "platformConfig": "cpu",
    "resources": {"cpu": 2, "gpu": 0, "memory": "4Gi", "gpuMemory": "4Gi", "sharedMemory": "64Mi"},
}
CONFIG = """application:
  title: GastroMAP
  version: "0.1.0"
  inputFormats: [file]
  outputFormats: [file]
  input-formats: [file]
  output-formats: [file]
resources: {cpu: 2, gpu: 0, memory: 4Gi, gpuMemory: 4Gi, sharedMemory: 64Mi}
"""
REQUIREMENTS = """# the image
monai-deploy-app-sdk==4.0.0
holoscan-cu13==4.2.0
nvidia-cuda-runtime==13.0.96
torch==2.13.0
"""
DOCKERFILE = (
    """ARG BASE=base:1
FROM ${BASE} AS build
COPY wheelhouse /wheelhouse
RUN python3 -m venv /opt/venv && cd /opt/venv \\
 # a comment within
 && bin/pip install --no-index --find-links /wheelhouse -r /tmp/requirements.txt

FROM ${BASE} AS release
ARG UID=1000
ARG GID=1000
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="GastroMAP" org.opencontainers.image.version="${VERSION}"
ENV """
    + " \\\n    ".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
    + """
COPY app /opt/holoscan/app
USER ${UID}:${GID}
ENTRYPOINT ["/var/holoscan/tools"]
"""
)
ENTRYPOINT = """#!/bin/sh
set -u
x=$HOLOSCAN_EXPORT_PATH
die() { echo "map: $*" >&2; exit 64; }
part() { # part NAME DESTINATION
  [ -w "$2" ] || die "$2 is not writable"
  case $1 in
    app)    cp -r "$HOLOSCAN_APPLICATION/." "$2/" ;;
    config) cp "$HOLOSCAN_APP_MANIFEST_PATH" "$HOLOSCAN_PKG_MANIFEST_PATH" "$HOLOSCAN_CONFIG_PATH" "$2/" ;;
    models) cp -r "$HOLOSCAN_MODEL_PATH/." "$2/" ;;
    docs)   cp -r "$HOLOSCAN_DOCS_PATH/." "$2/" ;;
  esac
}
case "${1:-}" in
  show)
    case "${2:-all}" in
      app) cat "$HOLOSCAN_APP_MANIFEST_PATH" ;;
      pkg) cat "$HOLOSCAN_PKG_MANIFEST_PATH" ;;
      all) cat "$HOLOSCAN_APP_MANIFEST_PATH" "$HOLOSCAN_PKG_MANIFEST_PATH" ;;
      *) die "show [app|pkg]" ;;
    esac ;;
  extract)
    some=
    [ -d "$x" ] || die "mount a folder"
    for d in app config models docs; do [ ! -d "$x/$d" ] || { part $d "$x/$d" || exit 1; some=1; }; done
    [ -n "$some" ] || {
      [ -w "$x" ] || die "$x is not writable"
      for d in app config models docs; do mkdir "$x/$d" && part $d "$x/$d" || exit 1; done; } ;;
  *) cd "$HOLOSCAN_WORKDIR" || exit 1
     exec python3 "$HOLOSCAN_APPLICATION" "$@" ;;
esac
"""


def write_context(root: Path) -> Path:
    """Write the context and give its folder."""
    files = {
        "map/app.json": json.dumps(APP),
        "map/pkg.json": json.dumps(PKG),
        "app.config": CONFIG,
        "pip/requirements.txt": REQUIREMENTS,
        "app/requirements.txt": REQUIREMENTS,
        "app/__main__.py": "",
        "app/app/__init__.py": "",
        "app/operators/__init__.py": "",
        "app/gastromap/__init__.py": '__version__ = "0.1.0"\n',
        "models/stage/configs/metadata.json": "{}",
        "models/stage/models/model.pt": "weights",
        "docs/README.md": "read",
        "docs/LICENSE": "licence",
        "Dockerfile": DOCKERFILE,
        "tools": ENTRYPOINT,
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.name == "tools" else 0o644)
    return root


def edit_json(path: Path, change: Callable[[dict[str, Any]], object] | Mapping[str, Any]) -> None:
    """Change a JSON file in place: by a function, or by values where None takes a field out."""
    content = json.loads(path.read_text())
    if callable(change):
        change(content)
    else:
        for name, value in change.items():
            content.pop(name, None)
            if value is not None:
                content[name] = value
    path.write_text(json.dumps(content))


def places(node: Any) -> list[tuple[Any, Any]]:
    """Give every place of nested JSON as its owner and its key, so that a test can put something else there."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    found = []
    for key, value in list(items):
        found += [(node, key), *places(value)]
    return found
