"""``show`` and ``extract`` of an image: the manifests as they are, the parts of the package copied out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from gastromap.packaging.check_findings import Finding, Source
from gastromap.packaging.check_reading import shown
from gastromap.packaging.check_runs import HARDENED
from gastromap.packaging.engine import Engine, Mount

__all__ = ["check_manifest_commands"]

_EXPORT = "/var/run/holoscan/export"
_SHORT_S = 120.0


def check_manifest_commands(engine: Engine, image: str, files: Path, work: Path) -> Iterator[Finding]:
    """Check ``show`` and ``extract``.

    Parameters
    ----------
    engine : Engine
    image : str
    files : Path
        The package's files in the paths of the image.
    work : Path
        Folder visible to the engine.
    """
    error = partial(Finding, level="error", source=Source.SPECIFICATION)
    for part in ("app", "pkg"):
        done = engine.run(image, ("show", part), options=HARDENED, timeout_s=_SHORT_S)
        try:
            same = json.loads(done.output) == json.loads((files / "etc" / "holoscan" / f"{part}.json").read_bytes())
        except (ValueError, OSError):
            same = False
        if done.status != 0 or not same:
            found = f"status {shown(done.status)}, {'equal' if same else 'something else'}"
            yield error("show", file=f"show {part}", field="", expected=f"{part}.json and nothing else", found=found)
    parts = {"app": "", "config": "app.json", "models": "", "docs": ""}
    for mounted in ((), ("config",), ("app", "docs")):
        folder = work / f"extract-{'-'.join(mounted) or 'parent'}"
        targets = [folder / part for part in mounted] or [folder]
        for target in (folder, *targets):
            target.mkdir(parents=True, exist_ok=True)
            target.chmod(0o777)
        mounts = [
            Mount(target, f"{_EXPORT}/{target.name}" if mounted else _EXPORT, writable=True) for target in targets
        ]
        done = engine.run(image, ("extract",), options=HARDENED, mounts=mounts, timeout_s=_SHORT_S)
        for part in mounted or parts:
            wanted = folder / part / parts[part]
            if done.status != 0 or not wanted.exists() or (wanted.is_dir() and not any(wanted.iterdir())):
                what = f"extract with {' and '.join(mounted) or 'the parent'} mounted"
                found = f"status {shown(done.status)}"
                yield error("extract", file=what, field=part, expected="its files, status 0", found=found)
