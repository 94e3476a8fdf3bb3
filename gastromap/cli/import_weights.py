"""``gastromap import-weights``: released or ImageNet weights become a bundle or a start for training."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["register"]

_DESCRIPTION = """Read weights of a torchvision ResNet (depth 18, 50 or 152) without running anything in the file, and
write a bundle for the application (four outputs, preprocessing profile released), or with --imagenet a state dict to
start training from. Says whether the file is the one released with doi 10.1038/s41746-025-02002-5."""
_EPILOG = """example: gastromap import-weights FILE --out released && python -m app -i STUDY -o OUT -m released"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "import-weights",
        parents=[common],
        help="make released or ImageNet weights usable",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="state dict, checkpoint or pickled network")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="PATH", help="new folder of the bundle; with --imagenet a new file"
    )
    parser.add_argument("--imagenet", action="store_true", help="write a start for training instead of a bundle")
    parser.add_argument(
        "--bundle",
        type=Path,
        default=Path("bundles/gastric_tstage_classification"),
        metavar="DIR",
        help="bundle to copy the configurations from (default: %(default)s)",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    import sys

    from gastromap.imported_bundle import write_imagenet_start, write_imported_bundle
    from gastromap.weight_import import PUBLISHED_SHA256, read_weights

    weights = read_weights(arguments.file)
    outputs = "no classifier" if weights.classes is None else f"{weights.classes} outputs"
    print(f"{weights.form}: ResNet-{weights.depth}, {outputs}, SHA-256 {weights.sha256}")
    if arguments.imagenet:
        write_imagenet_start(weights, arguments.out)
        print(f"written to {arguments.out}")
        print(f"train with --network_args::depth {weights.depth} --network_args::imagenet_weights {arguments.out}")
        return 0
    if weights.published:
        print("This is the file released with doi 10.1038/s41746-025-02002-5.")
    else:
        print(
            f"WARNING weights file: expected the released SHA-256 {PUBLISHED_SHA256[:12]}, got {weights.sha256[:12]}. "
            "The bundle says that the origin is unknown.",
            file=sys.stderr,
        )
    write_imported_bundle(weights, arguments.bundle, arguments.out)
    print(f"written to {arguments.out}: preprocessing released, not calibrated")
    return 0
