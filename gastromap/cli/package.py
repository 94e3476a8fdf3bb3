"""``gastromap package``: build the MONAI Application Package."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gastromap.packaging.engine import Engine

__all__ = ["register"]

_SKIPPED = 77  # what test runners take for "could not be run here"
_DESCRIPTION = """Build the container of the application, without a network: a context with manifests from MAP.yaml, the
bundles and a folder of wheels; two stages; a bill of materials of what is really in it. Licences that are not on the
allow-list stop the build. docs/packaging.md tells more."""
_EPILOG = """examples:
  gastromap package --flavour cpu -t gastromap:0.1.0
  gastromap package --flavour cpu --wheels wheelhouse --base site/python:3.11 -t gastromap:0.1.0 --save gastromap.tar
  gastromap package --flavour cpu --check -t gastromap:check
  gastromap package --flavour cpu --stage-only --context build/map
exit code 77: no container engine can run here."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "package",
        parents=[common],
        help="build the MONAI Application Package",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--flavour", choices=("cpu", "gpu"), required=True)
    parser.add_argument("-t", "--tag", metavar="NAME:TAG", help="name of the image")
    parser.add_argument("--base", metavar="IMAGE", help="Debian or Ubuntu with python3 and venv (default: made here)")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="folder of wheels (default: downloaded)")
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="keep context, wheels and logs here (default: temporary)"
    )
    parser.add_argument("--context", type=Path, metavar="DIR", help="with --stage-only: where to write the context")
    parser.add_argument("--stage-only", action="store_true", help="write the build context and stop")
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="write the image to a tar file (docker load reads it)"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="check the image (check-map) and compare its results with the application here",
    )
    parser.add_argument(
        "--input",
        type=Path,
        action="append",
        metavar="DIR",
        help="with --check: a further study to compare; repeatable",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from gastromap.packaging.engine import EngineMissing

    if arguments.stage_only:
        return _stage(arguments)
    if not arguments.tag:
        raise _usage("-t NAME:TAG", "none", "Name the image.")
    try:
        if arguments.work is not None:
            arguments.work.mkdir(parents=True, exist_ok=True)
            return _build(arguments, arguments.work)
        with tempfile.TemporaryDirectory(prefix="gastromap-package-") as folder:
            return _build(arguments, Path(folder))
    except EngineMissing as error:
        print(f"SKIPPED: {error}", file=sys.stderr)
        return _SKIPPED


def _usage(expected: str, got: str, remedy: str) -> Exception:
    from gastromap.errors import UsageError

    return UsageError("PACKAGE_ARGUMENT", where="command line", expected=expected, got=got, remedy=remedy)


def _stage(arguments: argparse.Namespace) -> int:
    from gastromap.packaging.stage import stage

    if arguments.context is None:
        raise _usage("--context DIR with --stage-only", "none", "Name a folder.")
    context = stage(arguments.context, flavour=arguments.flavour, wheels=arguments.wheels)
    print(f"context  {context.folder}")
    print(f"models   {', '.join(context.models)}")
    print(f"sha256   {context.digest}  (tree without wheels)")
    return 0


def _build(arguments: argparse.Namespace, work: Path) -> int:
    from gastromap.packaging.build import DEFAULT_BASE, build_image
    from gastromap.packaging.private_engine import open_engine

    with open_engine(work) as engine:
        if engine.private and not (arguments.save or arguments.check):
            remedy = "Add --save FILE, or start the engine of this computer."
            raise _usage("--save with a private engine, whose images end with it", "none", remedy)
        built = build_image(
            arguments.tag,
            flavour=arguments.flavour,
            engine=engine,
            work=work,
            base=arguments.base or DEFAULT_BASE,
            wheels=arguments.wheels,
        )
        print(f"image    {built.tag}, {built.bytes / 1e9:.2f} GB unpacked, {built.packages} packages")
        print(f"context  sha256 {built.context_digest}  (tree without wheels)")
        print(f"files    sha256 {built.tree_digest}  (all files of the image)")
        status = _check(engine, built.tag, arguments.input or (), work / "check") if arguments.check else 0
        if arguments.save and not status:
            engine.call("save", "-o", str(arguments.save), built.tag)
            print(f"saved    {arguments.save}")
    return status


def _check(engine: Engine, image: str, studies: Sequence[Path], work: Path) -> int:
    from gastromap.packaging.check_map import check_map
    from gastromap.packaging.check_report import report_table
    from gastromap.packaging.check_samples import synthetic_study
    from gastromap.packaging.equality import compare_with_application

    report = check_map(image=image, engine=engine.program, environment=engine.environment)
    print(report_table(report, width=shutil.get_terminal_size((120, 24)).columns))
    if report.exit_code:
        return report.exit_code
    named = [("synthetic study", synthetic_study(work / "cohort").folder)]
    named += [(f"study {number}", study) for number, study in enumerate(studies, start=1)]
    for name, study in named:
        print(f"passed   {compare_with_application(engine, image, study, name=name, work=work)}", flush=True)
    return 0
