"""``gastromap inspect``: what is in a folder of DICOM and what the input gate would do with it."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gastromap.dicom_input.inspection import FolderInspection, VolumeFinding

__all__ = ["register"]

_DESCRIPTION = """Show patients, studies, series, phases, geometry and problems of a folder of DICOM, and which series
the application would use or why it would refuse. Nothing is written and no patient data is shown."""
_EPILOG = """exit codes: 0 a series would be used, 3 the folder would be refused, 2 wrong arguments."""
_GEOMETRY_COLUMNS = ("study", "series", "images", "plane", "matrix", "step", "z from", "to mm", "kernel")
_SOURCES = ("text", "timing", "order", "image")
_MARK = {"portal": "portal", "other": "other", "no evidence": "-"}


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "inspect",
        parents=[common],
        help="show what is in a folder of DICOM and what would be chosen",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--uids",
        action="store_true",
        help="show the UIDs of studies and series, to name one with --series, --baseline or --followup",
    )
    parser.add_argument("--series", metavar="UID", help="ask what would happen with this series (or: only)")
    parser.add_argument("--baseline", metavar="UID", help="Study Instance UID of the study before treatment")
    parser.add_argument("--followup", metavar="UID", help="Study Instance UID of the study after treatment")
    parser.add_argument(
        "--config", type=Path, metavar="YAML", help="limits of the gate (default: those of the library)"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from gastromap.dicom_input import GateSettings, NamedStudies
    from gastromap.dicom_input.configuration import read_gate_settings
    from gastromap.dicom_input.inspection import inspect_folder

    settings = read_gate_settings(arguments.config)[0] if arguments.config else GateSettings()
    found = inspect_folder(
        arguments.folder,
        settings=settings,
        series_uid=arguments.series,
        named_studies=NamedStudies(arguments.baseline, arguments.followup),
    )
    if arguments.json:
        print(json.dumps(found.to_mapping(), indent=1))
    else:
        print(_page(found, uids=arguments.uids))
    return found.decision.exit_code


def _page(found: FolderInspection, *, uids: bool) -> str:
    kinds = ", ".join(f"{number} {kind}" for kind, number in found.files.items())
    lines = [f"files     {sum(found.files.values())}: {kinds}"]
    if found.damaged:
        lines.append("damaged   " + ", ".join(f"{number} {reason}" for reason, number in found.damaged.items()))
    lines.append(f"patients  {found.patients}")
    lines.append("studies   " + (", ".join(f"{n} {role}" for n, role in found.studies.items()) or "none with CT"))
    if found.volumes:
        lines += ["", *_table(found.volumes)]
    if uids:
        studies = {f"study {item.study}": item.study_instance_uid for item in found.volumes}
        uids_of = {**studies, **{item.series: item.series_instance_uid for item in found.volumes}}
        width = max(map(len, uids_of), default=0)
        lines += ["", *(f"{name:{width}}  {uid}" for name, uid in uids_of.items())]
    problems = [item.problem for item in found.volumes if item.problem]
    if problems:
        lines += ["", "problems", *(f"  {line}" for line in problems)]
    verdict = found.decision.message
    if found.decision.warnings:
        verdict += f" Warnings: {', '.join(found.decision.warnings)}."
    width = max(60, min(120, shutil.get_terminal_size().columns))
    lines += ["", *textwrap.wrap(f"decision  {verdict}", width, subsequent_indent=" " * 10, break_long_words=False)]
    return "\n".join(lines)


def _state(item: VolumeFinding) -> str:
    if item.chosen:
        return "would be used"
    if item.problem:
        return item.problem.split(" ", 1)[0]
    return item.rejected or "candidate"


def _table(volumes: Sequence[VolumeFinding]) -> list[str]:
    head = (*_GEOMETRY_COLUMNS, *_SOURCES, "state")
    rows = [
        (
            str(item.study) if len(item.patients) < 2 else f"{item.study} ({len(item.patients)} patients)",
            item.series.removeprefix("series "),
            str(item.number_of_images),
            item.plane,
            item.matrix,
            "-" if item.step_mm is None else f"{item.step_mm:g}",
            *(("-", "-") if item.z_range_mm is None else (f"{z:g}" for z in item.z_range_mm)),
            item.kernel or "-",
            *(_MARK[item.votes[source]] if item.votes else "" for source in _SOURCES),
            _state(item),
        )
        for item in volumes
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]
