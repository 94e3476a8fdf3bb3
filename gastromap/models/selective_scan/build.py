"""Compiles ``scan.cpp`` once for this processor and version of PyTorch, into the user's cache.

The name of the file holds a digest of the source, the options, the version of PyTorch and the features of the
processor: a cache that is moved or shared between machines never yields instructions that this one lacks. Processes
that build at the same time each write a file of their own and rename it, so no process loads half a file and none
waits for another that has died.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import stat
import subprocess
import tempfile
from pathlib import Path

import torch

__all__ = ["BuildError", "cache_folder", "library"]

_log = logging.getLogger(__name__)

_SOURCE = Path(__file__).with_name("scan.cpp")
# Not -ffast-math: it would drop NaN. These two only tell that nobody asks for errno or floating-point traps.
_OPTIONS = (
    "-O3",
    "-march=native",
    "-std=c++20",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fopenmp",
    "-fPIC",
    "-shared",
)
_TIMEOUT_S = 300


class BuildError(Exception):
    """Why there is no compiled scan, in a few words without a path; turned into an error or a log line by callers."""


def library() -> ctypes.CDLL:
    """Compiled scan, from the cache or built now.

    Raises
    ------
    BuildError
        Without a compiler or a folder to write to, or if compiling or loading fails.
    """
    if os.name != "posix":
        msg = f"it is not built on this system ({os.name})"
        raise BuildError(msg)
    folder = cache_folder()
    target = folder / f"scan-{_digest()}.so"
    if target.is_file():
        try:
            return ctypes.CDLL(str(target))
        except OSError:
            # A damaged file, or one of a machine with another C library: make it anew.
            _log.debug("selective scan: the compiled file in the cache cannot be loaded and is built again")
    _build(target)
    try:
        return ctypes.CDLL(str(target))
    except OSError as error:
        msg = f"the compiled file cannot be loaded ({type(error).__name__})"
        raise BuildError(msg) from error


def cache_folder() -> Path:
    """Folder of compiled files; made if it is absent.

    Raises
    ------
    BuildError
        If it cannot be made, or others may write to it: what lies in it is executed.
    """
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = base / "gastromap" / "selective_scan"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except (OSError, RuntimeError) as error:
        msg = f"the cache folder of the user cannot be made ({type(error).__name__})"
        raise BuildError(msg) from error
    if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        msg = "other users may write to the cache folder"
        raise BuildError(msg)
    return folder


def _digest() -> str:
    facts = (
        _SOURCE.read_text(encoding="utf-8"),
        *_OPTIONS,
        torch.__version__,
        platform.machine(),
        _processor_features(),
    )
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]


def _processor_features() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    # "flags" on x86, "Features" on ARM; the model too, as -march=native also tunes by it.
    wanted = ("flags", "features", "model name", "cpu part")
    return "\n".join(sorted({line for line in lines if line.lower().startswith(wanted)}))


def _build(target: Path) -> None:
    # What torch.utils.cpp_extension would name; it needs setuptools, which a runtime may lack, and looks for CUDA.
    torch_folder = Path(torch.__file__).parent
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    options = (*_OPTIONS, f"-isystem{torch_folder / 'include'}", f"-L{torch_folder / 'lib'}")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="build-") as scratch:
            made = Path(scratch) / target.name
            command = [*compiler, *options, str(_SOURCE), "-o", str(made), "-ltorch_cpu", "-lc10"]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)  # noqa: S603
            os.replace(made, target)
    except subprocess.CalledProcessError as error:
        _log.debug("selective scan: %s", error.stderr)
        msg = f"the C++ compiler ended with status {error.returncode}"
        raise BuildError(msg) from error
    except subprocess.TimeoutExpired as error:
        msg = f"the C++ compiler took more than {_TIMEOUT_S} s"
        raise BuildError(msg) from error
    except OSError as error:
        msg = f"no C++ compiler can be started and its result stored ({type(error).__name__})"
        raise BuildError(msg) from error
