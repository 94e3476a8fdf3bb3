"""``gastromap send``: a finished result to a PACS."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["register"]

_DESCRIPTION = """Send the DICOM objects of a result to a PACS by DICOMweb (STOW-RS) or C-STORE, and check that it has
them under the right patient and study. What is there already is not sent again."""
_EPILOG = """exit codes: 0 the PACS has all objects, 2 wrong arguments or damaged result, 13 PACS; the line on stderr
says how many objects it has. docs/pacs.md describes the settings."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "send", parents=[common], help="send a result to a PACS", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("result", type=Path, metavar="RESULT", help="output folder of the application")
    parser.add_argument("--pacs", type=Path, metavar="YAML", required=True, help="how to reach the PACS")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from gastromap.pacs import read_pacs_settings, send_result

    done = send_result(arguments.result, read_pacs_settings(arguments.pacs))
    print(f"{done.objects} objects in the PACS, {done.sent} sent now")
    return 0
