"""What lies in a package: the application's code, papers, and nothing that does not belong into an image."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from gastromap.packaging.check_app_manifest import command_words
from gastromap.packaging.check_findings import Finding, Level, Source
from gastromap.packaging.check_layout import MapTree, Profile
from gastromap.packaging.check_reading import as_mapping

__all__ = ["check_application", "check_documents", "check_modes", "check_strays", "secret_name", "secret_text"]

_PACKAGES = ("app", "operators", "gastromap")
#: holoscan-cli 4.2.0 leaves folders of these names out of its build context without a word.
_DROPPED = re.compile(r"wheels|env|venv|build-.*")
_STRAY_FOLDERS = frozenset({
    "__pycache__", ".git", ".hg", ".svn", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints",
})  # fmt: skip
_STRAY_SUFFIXES = (".pyc", ".pyo", ".swp", ".orig", ".rej")
_DICOM_SUFFIXES = (".dcm", ".ima", ".dicom")
_SECRET_NAMES = re.compile(
    r"\.env(\..*)?|\.netrc|\.pypirc|\.npmrc|\.git-credentials|id_(rsa|dsa|ecdsa|ed25519)|pip\.conf|pip\.ini"
    r"|.*\.(pem|key|p12|pfx|jks|keytab)|credentials(\.json)?|kubeconfig|\.dockercfg|\.dockerconfigjson",
    re.IGNORECASE,
)
#: Public certificates end in .pem too; their content decides.
_SECRET_TEXT = re.compile(
    rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----|AKIA[0-9A-Z]{16}|ghp_[A-Za-z0-9]{36}|glpat-[A-Za-z0-9_-]{20}"
    rb"|://[^/\s:@]{1,64}:[^/\s:@$%{]{3,64}@"
)
_TEXT_LIMIT_BYTES = 1_000_000


def secret_name(name: str) -> bool:
    """Whether a file of this name usually holds credentials or package-index settings."""
    return _SECRET_NAMES.fullmatch(name) is not None


def secret_text(content: bytes) -> bool:
    """Whether a private key, a well-known token or an address with a password stands in it."""
    return _SECRET_TEXT.search(content) is not None


def check_application(tree: MapTree, app: Mapping[str, Any], profile: Profile) -> Iterator[Finding]:
    """Check that the command of ``app.json`` finds its program."""
    error = partial(Finding, level="error", source=Source.SPECIFICATION)
    if not tree.app.is_dir():
        yield error("app-folder", file=tree.name(tree.app), field="", expected="the application's code", found="none")
        return
    environment = as_mapping(app.get("environment"))
    program = _program(command_words(app.get("command")), str(environment.get("HOLOSCAN_APPLICATION", "")))
    if program is not None and not (tree.app / program).is_file():
        yield error("app-program", file=tree.name(tree.app / program), field="", expected="a file", found="none")
    if profile == "gastromap":
        for name in _PACKAGES:
            if not (tree.app / name / "__init__.py").is_file():
                yield error(
                    "app-package",
                    file=tree.name(tree.app / name),
                    field="",
                    expected="a Python package",
                    found="none",
                    source=Source.GASTROMAP,
                )


def _program(words: Sequence[str], application: str) -> PurePosixPath | None:
    """Give the file below the application's folder that a command starts; None if it starts something else."""
    root = PurePosixPath(application or "/opt/holoscan/app")
    for word in words[1:]:
        path = PurePosixPath(word)
        if path == root:
            return PurePosixPath("__main__.py")
        if path.is_relative_to(root):
            return path.relative_to(root) if path.suffix else path.relative_to(root) / "__main__.py"
    return None


def check_documents(tree: MapTree, profile: Profile) -> Iterator[Finding]:
    """README and licence; the specification says SHOULD."""
    names = {path.stem.upper() for path in tree.docs.glob("*")} if tree.docs.is_dir() else set()
    for wanted in (("README",), ("LICENSE", "LICENCE")):
        if not names & set(wanted):
            yield Finding(
                "docs",
                "error" if profile == "gastromap" else "warning",
                tree.name(tree.docs),
                "",
                wanted[0],
                "none",
                Source.SPECIFICATION,
            )


def check_strays(tree: MapTree, profile: Profile) -> Iterator[Finding]:
    """Yield tests, caches, images of patients, credentials and folders that a packager would drop."""
    for part in (tree.app, tree.models, tree.docs, tree.app_manifest.parent):
        for folder, folders, files in os.walk(part):
            here = Path(folder)
            for name in list(folders):
                yield from _stray_folder(tree, here / name, profile)
                if name in _STRAY_FOLDERS:
                    folders.remove(name)
            for name in files:
                yield from _stray_file(tree, here / name)


def _stray_folder(tree: MapTree, path: Path, profile: Profile) -> Iterator[Finding]:
    wrong = partial(Finding, file=tree.name(path), field="")
    if path.name in _STRAY_FOLDERS:
        yield wrong("stray", level="error", expected="no caches, no history", found=path.name, source=Source.HARDENING)
    elif path.name in {"tests", "test"} and profile == "gastromap" and path.is_relative_to(tree.app):
        yield wrong("stray", level="error", expected="no tests", found=path.name, source=Source.GASTROMAP)
    elif _DROPPED.fullmatch(path.name):
        level: Level = "error" if profile == "gastromap" else "warning"
        found = "a folder that the packager leaves out"
        yield wrong("dropped-folder", level=level, expected="another name", found=found, source=Source.HOLOSCAN)
    if path.is_symlink():
        yield from _stray_link(tree, path)


def _stray_file(tree: MapTree, path: Path) -> Iterator[Finding]:
    wrong = partial(Finding, level="error", file=tree.name(path), field="", source=Source.HARDENING)
    if path.is_symlink():
        yield from _stray_link(tree, path)
        return
    if path.name.endswith(_STRAY_SUFFIXES):
        yield wrong("stray", expected="no caches, no left-overs", found=path.suffix)
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            content = stream.read(_TEXT_LIMIT_BYTES if size <= _TEXT_LIMIT_BYTES else 132)
    except OSError:
        yield wrong("unreadable", expected="a readable file", found="none")
        return
    if content[128:132] == b"DICM" or path.suffix.lower() in _DICOM_SUFFIXES:
        yield wrong("dicom", expected="no images in a package", found="a DICOM file")
    elif secret_text(content):
        yield wrong("secret", expected="no key, token or password", found="one")
    elif secret_name(path.name) and path.suffix != ".pem":
        yield wrong("secret-file", expected="no credentials, no pip configuration", found="a file for them")


def _stray_link(tree: MapTree, path: Path) -> Iterator[Finding]:
    if not path.resolve().is_relative_to(tree.root):
        yield Finding(
            "link", "error", tree.name(path), "", "links within the package", "one out of it", Source.HARDENING
        )


def check_modes(tree: MapTree) -> Iterator[Finding]:
    """Check the modes of a build context: an image keeps them, and any user must be able to read."""
    wrong = partial(Finding, level="error", field="mode", source=Source.HARDENING)
    parts = [tree.app, tree.models, tree.docs, tree.app_manifest.parent, tree.config, tree.entrypoint]
    for part in parts:
        if part is None or not part.exists():
            continue
        for path in [part, *sorted(part.rglob("*"))] if part.is_dir() else [part]:
            mode = stat.S_IMODE(path.lstat().st_mode)
            if path.is_symlink():
                continue
            wanted = 0o755 if path.is_dir() or path == tree.entrypoint else 0o644
            if mode != wanted:
                yield wrong("mode", file=tree.name(path), expected=f"{wanted:04o}", found=f"{mode:04o}")
