"""``gastromap publish-pairs``: make a trained longitudinal checkpoint a model that the application runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

__all__ = ["register"]


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "publish-pairs",
        parents=[common],
        help="fit calibration and risk groups to a longitudinal checkpoint and put it into its bundle",
        description="Fit calibration (validation patients) and the medians of the risk (training patients), apart for "
        "pairs, first scans alone and second scans alone, and write them beside the weights with their hash.",
    )
    parser.add_argument("--run", required=True, type=Path, dest="folder", metavar="DIR", help="--ckpt_dir of training")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="--dataset_dir of the training")
    parser.add_argument(
        "--bundle",
        type=Path,
        default=Path("bundles/gastric_longitudinal_survival"),
        metavar="DIR",
        help="bundle to write into (default: %(default)s)",
    )
    parser.add_argument("--command", default="", metavar="TEXT", help="training command, for the model card")
    parser.add_argument("--precision", choices=("float16", "float32"), default="float16")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from gastromap.training.pair_publishing import publish_pairs

    def progress(split: str) -> Callable[[], None]:
        bar = tqdm(desc=split, unit="patient")
        return lambda: (bar.update(), None)[1]

    metrics = publish_pairs(
        arguments.folder,
        arguments.data,
        arguments.bundle,
        command=arguments.command,
        precision=arguments.precision,
        progress=progress,
    )
    for inputs, figures in metrics.items():
        values = ", ".join(f"{name} {value:.3f}" for name, value in figures.items() if name != "patients")
        print(f"validation, {inputs.replace('_', ' ')}: {figures['patients']} patients, {values}")
    print(f"published to {arguments.bundle / 'models'}")
    return 0
