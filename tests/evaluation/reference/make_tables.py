"""Made the input tables of ``reference.R``, once; the tables are stored because random streams change with numpy.

``python tests/evaluation/reference/make_tables.py`` writes cases.csv, nomogram.csv and features.csv beside itself.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
STAGES = np.array(["T1", "T2", "T3", "T4"])


def write(name: str, columns: dict[str, object]) -> None:
    with (FOLDER / name).open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def outputs(rng: np.random.Generator, stage: np.ndarray, sharpness: float) -> np.ndarray:
    """Softmax outputs around the true stage, in steps of 0.001 so that ties occur, each row with sum 1."""
    centre = stage + rng.normal(0, 0.9, len(stage))
    logits = -sharpness * (centre[:, None] - np.arange(4)) ** 2 + rng.normal(0, 0.5, (len(stage), 4))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    p = np.round(np.clip(p, 0.002, None), 3)
    p[np.arange(len(p)), p.argmax(axis=1)] += 1 - p.sum(axis=1)
    return np.round(p, 3)


def read_by(rng: np.random.Generator, stage: np.ndarray, sd: float) -> np.ndarray:
    return STAGES[np.clip(np.round(stage + rng.normal(0, sd, len(stage))), 0, 3).astype(int)]


def cases(rng: np.random.Generator, n: int = 200, patients: int = 140) -> None:
    patient = np.sort(np.r_[np.arange(patients), rng.integers(0, patients, n - patients)])
    stage = rng.integers(0, 4, patients)[patient]
    first, second = outputs(rng, stage, 0.9), outputs(rng, stage, 0.5)
    columns: dict[str, object] = {
        "case": [f"C{k + 1:03d}" for k in range(n)],
        "PatientID": [f"P{k + 1:03d}" for k in patient],
        "stage": STAGES[stage],
        **{f"prob_{name}": first[:, k] for k, name in enumerate(STAGES)},
        **{f"second_{name}": second[:, k] for k, name in enumerate(STAGES)},
    }
    for name, alone, assisted in (("A", 0.9, 0.7), ("B", 1.1, 0.7), ("C", 0.8, 0.75)):
        columns[f"reader_{name}"] = read_by(rng, stage, alone)
        columns[f"assisted_{name}"] = read_by(rng, stage, assisted)
    columns["sex"] = rng.choice(["F", "M"], n)
    columns["age"] = rng.integers(35, 85, n)
    risk = 1 / (1 + np.exp(-(stage - 1.8 + rng.normal(0, 1, n))))
    columns["node"] = (rng.random(n) < risk**1.3).astype(int)
    columns["node_score"] = np.round(np.clip(risk, 0.01, 0.99), 3)
    write("cases.csv", columns)


def nomogram(rng: np.random.Generator, n: int = 400) -> None:
    score = np.round(rng.normal(size=n), 3)
    size = np.round(rng.uniform(1, 9, n), 1)
    differentiation = rng.choice(["well", "moderate", "poor"], n)
    lauren = rng.choice(["intestinal", "diffuse", "mixed"], n)
    eta = 0.9 * score + 0.6 * (size >= 5) + 1.1 * (differentiation == "poor") + 0.3 * (differentiation == "moderate")
    eta = eta + 0.8 * (lauren == "diffuse") + rng.logistic(size=n)
    stage = STAGES[np.searchsorted([-1.0, 0.8, 2.4], eta)]
    columns = {"rad_score": score, "tumour_size_cm": size, "differentiation": differentiation, "lauren": lauren}
    write("nomogram.csv", {**columns, "stage": stage})


def features(rng: np.random.Generator, n: int = 150, d: int = 25) -> None:
    stage = rng.integers(0, 4, n)
    common = rng.normal(size=(n, 1))
    x = (rng.normal(size=(n, d)) + common) * rng.uniform(0.1, 20, d)
    x[:, 3] += 6 * stage * x[:, 3].std() / 4
    x[:, 8] -= 4 * stage * x[:, 8].std() / 4
    x[:, 15] += 2 * stage * x[:, 15].std() / 4
    patient = np.sort(np.r_[np.arange(90), rng.integers(0, 90, n - 90)])
    fold = rng.permutation(90)[patient] % 5 + 1
    columns: dict[str, object] = {"PatientID": [f"P{k:03d}" for k in patient], "fold": fold, "stage": stage}
    write("features.csv", {**columns, **{f"f{k}": np.round(x[:, k], 4) for k in range(d)}})


if __name__ == "__main__":
    generator = np.random.default_rng(20251)
    cases(generator)
    nomogram(generator)
    features(generator)
