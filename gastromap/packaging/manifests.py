"""``app.json`` and ``pkg.json`` of a MONAI Application Package (specification 1.0.0).

Two readers must understand them, the specification and NVIDIA's runner (holoscan-cli 4.2.0); where they name a thing
differently, both names are written. The specification's table types formats as objects, its prose names the values;
NVIDIA writes strings, and so do we.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from gastromap.packaging.configuration import MapConfiguration

__all__ = [
    "ENVIRONMENT",
    "MODEL_ROOT",
    "SDK_VERSION",
    "Flavour",
    "app_manifest",
    "package_manifest",
    "write_manifests",
]

#: Which PyTorch the image holds.
Flavour = Literal["cpu", "gpu"]

#: Version of the MONAI Deploy App SDK in the image; the same as in packaging/requirements.txt.
SDK_VERSION = "4.0.0"
MODEL_ROOT = "/opt/holoscan/models/"
_APPLICATION = "/opt/holoscan/app"

#: Nine variables of the specification, the names that NVIDIA gives two of them, and its folder of the application.
ENVIRONMENT = {
    "HOLOSCAN_APPLICATION": _APPLICATION,
    "HOLOSCAN_WORKDIR": "/var/holoscan/",
    "HOLOSCAN_INPUT_PATH": "/var/holoscan/input/",
    "HOLOSCAN_OUTPUT_PATH": "/var/holoscan/output/",
    "HOLOSCAN_MODEL_PATH": MODEL_ROOT,
    "HOLOSCAN_CONFIG_PATH": "/var/holoscan/app.yaml",
    "HOLOSCAN_APP_MANIFEST_PATH": "/etc/holoscan/app.json",
    "HOLOSCAN_PKG_MANIFEST_PATH": "/etc/holoscan/pkg.json",
    "HOLOSCAN_DOCS": "/opt/holoscan/docs",
    "HOLOSCAN_DOCS_PATH": "/opt/holoscan/docs",
    "HOLOSCAN_LOGS": "/var/holoscan/logs",
    "HOLOSCAN_LOGS_PATH": "/var/holoscan/logs",
}


def app_manifest(configuration: MapConfiguration) -> dict[str, Any]:
    """Content of ``/etc/holoscan/app.json``.

    Returns
    -------
    dict
        Ready for JSON. ``timeout`` 0 is none.
    """
    output = list(configuration.output_formats)
    return {
        "apiVersion": "1.0.0",
        "version": configuration.version,
        "type": "application",
        "command": f"python3 {_APPLICATION}",
        "environment": dict(ENVIRONMENT),
        "input": {"path": "input/", "formats": list(configuration.input_formats)},
        "output": {"path": "output/", "format": output[0], "formats": output},
        "readiness": None,
        "liveness": None,
        "timeout": 0,
        "sdk": "monai-deploy",
        "sdkVersion": SDK_VERSION,
        "workingDirectory": "/var/holoscan/",
    }


def package_manifest(configuration: MapConfiguration, *, flavour: Flavour, models: Sequence[str]) -> dict[str, Any]:
    """Content of ``/etc/holoscan/pkg.json``.

    Parameters
    ----------
    configuration : MapConfiguration
    flavour : {"cpu", "gpu"}
        The GPU package asks for one GPU at least.
    models : sequence of str
        Names of the folders below the model root.

    Returns
    -------
    dict
        Ready for JSON.
    """
    wanted = configuration.resources
    return {
        "apiVersion": "1.0.0",
        "version": configuration.version,
        "applicationRoot": f"{_APPLICATION}/",
        "modelRoot": MODEL_ROOT,
        "models": [{"name": name, "path": name} for name in sorted(models)],
        # NVIDIA's runner takes it for the kind of device.
        "platformConfig": "dgpu" if flavour == "gpu" else "cpu",
        "resources": {
            "cpu": wanted.cpu,
            "gpu": max(1, wanted.gpu) if flavour == "gpu" else 0,
            "memory": wanted.memory,
            "gpuMemory": wanted.gpu_memory,
            "sharedMemory": wanted.shared_memory,
        },
    }


def write_manifests(
    folder: Path, configuration: MapConfiguration, *, flavour: Flavour, models: Sequence[str]
) -> tuple[Path, Path]:
    """Write both manifests into ``folder``, which is made if it is missing.

    Returns
    -------
    tuple of Path
        ``app.json`` and ``pkg.json``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "app.json": app_manifest(configuration),
        "pkg.json": package_manifest(configuration, flavour=flavour, models=models),
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return folder / "app.json", folder / "pkg.json"
