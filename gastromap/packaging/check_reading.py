"""Reading the files of a package for a check: a file that cannot be read is a finding, not an exception."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gastromap.packaging.check_findings import Finding, Source

__all__ = ["as_mapping", "as_mappings", "parse_json", "parse_yaml", "read_json", "read_text", "read_yaml", "shown"]

_LONGEST = 80


def shown(value: object) -> str:
    """Give a value as it stands in a finding: one line, not too long."""
    text = "none" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def as_mapping(value: object) -> Mapping[str, Any]:
    """Give a mapping as it is, an empty one for anything else: a wrong type is another rule's finding."""
    return value if isinstance(value, Mapping) else {}


def as_mappings(value: object) -> list[Mapping[str, Any]]:
    """Give the mappings of a list; none for anything else."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def read_text(path: Path, name: str, source: Source) -> str | Finding:
    """Read UTF-8 text."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError:
        return Finding("file-missing", "error", name, "", "a readable file", "none", source)
    except UnicodeDecodeError as error:
        return Finding("encoding", "error", name, f"byte {error.start}", "UTF-8", "another encoding", source)


def read_json(path: Path, name: str, source: Source) -> dict[str, Any] | Finding:
    """Read a JSON object; duplicate names are refused, since readers differ in which one they take."""
    text = read_text(path, name, source)
    return text if isinstance(text, Finding) else parse_json(text, name, source)


def parse_json(text: str, name: str, source: Source) -> dict[str, Any] | Finding:
    """As :func:`read_json`, from text."""
    try:
        content = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        return Finding("json", "error", name, f"line {error.lineno}", "JSON", error.msg, source)
    except _DuplicateNameError as error:
        return Finding("json", "error", name, str(error), "each name once", "twice", source)
    if not isinstance(content, dict):
        return Finding("json", "error", name, "", "a JSON object", type(content).__name__, source)
    return content


def read_yaml(path: Path, name: str, source: Source) -> dict[str, Any] | Finding:
    """Read a YAML mapping."""
    text = read_text(path, name, source)
    return text if isinstance(text, Finding) else parse_yaml(text, name, source)


def parse_yaml(text: str, name: str, source: Source) -> dict[str, Any] | Finding:
    """As :func:`read_yaml`, from text."""
    try:
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1}"
        return Finding("yaml", "error", name, line, "YAML", error.problem or "something else", source)
    except yaml.YAMLError as error:
        return Finding("yaml", "error", name, "", "YAML", type(error).__name__, source)
    if not isinstance(content, Mapping):
        return Finding("yaml", "error", name, "", "sections with names", type(content).__name__, source)
    return dict(content)


class _DuplicateNameError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise _DuplicateNameError(name)
        content[name] = value
    return content
