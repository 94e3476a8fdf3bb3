"""Cross-validated C-index of a Cox model by the recipe of the design document, on public sets."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from gastromap.evaluation.survival.cases import RiskModel, SurvivalCases
from gastromap.evaluation.survival.metrics import survival_metrics


def columns(frame: pd.DataFrame) -> np.ndarray:
    """Numbers as they are, categories one-hot without the first level."""
    parts = []
    for name in frame:
        values = frame[name]
        if pd.api.types.is_numeric_dtype(values):
            parts.append(values.astype(float).to_numpy()[:, None])
        else:
            codes = pd.get_dummies(values.astype(str).where(values.notna()), drop_first=True).astype(float)
            parts.append(codes.to_numpy())
    return np.concatenate(parts, axis=1)


def harrell_c(time, event, risk) -> float:
    model = RiskModel("x", np.asarray(risk, dtype=float))
    cases = SurvivalCases(np.asarray(time, dtype=float), np.asarray(event, dtype=bool), (model,), np.arange(len(time)))
    return survival_metrics(cases, model)["harrell_c"]


def cox(alpha: float):
    return make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), CoxPHSurvivalAnalysis(alpha=alpha))


def apparent_c(x, time, event) -> float:
    model = cox(1e-4).fit(x, Surv.from_arrays(event, time))
    return harrell_c(time, event, model.predict(x))


def cross_validated_c(x, time, event) -> tuple[float, float]:
    """Mean and SD over 15 folds."""
    y, found = Surv.from_arrays(event, time), []
    for seed in range(3):
        for train, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(x, event):
            risk = cox(0.01).fit(x[train], y[train]).predict(x[test])
            found.append(harrell_c(time[test], event[test], risk))
    return float(np.mean(found)), float(np.std(found))
