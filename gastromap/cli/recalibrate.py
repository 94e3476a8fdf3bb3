"""``gastromap recalibrate``: fit calibration and prediction sets to the patients of one site."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["register"]

_DESCRIPTION = """Fit temperature and prediction sets of a bundle again, with patients of one site whose stage is known
and who did not train the network, and write a copy of the bundle. Weights, Rad-score, nomogram and the limit of unlike
images stay as they are. Prints coverage and calibration error before and after; those after are measured on patients
that the fit had not seen (five folds)."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "recalibrate",
        parents=[common],
        help="fit calibration and prediction sets to the patients of one site",
        description=_DESCRIPTION,
    )
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder with datalist.json")
    parser.add_argument(
        "--site", required=True, metavar="NAME", help="of the patients, shown in results; no patient data"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder of the new bundle; must not exist"
    )
    parser.add_argument("--model", type=Path, default=Path("bundles"), metavar="DIR", help="(default: %(default)s)")
    parser.add_argument("--split", choices=("training", "validation", "test"), default="test")
    parser.add_argument("--coverage", type=float, metavar="X", help="of the prediction sets (default: as before)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the folds")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from gastromap.training.datalist import read_datalist
    from gastromap.training.recalibration import coverage_range, recalibrate

    with tqdm(total=len(read_datalist(arguments.data)[arguments.split]), unit="patient") as bar:
        quality = recalibrate(
            arguments.model,
            arguments.data,
            arguments.out,
            site=arguments.site,
            split=arguments.split,
            coverage=arguments.coverage,
            seed=arguments.seed,
            progress=lambda: (bar.update(), None)[1],
        )
    after = quality["recalibrated"]
    low, high = coverage_range(after["patients"], coverage=after["nominal"])
    for name, entry in quality.items():
        print(_line(name.replace("_", " "), entry))
    print(
        f"With {after['patients']} patients the coverage on further patients of the site lies from {low:.3f} to "
        f"{high:.3f} with a probability of 95 %."
    )
    print(f"recalibrated bundle in {arguments.out}")
    return 0


def _line(name: str, entry: dict[str, Any]) -> str:
    coverage = f"{entry['coverage']:.3f} ({entry['coverage_low']:.3f} to {entry['coverage_high']:.3f})"
    errors = f"{entry['calibration_error']:.3f} (without temperature {entry['calibration_error_before']:.3f})"
    return (
        f"{name:14s} {coverage} of the sets hold the stage (nominal {entry['nominal']:.2f}), "
        f"{entry['stages_per_set']:.2f} stages a set, calibration error {errors}"
    )
