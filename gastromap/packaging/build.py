"""From a checkout to an image: context, wheels, first stage, judged licences, bill of materials, image.

Nothing is fetched inside: both stages run without a network.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gastromap.packaging.configuration import PackagingError
from gastromap.packaging.engine import Engine, EngineMissing
from gastromap.packaging.manifests import SDK_VERSION, Flavour
from gastromap.packaging.sbom import SBOM_NAME, make_sbom
from gastromap.packaging.stage import EXECUTABLES, REPOSITORY, StagedContext, stage
from gastromap.packaging.tree import normalise, source_date_epoch
from gastromap.packaging.wheelhouse import check_wheels, download_wheels, read_pins, wheel_digests

__all__ = ["DEFAULT_BASE", "BuiltImage", "build_image", "image_digest"]

DEFAULT_BASE = "gastromap/python-base:bookworm"
_INVENTORY = "/rootfs/opt/holoscan/docs/inventory.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuiltImage:
    """What was built."""

    tag: str
    bytes: int  #: unpacked
    context_digest: str  #: of the context without wheels and bill of materials
    tree_digest: str  #: of all files of the image
    packages: int  #: in the bill of materials


def build_image(
    tag: str,
    *,
    flavour: Flavour,
    engine: Engine,
    work: Path,
    base: str = DEFAULT_BASE,
    wheels: Path | None = None,
    repository: Path = REPOSITORY,
) -> BuiltImage:
    """Build the image.

    Parameters
    ----------
    tag : str
        ``NAME:TAG``.
    flavour : {"cpu", "gpu"}
    engine : Engine
    work : Path
        Folder for context, wheels and logs.
    base : str
        Image with python3, venv and dpkg; the default one is made if it is missing.
    wheels : Path, optional
        Folder of wheels; downloaded by default.
    repository : Path
        The checkout.

    Raises
    ------
    PackagingError
        ``BASE_MISSING``, ``TORCH_FLAVOUR``, ``ENGINE_FAILED`` and the codes of wheels, licences and context.
    UsageError
        As of :func:`stage`.
    """
    packaging = repository / "packaging"
    requirements = packaging / "requirements.txt"
    _make_base(engine, base, work, packaging)
    python = engine.python_of(base)
    if wheels is None:
        wheels = work / "wheels"
        _log.info("downloading wheels for Python %s.%s", *python)
        download_wheels(wheels, requirements=requirements, constraints=packaging / "constraints.txt", python=python)
    check_wheels(wheels, requirements=requirements, python=python)
    _check_torch(wheels, flavour)
    context = stage(work / "context", flavour=flavour, wheels=wheels, repository=repository)
    arguments = _arguments(context, flavour, base=base, requirements=requirements)
    first = f"gastromap-first-stage:{context.digest[:12]}"
    _log.info("first stage")
    try:
        _build(engine, context, first, arguments, log=work / "first-stage.log", options=("--target", "build"))
        shown = engine.call("run", "--rm", "--network", "none", "--entrypoint", "python3", first, "-c", _SHOW)
        inventory: Mapping[str, Any] = json.loads(shown.stdout)
        _document(context, inventory, wheel_digests(wheels))
        _log.info("image")
        _build(engine, context, tag, arguments, log=work / "image.log")
    finally:
        # The layers stay in the cache of the engine; the name need not.
        engine.call("rmi", "--no-prune", first, check=False)
    return BuiltImage(
        tag=tag,
        bytes=engine.size_of(tag),
        context_digest=context.digest,
        tree_digest=image_digest(engine, tag),
        packages=len(inventory["distributions"]) + len(inventory["packages"]),
    )


_SHOW = f"import sys; sys.stdout.write(open({_INVENTORY!r}).read())"


def _make_base(engine: Engine, base: str, work: Path, packaging: Path) -> None:
    if engine.has_image(base):
        return
    if base != DEFAULT_BASE:
        raise PackagingError(
            "BASE_MISSING",
            where="base",
            expected=f"the image {base} in the engine",
            got="none",
            remedy="Load it first (docker load), or leave --base out.",
        )
    if os.getuid() != 0 or shutil.which("mmdebstrap") is None:
        raise EngineMissing(
            "BASE_MISSING",
            where="base",
            expected="an image, or root with mmdebstrap to make one",
            got="neither",
            remedy="Name an image with Python 3.11 and venv (--base), or apt-get install mmdebstrap and run as root.",
        )
    archive = work / "base.tar"
    _log.info("base image")
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(source_date_epoch())}
    command = ["sh", str(packaging / "base.sh"), str(archive)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["nothing said"]
        raise PackagingError(
            "BASE_FAILED", where="base", expected="a base", got=lines[-1], remedy="See packaging/base.sh."
        )
    engine.call("import", str(archive), base)
    archive.unlink()


def _check_torch(wheels: Path, flavour: Flavour) -> None:
    """The wheelhouse decides the flavour; a mistake would be an image of 6 GB, or one without a GPU."""
    of_cpu = any("+cpu" in wheel.name for wheel in wheels.glob("torch-*.whl"))
    if of_cpu != (flavour == "cpu"):
        raise PackagingError(
            "TORCH_FLAVOUR",
            where="wheelhouse",
            expected="the CPU build of torch (+cpu)" if flavour == "cpu" else "the CUDA build of torch",
            got="the CPU build" if of_cpu else "another build",
            remedy="Change the wheel of torch, or --flavour.",
        )


def _arguments(context: StagedContext, flavour: Flavour, *, base: str, requirements: Path) -> dict[str, str]:
    found = context.configuration
    return {
        "BASE": base,
        "FLAVOUR": flavour,
        "GPUS": "all" if flavour == "gpu" else "void",
        "TITLE": found.title,
        "VERSION": found.version,
        "SDK": SDK_VERSION,
        "HOLOSCAN": read_pins(requirements)["holoscan-cu13"],
        "SOURCE_DATE_EPOCH": str(source_date_epoch()),
    }


def _build(
    engine: Engine,
    context: StagedContext,
    tag: str,
    arguments: Mapping[str, str],
    *,
    log: Path,
    options: tuple[str, ...] = (),
) -> None:
    values = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    engine.call("build", "--network", "none", *options, *values, "-t", tag, str(context.folder), log=log)


def _document(context: StagedContext, inventory: Mapping[str, Any], wheels: Mapping[str, str]) -> None:
    """Judge the licences and lay the bill of materials beside the other documents."""
    text = make_sbom(
        inventory,
        configuration=context.configuration,
        wheels=wheels,
        models=context.folder / "models",
        epoch=source_date_epoch(),
    )
    (context.folder / "docs" / SBOM_NAME).write_text(text, encoding="utf-8")
    normalise(context.folder, epoch=source_date_epoch(), executable=EXECUTABLES)


def image_digest(engine: Engine, image: str) -> str:
    """SHA-256 over sorted names, kinds, modes and contents of all files of an image; see :func:`tree_digest`.

    Folders and empty files that the engine itself adds to a container are left out.
    """
    container = engine.call("create", "--network", "none", image).stdout.strip()
    command = [engine.program, "export", container]
    lines = []
    try:
        with subprocess.Popen(  # noqa: S603 - fixed words
            command, env=engine.variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None  # noqa: S101 - for the type checker
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    if not member.name.startswith(_OF_THE_ENGINE):
                        lines.append(_line(archive, member))
    finally:
        engine.call("rm", container, check=False)
    return hashlib.sha256("".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()


_OF_THE_ENGINE = (".dockerenv", "dev", "proc", "sys", "etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/mtab")


def _line(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    kind, content = "folder", ""
    if member.issym():
        kind, content = "link", hashlib.sha256(os.fsencode(member.linkname)).hexdigest()
    elif not member.isdir():
        stream = archive.extractfile(member)
        kind, content = "file", hashlib.file_digest(stream, "sha256").hexdigest() if stream else ""  # type: ignore[arg-type]
    return f"{member.name.rstrip('/')}\0{kind}\0{stat.S_IMODE(member.mode):o}\0{content}\n"
