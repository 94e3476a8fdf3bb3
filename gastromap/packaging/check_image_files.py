"""The files of an image, from the engine's export: owners, modes, credentials; and the package among them."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from gastromap.packaging.check_files import secret_name, secret_text
from gastromap.packaging.check_findings import Finding, Level, Source
from gastromap.packaging.check_layout import Profile

__all__ = ["ImageFile", "check_image_files", "read_export"]

#: Parts that the checks of a tree look at.
_PACKAGE = ("etc/holoscan", "etc/monai", "opt/holoscan", "var/holoscan/app.yaml", "var/holoscan/tools")
#: Holds passwords and is readable by root alone on every Debian.
_SYSTEM_SECRETS = frozenset({
    "etc/shadow", "etc/shadow-", "etc/gshadow", "etc/gshadow-", "etc/.pwd.lock", "etc/security/opasswd",
    "etc/sudoers", "etc/ssl/private",
})  # fmt: skip
_MANIFESTS = ("etc/holoscan/app.json", "etc/holoscan/pkg.json")
#: Certificates of public authorities lie in these; their .pem and .key are no secrets of ours.
_PUBLIC = ("etc/ssl/certs/", "usr/share/ca-certificates/", "usr/lib/ssl/")
_COMPILERS = frozenset({"gcc", "g++", "cc", "c++", "clang", "ld", "as", "make", "nvcc", "cpp"})
_PACKAGE_MANAGERS = frozenset({"apt", "apt-get", "dpkg", "pip", "pip3", "rpm", "dnf", "yum", "apk", "curl", "wget"})
_SMALL_BYTES = 200_000
_OURS = ("opt/holoscan/", "etc/", "root/", "home/", "var/holoscan/")


@dataclass(frozen=True)
class ImageFile:
    """One entry of the export; ``secret`` says that its name or content looks like a credential."""

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    secret: bool = False


def read_export(archive: Path, target: Path) -> list[ImageFile]:
    """Read an export, and unpack the package from it.

    Parameters
    ----------
    archive : Path
        Tar archive of all files of the image.
    target : Path
        Folder for the files of the package, in the paths of the image.

    Returns
    -------
    list of ImageFile
        Every entry.
    """
    files = []
    with tarfile.open(archive) as stream:
        for member in stream:
            path = member.name.removeprefix("./").rstrip("/")
            secret = member.isfile() and _secret(stream, member, path)
            kind = "folder" if member.isdir() else "link" if member.issym() or member.islnk() else "file"
            files.append(ImageFile(path, kind, member.mode & 0o7777, member.uid, member.gid, secret))
            inside = any(path == part or path.startswith(f"{part}/") for part in _PACKAGE)
            if inside and (member.isfile() or member.isdir()):
                stream.extract(member, target, filter="data")
    return files


def _secret(stream: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> bool:
    name = PurePosixPath(path)
    if path.startswith(_PUBLIC):
        return False
    # Most .pem are certificates of public authorities, which libraries bring along.
    certificate = name.suffix == ".pem"
    if secret_name(name.name) and not certificate:
        return True
    # Libraries hold test keys of their own in other files; what we put there is in these folders.
    ours = path.startswith(_OURS) and member.size <= _SMALL_BYTES
    content = stream.extractfile(member) if certificate or ours else None
    return content is not None and secret_text(content.read())


def check_image_files(files: Sequence[ImageFile], config: Mapping[str, Any], profile: Profile) -> Iterator[Finding]:
    """Check owners, modes and credentials.

    Parameters
    ----------
    files : sequence of ImageFile
    config : mapping
        ``Config`` of ``docker image inspect``, for the run user.
    profile : {"generic", "gastromap"}
        GastroMAP's image has no package manager and no compiler either.
    """
    error = partial(Finding, level="error", source=Source.HARDENING)
    user = str(config.get("User") or "0").partition(":")[0]
    for file in files:
        wrong = partial(error, file=f"/{file.path}")
        if file.secret:
            yield wrong("image-secret", field="", expected="no credentials, no pip configuration", found="one")
        if file.kind == "link":
            continue
        ours = file.path.split("/", 1)[0] in {"opt", "etc"} or file.path.startswith("var/holoscan")
        private = any(file.path == part or file.path.startswith(f"{part}/") for part in _SYSTEM_SECRETS)
        needed = 0o005 if file.kind == "folder" else 0o004
        mode = f"{file.mode:04o}"
        if ours and not private and file.mode & needed != needed:
            yield wrong("image-unreadable", field="mode", expected="readable by all", found=mode)
        if file.mode & 0o6000 and file.kind == "file":
            # A Debian base brings su and passwd; no-new-privileges takes their power.
            level: Level = "error" if profile == "gastromap" else "warning"
            yield wrong("image-setuid", level=level, field="mode", expected="no setuid, no setgid", found=mode)
    yield from _manifests(files, user)
    if profile == "gastromap":
        yield from _tools(files)


def _manifests(files: Sequence[ImageFile], user: str) -> Iterator[Finding]:
    for name in _MANIFESTS:
        for file in files:
            if file.path not in {name, str(PurePosixPath(name).parent)}:
                continue
            by_owner = str(file.uid) == user and file.mode & 0o200
            if file.mode & 0o022 or by_owner:
                yield Finding(
                    "manifest-writable",
                    "error",
                    f"/{file.path}",
                    "mode",
                    "not writable by the run user",
                    f"{file.mode:04o}, owner {file.uid}",
                    Source.SPECIFICATION,
                )


def _tools(files: Sequence[ImageFile]) -> Iterator[Finding]:
    for file in files:
        path = PurePosixPath(file.path)
        if path.parent.name not in {"bin", "sbin"} or file.kind == "folder":
            continue
        name = path.name.rstrip("0123456789.-")
        if name in _COMPILERS or name in _PACKAGE_MANAGERS:
            what = "a compiler" if name in _COMPILERS else "a package manager or downloader"
            yield Finding("image-tool", "error", f"/{file.path}", "", "only what runs", what, Source.GASTROMAP)
