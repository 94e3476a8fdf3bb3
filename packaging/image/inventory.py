"""What lies in the root tree of the image: Python distributions and system packages, with their licence texts.

Runs in the first stage of the Dockerfile and takes nothing but the standard library. What it writes is the source of
the bill of materials; judging licences is left to gastromap.packaging.licences.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

_LICENCE_NAMES = ("LICEN", "COPYING", "NOTICE", "COPYRIGHT", "EULA")


def sha256(path: Path) -> str:
    """Digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def distributions(site: Path, texts: Path) -> list[dict[str, object]]:
    """Describe each installed Python distribution from its own metadata; copy its licence texts."""
    found = []
    for item in importlib.metadata.distributions(path=[str(site)]):
        metadata = item.metadata
        present = sorted(
            (str(entry), Path(str(item.locate_file(entry))))
            for entry in item.files or ()
            if not str(entry).endswith(".pyc") and Path(str(item.locate_file(entry))).is_file()
        )
        digest = hashlib.sha256()
        for name, path in present:
            digest.update(f"{name}\0{sha256(path)}\n".encode())
        copied = []
        for name, path in present:
            inside = ".dist-info/" in name and any(n in path.name.upper() for n in _LICENCE_NAMES)
            if inside or ".dist-info/licenses/" in name:
                # In one folder: paths of others' sources would hide which texts are there.
                shown = name.split(".dist-info/")[1].removeprefix("licenses/").replace("/", "__")
                target = texts / "python" / item.name / shown[-200:]
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
                copied.append(target.relative_to(texts).as_posix())
        found.append(
            {
                "name": item.name,
                "version": item.version,
                "summary": metadata.get("Summary") or "",
                "license_expression": metadata.get("License-Expression") or "",
                "license": metadata.get("License") or "",
                "classifiers": [c for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")],
                "requires": item.requires or [],
                "tree_sha256": digest.hexdigest(),
                "bytes": sum(path.stat().st_size for _, path in present),
                "licence_texts": sorted(copied),
            }
        )
    return sorted(found, key=lambda entry: str(entry["name"]).lower())


def system_packages(files: list[str], texts: Path, status: Path) -> list[dict[str, object]]:
    """Name the Debian packages of files; what no package owns belongs to a Python that was put beside the system's."""
    owners: dict[str, list[str]] = defaultdict(list)
    for name in files:
        owners[_owner(name)].append(name)
    found: list[dict[str, object]] = []
    for package, names in sorted(owners.items()):
        hashes = [{"path": name, "sha256": sha256(Path(name))} for name in sorted(names)]
        if not package:
            version = ".".join(map(str, sys.version_info[:3]))
            found.append({"name": "cpython", "version": version, "kind": "unowned", "files": hashes})
            continue
        fields = "${Version}\n${Architecture}\n${source:Package}\n${source:Version}"
        version, architecture, source, source_version = _call("dpkg-query", "-W", "-f", fields, package).splitlines()
        name = package.split(":")[0]
        copyright_file = Path("/usr/share/doc", name, "copyright")
        copied = []
        if copyright_file.is_file():
            target = texts / "system" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(copyright_file, target)
            copied.append(target.relative_to(texts).as_posix())
        # Where scanners look for the packages of an image that has no package manager.
        status.mkdir(parents=True, exist_ok=True)
        (status / name).write_text(_call("dpkg-query", "-s", package))
        found.append(
            {
                "name": name,
                "version": version,
                "kind": "deb",
                "architecture": architecture,
                "source": source,
                "source_version": source_version,
                "files": hashes,
                "licence_texts": copied,
            }
        )
    return found


def _owner(path: str) -> str:
    # Since the merge of /lib into /usr/lib a package may list a file under its old name.
    for name in (path, path.removeprefix("/usr") if path.startswith("/usr/") else f"/usr{path}"):
        asked = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            # Diversions are said first; of the rest each line is PACKAGE: PATH.
            lines = [line for line in asked.stdout.splitlines() if not line.startswith("diversion ")]
            if lines:
                return lines[0].rsplit(": ", 1)[0].split(", ")[0]
    return ""


def _call(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def write(root: Path, *, site: Path, files: list[str], freeze: Path) -> None:
    """Write inventory, list of installed versions and licence texts into the documents of the image."""
    docs = root / "opt/holoscan/docs"
    texts = docs / "licences"
    release: dict[str, str] = {}
    for line in Path("/etc/os-release").read_text().splitlines():
        key, _, value = line.partition("=")
        release[key] = value.strip('"')
    content = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "system": {"id": release.get("ID", ""), "version": release.get("VERSION_ID", "")},
        "distributions": distributions(site, texts),
        "packages": system_packages(files, texts, root / "var/lib/dpkg/status.d"),
    }
    (docs / "inventory.json").write_text(json.dumps(content, indent=1) + "\n")
    shutil.copyfile(freeze, docs / "python-packages.txt")
