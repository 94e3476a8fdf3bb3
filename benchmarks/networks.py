"""Depth 18, 50 and 152, with and without the cropped stream, trained and tested alike: one table with intervals.

    gastromap synth --patients 1000 --seed 31 --centre 1 2 --format slices --slices 1 --validation-share 0.15 --out DATA
    gastromap synth --patients 400 --seed 32 --centre 3 --format slices --out TEST
    python -m benchmarks.networks --data DATA --test TEST --work RUNS --out RESULT

Each network is trained by the bundle's own configurations (``train.yaml``, ``demo.yaml``, first on crops by
``crops.yaml``) with the same seed, patients, epochs and learning rates. A run that was stopped goes on where it was; a
finished one is not repeated. RESULT receives ``networks.json`` and ``networks.md``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.machine import machine
from gastromap.calibration import Calibration
from gastromap.evaluation.assemble import EvaluationPlan, evaluate_table
from gastromap.model_card import WEIGHTS_NAME, ModelCard
from gastromap.models import GTRNet
from gastromap.preprocessing import SlicePreprocessing
from gastromap.training import read_datalist
from gastromap.training.evaluating import prediction_rows
from gastromap.training.records import run_records

__all__ = ["main"]

_REPOSITORY = Path(__file__).resolve().parents[1]
_BUNDLE = _REPOSITORY / "bundles" / "gastric_tstage_classification"
_METRICS = ("auc.macro", "accuracy", "kappa.quadratic", "ordinal_c_index")
_HEADINGS = ("macro AUC", "accuracy", "kappa (quadratic)", "ordinal C-index")


@dataclass(frozen=True)
class _Plan:
    """What all networks share."""

    data: str
    test: str
    crop_epochs: int
    epochs: int
    batch_size: int
    seed: int


@dataclass(frozen=True)
class _Network:
    depth: int
    crop_fusion: bool

    @property
    def name(self) -> str:
        return f"{'GTRNet' if self.crop_fusion else 'ResNet'}-{self.depth}"


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is not trained yet, test, write the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.networks", description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="training and validation slices")
    parser.add_argument("--test", type=Path, required=True, help="test slices of other patients")
    parser.add_argument("--work", type=Path, required=True, help="checkpoints, to go on from")
    parser.add_argument("--out", type=Path, required=True, help="folder of the table")
    parser.add_argument("--depths", type=int, nargs="+", default=[18, 50, 152])
    parser.add_argument("--crop-epochs", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=4, help="on whole slices, after the crops")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args(argv)
    plan = _Plan(
        str(given.data.resolve()),
        str(given.test.resolve()),
        given.crop_epochs,
        given.epochs,
        given.batch_size,
        given.seed,
    )
    networks = [_Network(depth, fusion) for depth in given.depths for fusion in (True, False)]
    results = {}
    for network in networks:
        folder = given.work / network.name
        seconds = _train(network, plan, folder)
        results[network.name] = {"training_seconds": seconds, "rows": _predictions(network, plan, folder)}
    report = _report(results, plan, networks)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "networks.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    text = _table(report)
    (given.out / "networks.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def _train(network: _Network, plan: _Plan, folder: Path) -> float:
    """Train on crops, then on whole slices; return the seconds of both."""
    crops, slices = folder / "crops", folder / "slices"
    common = {
        "dataset_dir": plan.data,
        "seed": plan.seed,
        "batch_size": plan.batch_size,
        "network_args::depth": network.depth,
        "network_args::crop_fusion": network.crop_fusion,
    }
    seconds = _run(["train", "demo", "crops"], {**common, "max_epochs": plan.crop_epochs}, crops, plan)
    start = {"initial_weights": str(crops.resolve() / WEIGHTS_NAME), "learning_rate": 0.0007}
    return seconds + _run(["train", "demo"], {**common, **start, "max_epochs": plan.epochs}, slices, plan)


def _run(configs: Sequence[str], overrides: dict[str, Any], folder: Path, plan: _Plan) -> float:
    """Run the bundle until the training is finished; what was done before is counted in."""
    finished, clock = folder / "finished.json", folder / "seconds.json"
    asked = json.loads(json.dumps({**asdict(plan), **overrides}))
    if finished.is_file():
        done = json.loads(finished.read_text())
        if done["asked"] != asked:
            sys.exit(f"{folder} holds a run of another plan; name another --work")
        return float(done["seconds"])
    folder.mkdir(parents=True, exist_ok=True)
    before = float(json.loads(clock.read_text())) if clock.is_file() else 0.0
    files = [f"configs/{name}.yaml" for name in configs]
    arguments = {"config_file": str(files), "logging_file": "configs/logging.conf", "ckpt_dir": str(folder.resolve())}
    arguments |= {key: str(value) for key, value in overrides.items()}
    arguments["resume"] = str(any(folder.glob("resume*.pt")))
    command = [sys.executable, "-m", "monai.bundle", "run"]
    command += itertools.chain.from_iterable((f"--{key}", value) for key, value in arguments.items())
    start = time.monotonic()
    try:
        with (folder / "log.txt").open("a") as log:
            subprocess.run(
                command,
                cwd=_BUNDLE,
                env={**os.environ, "PYTHONPATH": str(_REPOSITORY)},
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )
    finally:
        clock.write_text(json.dumps(before + time.monotonic() - start))
    seconds = float(json.loads(clock.read_text()))
    finished.write_text(json.dumps({"seconds": seconds, "asked": asked}))
    return seconds


def _predictions(network: _Network, plan: _Plan, folder: Path) -> list[dict[str, Any]]:
    """Softmax outputs on the test patients, uncalibrated: all networks are asked in the same way."""
    card = ModelCard.read(folder / "slices")
    model = card.build()
    model.load_state_dict(torch.load(folder / "slices" / WEIGHTS_NAME, map_location="cpu", weights_only=True))
    records = read_datalist(Path(plan.test))["test"]
    rows: list[dict[str, Any]] = []
    preprocess, device = SlicePreprocessing(card.profile()), torch.device("cpu")
    outputs = run_records(records, model.eval(), preprocess, device=device)
    for output in tqdm(outputs, total=len(records), desc=network.name, file=sys.stderr):
        # One at a time: the maps of a whole cohort would fill the memory.
        rows += prediction_rows([output], Calibration.none())
    return rows


def _report(results: dict[str, Any], plan: _Plan, networks: Sequence[_Network]) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for network in networks:
        result = results[network.name]
        metrics = evaluate_table(result["rows"], EvaluationPlan())["stages"]["metrics"]
        parameters = sum(p.numel() for p in GTRNet(depth=network.depth, crop_fusion=network.crop_fusion).parameters())
        rows[network.name] = {
            "parameters": parameters,
            "training_minutes": round(result["training_seconds"] / 60, 1),
            "metrics": {name: _entry(metrics, name) for name in _METRICS},
        }
    differences = {}
    for depth in sorted({network.depth for network in networks}):
        first, second = _Network(depth, crop_fusion=True).name, _Network(depth, crop_fusion=False).name
        plan_of_two = EvaluationPlan(names=(first, second))
        compared = evaluate_table(results[first]["rows"], plan_of_two, versus=results[second]["rows"])["comparison"]
        differences[f"{first} minus {second}"] = {
            name: compared["metrics"][name]["difference"] for name in _METRICS if name in compared["metrics"]
        }
    shown = {**asdict(plan), "data": _facts(Path(plan.data)), "test": _facts(Path(plan.test))}
    return {
        "plan": shown,
        "machine": machine(torch.device("cpu")),
        "networks": rows,
        "crop fusion": differences,
    }


def _entry(metrics: dict[str, Any], name: str) -> dict[str, float]:
    group, _, member = name.partition(".")
    entry: dict[str, float] = metrics[group][member] if member else metrics[group]
    return entry


def _facts(folder: Path) -> dict[str, Any]:
    """Seed, centres and number of slices of a synthetic cohort, without its place on this machine."""
    cohort = folder / "cohort.json"
    facts: dict[str, Any] = {}
    if cohort.is_file():
        content = json.loads(cohort.read_text())
        facts = {key: content[key] for key in ("seed", "centres") if key in content}
    return {**facts, **{split: len(records) for split, records in read_datalist(folder).items()}}


def _words(facts: dict[str, Any]) -> str:
    """For example ``996 training and 204 validation slices of centres 1 and 2 (seed 31)``."""
    sides = [f"{facts[name]} {name}" for name in ("training", "validation", "test") if facts.get(name)]
    text = f"{' and '.join(sides)} slices"
    if "centres" in facts:
        text += f" of centre{'s' * (len(facts['centres']) > 1)} {' and '.join(map(str, facts['centres']))}"
    return f"{text} (seed {facts['seed']})" if "seed" in facts else text


def _interval(entry: dict[str, float], *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{entry['value']:{sign}.3f} ({entry['low']:{sign}.3f} to {entry['high']:{sign}.3f})"


def _table(report: dict[str, Any]) -> str:
    plan = report["plan"]
    lines = [
        "# Depth 18, 50 and 152, with and without the cropped stream",
        "",
        "| network | parameters (M) | " + " | ".join(_HEADINGS) + " |",
        "|---|---|" + "---|" * len(_HEADINGS),
    ]
    for name, row in report["networks"].items():
        cells = [_interval(row["metrics"][metric]) for metric in _METRICS]
        lines.append(f"| {name} | {row['parameters'] / 1e6:.1f} | {' | '.join(cells)} |")
    lines += ["", "| crop fusion | " + " | ".join(_HEADINGS) + " |", "|---|" + "---|" * len(_HEADINGS)]
    for name, row in report["crop fusion"].items():
        cells = [_interval(row[metric], signed=True) if metric in row else "" for metric in _METRICS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        f"SYNTHETIC images only. Training: {_words(plan['data'])}. Test: {_words(plan['test'])}. "
        f"{plan['crop_epochs']} epochs on crops and {plan['epochs']} on whole slices, batches of {plan['batch_size']}, "
        f"seed {plan['seed']}, random initial weights, auxiliary localisation. 95 % intervals from 1,000 resamples of "
        "patients; differences are paired. GTRNet has the cropped stream, ResNet has not. One seed each: another seed "
        "would give other figures, so differences within the intervals say nothing. Made by "
        "`python -m benchmarks.networks`.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
