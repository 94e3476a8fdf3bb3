"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import SimpleITK
import torch

from gastromap.cores import usable_cores

__all__ = ["load_average", "machine"]

_PACKAGES = (
    "torch",
    "torchvision",
    "monai",
    "monai-deploy-app-sdk",
    "holoscan-cu13",
    "simpleitk",
    "grad-cam",
    "pydicom",
    "highdicom",
)


def machine(device: torch.device) -> dict[str, object]:
    """Processor, device, threads and versions, as plain values."""
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "device": str(device),
        "torch_threads": torch.get_num_threads(),
        "simpleitk_threads": SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
    }


def load_average() -> float:
    """Processes that wanted a core in the last minute; above the number of cores the figures are too high."""
    return round(os.getloadavg()[0], 2)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
