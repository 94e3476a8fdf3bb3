"""``gastromap reproduce``: what of the T-staging article can be recomputed from its release."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

__all__ = ["register"]


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "reproduce",
        parents=[common],
        help="recompute the figures of the T-staging article from its released tables",
        description="Recompute accuracy, agreement, split audit, treatment figures, Rad-score and nomogram from the "
        "tables released with doi 10.1038/s41746-025-02002-5, and write them beside the printed figures.",
    )
    parser.add_argument("--release", required=True, type=Path, metavar="DIR", help="folder of the released tables")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="page to write, Markdown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of bootstrap and folds")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from gastromap.files import unwritable, write_text
    from gastromap.reproduction import read_release, recompute, render_reproduction

    found = recompute(read_release(arguments.release), seed=arguments.seed)
    page = render_reproduction(found, command="gastromap reproduce --release DIR --out docs/reproduction.md")
    try:
        write_text(arguments.out, page)
        if arguments.json is not None:
            write_text(arguments.json, json.dumps(found, indent=1) + "\n")
    except OSError as error:
        raise unwritable(error, expected="a folder that can be written to", remedy="Name another file.") from error
    print(f"{arguments.out} written")
    return 0
