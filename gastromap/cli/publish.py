"""``gastromap publish``: make a trained checkpoint a model that the application runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

__all__ = ["register"]


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "publish",
        parents=[common],
        help="fit calibration, Rad-score and nomogram to a checkpoint and put it into a bundle",
        description="Fit temperature, prediction sets, Rad-score and nomogram with the patients of the training's "
        "datalist, write them beside the weights (half precision) with their hash.",
    )
    parser.add_argument("--run", required=True, type=Path, dest="folder", metavar="DIR", help="--ckpt_dir of training")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="--dataset_dir of the training")
    parser.add_argument(
        "--bundle",
        type=Path,
        default=Path("bundles/gastric_tstage_classification"),
        metavar="DIR",
        help="bundle to write into (default: %(default)s)",
    )
    parser.add_argument("--command", default="", metavar="TEXT", help="training command, for the model card")
    parser.add_argument("--cohort", metavar="NAME", help="of the patients in --data (default: as the card says)")
    parser.add_argument("--precision", choices=("float16", "float32"), default="float16")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from gastromap.training.publishing import headline, publish

    def progress(split: str) -> Callable[[], None]:
        bar = tqdm(desc=split, unit="patient")
        return lambda: (bar.update(), None)[1]

    metrics = publish(
        arguments.folder,
        arguments.data,
        arguments.bundle,
        command=arguments.command,
        cohort=arguments.cohort,
        precision=arguments.precision,
        seed=arguments.seed,
        progress=progress,
    )
    for split, report in metrics.items():
        print(f"{split}: " + ", ".join(f"{name} {entry['value']:.3f}" for name, entry in headline(report).items()))
    print(f"published to {arguments.bundle / 'models'}")
    return 0
