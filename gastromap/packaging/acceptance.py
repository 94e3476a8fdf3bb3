"""Runs an image as hardened as a careful host would, on a synthetic study, and compares with the application here."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gastromap.packaging.configuration import PackagingError
from gastromap.packaging.engine import Engine
from gastromap.packaging.stage import REPOSITORY

__all__ = ["HARDENED", "check_image", "differing_numbers"]

#: No network, nothing to write but /tmp and the output, no capability, no way to another user.
HARDENED = (
    *("--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),  # noqa: S108 - of the container
    *("--security-opt", "no-new-privileges"),
)
#: Known to no image; but who is not root could not remove what another user wrote.
_USER = "4242:4242" if os.getuid() == 0 else f"{os.getuid()}:{os.getgid()}"
_TOLERANCE = 1e-6
#: Differs from run to run: times and versions, digests and new UIDs of files, labels with a key of the run.
_OF_THE_RUN = re.compile(r"run|files|input\..*label")


def check_image(engine: Engine, image: str, *, work: Path) -> Iterator[str]:
    """Check an image; yields a line for each thing that was found right.

    Raises
    ------
    PackagingError
        ``CHECK_FAILED``, with what was expected and what came.
    """
    folder = work / "check"
    shutil.rmtree(folder, ignore_errors=True)
    study = _synthetic_study(folder)
    out, export, empty = (folder / name for name in ("out", "export", "empty"))
    for path in (out, export, empty):
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o777)
    started = time.monotonic()
    done = _run(engine, image, "--user", _USER, *_mounts(study, out))
    seconds = time.monotonic() - started
    _expect("hardened run", "status 0", f"{done.returncode}: {_last(done.stderr)}", holds=done.returncode == 0)
    inside = json.loads((out / "result.json").read_bytes())
    imports = inside["run"]["seconds"]["import"]
    yield f"hardened run as {_USER}: {seconds:.1f} s from start to result, {imports:.1f} s of it imports"
    outside = json.loads((_run_here(study, folder / "here") / "result.json").read_bytes())
    differing = differing_numbers(inside, outside)
    _expect("result.json", f"numbers equal to {_TOLERANCE:g}", ", ".join(differing), holds=not differing)
    yield f"result.json equals that of the application here to {_TOLERANCE:g}"
    refused = folder / "refused"
    refused.mkdir()
    refused.chmod(0o777)
    done = _run(engine, image, "--user", _USER, *_mounts(empty, refused))
    left = [path.name for path in refused.iterdir()]
    _expect("failure", "a status other than 0", "0", holds=done.returncode != 0)
    _expect("failure", "an empty output folder", f"{len(left)} entries", holds=not left)
    yield f"empty input: status {done.returncode}, empty output folder"
    for part in ("app", "pkg"):
        done = _run(engine, image, words=("show", part))
        _expect(f"show {part}", "JSON with a version", _last(done.stdout), holds=_is_manifest(done.stdout))
    yield "show app, show pkg: JSON"
    done = _run(engine, image, "-v", f"{export}:/var/run/holoscan/export", words=("extract",))
    wanted = ("config/app.json", "config/pkg.json", "config/app.yaml", "app/__main__.py", "docs/LICENSE")
    missing = [name for name in wanted if not (export / name).is_file()]
    _expect("extract", "all parts", f"no {', '.join(missing)}", holds=done.returncode == 0 and not missing)
    yield "extract: all parts"


def _run(engine: Engine, image: str, *options: str, words: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return engine.call("run", *HARDENED, *options, image, *words, check=False)


def _mounts(source: Path, target: Path) -> tuple[str, ...]:
    return "-v", f"{source}:/var/holoscan/input:ro", "-v", f"{target}:/var/holoscan/output"


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["nothing said"])[-1]


def _expect(where: str, expected: str, got: str, *, holds: bool) -> None:
    if not holds:
        remedy = "The image is not fit for use."
        raise PackagingError("CHECK_FAILED", where=where, expected=expected, got=got, remedy=remedy)


def _is_manifest(text: str) -> bool:
    try:
        return "version" in json.loads(text)
    except ValueError:
        return False


def _synthetic_study(folder: Path) -> Path:
    from gastromap.synthetic.cohort import CohortPlan, write_cohort

    plan = CohortPlan(seed=3, format="dicom", centres=(1,), stages=("T3",), thickness_mm=5.0, with_seg=True)
    write_cohort(plan, folder / "study", patients=1)
    return next((folder / "study" / "studies").iterdir())


def _run_here(study: Path, out: Path) -> Path:
    command = [sys.executable, "-m", "app", "-i", str(study), "-o", str(out), "--device", "cpu"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)  # noqa: S603
    _expect("application here", "status 0", f"{done.returncode}: {_last(done.stderr)}", holds=done.returncode == 0)
    return out


def differing_numbers(left: Any, right: Any, *, where: str = "") -> list[str]:
    """Places where two results differ: in a number by more than 1e-6, or in anything else at all.

    What is of the run and not of the patient is left out: times, versions, new UIDs, digests of files that hold them.
    """
    if _OF_THE_RUN.fullmatch(where):
        return []
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return [
            place
            for key in sorted({*left, *right})
            for place in differing_numbers(left.get(key), right.get(key), where=f"{where}.{key}".strip("."))
        ]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        pairs = enumerate(zip(left, right, strict=True))
        return [place for i, (a, b) in pairs for place in differing_numbers(a, b, where=f"{where}[{i}]")]
    if _is_number(left) and _is_number(right):
        return [] if math.isclose(left, right, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE) else [where]
    return [] if left == right else [where]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
