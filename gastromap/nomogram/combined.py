"""Nomogram of a network's score and clinical predictors: Cox for survival, logistic for node metastasis.

Applied with numpy alone; fitted in :mod:`gastromap.nomogram.combined_fitting`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gastromap.errors import ModelError
from gastromap.nomogram.json_file import finite, finite_list, finite_numbers, load_model_object, object_text
from gastromap.nomogram.predictors import Predictor, predictor_from_json
from gastromap.results import PredictorContribution

__all__ = ["CombinedNomogram", "CombinedResult", "apply_combined"]

_Array = NDArray[np.float64]
_FORMAT = "gastromap-combined-nomogram/1"
_KEYS = (
    "name",
    "kind",
    "source",
    "predictors",
    "coefficients",
    "standard_errors",
    "intercept",
    "months",
    "hazard",
    "threshold",
    "patients",
    "events",
)


@dataclass(frozen=True)
class CombinedResult:
    """Nomogram of one patient."""

    name: str
    linear_predictor: float  #: log hazard ratio or log-odds; higher is worse
    high_risk: bool  #: above the threshold of training (logistic: or at it)
    total_points: float
    contributions: tuple[PredictorContribution, ...]
    imputed: tuple[str, ...]  #: predictors that were missing and took the value of training
    survival: Mapping[float, float]  #: by month; empty for a logistic nomogram
    probability: float | None  #: None for a Cox nomogram


@dataclass(frozen=True)
class CombinedNomogram:
    """Coefficients, baseline and the point scale that follows from them.

    Raises
    ------
    ModelError
        ``NOMOGRAM_INVALID``: the parts do not belong together or are not finite.

    Notes
    -----
    Cox: S(t) = exp(−H₀(t)·exp(β·x)), H₀ Breslow's, constant between deaths. Logistic: P = sigmoid(intercept + β·x).
    """

    name: str
    kind: Literal["cox", "logistic"]
    source: str  #: where it was fitted, as a sentence
    predictors: tuple[Predictor, ...]
    coefficients: Mapping[str, float]  #: per unit, keys as ``Predictor.columns``
    standard_errors: Mapping[str, float]
    intercept: float  #: 0 for Cox
    months: tuple[float, ...]  #: of deaths in training; empty for logistic
    hazard: tuple[float, ...]  #: baseline cumulative hazard at those months, at predictors of 0
    threshold: float  #: high risk above it, on the scale of the linear predictor: training median (Cox) or Youden
    patients: int
    events: int

    def __post_init__(self) -> None:
        columns = [column for predictor in self.predictors for column in predictor.columns]
        numbers = (*self.coefficients.values(), *self.standard_errors.values(), *self.months, *self.hazard)
        for valid, expected in (
            (self.kind in ("cox", "logistic"), "kind cox or logistic"),
            (len(set(columns)) == len(columns) > 0, "each predictor once"),
            (set(self.coefficients) == set(columns) == set(self.standard_errors), "a coefficient for each column"),
            (all(map(math.isfinite, (*numbers, self.intercept, self.threshold))), "finite numbers"),
            ((self.kind == "cox") == bool(self.months), "a baseline for Cox only"),
            (len(self.months) == len(self.hazard), "a hazard for each month"),
            (all(np.diff(self.months) > 0) and all(np.diff(self.hazard, prepend=0.0) >= 0), "a baseline that rises"),
        ):
            if not valid:
                _refuse(expected)
        if max(high - low for low, high in self.ranges.values()) <= 0:
            _refuse("at least one predictor with an effect")

    @classmethod
    def load(cls, path: Path) -> CombinedNomogram:
        """Read a nomogram written by :meth:`save`.

        Raises
        ------
        ModelError
            ``NOMOGRAM_INVALID``.
        """
        return cls.from_json(
            load_model_object(path, code="NOMOGRAM_INVALID", where="nomogram file", file_format=_FORMAT, keys=_KEYS)
        )

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> CombinedNomogram:
        """Nomogram from its content; see :meth:`load`."""
        try:
            predictors = content["predictors"]
            if not isinstance(predictors, list):
                raise ValueError("not a list")
            parts: dict[str, Any] = {
                "predictors": tuple(predictor_from_json(predictor) for predictor in predictors),
                "coefficients": finite_numbers(content["coefficients"]),
                "standard_errors": finite_numbers(content["standard_errors"]),
                "months": finite_list(content["months"]),
                "hazard": finite_list(content["hazard"]),
            }
            parts |= {name: finite(content[name]) for name in ("intercept", "threshold")}
            parts |= {name: int(finite(content[name])) for name in ("patients", "events")}
        except ValueError:
            _refuse("predictors and finite numbers")
        kind = cast(Literal["cox", "logistic"], content["kind"])
        return cls(name=str(content["name"]), kind=kind, source=str(content["source"]), **parts)

    def save(self, path: Path) -> None:
        """Write the nomogram as JSON; same nomogram, same bytes."""
        path.write_text(self.text(), encoding="utf-8")

    def text(self) -> str:
        """Text of the file."""
        return object_text(file_format=_FORMAT, content=self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Content of the file."""
        content = {name: getattr(self, name) for name in _KEYS}
        return content | {
            "predictors": [predictor.to_json() for predictor in self.predictors],
            "coefficients": dict(self.coefficients),
            "standard_errors": dict(self.standard_errors),
            "months": list(self.months),
            "hazard": list(self.hazard),
        }

    def effects(self, table: Mapping[str, Sequence[object]]) -> tuple[_Array, NDArray[np.bool_]]:
        """Log hazard ratio or log-odds of each predictor for each patient, and what was imputed.

        Parameters
        ----------
        table : mapping of columns
            By name of predictor; an absent column is missing for everybody.

        Returns
        -------
        effects, imputed : array, shape (n, n_predictors)

        Raises
        ------
        UsageError
            ``CLINICAL_INVALID``.
        """
        size = max((len(column) for column in table.values()), default=0)
        found, imputed = [], []
        for predictor in self.predictors:
            x, filled = predictor.encode(table.get(predictor.name, [None] * size))
            found.append(x @ [self.coefficients[column] for column in predictor.columns])
            imputed.append(filled)
        return np.stack(found, axis=1), np.stack(imputed, axis=1)

    def linear_predictor(self, table: Mapping[str, Sequence[object]]) -> _Array:
        """Sum of the effects and the intercept, shape (n,); higher is worse."""
        return np.asarray(self.effects(table)[0].sum(axis=1) + self.intercept)

    def cumulative_hazard(self, months: ArrayLike) -> _Array:
        """Baseline cumulative hazard, shape (m,); NaN beyond the last death of training."""
        wanted = np.asarray(months, dtype=float)
        steps = np.concatenate([[0.0], self.hazard])
        found = steps[np.searchsorted(self.months, wanted, side="right")]
        return np.where(wanted > self.months[-1], np.nan, found)

    def survival(self, linear_predictor: ArrayLike, months: ArrayLike) -> _Array:
        """S(t), shape (n, m)."""
        risk = np.exp(np.asarray(linear_predictor, dtype=float))
        return np.asarray(np.exp(-np.outer(risk, self.cumulative_hazard(months))))

    def probability(self, linear_predictor: ArrayLike) -> _Array:
        """Probability of a logistic nomogram, shape (n,)."""
        return np.asarray(1 / (1 + np.exp(-np.clip(np.asarray(linear_predictor, dtype=float), -500, 500))))

    @cached_property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest effect on the axis of each predictor."""
        found = {}
        for predictor in self.predictors:
            beta = [self.coefficients[column] for column in predictor.columns]
            ends = [0.0, *beta] if predictor.levels else [beta[0] * predictor.low, beta[0] * predictor.high]
            found[predictor.name] = (min(ends), max(ends))
        return found

    @property
    def points_per_unit(self) -> float:
        """Points for one unit of the linear predictor; the widest axis spans 100."""
        return 100.0 / max(high - low for low, high in self.ranges.values())

    @property
    def maximum_points(self) -> float:
        """Largest total a patient can reach."""
        return sum(high - low for low, high in self.ranges.values()) * self.points_per_unit

    def points(self, predictor: str, effect: float) -> float:
        """Points of an effect, 0 to 100, cut at the ends of the axis."""
        low, high = self.ranges[predictor]
        return (min(max(effect, low), high) - low) * self.points_per_unit

    def total_points(self, linear_predictor: ArrayLike) -> _Array:
        """Total points that belong to a linear predictor: the ticks of an outcome axis."""
        lowest = sum(low for low, _ in self.ranges.values()) + self.intercept
        return np.asarray((np.asarray(linear_predictor, dtype=float) - lowest) * self.points_per_unit)


def _refuse(expected: str) -> None:
    raise ModelError(
        "NOMOGRAM_INVALID",
        where="combined nomogram",
        expected=expected,
        got="something else",
        remedy="Fit the nomogram again.",
    )


def apply_combined(
    model: CombinedNomogram, values: Mapping[str, object], *, months: Sequence[float] = (12, 24, 36, 48, 60)
) -> CombinedResult:
    """Apply a nomogram to one patient.

    Parameters
    ----------
    model : CombinedNomogram
    values : mapping
        Value of each predictor by name; absent or None is missing and takes the value of training, and the result says
        so.
    months : sequence of float
        Of S(t); those beyond the training follow-up are left out.

    Raises
    ------
    UsageError
        ``CLINICAL_INVALID``: another level or type than in training.

    Notes
    -----
    A number beyond its axis enters the prediction as it is; its points stop at the end of the axis.
    """
    table = {predictor.name: [values.get(predictor.name)] for predictor in model.predictors}
    effects, imputed = model.effects(table)
    total = float(effects.sum() + model.intercept)
    contributions = []
    for predictor, effect, filled in zip(model.predictors, effects[0], imputed[0], strict=True):
        words = str(predictor.fill if filled else values[predictor.name])
        text = f"{words}, value of training" if filled else words
        contributions.append(
            PredictorContribution(predictor.name, text, float(effect), model.points(predictor.name, float(effect)))
        )
    survival = {}
    if model.kind == "cox":
        survival = {
            float(month): float(model.survival([total], [month])[0, 0]) for month in months if month <= model.months[-1]
        }
    return CombinedResult(
        name=model.name,
        linear_predictor=total,
        high_risk=total >= model.threshold if model.kind == "logistic" else total > model.threshold,
        total_points=sum(row.points for row in contributions),
        contributions=tuple(contributions),
        imputed=tuple(p.name for p, filled in zip(model.predictors, imputed[0], strict=True) if filled),
        survival=survival,
        probability=float(model.probability(total)) if model.kind == "logistic" else None,
    )
