"""Parse arguments, run the command, turn errors into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import logging
import pkgutil
import sys
from collections.abc import Sequence

import gastromap
import gastromap.cli
from gastromap.errors import ExitCode, GastromapError

__all__ = ["build_parser", "main"]

_LOGGER = logging.getLogger("gastromap.cli")
_INTERRUPTED = 130  # the shell's code for a process ended by Ctrl-C
_EPILOG = """exit codes: 0 done, 1 internal fault, 2 wrong arguments, 3 input refused, 11 model unusable,
12 output not writable, 13 PACS. Errors are one line on stderr: CODE where: expected X, got Y. Remedy."""


def build_parser() -> argparse.ArgumentParser:
    """Build the parser with every command found in this package."""
    parser = argparse.ArgumentParser(
        prog="gastromap",
        description=f"GastroMAP {gastromap.__version__}: CT-based gastric-cancer staging. Research use only.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"gastromap {gastromap.__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--log-level",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        default="WARNING",
        help="messages to show on stderr; DEBUG adds the stack trace of an error (default: %(default)s)",
    )
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for module in sorted(pkgutil.iter_modules(gastromap.cli.__path__), key=lambda found: found.name):
        if not module.name.startswith("_"):
            importlib.import_module(f"gastromap.cli.{module.name}").register(commands, common)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program name; those of the process by default.

    Returns
    -------
    code : int
        Exit code, see :class:`gastromap.errors.ExitCode`.
    """
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(level=arguments.log_level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        return int(arguments.run(arguments))
    except GastromapError as error:
        _LOGGER.debug("stack trace", exc_info=True)
        print(error, file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("INTERRUPTED gastromap: stopped by the user.", file=sys.stderr)
        return _INTERRUPTED
    except Exception as error:
        _LOGGER.debug("stack trace", exc_info=True)
        print(
            f"INTERNAL gastromap: expected no fault, got {type(error).__name__}. "
            "Repeat with --log-level DEBUG and report the trace.",
            file=sys.stderr,
        )
        return int(ExitCode.INTERNAL)
