"""``gastromap fetch``: studies from a PACS into a folder."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from gastromap.errors import UsageError

__all__ = ["register"]

_DESCRIPTION = """Get the CT series of studies from a PACS, with segmentations, structure sets and key objects, by
DICOMweb (WADO-RS), C-GET or C-MOVE."""
_EPILOG = """exit codes: 0 done, 2 wrong arguments, 13 PACS; then nothing is written. docs/pacs.md describes the
settings."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "fetch", parents=[common], help="get studies from a PACS", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("study", nargs="+", metavar="UID", help="Study Instance UID")
    parser.add_argument("--pacs", type=Path, metavar="YAML", required=True, help="how to reach the PACS")
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="new folder")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from gastromap.pacs import fetch_studies, read_pacs_settings

    settings = read_pacs_settings(arguments.pacs)
    out = Path(os.path.abspath(arguments.out))
    if out.exists() or not out.parent.is_dir():
        raise UsageError(
            "OUTPUT_EXISTS",
            where="--out",
            expected="a new folder in an existing one",
            got="another path",
            remedy="Name another folder.",
        )
    staging = Path(tempfile.mkdtemp(prefix=".fetching-", dir=out.parent))
    try:
        total = fetch_studies(arguments.study, staging, settings, progress=_show)
        staging.chmod(0o755)
        os.rename(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    print(f"{total} instances of {len(arguments.study)} studies")
    return 0


def _show(done: int, of: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\rseries {done} of {of}{chr(10) if done == of else ''}")
        sys.stderr.flush()
