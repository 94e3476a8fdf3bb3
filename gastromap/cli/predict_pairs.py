"""``gastromap predict-pairs``: run the longitudinal bundle over a split and write its predictions."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["register"]

_DESCRIPTION = """Run the longitudinal bundle over a split of a datalist and write one row a patient: labels,
probability of node metastasis, survival at 12 to 60 months, os_risk, risk group, clinical values. gastromap
evaluate takes the table with --predictions, with --training (made with --split training) and, made with
--baseline-only or --shuffle-followup, with --also."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "predict-pairs",
        parents=[common],
        help="predictions of the longitudinal bundle for a split of a datalist",
        description=_DESCRIPTION,
    )
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder with datalist.json")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="CSV to write")
    parser.add_argument("--model", type=Path, default=Path("bundles"), metavar="DIR", help="(default: %(default)s)")
    parser.add_argument("--split", choices=("training", "validation", "test"), default="test")
    inputs = parser.add_mutually_exclusive_group()
    inputs.add_argument("--baseline-only", action="store_true", help="show the scan before treatment alone")
    inputs.add_argument(
        "--shuffle-followup", type=int, metavar="SEED", help="give every pair the second scan of another patient"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from gastromap.training.pair_outputs import predict_pairs

    with tqdm(unit="patient") as bar:
        rows = predict_pairs(
            arguments.model,
            arguments.data,
            arguments.out,
            split=arguments.split,
            shuffle_seed=arguments.shuffle_followup,
            baseline_only=arguments.baseline_only,
            progress=lambda: (bar.update(), None)[1],
        )
    print(f"{len(rows)} patients in {arguments.out}")
    return 0
