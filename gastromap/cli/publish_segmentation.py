"""``gastromap publish-segmentation``: make two trained networks a tumour finder that the application runs."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from gastromap.errors import UsageError
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
        "validation volumes of the datalist with them. Or put a wall network (--wall) beside those of a bundle.",
    )
    parser.add_argument(
        "--fine",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="--ckpt_dir of the fine training; of several stages the mean of the weights",
    )
    parser.add_argument(
        "--second-look", type=Path, metavar="DIR", help="--ckpt_dir of the training of a second look behind --fine"
    )
    parser.add_argument("--coarse", type=Path, metavar="DIR", help="--ckpt_dir of the coarse training")
    parser.add_argument(
        "--wall", type=Path, metavar="DIR", help="--ckpt_dir of a wall training, instead of --fine and --coarse"
    )
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
        help="limit of the finder that differs from its default, or with --wall from the bundle's "
        f"({', '.join(LIMITS)}); may be given several times; "
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


def _check(arguments: argparse.Namespace) -> None:
    given = {name for name in ("fine", "coarse", "second_look", "wall") if getattr(arguments, name) is not None}
    if given not in ({"wall"}, {"fine", "coarse"}, {"fine", "coarse", "second_look"}):
        raise UsageError(
            "PUBLISH_INPUT",
            where="options",
            expected="--fine and --coarse, perhaps with --second-look, or --wall alone",
            got=", ".join(f"--{name.replace('_', '-')}" for name in sorted(given)) or "none of them",
            remedy="Name the trainings of one of these.",
        )


def _run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from gastromap.training.segmentation_publishing import publish_segmentation, publish_wall
    from gastromap.training.volume_datalist import read_volume_datalist

    _check(arguments)
    with tqdm(total=len(read_volume_datalist(arguments.data)["validation"]), unit="volume") as bar:
        options: dict[str, Any] = {
            "command": arguments.command,
            "tumour_value": arguments.tumour_value,
            "limits": dict(arguments.limit),
            "progress": lambda: (bar.update(), None)[1],
        }
        if arguments.wall is not None:
            metrics = publish_wall(arguments.wall, arguments.data, arguments.bundle, **options)
        else:
            networks = (arguments.fine, arguments.coarse)
            metrics = publish_segmentation(
                *networks, arguments.data, arguments.bundle, second_look=arguments.second_look, **options
            )
    for name, value in metrics.items():
        print(f"{name:22s} {value:.3f}" if isinstance(value, float) else f"{name:22s} {value}")
    print(f"published to {arguments.bundle / 'models'}")
    return 0
