"""``gastromap publish-segmentation``: make two trained networks a tumour finder that the application runs."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from gastromap.segmentation.limits import FinderLimits

__all__ = ["LIMITS", "register"]

#: Limits that can be given.
LIMITS = tuple(limit.name for limit in fields(FinderLimits))


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "publish-segmentation",
        parents=[common],
        help="put the weights of a coarse and a fine training into the segmentation bundle",
        description="Write both networks in half precision with cards and hashes into a bundle, and search the "
        "validation volumes of the datalist with them.",
    )
    parser.add_argument(
        "--fine",
        required=True,
        type=Path,
        nargs="+",
        metavar="DIR",
        help="--ckpt_dir of the fine training; of several stages the mean of the weights",
    )
    parser.add_argument(
        "--second-look", type=Path, metavar="DIR", help="--ckpt_dir of the training of a second look behind --fine"
    )
    parser.add_argument("--coarse", required=True, type=Path, metavar="DIR", help="--ckpt_dir of the coarse training")
    parser.add_argument(
        "--data", required=True, type=Path, nargs="+", metavar="DIR", help="--dataset_dir: whole volumes"
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        default=Path("bundles/gastric_tumor_segmentation"),
        metavar="DIR",
        help="bundle to write into (default: %(default)s)",
    )
    parser.add_argument("--command", default="", metavar="TEXT", help="training commands, for the model cards")
    parser.add_argument("--tumour-value", type=int, default=2, metavar="N", help="in the masks (default: %(default)s)")
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        type=_limit,
        metavar="NAME=VALUE",
        help=f"limit of the finder that differs from its default ({', '.join(LIMITS)}); may be given several times; "
        "window=32,64,64 are slices, rows, columns",
    )
    parser.set_defaults(run=_run)


def _limit(text: str) -> tuple[str, float | list[int]]:
    name, _, value = text.partition("=")
    if name not in LIMITS:
        msg = f"expected one of {', '.join(LIMITS)}, got {name}"
        raise argparse.ArgumentTypeError(msg)
    try:
        if name == "window":
            slices, rows, columns = (int(side) for side in value.split(","))
            return name, [slices, rows, columns]
        return name, float(value)
    except ValueError as error:
        msg = f"expected NAME=NUMBER or window=SLICES,ROWS,COLUMNS, got {text}"
        raise argparse.ArgumentTypeError(msg) from error


def _run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from gastromap.training.segmentation_publishing import publish_segmentation
    from gastromap.training.volume_datalist import read_volume_datalist

    with tqdm(total=len(read_volume_datalist(arguments.data)["validation"]), unit="volume") as bar:
        metrics = publish_segmentation(
            arguments.fine,
            arguments.coarse,
            arguments.data,
            arguments.bundle,
            command=arguments.command,
            second_look=arguments.second_look,
            tumour_value=arguments.tumour_value,
            limits=dict(arguments.limit),
            progress=lambda: (bar.update(), None)[1],
        )
    for name, value in metrics.items():
        print(f"{name:22s} {value:.3f}" if isinstance(value, float) else f"{name:22s} {value}")
    print(f"published to {arguments.bundle / 'models'}")
    return 0
