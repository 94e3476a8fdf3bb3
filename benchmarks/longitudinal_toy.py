"""``python -m benchmarks.longitudinal_toy``: does the longitudinal network read the change between two scans?

Trains the preset ``tiny``, without its dropout, on toy pairs (see ``longitudinal_cases``) and, as ``gastromap
train-pairs`` does, without a phase of baselines alone: after one, the change was not learnt (C of pairs 0.45 to 0.50).
Then, on other patients: C of the pairs; C with the follow-ups shuffled among the patients, which keeps both scans and
takes away the change; C of the baseline alone, from the same network and from one that never saw a follow-up; AUC of
node metastasis. Beside them what is possible at best: C of the true hazard and of either volume, AUC of the true score.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from sksurv.metrics import concordance_index_censored
from torch import Tensor

from benchmarks.longitudinal_cases import FIXTURES, Cohort, make_cohort
from benchmarks.table import render
from benchmarks.usage import cpu_seconds
from gastromap.models.longitudinal import LongitudinalNet
from gastromap.models.longitudinal.presets import PRESETS
from gastromap.models.longitudinal.survival import os_risk
from gastromap.training.multitask_loss import MultitaskLoss
from gastromap.training.parameter_groups import parameter_groups
from gastromap.training.survival_intervals import event_quantile_breaks

__all__ = ["limits", "main", "measure", "train"]

_BATCH, _RATE = 8, 1e-3
_SHUFFLES = 5
#: Training patients and epochs of each fixture.
_SIZES = {"response": (240, 16), "joint": (400, 24)}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON; return 1 where a limit is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.longitudinal_toy", description=__doc__.split("\n\n")[0])
    parser.add_argument("--fixtures", nargs="+", choices=FIXTURES, default=["response"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    given = parser.parse_args(argv)
    report = [{"fixture": f, "seed": s, **measure(f, seed=s)} for f in given.fixtures for s in given.seeds]
    header = list(report[0])
    rows = [[v if isinstance(v, str) else f"{v:.3g}" for v in row.values()] for row in report]
    print(render("Longitudinal network on toy pairs, 200 test patients", header, rows))
    missed = [f"{row['fixture']}, seed {row['seed']}: {text}" for row in report for text in limits(row)]
    print("\n".join(missed) if missed else "All limits are kept.")
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 1 if missed else 0


def limits(row: dict[str, float]) -> list[str]:
    """What a row misses of the acceptance limits."""
    rules = [("shuffled follow-ups <= 0.56", row["C shuffled"] <= 0.56)]
    if row["fixture"] == "response":
        rules += [
            ("C of pairs >= 0.70", row["C pairs"] >= 0.70),
            ("pairs 0.12 above the baseline-only model", row["C pairs"] - row["C baseline model"] >= 0.12),
        ]
    else:
        rules += [
            ("C of pairs >= 0.65", row["C pairs"] >= 0.65),
            ("AUC >= 0.85", row["AUC"] >= 0.85),
            ("AUC moved < 0.05 by shuffling", abs(row["AUC"] - row["AUC shuffled"]) < 0.05),
        ]
    return [text for text, kept in rules if not kept]


def measure(name: str, *, seed: int, test_patients: int = 200) -> dict[str, float]:
    """Train on a fixture, with and without follow-ups, and judge other patients."""
    patients, epochs = _SIZES[name]
    cohort = make_cohort(FIXTURES[name], patients, seed=1000 + seed)
    test = make_cohort(FIXTURES[name], test_patients, seed=2000 + seed)
    begin = cpu_seconds()
    network, breaks = train(cohort, epochs=epochs, seed=seed)
    spent = cpu_seconds() - begin
    baseline_model, _ = train(cohort, epochs=epochs, seed=seed, followups=False)
    pairs = _predict(network, test.image)
    rng = np.random.default_rng(seed)
    shuffled = []
    for _ in range(_SHUFFLES):
        order = torch.from_numpy(rng.permutation(test_patients))
        shuffled.append(_predict(network, torch.stack([test.image[:, 0], test.image[order, 1]], dim=1)))
    return {
        "C pairs": _c(os_risk(pairs[:, 1:], breaks), test),
        "C shuffled": float(np.mean([_c(os_risk(out[:, 1:], breaks), test) for out in shuffled])),
        "C x2=None": _c(os_risk(_predict(network, test.image[:, :1])[:, 1:], breaks), test),
        "C baseline model": _c(os_risk(_predict(baseline_model, test.image[:, :1])[:, 1:], breaks), test),
        "AUC": _auc(pairs[:, 0], test),
        "AUC shuffled": float(np.mean([_auc(out[:, 0], test) for out in shuffled])),
        "best C": _c(test.log_hazard, test),
        "C of sizes": max(_c(test.volume[:, 0], test), 1 - _c(test.volume[:, 0], test)),
        "C of follow-up sizes": _c(test.volume[:, 1], test),
        "best AUC": _auc(test.lnm_score, test),
        "CPU s": spent,
    }


def train(
    cohort: Cohort, *, epochs: int, seed: int, followups: bool = True, max_steps: int | None = None
) -> tuple[LongitudinalNet, tuple[float, ...]]:
    """Train ``tiny``; returns it with its breaks."""
    torch.manual_seed(seed)
    breaks = event_quantile_breaks(cohort.target[:, 2].numpy(), cohort.target[:, 1].numpy())
    network = LongitudinalNet(replace(PRESETS["tiny"], dropout=0.0), intervals=len(breaks) - 1).train()
    loss = MultitaskLoss.for_training(cohort.target, breaks)
    steps = epochs * (len(cohort.image) // _BATCH)
    optimiser = torch.optim.AdamW(parameter_groups(network, lr=_RATE))
    rates = [group["lr"] for group in optimiser.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps)
    done = 0
    for _ in range(epochs):
        order = torch.randperm(len(cohort.image))
        for batch in order[: len(order) // _BATCH * _BATCH].view(-1, _BATCH):
            present = torch.ones(_BATCH, 2, dtype=torch.bool)
            present[:, 1] = followups
            # Flips of both scans together: the sides must still correspond.
            axes = [axis + 2 for axis in range(3) if torch.rand(()) < 0.5]
            out = network(cohort.image[batch].flip(axes), present)
            optimiser.zero_grad()
            loss(out, cohort.target[batch]).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            done += 1
            if max_steps is not None and done >= max_steps:
                return network.eval(), breaks
    return network.eval(), breaks


def _predict(network: LongitudinalNet, image: Tensor) -> Tensor:
    """Logits of pairs, or of baselines where there is one channel."""
    parts = image.split(_BATCH)
    return torch.cat([network.predict(*part.split(1, dim=1)) for part in parts])


def _c(risk: Tensor | np.ndarray, cohort: Cohort) -> float:
    death, months = cohort.target[:, 1].numpy() > 0, cohort.target[:, 2].numpy()
    return float(concordance_index_censored(death, months, np.asarray(risk, dtype=float))[0])


def _auc(score: Tensor | np.ndarray, cohort: Cohort) -> float:
    return float(roc_auc_score(cohort.target[:, 0].numpy(), np.asarray(score, dtype=float)))


if __name__ == "__main__":
    sys.exit(main())
