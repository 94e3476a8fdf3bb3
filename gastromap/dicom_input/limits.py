"""Every limit and tolerance of the input gate, with its default, as one frozen type.

The values are judgements to be tuned on a cohort; the checks that use them live in the other modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from gastromap.errors import UsageError

__all__ = ["GateSettings"]

_REMEDY = "Correct the section of the input gate in the configuration."


@dataclass(frozen=True)
class GateSettings:
    """Limits of the input gate; the defaults are those of a hospital installation.

    Attributes
    ----------
    min_slices : int
        Fewest slices of a series.
    min_coverage_mm : float
        Least extent along z, first to last slice centre plus one thickness.
    min_sources : int
        Portal votes a series needs; 1 only for research cohorts with stripped times.
    target_thickness_mm, min_thickness_mm, max_thickness_mm : float
        Ranking of reconstructions of one acquisition.
    max_files, max_total_bytes, max_file_bytes, max_depth : int
        Checked before any file is opened.
    min_matrix, max_matrix, max_voxels : int
        Rows and Columns of a slice, voxels of a series; checked before decoding.
    max_tilt_degrees, max_axial_degrees : float
        Position line against slice normal, and slice normal against the body axis.
    derive_blanked_uids : bool
        Whether a folder in which *every* CT image has blanked study, series or SOP Instance UIDs is given derived
        ones, with the warning UIDS_DERIVED, as some public research sets need it. ``MAP.yaml``, the configuration of
        an installation, turns it off: results for such images cannot be filed.
    image_vote : bool
        Whether the enhancement of the organs votes on the phase.
    parse_in_child : bool
        Whether a child process meets every header first and decodes compressed pixels, see
        ``gastromap.dicom_input.child_process``. Off only where the caller is itself a process that may die.
    parse_seconds, parse_bytes : float, int
        Limits of that process: time for a whole folder or a slice, and address space.
    decode_threads : int
        Threads that decode slices.
    """

    min_slices: int = 10
    min_coverage_mm: float = 70.0
    min_sources: int = 2
    target_thickness_mm: float = 5.0
    min_thickness_mm: float = 1.0
    max_thickness_mm: float = 5.0
    max_files: int = 20_000
    max_total_bytes: int = 8 * 1024**3
    max_file_bytes: int = 64 * 1024**2
    max_depth: int = 16
    min_matrix: int = 64
    max_matrix: int = 2048
    max_voxels: int = 400_000_000
    max_tilt_degrees: float = 0.5
    max_axial_degrees: float = 10.0
    derive_blanked_uids: bool = True
    image_vote: bool = True
    parse_in_child: bool = True
    parse_seconds: float = 300.0
    parse_bytes: int = 6 * 1024**3
    decode_threads: int = 4

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, bool) and value <= 0:
                raise _invalid("a positive number", "zero or less", field.name)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> GateSettings:
        """Read the settings from a section of a configuration file.

        Parameters
        ----------
        mapping : mapping of str to number or bool
            Names as the attributes of this class; missing names keep their default.

        Returns
        -------
        settings : GateSettings

        Raises
        ------
        UsageError
            ``CONFIG_INVALID`` for an unknown name or a value of another type.
        """
        if not isinstance(mapping, Mapping):
            raise _invalid("a mapping of names to values", type(mapping).__name__, "section")
        types = get_type_hints(cls)
        values: dict[str, Any] = {}
        for name, value in mapping.items():
            if name not in types:
                raise _invalid(f"one of {', '.join(sorted(types))}", "an unknown name", "section")
            values[name] = _converted(name, value, types[name])
        return cls(**values)


def _invalid(expected: str, got: str, name: str) -> UsageError:
    where = "dicom_input" if name == "section" else f"dicom_input.{name}"
    return UsageError("CONFIG_INVALID", where=where, expected=expected, got=got, remedy=_REMEDY)


def _converted(name: str, value: object, kind: type) -> object:
    # bool is an int in Python, so ``min_slices: yes`` in YAML would silently become 1.
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        return float(value)
    raise _invalid(f"a value of type {kind.__name__}", type(value).__name__, name)
