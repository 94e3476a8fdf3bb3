"""Make the root tree of the image from the virtual environment and the few files of the base that it needs.

Runs in the first stage of the Dockerfile, as root, with the Python of the virtual environment; standard library only.
What is left out cannot be misused and need not be licensed: package manager, compiler, pip, shell tools, and those
modules of the standard library that pull in GPL or Sleepycat libraries (readline, dbm).
"""

from __future__ import annotations

import argparse
import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

VENV = Path(sys.prefix)
SITE = Path(sysconfig.get_path("purelib"))
STDLIB = Path(sysconfig.get_path("stdlib"))

#: Command lines of Holoscan and Triton, and clients of networks: the SDK asks for them, the application imports none.
UNUSED = [
    "holoscan-cli", "perf-analyzer",
    "aiohttp", "aiosignal", "aiohappyeyeballs", "frozenlist", "multidict", "propcache", "yarl", "urllib3",
]  # fmt: skip
#: Without a GPU.
UNUSED_ON_CPU = ["cupy-cuda13x", "cuda-python", "cuda-core", "cuda-bindings"]
#: Fonts under the GPL in a package under the BSD licence.
GPL_FONTS = "reportlab/fonts/DarkGarden*"
#: Last, as pip removes the others.
INSTALLERS = ["setuptools", "pip"]
#: Parts of PyTorch that compile or test.
TORCH_PARTS = ["test", "include", "share"]
#: The one program without which `import torch` fails.
TORCH_PROGRAM = "torch_shm_manager"
STDLIB_PARTS = {
    "test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "venv", "pydoc_data", "distutils",
    "site-packages", "dist-packages", "__pycache__", "turtle.py",
}  # fmt: skip
#: Files that serve whoever compiles or type-checks.
DEVELOPMENT = {".a", ".pyx", ".pxd", ".pyi"}
#: Extensions whose libraries are under GPL (readline), LGPL (crypt, nis) or Sleepycat's licence (dbm), or need a
#: terminal or a display.
EXTENSIONS = (
    "readline", "_crypt", "_dbm", "_gdbm", "_curses", "_tkinter", "nis", "_test", "_ctypes_test", "xx", "_xxtestfuzz",
)  # fmt: skip
ETC = ("/etc/ld.so.conf", "/etc/os-release", "/etc/debian_version")
#: Where `import holoscan` finds the CUDA runtime of its wheel.
CUDA_CONF = "/etc/ld.so.conf.d/cuda-wheel.conf"
FOLDERS = ("/usr/lib/locale/C.utf8", "/usr/share/zoneinfo")


def prune(flavour: str) -> None:
    """Take out of the virtual environment what the application never imports."""
    unused = UNUSED + (UNUSED_ON_CPU if flavour == "cpu" else [])
    subprocess.run([sys.executable, "-m", "pip", "uninstall", "-q", "-y", *unused, *INSTALLERS], check=True)
    for name in ("_distutils_hack", "distutils-precedence.pth", "pkg_resources"):
        _remove(SITE / name)
    for font in SITE.glob(GPL_FONTS):
        _remove(font)
    if flavour == "cpu":
        for part in TORCH_PARTS:
            _remove(SITE / "torch" / part)
    # In the GPU flavour PyTorch and Triton keep their programs.
    for path in list((SITE if flavour == "cpu" else SITE / "_gdcm").rglob("*")):
        if _is_elf(path) and ".so" not in path.name and path.name != TORCH_PROGRAM:
            _remove(path)
    for sample in list(SITE.rglob("*.dcm")):
        _remove(sample)
    for folder in sorted(VENV.rglob("*"), reverse=True):
        unused = folder.name in {"__pycache__", "tests"} if folder.is_dir() else folder.suffix in DEVELOPMENT
        # Licence texts of test code that no wheel holds, the GPL among them.
        unused |= folder.name == "test" and ".dist-info" in str(folder)
        if unused:
            _remove(folder)
    for script in (VENV / "bin").iterdir():
        if not script.name.startswith("python"):
            _remove(script)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Root:
    """The tree under construction; remembers which files of the base went into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: set[str] = set()
        for name in ("bin", "lib", "lib64", "sbin"):
            if os.path.islink(f"/{name}"):
                (folder / name).symlink_to(os.readlink(f"/{name}"))

    def add(self, path: str) -> None:
        """Copy a file, and each link on the way to it."""
        while True:
            path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
            target = self.folder / path.lstrip("/")
            if os.path.lexists(target) or not os.path.lexists(path):
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            if not os.path.islink(path):
                shutil.copy2(path, target)
                self.files.add(path)
                return
            link = os.readlink(path)
            target.symlink_to(link)
            path = os.path.join(os.path.dirname(path), link)

    def add_tree(self, folder: Path) -> None:
        """Copy all files of a folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.add(str(path))


def libraries(programs: Iterable[Path]) -> set[str]:
    """Shared libraries outside of the virtual environment that programs and libraries ask for."""
    found: set[str] = set()
    names = [str(path) for path in programs]
    for first in range(0, len(names), 100):
        # ldd ends with 1 where a library of the driver (libcuda) is missing; it names the others all the same.
        said = subprocess.run(["ldd", *names[first : first + 100]], capture_output=True, text=True, check=False).stdout
        for line in said.splitlines():
            word = line.split("=>")[-1].split("(")[0].strip()
            if word.startswith("/") and not word.endswith(":") and not Path(word).is_relative_to(VENV):
                found.add(word)
    return found


def _is_elf(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


def assemble(folder: Path) -> Root:
    """Collect interpreter, standard library, shell, libraries and the few files of /etc."""
    # Unlike LD_LIBRARY_PATH it survives a platform that replaces the environment.
    Path(CUDA_CONF).write_text(f"{SITE}/nvidia/cu13/lib\n")
    subprocess.run(["ldconfig"], check=True)
    root = Root(folder)
    interpreter = str(getattr(sys, "_base_executable", sys.executable))
    for name in (interpreter, str(VENV / "bin/python3"), "/bin/sh", *ETC):
        if not name.startswith(str(VENV)):
            root.add(name)
    root.add(os.path.join(os.path.dirname(os.path.realpath(interpreter)), "python3"))
    for path in sorted(STDLIB.rglob("*")):
        parts = path.relative_to(STDLIB).parts
        skipped = parts[0] in STDLIB_PARTS or parts[0].startswith("config-") or "__pycache__" in parts
        skipped |= "lib-dynload" in parts and path.name.startswith(EXTENSIONS)
        # A link of Debian to a file in /etc that changes the interpreter for crash reports.
        if path.is_file() and not skipped and path.name != "sitecustomize.py":
            root.add(str(path))
    for name in (*FOLDERS, "/etc/ld.so.conf.d"):
        root.add_tree(Path(name))
    inside = [path for path in (folder, VENV) for path in path.rglob("*") if _is_elf(path)]
    for name in sorted(libraries(inside)):
        root.add(name)
    root.files.discard(CUDA_CONF)
    return root


def finish(folder: Path, *, epoch: int) -> None:
    """Compile, name the users, make the folders, set times and modes."""
    shutil.move(VENV, folder / "opt/venv")
    places = {str(folder / "opt/venv"): "/opt/venv", str(folder) + str(STDLIB): str(STDLIB)}
    for place, shown in places.items():
        # Nobody may write beside the sources at run time: compiled once here, trusted without looking at the sources.
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(
            place, maxlevels=30, quiet=2, stripdir=place, prependdir=shown, invalidation_mode=mode, workers=1
        )
    etc = folder / "etc"
    (etc / "passwd").write_text(
        "root:x:0:0:root:/tmp:/sbin/nologin\nholoscan:x:1000:1000:holoscan:/tmp:/sbin/nologin\n"
    )
    (etc / "group").write_text("root:x:0:\nholoscan:x:1000:\n")
    shutil.copyfile(Path(__file__).with_name("cat.py"), folder / "usr/bin/cat")
    for name in ("tmp", "run/holoscan/export", "var/tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "var/run").symlink_to("/run")
    subprocess.run(["ldconfig", "-r", str(folder)], check=True)
    shutil.rmtree(folder / "var/cache", ignore_errors=True)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or _is_elf(path) or path.name == "cat" else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)
    for name in ("tmp", "var/tmp"):
        (folder / name).chmod(0o1777)


def main() -> None:
    """Prune, assemble, describe, finish."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--flavour", choices=("cpu", "gpu"), required=True)
    parser.add_argument("--epoch", type=int, required=True)
    parser.add_argument("--freeze", type=Path, required=True)
    given = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    import inventory

    prune(given.flavour)
    (given.out / "opt").mkdir(parents=True)
    root = assemble(given.out)
    inventory.write(given.out, site=SITE, files=sorted(root.files), freeze=given.freeze)
    finish(given.out, epoch=given.epoch)


if __name__ == "__main__":
    main()
