"""Read the section of the input gate from a YAML configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from gastromap.dicom_input.limits import GateSettings
from gastromap.errors import UsageError

__all__ = ["read_gate_settings"]

#: Sections of the configuration file that belong to the package, not to the run.
_PACKAGE_SECTIONS = {"application", "resources"}


def _invalid(expected: str, got: str) -> UsageError:
    return UsageError(
        "CONFIG_INVALID", where="configuration", expected=expected, got=got, remedy="Correct the file of --config."
    )


def read_gate_settings(path: Path) -> tuple[GateSettings, dict[str, object]]:
    """Read the section ``dicom_input`` of a configuration file.

    Parameters
    ----------
    path : Path
        YAML; ``MAP.yaml`` is one.

    Returns
    -------
    settings : GateSettings
    overrides : dict
        What the file sets, as ``dicom_input.name`` to value, for the record of a run.

    Raises
    ------
    UsageError
        ``CONFIG_INVALID``: not readable, no YAML, an unknown section, name or type.
    """
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise _invalid("a readable YAML file", (error.strerror or "none").lower()) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _invalid("YAML", "text that is none") from error
    if not isinstance(content, dict):
        raise _invalid("sections with names", type(content).__name__)
    unknown = [str(key) for key in content if key not in {*_PACKAGE_SECTIONS, "dicom_input"}]
    if unknown:
        raise _invalid("the section dicom_input", f"{len(unknown)} unknown sections")
    section = content.get("dicom_input") or {}
    return GateSettings.from_mapping(section), {f"dicom_input.{key}": value for key, value in section.items()}
