"""``MAP.yaml``: the one application configuration, checked as far as packaging needs it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gastromap import __version__
from gastromap.errors import GastromapError, UsageError

__all__ = ["MapConfiguration", "PackagingError", "Resources", "is_semver", "read_configuration"]

#: The grammar of https://semver.org/spec/v2.0.0.html
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?"
    r"(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?"
)
#: MAP specification 1.0.0: Mi or Gi, decimals to a tenth.
_SIZE = re.compile(r"\d+(\.\d)?(Mi|Gi)")
_REMEDY = "Correct MAP.yaml."
#: Our key and the one of NVIDIA's packager 4.2.0, which must agree.
_SPELLINGS = (("inputFormats", "input-formats"), ("outputFormats", "output-formats"))


class PackagingError(GastromapError):
    """A package cannot be made from what is there: nothing is built."""


@dataclass(frozen=True)
class Resources:
    """What a host should reserve; sizes as text with Mi or Gi."""

    cpu: int
    gpu: int
    memory: str
    gpu_memory: str
    shared_memory: str


@dataclass(frozen=True)
class MapConfiguration:
    """Section ``application`` and ``resources`` of ``MAP.yaml``."""

    title: str
    version: str
    input_formats: tuple[str, ...]
    output_formats: tuple[str, ...]
    resources: Resources


def is_semver(text: object) -> bool:
    """Whether ``text`` is a string that follows semantic versioning 2.0.0."""
    return isinstance(text, str) and _SEMVER.fullmatch(text) is not None


def _invalid(expected: str, got: str) -> UsageError:
    return UsageError("MAP_CONFIG", where="MAP.yaml", expected=expected, got=got, remedy=_REMEDY)


def _section(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = content.get(name)
    if not isinstance(section, Mapping):
        raise _invalid(f"a section {name}", "none")
    return section


def _text(section: Mapping[str, Any], name: str) -> str:
    value = section.get(name)
    if not isinstance(value, str) or not value.strip():
        raise _invalid(f"a text for {name}", type(value).__name__)
    return value


def _formats(section: Mapping[str, Any], ours: str, theirs: str) -> tuple[str, ...]:
    value = section.get(ours)
    if not isinstance(value, list) or not value or not all(isinstance(entry, str) for entry in value):
        raise _invalid(f"a list of formats for {ours}", type(value).__name__)
    if section.get(theirs) != value:
        raise _invalid(f"{theirs} equal to {ours}", "another value")
    return tuple(value)


def _count(section: Mapping[str, Any], name: str) -> int:
    value = section.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _invalid(f"a whole number for {name}", type(value).__name__)
    return value


def _size(section: Mapping[str, Any], name: str) -> str:
    value = _text(section, name)
    if not _SIZE.fullmatch(value):
        raise _invalid(f"a size in Mi or Gi for {name}", value)
    return value


def read_configuration(path: Path, *, version: str = __version__) -> MapConfiguration:
    """Read and check ``MAP.yaml``.

    Parameters
    ----------
    path : Path
    version : str
        Version of the project, which that of the file must equal.

    Raises
    ------
    UsageError
        ``MAP_CONFIG`` for a missing or wrong entry, ``VERSION_INVALID`` for a version that is no string in semantic
        versioning (YAML reads an unquoted 1.0 as a number), ``VERSION_DIFFERS`` if it is not that of the project.
    """
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _invalid("a readable YAML file", type(error).__name__) from error
    if not isinstance(content, Mapping):
        raise _invalid("sections with names", type(content).__name__)
    application, resources = _section(content, "application"), _section(content, "resources")
    found = application.get("version")
    if not is_semver(found):
        raise UsageError(
            "VERSION_INVALID",
            where="MAP.yaml",
            expected="a quoted semantic version",
            got=f"{found!r}",
            remedy='Write it as "1.2.3".',
        )
    if found != version:
        raise UsageError(
            "VERSION_DIFFERS",
            where="MAP.yaml",
            expected=f"the project's version {version}",
            got=str(found),
            remedy="Change the version in MAP.yaml and in gastromap/__init__.py together.",
        )
    return MapConfiguration(
        title=_text(application, "title"),
        version=str(found),
        input_formats=_formats(application, *_SPELLINGS[0]),
        output_formats=_formats(application, *_SPELLINGS[1]),
        resources=Resources(
            cpu=_count(resources, "cpu"),
            gpu=_count(resources, "gpu"),
            memory=_size(resources, "memory"),
            gpu_memory=_size(resources, "gpuMemory"),
            shared_memory=_size(resources, "sharedMemory"),
        ),
    )
