"""The Dockerfile of a build context: environment, user, labels, and nothing fetched from outside."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from gastromap.packaging.check_findings import Finding, Source
from gastromap.packaging.check_reading import shown

__all__ = [
    "Instruction",
    "check_dockerfile",
    "check_version_labels",
    "compare_environment",
    "instructions",
    "numeric_user",
]

_FETCHES = re.compile(r"(?<![\w./-])(apt|apt-get|aptitude|dnf|yum|apk|curl|wget|git clone|conda|npm)(?![\w./-])")
_ADDRESS = re.compile(r"\b(?:https?|ftp|git|ssh)://[^\s\"']+")
_PIP = re.compile(r"\bpip3?(?:\.\d+)? install\b")
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}|\$(\w+)")
_LABELS = ("org.opencontainers.image.title", "org.opencontainers.image.version")

#: Labels by which NVIDIA's packager names versions, and the packages they are of.
_VERSION_LABELS = {"org.monai.deploy.app-sdk": "monai-deploy-app-sdk", "org.nvidia.holoscan": "holoscan-cu13"}


@dataclass(frozen=True)
class Instruction:
    """One instruction; ``line`` counts from 1."""

    line: int
    word: str
    rest: str
    stage: int


def instructions(text: str) -> list[Instruction]:
    """Split a Dockerfile: comments dropped, continued lines joined, stages counted from 1."""
    found: list[Instruction] = []
    joined, start, stage = "", 0, 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or (not joined and not line.strip()):
            continue
        start = start if joined else number
        joined += line.rstrip().removesuffix("\\") + " "
        if line.rstrip().endswith("\\"):
            continue
        word, _, rest = joined.strip().partition(" ")
        stage += word.upper() == "FROM"
        found.append(Instruction(start, word.upper(), rest.strip(), stage))
        joined = ""
    return found


def _pairs(rest: str) -> dict[str, str]:
    words = shlex.split(rest)
    if words and "=" not in words[0]:
        return {words[0]: " ".join(words[1:])}
    return dict(word.split("=", 1) for word in words if "=" in word)


def _filled(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        return values.get(match[1] or match[3], match[2] or "")

    return _VARIABLE.sub(value, text)


def numeric_user(user: str) -> str | None:
    """Say what is wrong with the user of an image; None if it is a number other than 0."""
    name = user.partition(":")[0]
    if not name:
        return "none, that is root"
    if not name.isdecimal():
        return "a name, which Kubernetes cannot tell from root"
    return None if int(name) else "0, that is root"


def compare_environment(wanted: Mapping[str, object], found: Mapping[str, str], file: str) -> Iterator[Finding]:
    """Hold ENV of an image or Dockerfile against ``environment`` of app.json.

    A final slash does not matter; a relative path counts from the working directory, as NVIDIA's runner takes it.
    """
    root = str(wanted.get("HOLOSCAN_WORKDIR", ""))
    for name, value in wanted.items():
        got = found.get(name)
        path = (
            f"{root.rstrip('/')}/{value}" if name.endswith("_PATH") and not str(value).startswith("/") else str(value)
        )
        if got is None or got.rstrip("/") != path.rstrip("/"):
            yield Finding(
                "env-equal",
                "error",
                file,
                f"ENV {name}",
                f"{shown(value)} as in app.json",
                shown(got),
                Source.SPECIFICATION,
            )


def check_version_labels(labels: Mapping[str, object], pins: Mapping[str, str], file: str) -> Iterator[Finding]:
    """Hold the versions in labels against the pinned ones; a label or a pin that is missing is no finding."""
    for label, package in _VERSION_LABELS.items():
        if label in labels and package in pins and labels[label] != pins[package]:
            yield Finding(
                "label-pin",
                "error",
                file,
                f"LABEL {label}",
                f"{shown(pins[package])} as pinned",
                shown(labels[label]),
                Source.HOLOSCAN,
            )


def check_dockerfile(
    text: str, environment: Mapping[str, object], pins: Mapping[str, str], name: str = "Dockerfile"
) -> Iterator[Finding]:
    """Check a Dockerfile for a build without network.

    Parameters
    ----------
    text : str
    environment : mapping
        ``environment`` of app.json.
    pins : mapping
        Exact versions of the requirements.
    name : str
        Its name in findings.
    """
    lines = instructions(text)
    error = partial(Finding, level="error", file=name, source=Source.HARDENING)
    if not lines or not any(line.word == "FROM" for line in lines):
        yield error("docker-from", field="", expected="FROM", found="none")
        return
    yield from _fetching(lines, name)
    last = [line for line in lines if line.stage == lines[-1].stage]
    values: dict[str, str] = {}
    variables: dict[str, str] = {}
    labels: dict[str, str] = {}
    user = ""
    for line in last:
        if line.word == "ARG":
            key, _, default = line.rest.partition("=")
            values[key] = _filled(default.strip("\"'"), values)
        elif line.word in {"ENV", "LABEL"}:
            pairs = {key: _filled(value, values) for key, value in _pairs(line.rest).items()}
            if line.word == "ENV":
                variables |= pairs
                values |= pairs
            else:
                labels |= pairs
        elif line.word == "USER":
            user = _filled(line.rest, values)
    yield from compare_environment(environment, variables, name)
    complaint = numeric_user(user)
    if complaint:
        yield error("docker-user", field="USER", expected="a number other than 0", found=complaint)
    for label in _LABELS:
        if label not in labels:
            yield error(
                "docker-label", field=f"LABEL {label}", expected="set", found="none", source=Source.SPECIFICATION
            )
    yield from check_version_labels(labels, pins, name)
    yield from _start(last, name)


def _fetching(lines: list[Instruction], name: str) -> Iterator[Finding]:
    error = partial(Finding, "docker-network", "error", name, source=Source.HARDENING)
    for line in lines:
        field = f"line {line.line}: {line.word}"
        if line.word in {"RUN", "ADD", "COPY", "ENV", "ARG"}:
            address = _ADDRESS.search(line.rest)
            if address:
                yield error(field=field, expected="no address", found=address[0].split("://")[0] + "://…")
        if line.word == "RUN":
            fetch = _FETCHES.search(line.rest)
            if fetch:
                yield error(field=field, expected="nothing fetched in the build", found=fetch[0])
            if _PIP.search(line.rest) and "--no-index" not in line.rest:
                yield error(field=field, expected="pip install --no-index", found="pip with an index")


def _start(last: list[Instruction], name: str) -> Iterator[Finding]:
    starts = [line for line in last if line.word in {"ENTRYPOINT", "CMD"}]
    error = partial(Finding, level="error", file=name, source=Source.SPECIFICATION)
    if not starts:
        yield error("docker-entrypoint", field="ENTRYPOINT", expected="a start of the application", found="none")
    for line in starts:
        # A shell between engine and application swallows its signals.
        if not line.rest.startswith("["):
            yield error(
                "docker-entrypoint",
                field=line.word,
                expected='a list, ["program"]',
                found="a line for a shell",
                source=Source.HARDENING,
            )
