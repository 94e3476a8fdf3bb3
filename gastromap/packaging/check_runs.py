"""Runs of an image: as a hardened container, as the platforms start it, and where it must fail.

Success is exit status 0 with files in the output; failure is another status with an empty output. GastroMAP's exact
statuses are held against :class:`gastromap.errors.ExitCode`. The specification says nothing of exit statuses, so that
for another package a failure that ends with 0 is a warning.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gastromap.errors import ExitCode
from gastromap.packaging.check_app_manifest import command_words
from gastromap.packaging.check_findings import Finding, Level, Source
from gastromap.packaging.check_layout import Profile
from gastromap.packaging.check_reading import as_mapping, shown
from gastromap.packaging.check_samples import Samples
from gastromap.packaging.engine import Engine, Finished, Mount

__all__ = ["HARDENED", "INPUT", "OUTPUT", "Runs", "check_runs"]

#: As in docs and the deployment pages: no network, nothing writable but the output and /tmp, no capabilities.
HARDENED = (
    "--init", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",  # noqa: S108
    "--security-opt", "no-new-privileges", "--user", "4242:4242",
)  # fmt: skip
#: Express sets neither capabilities nor a read-only root; its nvidia runtime is left out here.
_EXPRESS = ("--network", "none", "--user", "1000:1000")
INPUT, OUTPUT, _MODELS = "/var/holoscan/input", "/var/holoscan/output", "/opt/holoscan/models"
_SHORT_S = 120.0
_TERMINATED = 143
#: What docker and podman say themselves: no container, no permission to start the program, no such program.
_NOT_STARTED = frozenset({125, 126, 127})
_STOP_WITHIN_S = 1.0
#: Pruning an image for size can take away what only one writer needs.
_IMPORTS = """
import importlib, pkgutil
for name in ("app", "operators", "gastromap.dicom_input", "gastromap.dicom_output", "gastromap.reports"):
    package = importlib.import_module(name)
    for module in pkgutil.iter_modules(package.__path__, name + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
#: Into the imports, long before a result.
_STOP_AFTER_S = 2.0


@dataclass(frozen=True)
class Runs:
    """What all runs share.

    Attributes
    ----------
    engine : Engine
    image : str
    samples : Samples
    work : Path
        Folder for outputs, visible to the engine.
    app : mapping
        ``app.json``.
    timeout_s : float
    """

    engine: Engine
    image: str
    samples: Samples
    work: Path
    app: Mapping[str, Any]
    profile: Profile
    timeout_s: float

    def output(self) -> Path:
        """Make an empty folder that every user may write."""
        folder = self.work / "output"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        return folder

    @property
    def strict(self) -> Level:
        """Level of rules that GastroMAP sets itself and others may take as advice."""
        return "error" if self.profile == "gastromap" else "warning"


def check_runs(runs: Runs) -> Iterator[tuple[str, list[Finding]]]:
    """Yield the name of each run and what was wrong with it."""
    if runs.profile == "gastromap":
        yield "imports", list(_imports(runs))
    yield "hardened run", list(_hardened(runs))
    yield "Express form", list(_express(runs))
    yield "Mercure form", list(_mercure(runs))
    yield from _failures(runs)
    yield "docker stop", list(_stop(runs))


def _imports(runs: Runs) -> Iterator[Finding]:
    root = str(as_mapping(runs.app.get("environment")).get("HOLOSCAN_APPLICATION") or "/opt/holoscan/app")
    done = runs.engine.run(
        runs.image,
        ("-c", _IMPORTS),
        options=(*HARDENED, "--workdir", root, "--entrypoint", "python3"),
        timeout_s=runs.timeout_s,
    )
    if done.status != 0:
        last = _last_line(done) or f"status {done.status}"
        yield Finding("imports", "error", "imports", "operators and writers", "no error", last, Source.GASTROMAP)


def _last_line(done: Finished) -> str:
    """What the program said at its end; the studies of these runs are synthetic."""
    lines = done.log.decode(errors="replace").strip().splitlines()
    return shown(lines[-1]) if lines else ""


def _hardened(runs: Runs) -> Iterator[Finding]:
    output = runs.output()
    mounts = (Mount(runs.samples.plain, INPUT), Mount(output, OUTPUT, writable=True))
    done = runs.engine.run(runs.image, options=HARDENED, mounts=mounts, timeout_s=runs.timeout_s)
    yield from _succeeded(runs, "hardened run", done, output)


def _express(runs: Runs) -> Iterator[Finding]:
    output = runs.output()
    mounts = (Mount(runs.samples.express, INPUT), Mount(output, OUTPUT, writable=True))
    # Entrypoint and command are replaced: what the image's own entrypoint would set up is missing.
    words = command_words(runs.app.get("command"))
    if not words:
        found = shown(runs.app.get("command"))
        yield Finding("run-command", "error", "Express form", "command", "a command", found, Source.SPECIFICATION)
        return
    done = runs.engine.run(
        runs.image,
        words[1:],
        options=(*_EXPRESS, "--entrypoint", words[0]),
        mounts=mounts,
        variables={"HOLOSCAN_INPUT_PATH": f"{INPUT}/", "HOLOSCAN_OUTPUT_PATH": f"{OUTPUT}/"},
        timeout_s=runs.timeout_s,
    )
    yield from _succeeded(runs, "Express form", done, output)


def _mercure(runs: Runs) -> Iterator[Finding]:
    # Its detection of packages starts this in every image, and takes an image without the program for broken.
    found = runs.engine.run(
        runs.image,
        ("/etc/monai/app.json",),
        options=("--network", "none", "--entrypoint", "cat"),
        timeout_s=_SHORT_S,
    )
    if found.status in {0, 126, 127, None}:
        yield Finding(
            "mercure-detection",
            "warning",
            "Mercure form",
            "cat /etc/monai/app.json",
            "a program cat, and no such file",
            "the file, which makes Mercure ask for root" if found.status == 0 else "no program cat",
            Source.MERCURE,
        )
    output = runs.output()
    mounts = (Mount(runs.samples.mercure, "/tmp/data", writable=True), Mount(output, "/tmp/output", writable=True))  # noqa: S108
    done = runs.engine.run(
        runs.image,
        options=("--network", "none", "--cap-drop", "ALL", "--user", "4242:4242"),
        mounts=mounts,
        variables={"HOLOSCAN_INPUT_PATH": "/tmp/data", "HOLOSCAN_OUTPUT_PATH": "/tmp/output"},  # noqa: S108
        timeout_s=runs.timeout_s,
    )
    yield from _succeeded(runs, "Mercure form", done, output)
    if done.status == 0 and list(output.rglob("*.dcm")) and not list(output.glob("*.dcm")):
        yield Finding(
            "mercure-top-level",
            "warning",
            "Mercure form",
            "output",
            "DICOM results at the top level",
            "in folders only, which Mercure does not dispatch",
            Source.MERCURE,
        )


def _failures(runs: Runs) -> Iterator[tuple[str, list[Finding]]]:
    samples, refused = runs.samples, ExitCode.REFUSED
    unfit = [("empty input", samples.empty, refused), ("junk only", samples.junk, refused)]
    if runs.profile == "gastromap":
        # Another package may well take three slices, or MR.
        unfit += [("too few slices", samples.few, refused), ("no CT", samples.other, refused)]
    for name, folder, code in unfit:
        output = runs.output()
        mounts = (Mount(folder, INPUT), Mount(output, OUTPUT, writable=True))
        done = runs.engine.run(runs.image, options=HARDENED, mounts=mounts, timeout_s=runs.timeout_s)
        yield name, list(_failed(runs, name, done, output, code))
    output = runs.output()
    mounts = (Mount(samples.plain, INPUT), Mount(output, OUTPUT))
    done = runs.engine.run(runs.image, options=HARDENED, mounts=mounts, timeout_s=runs.timeout_s)
    yield "read-only output", list(_failed(runs, "read-only output", done, output, ExitCode.OUTPUT))
    output = runs.output()
    without = (Mount(samples.plain, INPUT), Mount(output, OUTPUT, writable=True), Mount(samples.empty, _MODELS))
    done = runs.engine.run(runs.image, options=HARDENED, mounts=without, timeout_s=runs.timeout_s)
    yield "empty model folder", list(_failed(runs, "empty model folder", done, output, ExitCode.MODEL))


def _succeeded(runs: Runs, name: str, done: Finished, output: Path) -> Iterator[Finding]:
    error = partial(Finding, level="error", file=name, source=Source.HARDENING)
    if done.status != 0:
        found = "no end in time" if done.status is None else f"{done.status} after {done.seconds:.0f} s"
        last = _last_line(done)
        yield error("run-status", field="exit status", expected="0", found=f"{found}: {last}" if last else found)
    files = [path for path in output.rglob("*") if path.is_file()]
    if not files:
        yield error("run-output", field="output", expected="results", found="nothing")
    elif runs.profile == "gastromap" and not (output / "result.json").is_file():
        yield error("run-output", field="output", expected="result.json", found="none", source=Source.GASTROMAP)
    yield from _dicom(name, output, files)
    yield from _quiet(runs, name, done)


def _dicom(name: str, output: Path, files: list[Path]) -> Iterator[Finding]:
    import pydicom
    from pydicom.errors import InvalidDicomError

    for path in files:
        where = path.relative_to(output).as_posix()
        with path.open("rb") as stream:
            is_dicom = stream.read(132)[128:] == b"DICM"
        if is_dicom and path.suffix != ".dcm":
            yield Finding(
                "run-dicom-name", "error", name, where, "a name in .dcm", "another, not exported", Source.EXPRESS
            )
        elif path.suffix == ".dcm":
            try:
                pydicom.dcmread(path)
            except (InvalidDicomError, EOFError, OSError):
                yield Finding("run-dicom", "error", name, where, "DICOM", "a file that cannot be read", Source.SDK)


def _failed(runs: Runs, name: str, done: Finished, output: Path, code: ExitCode) -> Iterator[Finding]:
    wrong = partial(Finding, level=runs.strict, file=name, source=Source.HARDENING)
    if done.status is None:
        yield wrong("failure-status", field="exit status", expected="an end", found="no end in time")
    elif done.status in _NOT_STARTED:
        found = f"{done.status}: the container did not start"
        yield wrong("failure-status", level="error", field="exit status", expected="a start", found=found)
    elif runs.profile == "gastromap" and done.status != code:
        yield wrong(
            "failure-status",
            field="exit status",
            expected=f"{int(code)} ({code.name})",
            found=f"{done.status}",
            source=Source.GASTROMAP,
        )
    elif done.status == 0:
        yield wrong("failure-status", field="exit status", expected="not 0", found="0")
    left = sorted(path.relative_to(output).as_posix() for path in output.rglob("*"))
    if left:
        yield wrong("failure-output", field="output", expected="nothing", found=f"{len(left)} files or folders")
    yield from _quiet(runs, name, done)


def _quiet(runs: Runs, name: str, done: Finished) -> Iterator[Finding]:
    if any(mark.encode() in done.log for mark in runs.samples.marks):
        yield Finding(
            "log-patient",
            "error",
            name,
            "log",
            "no patient data",
            "name or number of the patient",
            Source.HARDENING,
        )


def _stop(runs: Runs) -> Iterator[Finding]:
    output = runs.output()
    mounts = (Mount(runs.samples.plain, INPUT), Mount(output, OUTPUT, writable=True))
    done, took = runs.engine.stopped(runs.image, options=HARDENED, mounts=mounts, after_s=_STOP_AFTER_S, grace_s=10)
    wrong = partial(Finding, file="docker stop", source=Source.HARDENING)
    # The engine itself takes part of the second.
    if done.status != _TERMINATED or took > _STOP_WITHIN_S + _STOP_AFTER_S:
        found = f"{done.status} after {took:.1f} s"
        wanted = f"{_TERMINATED} within {_STOP_WITHIN_S:g} s"
        yield wrong("stop", level=runs.strict, field="exit status", expected=wanted, found=found)
    if any(output.iterdir()):
        yield wrong("stop-output", level=runs.strict, field="output", expected="nothing", found="files")
    yield from _quiet(runs, "docker stop", done)
