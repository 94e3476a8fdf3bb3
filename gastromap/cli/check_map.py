"""``gastromap check-map``: does a MONAI Application Package conform, and can it be run hardened."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

__all__ = ["register"]

_DESCRIPTION = """Check a MONAI Application Package against the MAP specification 1.0.0, what NVIDIA's runner reads, and
the rules of a hardened container. With --tree only files are looked at; an image is also started, on a synthetic CT
study, without network, on a read-only root, without capabilities, as a user it does not know. Works on any package;
GastroMAP's own rules are added where the application is GastroMAP."""
_EPILOG = """exit codes: 0 conforms, 1 errors found, 2 wrong arguments, 77 a part could not be checked (a line SKIPPED:
says why; no error was found in the others).

examples:
  gastromap check-map --tree build/map
  gastromap check-map gastromap:0.1.0 --json report.json
  gastromap check-map --deploy deploy/express/gastromap.json deploy/argo/template.yaml"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "check-map",
        parents=[common],
        help="check that a MONAI Application Package conforms",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", nargs="?", metavar="IMAGE", help="image to inspect and to run")
    parser.add_argument(
        "--tree", type=Path, metavar="DIR", help="build context, extracted package, or files of an image"
    )
    parser.add_argument(
        "--deploy",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="Express workflow, Argo template or Mercure modules that start the package",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON too (- prints it instead)")
    parser.add_argument(
        "--rules",
        choices=("auto", "generic", "gastromap"),
        default="auto",
        help="generic leaves GastroMAP's own rules out (default: by the application)",
    )
    parser.add_argument(
        "--budget", type=float, metavar="GB", help="largest size of the image (default: 1.6 for GastroMAP, else none)"
    )
    parser.add_argument(
        "--input",
        type=Path,
        metavar="DIR",
        help="DICOM study for the runs of an image (default: a synthetic CT with a tumour SEG)",
    )
    parser.add_argument(
        "--engine", choices=("docker", "podman"), default="docker", help="command of the engine (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout", type=float, default=600.0, metavar="S", help="longest run of a container (default: %(default)g s)"
    )
    parser.add_argument(
        "--no-entrypoint", action="store_true", help="do not run the entrypoint of a build context under sh"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from gastromap.packaging.check_map import check_map
    from gastromap.packaging.check_report import report_table

    report = check_map(
        image=arguments.image,
        tree=arguments.tree,
        deploy=arguments.deploy,
        rules=arguments.rules,
        budget_gb=arguments.budget,
        study=arguments.input,
        engine=arguments.engine,
        timeout_s=arguments.timeout,
        run_entrypoint=not arguments.no_entrypoint,
    )
    text = json.dumps(report.to_mapping(), indent=1, ensure_ascii=False)
    if arguments.json == Path("-"):
        print(text)
        return report.exit_code
    if arguments.json is not None:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    print(report_table(report, width=shutil.get_terminal_size((120, 24)).columns))
    return report.exit_code
