"""``python -m benchmarks.bootstrap``: patient bootstrap of all stage metrics beside a plain loop over scikit-learn.

Same rows, same resamples of patients, same metrics; the two must agree, else nothing is printed.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    confusion_matrix,
    mean_absolute_error,
    multilabel_confusion_matrix,
    roc_auc_score,
)

from benchmarks.machine import load_average
from benchmarks.table import Sample, render
from gastromap.evaluation.bootstrap import patient_weights, resample, stage_metrics
from gastromap.evaluation.stages import STAGES

__all__ = ["main", "measure"]

ROWS, PATIENTS, RESAMPLES = 953, 358, 1000
_SEED = 7
_Array = NDArray[np.float64]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bootstrap", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds of the library (default: %(default)s)")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="(default: %(default)s)")
    given = parser.parse_args(argv)
    found = measure(rounds=max(given.rounds, 1), resamples=given.resamples)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


def measure(*, rounds: int, resamples: int) -> dict[str, object]:
    """Time both on the same resamples, the loop once, and check that they agree."""
    labels, predicted, probabilities, patients = _cohort()
    loop_seconds, expected = _plain_loop(labels, predicted, probabilities, patients, resamples)

    def once() -> tuple[float, dict[str, _Array]]:
        start = time.perf_counter()
        drawn = resample(
            lambda weights: stage_metrics(labels, predicted, probabilities, weights),
            patients,
            resamples=resamples,
            seed=_SEED,
        )
        return time.perf_counter() - start, drawn

    once()  # the first call also loads code
    runs = [once() for _ in range(rounds)]
    for name, values in expected.items():
        np.testing.assert_allclose(runs[-1][1][name], values, atol=1e-9, err_msg=name)
    ours, loop = Sample(tuple(seconds for seconds, _ in runs)), Sample((loop_seconds,))
    ratio = loop.median / ours.median
    rows = [["GastroMAP, all metrics", str(ours), "1"], ["loop over scikit-learn", str(loop), f"{ratio:.0f}"]]
    print(render(f"{resamples} resamples of {PATIENTS} patients, {ROWS} rows, seconds", ["", "seconds", "times"], rows))
    many, few = len(runs[-1][1]), len(expected)
    print(f"  {many} metrics here, {few} of them in the loop, equal to 1e-9. Aim: below 3 s, 20 times.")
    return {
        "rows": ROWS,
        "patients": PATIENTS,
        "resamples": resamples,
        "metrics": many,
        "metrics_in_loop": few,
        "seconds": ours.to_json(),
        "loop_seconds": loop.to_json(),
        "times_faster": round(ratio, 1),
        "load_average": load_average(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("numpy", "scikit-learn")},
    }


def _cohort() -> tuple[NDArray[np.int64], NDArray[np.int64], _Array, list[str]]:
    """As many rows and patients as the released training outputs have."""
    rng = np.random.default_rng(0)
    patient = np.sort(np.r_[np.arange(PATIENTS), rng.integers(0, PATIENTS, ROWS - PATIENTS)])
    labels = rng.integers(0, len(STAGES), PATIENTS)[patient]
    probabilities = 0.6 * rng.dirichlet(np.ones(len(STAGES)), ROWS) + 0.4 * np.eye(len(STAGES))[labels]
    return labels, probabilities.argmax(axis=1), probabilities, [str(number) for number in patient]


def _plain_loop(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], p: _Array, patients: list[str], resamples: int
) -> tuple[float, dict[str, _Array]]:
    """Seconds and values of the usual way: index the drawn rows, call scikit-learn, repeat."""
    rng = np.random.default_rng(_SEED)
    weights = patient_weights(patients, resamples=resamples, rng=rng)
    drawn = [np.repeat(np.arange(len(labels)), row.astype(int)) for row in weights]
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = [_with_scikit_learn(labels[index], predicted[index], p[index]) for index in drawn]
    seconds = time.perf_counter() - start
    return seconds, {name: np.asarray([row[name] for row in rows]) for name in rows[0]}


def _with_scikit_learn(labels: NDArray[np.int64], predicted: NDArray[np.int64], p: _Array) -> dict[str, float]:
    stages = range(len(STAGES))
    values = {
        "accuracy": accuracy_score(labels, predicted),
        "kappa.linear": cohen_kappa_score(labels, predicted, weights="linear"),
        "kappa.quadratic": cohen_kappa_score(labels, predicted, weights="quadratic"),
        "ordinal_mae": mean_absolute_error(labels, predicted),
        "brier": sum(brier_score_loss(labels == k, p[:, k]) for k in stages),
    }
    values |= {f"auc.{STAGES[k]}": roc_auc_score(labels == k, p[:, k]) for k in stages}
    values["auc.macro"] = float(np.mean([values[f"auc.{stage}"] for stage in STAGES]))
    for stage, ((tn, fp), (fn, tp)) in zip(
        STAGES, multilabel_confusion_matrix(labels, predicted, labels=list(stages)), strict=True
    ):
        values |= {
            f"sensitivity.{stage}": tp / (tp + fn),
            f"specificity.{stage}": tn / (tn + fp),
            f"ppv.{stage}": tp / (tp + fp),
            f"npv.{stage}": tn / (tn + fn),
        }
    ((_, false_positives), (false_negatives, _)) = confusion_matrix(labels >= 2, predicted >= 2)
    values["over_treatment"] = false_positives / len(labels)
    values["under_treatment"] = false_negatives / len(labels)
    return values


if __name__ == "__main__":
    sys.exit(main())
