"""``gastromap audit``: look for leakage, duplicates, label conflicts and impossible values in a datalist or split."""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gastromap.cores import usable_cores
from gastromap.errors import UsageError

if TYPE_CHECKING:
    from gastromap.cohort.audit_input import Entry
    from gastromap.cohort.auditing import AuditReport
    from gastromap.cohort.spreadsheet import Table

__all__ = ["register"]

#: Beside the codes of ``gastromap.errors``: the audit ran and found something.
FOUND = 4

_DESCRIPTION = """Check a datalist, or one table of file names a side, for patients on both sides, images that are
nearly the same, conflicting labels and impossible clinical values. Nothing is written; entries are named by side and
position."""
_EPILOG = """exit codes: 0 nothing found, 4 something found, 2 wrong arguments.

examples: gastromap audit DATA; gastromap audit --split training=train.csv --split test=test.csv"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "audit",
        parents=[common],
        help="check a datalist or split for leakage, duplicates and conflicts",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("data", nargs="?", type=Path, metavar="DATA", help="folder with datalist.json, or such a file")
    parser.add_argument(
        "--split",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="instead: a table (CSV, xlsx) a side; repeatable",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="of the tables (default: the folder of each table)")
    parser.add_argument("--image-column", metavar="COLUMN", help="file name (default: image, image_path, SlicePath …)")
    parser.add_argument(
        "--patient-column", metavar="COLUMN", help="(default: patient_id or PatientID, else the file name)"
    )
    parser.add_argument("--label-column", metavar="COLUMN", help="stage (default: label, true_label, stage, PathT …)")
    parser.add_argument(
        "--patient-before", default=".nii", metavar="TEXT",
        help="in tables, the patient is what stands before it in a file name (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--clinical", type=Path, metavar="FILE", help="(default: clinical.csv beside the datalist)")
    parser.add_argument("--no-images", action="store_true", help="do not compare images")
    parser.add_argument(
        "--similarity", type=float, default=0.9, metavar="R",
        help="correlation from which images of two patients count as the same (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=_run)


def _refuse(expected: str, got: str, remedy: str) -> NoReturn:
    raise UsageError("AUDIT_ARGUMENTS", where="arguments", expected=expected, got=got, remedy=remedy)


def _entries(arguments: argparse.Namespace) -> tuple[Entry, ...]:
    from gastromap.cohort.audit_input import AuditColumns, read_datalist_entries, read_table_entries

    if (arguments.data is None) == (not arguments.split):
        _refuse("either DATA or --split", "both or none", "Name one of them.")
    if arguments.data is not None:
        return read_datalist_entries(arguments.data)
    named = [text.partition("=") for text in arguments.split]
    tables = {name.strip(): Path(path) for name, sign, path in named if sign and name.strip() and path}
    if len(tables) != len(named):
        _refuse("--split NAME=FILE, each name once", "another form", "For example --split training=train.csv.")
    columns = AuditColumns(
        image=arguments.image_column,
        patient=arguments.patient_column,
        label=arguments.label_column,
        patient_before=arguments.patient_before,
    )
    return read_table_entries(tables, columns, images=arguments.images)


def _clinical(arguments: argparse.Namespace) -> Table | None:
    from gastromap.cohort.spreadsheet import read_table

    if arguments.clinical is not None:
        return read_table(arguments.clinical)
    if arguments.data is None:
        return None
    folder = arguments.data if arguments.data.is_dir() else arguments.data.parent
    return read_table(folder / "clinical.csv") if (folder / "clinical.csv").is_file() else None


def _run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from gastromap.cohort.auditing import audit_split

    if not 0 < arguments.similarity <= 1:
        _refuse("--similarity above 0 and up to 1", "another number", "Correct the argument.")
    entries, clinical = _entries(arguments), _clinical(arguments)
    with tqdm(
        total=len(entries), unit="image", disable=arguments.quiet or arguments.no_images or None, leave=False
    ) as bar:
        report = audit_split(
            entries,
            clinical=clinical,
            compare_images=not arguments.no_images,
            threshold=arguments.similarity,
            workers=usable_cores(),
            progress=lambda: (bar.update(), None)[1],
        )
    if arguments.json:
        print(json.dumps(report.to_mapping(), indent=1, ensure_ascii=False))
    else:
        print(_page(report))
    return FOUND if report.findings else 0


def _page(report: AuditReport) -> str:
    width = max(len(side) for side in report.sides)
    lines = [f"{'':{width}}  entries  patients"]
    lines += [
        f"{side:{width}}  {counts['entries']:7d}  {counts['patients']:8d}" for side, counts in report.sides.items()
    ]
    lines += ["", f"images compared  {report.images}"]
    lines += [f"not checked      {note}" for note in report.notes]
    if not report.findings:
        return "\n".join([*lines, "", "nothing found"])
    lines.append("")
    code_width = max(len(finding.code) for finding in report.findings)
    for finding in report.findings:
        lines.append(f"{finding.code:{code_width}}  {finding.number:6d}  {finding.message}")
        if finding.examples:
            indent = " " * (code_width + 10)
            more = " …" if finding.number > len(finding.examples) else ""
            text = ", ".join(finding.examples) + more
            lines += textwrap.wrap(text, 120, initial_indent=indent, subsequent_indent=indent)
    return "\n".join(lines)
