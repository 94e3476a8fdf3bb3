"""The folder of wheels that the image is built from: downloaded on the host, or carried to it.

The host's own pip configuration (mirror, certificate) applies to the download, and nothing of it enters the image.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from gastromap.packaging.configuration import PackagingError

__all__ = ["check_wheels", "download_wheels", "read_pins", "wheel_digests"]


def read_pins(requirements: Path) -> dict[str, str]:
    """Versions of a requirements file whose every line is ``NAME==VERSION``.

    Returns
    -------
    dict of str to str
        Canonical name to version.

    Raises
    ------
    PackagingError
        ``REQUIREMENT_UNPINNED``.
    """
    pins: dict[str, str] = {}
    for line in requirements.read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].strip()
        if not text:
            continue
        name, separator, version = text.partition("==")
        if not separator or not version or any(sign in version for sign in "*,; "):
            raise PackagingError(
                "REQUIREMENT_UNPINNED",
                where=requirements.name,
                expected="NAME==VERSION",
                got=text,
                remedy="Write the exact version.",
            )
        pins[_canonical(name)] = version
    return pins


def _canonical(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(".", "-")


def download_wheels(target: Path, *, requirements: Path, constraints: Path, python: tuple[int, int]) -> None:
    """Download all wheels with pip.

    Parameters
    ----------
    target : Path
        Folder to fill.
    requirements, constraints : Path
    python : tuple of int
        Version of the Python in the base, which must be that of this process: pip resolves for the Python it runs in.

    Raises
    ------
    PackagingError
        ``PYTHON_DIFFERS``, ``WHEELS_DOWNLOAD``.
    """
    if sys.version_info[:2] != python:
        raise PackagingError(
            "PYTHON_DIFFERS",
            where="wheelhouse",
            expected="Python {}.{}, as in the base".format(*python),
            got="{}.{}".format(*sys.version_info[:2]),
            remedy="Run gastromap with the same minor version, or name a folder of wheels (--wheels).",
        )
    target.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--dest", str(target)),
        *("--requirement", str(requirements), "--constraint", str(constraints)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own interpreter
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise PackagingError(
            "WHEELS_DOWNLOAD",
            where="wheelhouse",
            expected="all wheels from the index of pip",
            got=errors[-1] if errors else f"status {done.returncode} of pip",
            remedy="Check the index in pip's configuration, or bring the wheels along (--wheels).",
        )


def check_wheels(folder: Path, *, requirements: Path, python: tuple[int, int]) -> None:
    """Check that a folder holds a wheel of each required version for the Python of the base.

    Raises
    ------
    PackagingError
        ``WHEEL_MISSING``, with all that are.
    """
    from packaging.utils import parse_wheel_filename
    from packaging.version import Version

    present: dict[str, list[Version]] = {}
    fits = {"py3", "cp{}{}".format(*python)}
    for wheel in folder.glob("*.whl"):
        name, version, _, tags = parse_wheel_filename(wheel.name)
        if any(tag.interpreter in fits or tag.abi == "abi3" for tag in tags):
            present.setdefault(str(name), []).append(version)
    missing = [
        f"{name}=={version}"
        for name, version in read_pins(requirements).items()
        # A pin without a local part also takes a version with one: 2.13.0 takes 2.13.0+cpu.
        if not any(version in (str(found), found.public) for found in present.get(name, ()))
    ]
    if missing:
        raise PackagingError(
            "WHEEL_MISSING",
            where="wheelhouse",
            expected="a wheel for Python {}.{} of each line of packaging/requirements.txt".format(*python),
            got=f"none of {', '.join(missing)}",
            remedy="Fill the folder with pip download on a computer with the same minor version of Python.",
        )


def wheel_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each wheel, by canonical package name."""
    found = {}
    for wheel in sorted(folder.glob("*.whl")):
        with wheel.open("rb") as stream:
            found[_canonical(wheel.name.split("-")[0])] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found
