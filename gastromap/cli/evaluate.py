"""``gastromap evaluate``: metrics of a published bundle on a datalist, by the rules of the application."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["register"]


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        parents=[common],
        help="evaluate a bundle on a datalist",
        description="Stage every patient of a split as the application does (three slices, vote, calibration) and "
        "write predictions.csv and metrics.json.",
    )
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder with datalist.json")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the two files")
    parser.add_argument("--model", type=Path, default=Path("bundles"), metavar="DIR", help="(default: %(default)s)")
    parser.add_argument("--split", choices=("training", "validation", "test"), default="test")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the bootstrap")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from gastromap.training.datalist import read_datalist
    from gastromap.training.evaluating import evaluate_bundle
    from gastromap.training.publishing import headline

    with tqdm(total=len(read_datalist(arguments.data)[arguments.split]), unit="patient") as bar:
        metrics = evaluate_bundle(
            arguments.model,
            arguments.data,
            arguments.out,
            split=arguments.split,
            seed=arguments.seed,
            progress=lambda: (bar.update(), None)[1],
        )
    for name, entry in headline(metrics).items():
        print(f"{name:18s} {entry['value']:.3f}  ({entry['low']:.3f} to {entry['high']:.3f})")
    if "grad_cam" in metrics:
        cam = metrics["grad_cam"]
        print(f"Grad-CAM Dice      {cam['dice']:.3f}  (centred disc of equal area {cam['dice_of_centred_disc']:.3f})")
    sets = metrics["prediction_sets"]
    print(f"prediction sets    {sets['coverage']:.3f} hold the stage (nominal {sets['nominal']:.2f})")
    print(f"confidently staged {sets['confidently_staged']:.3f}")
    return 0
