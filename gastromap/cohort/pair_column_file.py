"""The column map of a table of scan pairs as a YAML file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, get_args

from gastromap.cohort.pair_columns import COLUMN_KEYS, ClinicalColumn, TimeUnit, checked_clinical, columns_invalid
from gastromap.cohort.spreadsheet import plain

__all__ = ["read_column_file"]

_FILE_KEYS: Final = frozenset(
    (
        "table",
        "images",
        "sheet",
        "header_row",
        "columns",
        "os_unit",
        "missing_values",
        "mask_label",
        "clinical",
        "words",
    )
)
_CLINICAL_KEYS: Final = frozenset(("column", "type", "levels", "missing", "words"))


def read_column_file(path: Path) -> dict[str, Any]:
    """Read a column map.

    Parameters
    ----------
    path : Path
        YAML with ``columns`` and, as needed, ``table``, ``images``, ``sheet``, ``header_row``, ``os_unit``,
        ``missing_values``, ``mask_label``, ``clinical`` and ``words``. Paths in it are relative to its folder.

    Returns
    -------
    content : dict
        Keys as in the file; ``table`` and ``images`` as Path, ``columns`` without those that are null, ``clinical`` as
        tuple of :class:`ClinicalColumn`, ``missing_values`` as tuple of text, ``words`` as of ``--word``.

    Raises
    ------
    UsageError
        ``COLUMNS_INVALID``.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        got = "no such file" if isinstance(error, FileNotFoundError) else type(error).__name__
        columns_invalid("--columns", "a YAML file in UTF-8", got)
    found = dict(_mapping(content, "--columns", _FILE_KEYS))
    columns = _mapping(found.get("columns") or {}, "columns", COLUMN_KEYS)
    found["columns"] = {key: plain(name) for key, name in columns.items() if name is not None}
    found["clinical"] = tuple(_clinical(name, one) for name, one in _any(found.get("clinical") or {}).items())
    missing = found.get("missing_values") or []
    if not isinstance(missing, list):
        columns_invalid("missing_values", "a list", type(missing).__name__)
    found["missing_values"] = tuple(plain("" if cell is None else cell) for cell in missing)
    if found.get("os_unit") not in (None, *get_args(TimeUnit)):
        columns_invalid("os_unit", "months or days", "something else")
    for key, kind in (("mask_label", int), ("header_row", int), ("sheet", str)):
        if not isinstance(found.get(key), kind | None) or isinstance(found.get(key), bool):
            columns_invalid(key, {int: "a whole number", str: "text"}[kind], "something else")
    found["words"] = tuple(
        f"{variable}:{cell}={level}"
        for variable, cells in _any(found.get("words") or {}, "words").items()
        for cell, level in _quoted(_any(cells, "words"), "words").items()
    )
    for key in ("table", "images"):
        if found.get(key) is not None:
            found[key] = path.parent / Path(str(found[key])).expanduser()
    return found


def _any(value: object, where: str = "clinical") -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        columns_invalid(where, "names with values", type(value).__name__)
    return value


def _quoted(cells: Mapping[Any, Any], where: str) -> Mapping[Any, Any]:
    """Refuse what YAML has taken for true or false: whether it was yes, on or true is lost."""
    if any(isinstance(one, bool) for pair in cells.items() for one in pair):
        columns_invalid(where, "words in quotes", "yes, no, on, off, true or false without them")
    return cells


def _mapping(value: object, where: str, known: Collection[str]) -> Mapping[str, Any]:
    found = _any(value, where)
    # What YAML 1.1 makes of a bare word is not always text.
    unknown = [str(key) for key in found if key not in known]
    if unknown:
        columns_invalid(where, f"keys among {', '.join(sorted(known))}", unknown[0])
    return found


def _clinical(name: object, value: object) -> ClinicalColumn:
    where = f"clinical.{name}"
    fields = _mapping({"column": value} if isinstance(value, str) else value, where, _CLINICAL_KEYS)
    levels, missing = fields.get("levels") or [], fields.get("missing") or []
    if not isinstance(levels, list) or not isinstance(missing, list) or not fields.get("column"):
        columns_invalid(where, "column, type, and lists under levels and missing", "something else")
    _quoted(dict.fromkeys([*levels, *missing]), where)
    return checked_clinical(
        ClinicalColumn(
            name=str(name),
            column=plain(fields["column"]),
            type=fields.get("type", "numeric"),
            levels=tuple(level if isinstance(level, int) else plain(level) for level in levels),
            missing=tuple(plain(cell) for cell in missing),
            words={
                plain(cell): level for cell, level in _quoted(_any(fields.get("words") or {}, where), where).items()
            },
        )
    )
