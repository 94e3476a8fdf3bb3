"""Holds what an image makes of a study against what the application makes of it outside the container."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gastromap.packaging.check_runs import HARDENED, INPUT, OUTPUT
from gastromap.packaging.configuration import PackagingError
from gastromap.packaging.engine import Engine, Mount
from gastromap.packaging.stage import REPOSITORY

__all__ = ["compare_with_application", "differing_numbers"]

_TOLERANCE = 1e-6
#: Differs from run to run: times and versions, digests and new UIDs of files, labels with a key of the run.
_OF_THE_RUN = re.compile(r"run|files|input\..*label")


def compare_with_application(
    engine: Engine, image: str, study: Path, *, name: str, work: Path, timeout_s: float = 600.0
) -> str:
    """Run a study in the hardened container and with the application of this checkout; both must say the same.

    Parameters
    ----------
    engine : Engine
    image : str
    study : Path
        Folder of DICOM files.
    name : str
        What the study is called in the line returned and in errors.
    work : Path
        Folder visible to the engine.
    timeout_s : float
        Longest run.

    Returns
    -------
    line : str
        What was found equal, with the seconds of the container.

    Raises
    ------
    PackagingError
        ``CHECK_FAILED``: another exit status, a number that differs by more than 1e-6, or a refusal that left files.
    """
    here, there = work / "here", work / "there"
    for folder in (here, there):
        shutil.rmtree(folder, ignore_errors=True)
    there.mkdir(parents=True)
    there.chmod(0o777)
    done = engine.run(
        image,
        options=_options(),
        mounts=(Mount(study, INPUT), Mount(there, OUTPUT, writable=True)),
        timeout_s=timeout_s,
    )
    command = [sys.executable, "-m", "app", "-i", str(study), "-o", str(here), "--device", "cpu"]
    outside = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False, timeout=timeout_s)  # noqa: S603
    _expect(name, f"status {outside.returncode} as outside", f"{done.status}", holds=done.status == outside.returncode)
    if outside.returncode:
        left = len(list(there.iterdir()))
        _expect(name, "an empty output folder", f"{left} entries", holds=not left)
        return f"{name}: status {done.status} as outside, empty output folder, {done.seconds:.1f} s"
    inside = json.loads((there / "result.json").read_bytes())
    differing = differing_numbers(inside, json.loads((here / "result.json").read_bytes()))
    _expect(name, f"numbers equal to {_TOLERANCE:g}", ", ".join(differing), holds=not differing)
    imports = inside["run"]["seconds"]["import"]
    return (
        f"{name}: result.json equals that of the application outside to {_TOLERANCE:g}; "
        f"{done.seconds:.1f} s from start to result, {imports:.1f} s of it imports"
    )


def _options() -> tuple[str, ...]:
    if os.getuid() == 0:
        return HARDENED
    # Who is not root could not remove what another user wrote.
    user = HARDENED.index("--user") + 1
    return (*HARDENED[:user], f"{os.getuid()}:{os.getgid()}", *HARDENED[user + 1 :])


def _expect(where: str, expected: str, got: str, *, holds: bool) -> None:
    if not holds:
        remedy = "The image is not fit for use."
        raise PackagingError("CHECK_FAILED", where=where, expected=expected, got=got, remedy=remedy)


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
