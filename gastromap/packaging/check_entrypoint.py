"""The entrypoint of a build context, run under ``sh`` with a made-up root in place of the image.

Only a POSIX shell script can be run so that takes its paths from the variables of ``app.json``; others are noted. The
script runs with a cleared environment, as another user where the checker is root, on copies in a temporary folder. A
stand-in for ``python3`` records how the application would have been started.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from gastromap.packaging.check_findings import Finding, Source

__all__ = ["check_entrypoint"]

_NOBODY = 65534
_SECONDS = 10
_USAGE = 64
_PARTS = ("app", "config", "models", "docs")
#: A file of each part that ``extract`` must bring.
_SAMPLES = {"app": "__main__.py", "config": "app.json", "models": "model/weights.pt", "docs": "README.md"}
#: The application's record; what the entrypoint itself does with Python (``-c``, ``-I``) goes to a real one.
_APPLICATION = """#!/bin/sh
case "$1" in -*) exec {python} "$@" ;; esac
printf '%s\\n' "$PWD" "$@" > "$ROOT/started"
[ -z "${{KILLED_BY:-}}" ] || kill "-$KILLED_BY" $$
exit "${{STATUS:-0}}"
"""
_error = partial(Finding, level="error", source=Source.SPECIFICATION)


class _Root:
    """A folder that looks to the entrypoint like the image."""

    def __init__(self, folder: Path, script: Path) -> None:
        self.folder = folder
        self.export = folder / "export"
        self.script = Path(shutil.copy(script, folder / "tools"))
        files = {
            "app/__main__.py": "", "etc/app.json": '{"version": "1.0.0"}', "etc/pkg.json": '{"models": []}',
            "app.yaml": "application: {}", "models/model/weights.pt": "weights", "docs/README.md": "read",
        }  # fmt: skip
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
        python = folder / "bin" / "python3"
        python.parent.mkdir()
        self._user, interpreter = _user_and_python()
        python.write_text(_APPLICATION.format(python=interpreter))
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)
        folder.chmod(0o777)
        self._variables = {
            "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
            "ROOT": str(folder),
            "HOLOSCAN_APPLICATION": str(folder / "app"),
            "HOLOSCAN_WORKDIR": str(folder),
            "HOLOSCAN_MODEL_PATH": str(folder / "models"),
            "HOLOSCAN_DOCS_PATH": str(folder / "docs"),
            "HOLOSCAN_DOCS": str(folder / "docs"),
            "HOLOSCAN_CONFIG_PATH": str(folder / "app.yaml"),
            "HOLOSCAN_APP_MANIFEST_PATH": str(folder / "etc" / "app.json"),
            "HOLOSCAN_PKG_MANIFEST_PATH": str(folder / "etc" / "pkg.json"),
            "HOLOSCAN_EXPORT_PATH": str(self.export),
        }

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes] | None:
        """Run the script; None if it does not end."""
        try:
            # The one program of the package that is run, with a cleared environment; --no-entrypoint leaves it out.
            return subprocess.run(  # noqa: S603
                ["/bin/sh", str(self.script), *arguments],
                env={**self._variables, **variables},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_SECONDS,
                **self._user,
            )
        except subprocess.TimeoutExpired:
            return None

    def mounted(self, *parts: str, mode: int = 0o777) -> None:
        """Make the export folder anew, as the host would mount it."""
        shutil.rmtree(self.export, ignore_errors=True)
        for folder in (self.export, *(self.export / part for part in parts)):
            folder.mkdir()
            folder.chmod(mode)

    @property
    def writes_everywhere(self) -> bool:
        """Whether the script runs as root."""
        return os.geteuid() == 0 and not self._user

    @property
    def exported(self) -> set[str]:
        """Parts of which something arrived."""
        return {part for part in _PARTS if (self.export / part / _SAMPLES[part]).is_file()}


def _user_and_python() -> tuple[dict[str, Any], str]:
    """Give another user where the checker is root, who may write everywhere, and a Python that this user can start."""
    other: dict[str, Any] = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    candidates = [sys.executable, *(shutil.which("python3", path=place) for place in ("/usr/local/bin", "/usr/bin"))]
    for user in (other, dict[str, Any]()):
        for python in filter(None, candidates):
            try:
                done = subprocess.run(  # noqa: S603
                    [python, "-I", "-c", "pass"], cwd="/", env={}, capture_output=True, check=False, **user
                )
            except OSError:
                continue
            if done.returncode == 0:
                return user, python
    return {}, sys.executable


def check_entrypoint(script: Path, name: str) -> Iterator[Finding]:
    """Run an entrypoint and yield where it departs: show, extract, unwritable target, bad word, status, signal."""
    text = script.read_text(encoding="utf-8", errors="replace")
    first = text.partition("\n")[0]
    if first not in {"#!/bin/sh", "#!/usr/bin/env sh"} or "HOLOSCAN_APP_MANIFEST_PATH" not in text:
        yield Finding(
            "entrypoint-foreign",
            "note",
            name,
            "",
            "a script for sh that takes its paths from the environment",
            "another program, which was not run",
            Source.GASTROMAP,
        )
        return
    with tempfile.TemporaryDirectory(prefix="gastromap-entrypoint-") as folder:
        root = _Root(Path(folder), script)
        for check in (_show, _extract, _refusals, _status):
            yield from check(root, name)


def _code(done: subprocess.CompletedProcess[bytes] | None) -> str:
    return "no end" if done is None else f"status {done.returncode}"


def _show(root: _Root, name: str) -> Iterator[Finding]:
    for part in ("app", "pkg"):
        done = root.run("show", part)
        wanted = (root.folder / "etc" / f"{part}.json").read_bytes()
        try:
            same = done is not None and json.loads(done.stdout) == json.loads(wanted)
        except ValueError:
            same = False
        if done is None or done.returncode or not same:
            yield _error(
                "entrypoint-show", file=name, field=f"show {part}", expected=f"{part}.json, status 0", found=_code(done)
            )
    done = root.run("show")
    if done is None or done.returncode or b"models" not in done.stdout or b"version" not in done.stdout:
        yield _error("entrypoint-show", file=name, field="show", expected="both manifests, status 0", found=_code(done))


def _extract(root: _Root, name: str) -> Iterator[Finding]:
    for mounts, wanted in (((), set(_PARTS)), (("docs",), {"docs"}), (("app", "config"), {"app", "config"})):
        root.mounted(*mounts)
        done = root.run("extract")
        if done is None or done.returncode or root.exported != wanted:
            found = f"{_code(done)}, {', '.join(sorted(root.exported)) or 'nothing'}"
            what = " and ".join(mounts) or "the parent only"
            yield _error(
                "entrypoint-extract",
                file=name,
                field=f"extract with {what} mounted",
                expected=", ".join(sorted(wanted)),
                found=found,
            )


def _refusals(root: _Root, name: str) -> Iterator[Finding]:
    def nothing() -> None:
        shutil.rmtree(root.export, ignore_errors=True)

    cases: tuple[tuple[str, tuple[str, ...], Callable[[], None]], ...] = (
        ("extract without a mount", ("extract",), nothing),
        ("extract into a folder without permission", ("extract",), lambda: root.mounted(mode=0o555)),
        ("extract into a part without permission", ("extract",), lambda: root.mounted("docs", mode=0o555)),
        ("show with a word it does not know", ("show", "all-of-it"), nothing),
    )
    for what, arguments, prepare in cases:
        if "permission" in what and root.writes_everywhere:
            found = "not tried: no Python that another user can start"
            yield Finding("entrypoint-refusal", "note", name, what, f"status {_USAGE}", found, Source.GASTROMAP)
            continue
        prepare()
        done = root.run(*arguments)
        if done is None or done.returncode != _USAGE:
            yield Finding("entrypoint-refusal", "error", name, what, f"status {_USAGE}", _code(done), Source.GASTROMAP)


def _status(root: _Root, name: str) -> Iterator[Finding]:
    for status in (0, 10, 137):
        done = root.run(STATUS=str(status))
        if done is None or done.returncode != status:
            yield _error(
                "entrypoint-status",
                file=name,
                field="the application's status",
                expected=f"status {status}",
                found=_code(done),
                source=Source.HARDENING,
            )
    done = root.run(KILLED_BY="TERM")
    if done is None or done.returncode != -signal.SIGTERM:
        yield _error(
            "entrypoint-signal",
            file=name,
            field="the application ends by SIGTERM",
            expected="the same for the entrypoint (exec)",
            found=_code(done),
            source=Source.HARDENING,
        )
    root.run("--option", "a b", "*")
    recorded = (root.folder / "started").read_text().splitlines() if (root.folder / "started").is_file() else []
    wanted = [str(root.folder.resolve()), str(root.folder / "app"), "--option", "a b", "*"]
    if recorded[:1] != wanted[:1] and recorded[:1] != [str(root.folder)]:
        yield _error(
            "entrypoint-workdir",
            file=name,
            field="working directory",
            expected="HOLOSCAN_WORKDIR",
            found="another" if recorded else "no start",
        )
    if recorded[-3:] != wanted[-3:] or wanted[1] not in recorded:
        yield _error(
            "entrypoint-arguments",
            file=name,
            field="arguments",
            expected="the application, then the arguments as they are",
            found="others" if recorded else "no start",
        )
