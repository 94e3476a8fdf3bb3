"""Made survival.csv, the input of ``survival.R``, once; stored because random streams change with numpy.

Deaths fall on tenths of a month plus 0.02 and censoring between them: deaths tie with deaths, never with a censoring
or a horizon, where scikit-survival and R stand on different sides of the step.
"""

from __future__ import annotations

import numpy as np
from make_tables import write

MONTHS = np.array([12, 24, 36, 48, 60])


def survival(rng: np.random.Generator, n: int = 400, training: int = 240) -> None:
    age, stage = rng.integers(35, 85, n), rng.integers(0, 4, n)
    location = rng.choice(["upper", "middle", "lower"], n, p=[0.25, 0.25, 0.5])
    cea = np.round(rng.lognormal(1.2, 0.9, n), 1)
    image = rng.normal(size=n)
    true = 0.9 * image + 0.35 * (stage - 1.5) + 0.02 * (age - 60) + 0.4 * (location == "upper")
    death_month = 45 * rng.weibull(1.2, n) * np.exp(-true / 1.2)
    censored = rng.uniform(14, 96, n)
    dead = death_month <= censored
    months = np.where(dead, np.ceil(death_month * 10) / 10 + 0.02, np.floor(censored * 10) / 10 + 0.05)

    def curves(score: np.ndarray) -> np.ndarray:
        return np.round(np.clip(np.exp(-np.exp(score)[:, None] * (MONTHS / 45) ** 1.2), 0.0005, 0.9995), 4)

    pair, baseline = 0.8 * image + rng.normal(0, 0.5, n), 0.3 * image + rng.normal(0, 0.5, n)
    nodes = rng.random(n) < 1 / (1 + np.exp(-(0.8 * stage - 1 + 0.7 * image)))
    node_score = 1 / (1 + np.exp(-(0.6 * stage - 0.8 + 0.6 * image + rng.normal(0, 0.7, n))))
    columns: dict[str, object] = {
        "patient_id": [f"P{k + 1:03d}" for k in range(n)],
        "cohort": np.where(np.arange(n) < training, "A", "B"),
        "os_months": [f"{value:.2f}" for value in months],
        "death": dead.astype(int),
        "os_risk": np.round(pair, 3),
        "dls": np.round(-pair, 3),
        **{f"s{month}": column for month, column in zip(MONTHS, curves(pair).T, strict=True)},
        "baseline_risk": np.round(baseline, 2),
        **{f"b{month}": column for month, column in zip(MONTHS, curves(baseline).T, strict=True)},
        "age": age,
        "sex": rng.choice(["F", "M"], n),
        "ypT": stage + 1,
        "location": np.where(rng.random(n) < 0.05, "", location),
        "cea": [("" if gone else value) for value, gone in zip(cea, rng.random(n) < 0.1, strict=True)],
        "lnm": nodes.astype(int),
        "lnm_probability": np.round(node_score, 3),
    }
    write("survival.csv", columns)


if __name__ == "__main__":
    survival(np.random.default_rng(20261122))
