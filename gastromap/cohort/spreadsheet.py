"""Read the researcher's table: xlsx or CSV, columns and cells in any script.

Cells stay text; what they mean is the business of ``labels``. A message names a column or a row and quotes
no cell.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from gastromap.errors import UsageError

__all__ = ["Table", "identifier", "is_empty", "plain", "read_table"]

#: UTF-8 first: text in it is hardly ever valid by chance. Chinese Excel saves CSV in GB18030.
_ENCODINGS = ("utf-8-sig", "gb18030")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_DELIMITERS = (",", ";", "\t")
_EMPTY = frozenset({"", "na", "n/a", "nan", "none", "null", "-", "—", "/", "#n/a", "无", "不详", "未知"})
_LIMIT_BYTES = 200_000_000


@dataclass(frozen=True)
class Table:
    """Rows of a table, as text.

    Attributes
    ----------
    columns : tuple of str
        Names as :func:`plain` gives them; columns without a name are left out.
    rows : tuple of (int, dict)
        Number of the row as a spreadsheet shows it (the names stand in row 1), and its cells by column.
        Rows without any text are left out.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]

    def column(self, name: str) -> str:
        """Give the name of a column as the table spells it.

        Raises
        ------
        UsageError
            ``TABLE_COLUMN``, with the nearest name where one is near.
        """
        wanted = plain(name)
        if wanted in self.columns:
            return wanted
        # Case, and blanks before a bracket, differ between what is typed and what the table shows.
        alike = [known for known in self.columns if _folded(known) == _folded(wanted)]
        if len(alike) == 1:
            return alike[0]
        folded = {known.casefold(): known for known in self.columns}
        close = difflib.get_close_matches(wanted.casefold(), list(folded), n=1, cutoff=0.6)
        remedy = f"Did you mean {folded[close[0]]}?" if close else f"Columns are: {', '.join(self.columns)}."
        raise UsageError("TABLE_COLUMN", where="table", expected=f"a column {name}", got="none", remedy=remedy)

    def usual(self, names: Iterable[str]) -> str | None:
        """Give the first column that has one of these names in either case."""
        folded = {known.casefold(): known for known in self.columns}
        return next((folded[name.casefold()] for name in names if name.casefold() in folded), None)


def plain(text: object) -> str:
    """Text without differences of width, surrounding blanks and line breaks inside (NFKC)."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", str(text))).strip()


def _folded(name: str) -> str:
    return re.sub(r" (?=[(\[])", "", name.casefold())


def is_empty(cell: str) -> bool:
    """Whether a cell is blank or says so in the manner of spreadsheets."""
    return cell.strip().casefold() in _EMPTY


def identifier(text: object) -> str:
    """An identifier as it is compared: spreadsheets turn 7 into "7", "7.0" and "7 "."""
    return re.sub(r"^(\d+)\.0+$", r"\1", plain(text))


def _refuse(expected: str, got: str, remedy: str) -> NoReturn:
    raise UsageError("TABLE_INVALID", where="table", expected=expected, got=got, remedy=remedy)


def read_table(path: Path, *, sheet: str | None = None, header_row: int = 1, keep_words: bool = False) -> Table:
    """Read a table.

    Parameters
    ----------
    path : Path
        ``.xlsx``, or text with commas, semicolons or tabs in UTF-8, UTF-16 or GB18030.
    sheet : str, optional
        Of an xlsx file; the first by default.
    header_row : int
        Row that holds the names of the columns, from 1. Of names in two rows give the lower one: cells merged with
        those above keep their name, and columns of one name get that of the group above them.
    keep_words : bool
        Leave cells such as ``无`` and ``-`` as they are: in some columns they mean "negative", not "missing".

    Returns
    -------
    table : Table

    Raises
    ------
    UsageError
        ``TABLE_INVALID``: no such file or sheet, another format, two columns of one name, no rows.
    """
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            _refuse("a table below 200 MB", "more", "Export the columns that are needed.")
        lines = _xlsx(path, sheet) if path.suffix.lower() == ".xlsx" else _text(path)
    except FileNotFoundError:
        _refuse("a table", "no such file", "Check the path.")
    except OSError as error:
        _refuse("a readable table", (error.strerror or type(error).__name__).lower(), "Check the permissions.")
    if len(lines) < header_row:
        _refuse(f"names of columns in row {header_row}", "fewer rows", "Correct --header-row.")
    names = _names([[plain(cell) for cell in line] for line in lines[:header_row]])
    named = [name for name in names if name]
    if len(set(named)) != len(named):
        _refuse("each column once", "two columns of one name", "Rename one of them.")
    rows = []
    for number, line in enumerate(lines[header_row:], start=header_row + 1):
        cells = {name: plain(cell) for name, cell in zip(names, line, strict=True) if name}
        if any(cells.values()):
            kept = cells if keep_words else {name: "" if is_empty(cell) else cell for name, cell in cells.items()}
            rows.append((number, kept))
    if not rows:
        _refuse("rows below the names of the columns", "none", "Check the sheet and --header-row.")
    return Table(tuple(named), tuple(rows))


def _names(lines: list[list[str]]) -> list[str]:
    """Names of the columns, from the last of the lines and, where cells are merged, from those above it."""
    names = lines[-1]
    if len(lines) == 1:
        return names
    # A merged cell has its text in the upper left corner only.
    groups = lines[-2]
    group = ""
    named = []
    for position, name in enumerate(names):
        group = groups[position] or group
        named.append(f"{group} {name}".strip() if name and names.count(name) > 1 else name or groups[position])
    return named if len(set(filter(None, named))) == len(list(filter(None, named))) else names


def _xlsx(path: Path, sheet: str | None) -> list[list[Any]]:
    import pandas as pd

    try:
        frame = pd.read_excel(
            path, sheet_name=0 if sheet is None else sheet, dtype=str, keep_default_na=False, header=None
        )
    except ImportError:
        _refuse("a CSV file", "xlsx without the package that reads it", "Install openpyxl or save the table as CSV.")
    except ValueError:
        _refuse("an xlsx file with that sheet", "something else", "Name a sheet with --sheet.")
    except (zipfile.BadZipFile, KeyError):
        _refuse("an xlsx file", "something else", "Save the table as xlsx or CSV UTF-8.")
    return _rectangle(frame.to_numpy().tolist())


def _text(path: Path) -> list[list[Any]]:
    import csv
    import io

    content = path.read_bytes()
    encodings = ("utf-16",) if content[:2] in _UTF16_MARKS else _ENCODINGS
    for encoding in encodings:
        try:
            text = content.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        _refuse("a CSV file in UTF-8 or GB18030", "another encoding", "Save the table as CSV UTF-8.")
    head = text.split("\n", 1)[0]
    try:
        return _rectangle(list(csv.reader(io.StringIO(text, newline=""), delimiter=max(_DELIMITERS, key=head.count))))
    except csv.Error:
        _refuse("a table as CSV", "damaged CSV", "Save the table again, or as xlsx.")


def _rectangle(lines: list[list[Any]]) -> list[list[Any]]:
    width = max((len(line) for line in lines), default=0)
    return [[*line, *[""] * (width - len(line))] for line in lines]
