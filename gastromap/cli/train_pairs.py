"""``gastromap train-pairs``: from a table and CT scans to a published longitudinal model and its evaluation."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gastromap.cli import prepare
from gastromap.errors import GastromapError, UsageError

__all__ = ["register"]

_DESCRIPTION = """Train the longitudinal model on pairs of CT scans with one command: prepare the table (all options of
gastromap prepare --pairs), train the heads on stored maps of the encoder, train the whole network, publish, predict,
evaluate. Each step is a command of its own and is printed; a stopped run goes on with the same command."""
_EPILOG = """writes to DIR: data/, frozen/, whole/, models/gastric_longitudinal_survival/ (python -m app -m DIR/models),
predictions/, evaluation/index.html.

example: gastromap train-pairs --table cohort.xlsx --images CROPS --out DIR --patient 编号 --image1 治疗前CT
--mask1 治疗前分割 --image2 治疗后CT --mask2 治疗后分割 --lnm 淋巴结转移 --death 生存状态 --os-time 生存时间
--os-unit months"""

#: Grid of each preset, as the bundle's documentation gives it.
_GRIDS = {
    "default": {},
    "tiny": {"spacing_mm": "[4.0,4.0,4.0]", "patch": "[32,32,32]"},
    "paper": {"spacing_mm": "[1.3333,1.3333,1.3333]", "patch": "[96,96,96]"},
}
_PREDICTIONS: dict[str, Sequence[str]] = {
    "training": ("--split", "training"),
    "pairs": (),
    "baseline": ("--baseline-only",),
    "shuffled": ("--shuffle-followup", "1"),
}
_DONE = "finished"


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "train-pairs",
        parents=[common],
        help="train the longitudinal model on a table of your own with one command",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    own = parser.add_argument_group("training")
    own.add_argument("--data", type=Path, metavar="DIR", help="prepared folder with datalist.json, instead of --table")
    own.add_argument("--bundles", type=Path, default=Path("bundles"), metavar="DIR", help="(default: %(default)s)")
    own.add_argument("--preset", choices=tuple(_GRIDS), default="default", help="of the network (default: %(default)s)")
    own.add_argument(
        "--encoder-weights", type=Path, metavar="FILE",
        help="of a segmentation network of the same preset (default: those of the segmentation bundle)",
    )  # fmt: skip
    own.add_argument(
        "--frozen-epochs", type=int, default=40, metavar="N",
        help="on stored maps, with encoder weights only; 0 leaves the step out (default: %(default)s)",
    )  # fmt: skip
    own.add_argument(
        "--whole-epochs", type=int, default=8, metavar="N",
        help="of the whole network; 0 leaves the step out (default: %(default)s)",
    )  # fmt: skip
    own.add_argument(
        "--cohort", default="own cohort", metavar="NAME",
        help="for the model card; no patient data (that data of gastromap synth are synthetic is always said)",
    )  # fmt: skip
    prepare.add_options(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if (arguments.data is None) == (arguments.table is None):
        _refuse("--table (with columns) or --data", "both or none", "Name one of them.")
    out = Path(os.path.abspath(arguments.out))
    data = out / "data" if arguments.data is None else Path(os.path.abspath(arguments.data))
    if arguments.data is None and _prepared(arguments, out, data):
        return 3
    encoder = _encoder(arguments)
    if min(arguments.frozen_epochs, arguments.whole_epochs) < 0 or not arguments.whole_epochs + (
        arguments.frozen_epochs if encoder else 0
    ):
        _refuse("epochs of at least one step", "none", "Give --whole-epochs, or --frozen-epochs with encoder weights.")
    weights = _train(arguments, out, data, encoder)
    bundle = out / "models" / "gastric_longitudinal_survival"
    shutil.copytree(_bundle(arguments) / "configs", bundle / "configs", dirs_exist_ok=True)
    _step("publish-pairs", "--run", weights, "--data", data, "--bundle", bundle, "--command", _command(arguments))
    return _evaluate(out, data, bundle)


def _prepared(arguments: argparse.Namespace, out: Path, data: Path) -> int:
    given = argparse.Namespace(**{**vars(arguments), "out": data, "pairs": True})
    given.identities = arguments.identities or out.with_name(f"{out.name}_identities.csv")
    return prepare.run(given)


def _train(arguments: argparse.Namespace, out: Path, data: Path, encoder: Path | None) -> Path:
    """Run the trainings that are not finished; returns the folder of the last weights."""
    shared = {
        "dataset_dir": str(data),
        "preset": arguments.preset,
        "seed": str(arguments.seed),
        **_origin(arguments, data),
        **_GRIDS[arguments.preset],
    }
    start: dict[str, str] = {}
    folder = out
    if encoder is not None and arguments.frozen_epochs:
        folder = out / "frozen"
        options = {"encoder_weights": str(encoder), "max_epochs": str(arguments.frozen_epochs)}
        options |= {"maps_dir": str(out / "maps"), "baseline_only_epochs": "0"}
        _fit(arguments, folder, ["train.yaml", "frozen.yaml"], shared | options)
        start = {"initial_weights": str(folder / "model.pt"), "encoder_factor": "0.3"}
    elif encoder is not None:
        start = {"encoder_weights": str(encoder)}
    if arguments.whole_epochs:
        folder = out / "whole"
        options = {"max_epochs": str(arguments.whole_epochs), "baseline_only_epochs": "0", **start}
        _fit(arguments, folder, ["train.yaml"], shared | options)
    return folder


def _fit(arguments: argparse.Namespace, folder: Path, files: list[str], options: dict[str, str]) -> None:
    done = folder / _DONE
    if done.is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    configs = [f"configs/{name}" for name in files]
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(configs)]
    command += ["--logging_file", "configs/logging.conf", "--ckpt_dir", str(folder)]
    for name, value in options.items():
        command += [f"--{name}", value]
    if any(folder.glob("resume_*.pt")):
        command += ["--resume", "True"]
    _say(f"in {_bundle(arguments)}: " + " ".join(["python", *command[1:]]))
    paths = os.pathsep.join([str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths.rstrip(os.pathsep)}
    # The arguments are those above; the configurations belong to the bundle that the user named.
    status = subprocess.run(command, cwd=_bundle(arguments), env=environment, check=False).returncode  # noqa: S603
    if status != 0:
        raise GastromapError(
            "TRAINING_FAILED",
            where=folder.name,
            expected="the training to end",
            got=f"status {status}",
            remedy="The reason stands above; the same command goes on from the last epoch.",
        )
    done.touch()


def _origin(arguments: argparse.Namespace, data: Path) -> dict[str, str]:
    from gastromap.model_card import SYNTHETIC_ORIGIN

    meta = _datalist(data).get("meta", {})
    if str(meta.get("name", "")).startswith("SYNTHETIC"):
        return SYNTHETIC_ORIGIN
    notice = f"Trained on {arguments.cohort}. Research use only, not for diagnosis."
    return {"trained_on": arguments.cohort, "notice": notice}


def _evaluate(out: Path, data: Path, bundle: Path) -> int:
    tables = {name: out / "predictions" / f"{name}.csv" for name in _PREDICTIONS}
    (out / "predictions").mkdir(exist_ok=True)
    test, training = (_datalist(data)[split] for split in ("test", "training"))
    if sum("image2" in record for record in test) < 2:
        tables.pop("shuffled")
    split = () if test else ("--split", "validation")
    for name, table in tables.items():
        options = _PREDICTIONS[name] if name == "training" else (*_PREDICTIONS[name], *split)
        _step("predict-pairs", "--model", bundle, "--data", data, *options, "--out", table)
    also = [
        text for name in ("baseline", "shuffled") if name in tables for text in ("--also", f"{name}={tables[name]}")
    ]
    endpoint: list[str] = []
    if all({record.get("lnm") for record in records} >= {0, 1} for records in (test, training)):
        endpoint = ["--endpoint", "node metastasis=lnm,lnm_probability,youden"]
    shutil.rmtree(out / "evaluation", ignore_errors=True)
    evaluated = bool(endpoint) or all(_died(records) for records in (test, training))
    if evaluated:
        _step(
            "evaluate", "--predictions", tables["pairs"], "--training", tables["training"], *also, *endpoint,
            "--out", out / "evaluation",
        )  # fmt: skip
    where = (
        out / "evaluation"
        if evaluated
        else "none: it needs test and training patients with and without node metastasis, or deaths on both sides"
    )
    print(f"\nmodel      {bundle}\nevaluation {where}")
    return 0


def _died(records: Sequence[dict[str, Any]]) -> bool:
    return any(record.get("death") == 1 and "os_months" in record for record in records)


def _datalist(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((data / "datalist.json").read_text(encoding="utf-8"))
    return found


def _step(*command: str | Path) -> None:
    from gastromap.cli._main import build_parser

    words = [str(word) for word in command]
    _say("gastromap " + " ".join(words))
    arguments = build_parser().parse_args(words)
    status = arguments.run(arguments)
    if status:
        raise GastromapError(
            "STEP_FAILED",
            where=words[0],
            expected="status 0",
            got=str(status),
            remedy="The reason stands above; the same command goes on from here.",
        )


def _bundle(arguments: argparse.Namespace) -> Path:
    return Path(os.path.abspath(arguments.bundles)) / "gastric_longitudinal_survival"


def _encoder(arguments: argparse.Namespace) -> Path | None:
    if arguments.encoder_weights is not None:
        return Path(os.path.abspath(arguments.encoder_weights))
    shipped = Path(os.path.abspath(arguments.bundles)) / "gastric_tumor_segmentation" / "models" / "model.pt"
    return shipped if arguments.preset == "default" and shipped.is_file() else None


def _command(arguments: argparse.Namespace) -> str:
    return (
        f"gastromap train-pairs --preset {arguments.preset} --seed {arguments.seed} "
        f"--frozen-epochs {arguments.frozen_epochs} --whole-epochs {arguments.whole_epochs}"
    )


def _say(line: str) -> None:
    print(f"== {line}", flush=True)


def _refuse(expected: str, got: str, remedy: str) -> None:
    raise UsageError("TRAIN_PAIRS", where="arguments", expected=expected, got=got, remedy=remedy)
