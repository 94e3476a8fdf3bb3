"""The proportional-odds nomogram: coefficients, probabilities and the point scale.

P(stage <= k) = sigmoid(threshold_k - eta), with eta the sum of coefficient times predictor. Fitting is in
:mod:`gastromap.nomogram.fitting`, the picture in :mod:`gastromap.nomogram.drawing`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from importlib import resources
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gastromap.errors import ModelError
from gastromap.evaluation.stages import STAGES
from gastromap.nomogram.clinical import DIFFERENTIATION, LAUREN, check_clinical
from gastromap.nomogram.json_file import dump_object, finite, finite_list, finite_numbers, load_model_object
from gastromap.results import ClinicalVariables, NomogramOmitted, NomogramResult, PredictorContribution, SizeOrigin
from gastromap.text import Text, enumerated

__all__ = ["COEFFICIENTS", "SIZE_LIMIT_CM", "NomogramModel", "apply"]

#: Names of the model's coefficients, log-odds per unit; reference levels are below 5 cm, well and intestinal.
COEFFICIENTS = (
    "rad_score",
    "size_5cm_or_more",
    "differentiation_moderate",
    "differentiation_poor",
    "lauren_diffuse",
    "lauren_mixed",
)
#: Tumours of this size or more count as large (Table 3 of doi 10.1038/s41746-025-02002-5).
SIZE_LIMIT_CM = 5.0

_FORMAT = "gastromap-nomogram/1"
_KEYS = (
    "variant",
    "source",
    "coefficients",
    "thresholds",
    "rad_score_range_sd",
    "standard_errors",
    "patients",
)
#: A size that nobody measured by hand is to be seen as such.
_MEASURED: Mapping[SizeOrigin, str] = {
    "given": "",
    "seg": Text("measured in the segmentation"),
    "auto": Text("measured in the automatic mask"),
}
_WORDS = {
    "rad_score": Text("the Rad-score"),
    "tumour_size_cm": Text("the tumour size"),
    "differentiation": Text("the differentiation"),
    "lauren": Text("the Lauren type"),
}


def _sigmoid(value: NDArray[np.float64]) -> NDArray[np.float64]:
    # exp of minus the absolute value never overflows.
    small = np.exp(-np.abs(value))
    return np.where(value >= 0, 1 / (1 + small), small / (1 + small))


@dataclass(frozen=True)
class NomogramModel:
    """Coefficients of one nomogram and the point scale that follows from them.

    Raises
    ------
    ModelError
        ``NOMOGRAM_INVALID``: a coefficient is missing or not finite, the thresholds do not increase, or no predictor
        has an effect.
    """

    variant: Literal["published", "refit"]
    source: str  #: where the coefficients come from, as a sentence
    coefficients: Mapping[str, float]  #: log-odds of a higher stage, keys of :data:`COEFFICIENTS`
    thresholds: tuple[float, float, float]  #: T1|T2, T2|T3, T3|T4, log-odds, increasing
    rad_score_range_sd: tuple[float, float] = (-3.0, 3.0)  #: ends of the Rad-score's axis
    standard_errors: Mapping[str, float] = field(default_factory=dict)  #: of the coefficients; empty where unknown
    patients: int | None = None  #: number it was fitted on; None where unknown

    def __post_init__(self) -> None:
        low, high = self.rad_score_range_sd
        values = (*self.coefficients.values(), *self.thresholds, low, high, *self.standard_errors.values())
        for valid, expected in (
            (self.variant in ("published", "refit"), "variant published or refit"),
            (set(self.coefficients) == set(COEFFICIENTS), f"the coefficients {', '.join(COEFFICIENTS)}"),
            (len(self.thresholds) == len(STAGES) - 1, "three thresholds"),
            (all(math.isfinite(value) for value in values), "finite numbers"),
            (all(np.diff(self.thresholds) > 0), "thresholds that increase"),
            (low < high, "a Rad-score range that increases"),
        ):
            if not valid:
                _refuse(expected)
        if self._largest_effect() <= 0:
            _refuse("at least one predictor with an effect")

    @classmethod
    def published(cls) -> NomogramModel:
        """Table 3 as printed (doi 10.1038/s41746-025-02002-5), shipped with the package."""
        with resources.as_file(resources.files("gastromap.nomogram") / "published.json") as path:
            return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> NomogramModel:
        """Read a model written by :meth:`save`.

        Raises
        ------
        ModelError
            ``NOMOGRAM_INVALID``.
        """
        content = load_model_object(
            path, code="NOMOGRAM_INVALID", where="nomogram file", file_format=_FORMAT, keys=_KEYS
        )
        patients = content["patients"]
        try:
            model = {
                "coefficients": finite_numbers(content["coefficients"]),
                "thresholds": finite_list(content["thresholds"]),
                "rad_score_range_sd": finite_list(content["rad_score_range_sd"]),
                "standard_errors": finite_numbers(content["standard_errors"]),
                "patients": None if patients is None else int(finite(patients)),
            }
            if len(model["rad_score_range_sd"]) != 2:  # type: ignore[arg-type]
                raise ValueError("not a range")
        except ValueError:
            _refuse("finite numbers, by name or in a list")
        return cls(
            variant=cast(Literal["published", "refit"], content["variant"]),
            source=str(content["source"]),
            **model,  # type: ignore[arg-type]
        )

    def save(self, path: Path) -> None:
        """Write the model as JSON; same model, same bytes."""
        content = {
            "variant": self.variant,
            "source": self.source,
            "coefficients": {name: self.coefficients[name] for name in COEFFICIENTS},
            "thresholds": list(self.thresholds),
            "rad_score_range_sd": list(self.rad_score_range_sd),
            "standard_errors": dict(self.standard_errors),
            "patients": self.patients,
        }
        dump_object(path, file_format=_FORMAT, content=content)

    def effects(self) -> dict[str, dict[str, float]]:
        """Log-odds of each level of each predictor; the Rad-score by the two ends of its axis.

        Returns
        -------
        dict
            ``{"Lauren type": {"intestinal": 0.0, "diffuse": 1.06, "mixed": -0.08}, …}``, top row of the nomogram first.
        """
        beta = self.coefficients
        return {
            "Rad-score": {f"{end:g}": beta["rad_score"] * end for end in self.rad_score_range_sd},
            "Tumour size": {"< 5 cm": 0.0, "≥ 5 cm": beta["size_5cm_or_more"]},
            "Differentiation": {level: beta.get(f"differentiation_{level}", 0.0) for level in DIFFERENTIATION},
            "Lauren type": {level: beta.get(f"lauren_{level}", 0.0) for level in LAUREN},
        }

    def _largest_effect(self) -> float:
        return max(max(levels.values()) - min(levels.values()) for levels in self.effects().values())

    @property
    def points_per_log_odds(self) -> float:
        """Points for one unit of log-odds; the predictor with the widest range of effects spans 100 points."""
        return 100.0 / self._largest_effect()

    @property
    def maximum_points(self) -> float:
        """Largest total a patient can reach."""
        spans = (max(levels.values()) - min(levels.values()) for levels in self.effects().values())
        return sum(spans) * self.points_per_log_odds

    def points(self, predictor: str, log_odds: float) -> float:
        """Points of an effect of one predictor, 0 to 100 above its lowest level; cut at the ends of its axis."""
        levels = self.effects()[predictor].values()
        inside = min(max(log_odds, min(levels)), max(levels))
        return (inside - min(levels)) * self.points_per_log_odds

    def stage_probabilities(self, eta: ArrayLike) -> NDArray[np.float64]:
        """Probabilities of T1 to T4 for a linear predictor in log-odds; shape (…,) to (…, 4)."""
        eta = np.asarray(eta, dtype=float)[..., np.newaxis]
        # From the nearer tail: the difference of two numbers close to 1 would lose the digits of a small probability.
        below, above = _sigmoid(np.asarray(self.thresholds) - eta), _sigmoid(eta - np.asarray(self.thresholds))
        middle = np.where(eta > 0, below[..., 1:] - below[..., :-1], above[..., :-1] - above[..., 1:])
        return np.concatenate([below[..., :1], middle, above[..., -1:]], axis=-1)

    def probabilities_of_points(self, total_points: ArrayLike) -> NDArray[np.float64]:
        """Axis from total points to the probabilities of T1 to T4; shape (…,) to (…, 4).

        Notes
        -----
        Equal to the result of :func:`apply` as long as the Rad-score lies on its axis.
        """
        lowest = sum(min(levels.values()) for levels in self.effects().values())
        return self.stage_probabilities(np.asarray(total_points, dtype=float) / self.points_per_log_odds + lowest)

    def points_of_probability(self, probability: ArrayLike, *, at_least: str) -> NDArray[np.float64]:
        """Total points at which P(stage >= `at_least`) has a value: the ticks of a probability axis.

        Parameters
        ----------
        probability : array, shape (…,)
            Above 0 and below 1.
        at_least : str
            ``T2``, ``T3`` or ``T4``.
        """
        probability = np.asarray(probability, dtype=float)
        eta = np.log(probability / (1 - probability)) + self.thresholds[STAGES.index(at_least) - 1]
        lowest = sum(min(levels.values()) for levels in self.effects().values())
        return np.asarray((eta - lowest) * self.points_per_log_odds)


def _refuse(expected: str) -> None:
    raise ModelError(
        "NOMOGRAM_INVALID",
        where="nomogram",
        expected=expected,
        got="something else",
        remedy="Use the shipped nomogram or fit it again.",
    )


def _omitted(missing: tuple[str, ...]) -> NomogramOmitted:
    words = [_WORDS[name] for name in missing]
    if len(words) == 1:
        reason = Text("No nomogram, because {what} is missing.", what=words[0])
    else:
        reason = Text("No nomogram, because {what} are missing.", what=enumerated(words))
    return NomogramOmitted(missing=missing, reason=reason)


def apply(
    model: NomogramModel, *, rad_score: float | None, clinical: ClinicalVariables
) -> NomogramResult | NomogramOmitted:
    """Stage probabilities of one patient.

    Parameters
    ----------
    model : NomogramModel
        Published or refitted coefficients.
    rad_score : float or None
        In SD of the training cohort (:meth:`gastromap.rad_score.RadScore.score`); None or a non-finite number is
        missing.
    clinical : ClinicalVariables
        Size in cm; None where missing.

    Returns
    -------
    NomogramResult or NomogramOmitted
        Omitted, with the missing variables by name, unless all four predictors are there: nothing is imputed.

    Raises
    ------
    UsageError
        ``CLINICAL_INVALID`` for an impossible size or an unknown category.

    Notes
    -----
    A Rad-score beyond the ends of its axis enters the probabilities as it is, its points stop at the end of the axis
    and its text says so.
    """
    measured = _MEASURED[clinical.size_origin]
    clinical = check_clinical(clinical)
    no_score = rad_score is None or not math.isfinite(rad_score)
    missing = (("rad_score",) if no_score else ()) + clinical.missing
    if missing:
        return _omitted(missing)
    score, size_cm = cast(float, rad_score), cast(float, clinical.tumour_size_cm)
    effects = model.effects()
    low, high = model.rad_score_range_sd
    large = "≥ 5 cm" if size_cm >= SIZE_LIMIT_CM else "< 5 cm"
    # A measured size has more digits than the voxels justify; rounded up, 4.96 would be shown as 5.0 (< 5 cm).
    shown = Decimal(str(size_cm)).quantize(Decimal("0.1"), ROUND_DOWN) if measured else f"{size_cm:g}"
    shown_score = Text("{score} SD", score=f"{score:.2f}")
    if not low <= score <= high:
        shown_score = Text("{score}, beyond the axis", score=shown_score)
    shown_size = Text("{size} cm ({group})", size=str(shown), group=large)
    if measured:
        shown_size = Text("{size}, {origin}", size=shown_size, origin=measured)
    rows = (
        ("Rad-score", shown_score, model.coefficients["rad_score"] * score),
        ("Tumour size", shown_size, effects["Tumour size"][large]),
        ("Differentiation", str(clinical.differentiation), effects["Differentiation"][str(clinical.differentiation)]),
        ("Lauren type", str(clinical.lauren), effects["Lauren type"][str(clinical.lauren)]),
    )
    contributions = tuple(
        PredictorContribution(name=name, value=value, log_odds=log_odds, points=model.points(name, log_odds))
        for name, value, log_odds in rows
    )
    probabilities = model.stage_probabilities(sum(row.log_odds for row in contributions))
    return NomogramResult(
        variant=model.variant,
        source=model.source,
        probabilities=dict(zip(STAGES, probabilities.tolist(), strict=True)),
        stage=STAGES[int(np.argmax(probabilities))],
        contributions=contributions,
        total_points=sum(row.points for row in contributions),
        model=model,
        rad_score=score,
    )
