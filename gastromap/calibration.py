"""Calibrated probabilities, prediction sets and the rule that says "not confidently staged".

Everything learnt is a handful of numbers in ``calibration.json`` beside the weights. Running needs numpy only;
fitting the temperature imports scipy.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gastromap.errors import ModelError
from gastromap.evaluation.conformal import check_outputs, fit_conformal, prediction_set
from gastromap.evaluation.stages import STAGES
from gastromap.nomogram.json_file import dump_object, finite, load_model_object
from gastromap.results import Confidence

__all__ = [
    "Calibration",
    "Vote",
    "expected_calibration_error",
    "feature_distance_limit",
    "fit_conformal",
    "fit_temperature",
    "prediction_set",
    "softmax",
    "vote",
]

_FORMAT = "gastromap-calibration/1"
#: Sets of more stages than this tell the reader nothing (T-stage design, section 3).
_WIDEST_SET = 2


class Vote(NamedTuple):
    """Stage of a case from its slices."""

    stage: int  #: class index, 0 is T1
    probabilities: NDArray[np.float64]  #: mean over the slices, shape (n_stages,)
    votes: int  #: slices that vote for `stage`


def softmax(logits: ArrayLike, *, temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax over the last axis after division by the temperature; shape is kept."""
    scaled = np.asarray(logits, dtype=float) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Temperature that minimises the negative log-likelihood of validation cases.

    Parameters
    ----------
    logits : array, shape (n, n_stages)
        Network outputs before the softmax (log-probabilities serve as well).
    labels : array of int, shape (n,)
        0 is T1.

    Returns
    -------
    float
        0.05 to 20; above 1 the network was overconfident.

    Raises
    ------
    UsageError
        ``CALIBRATION_FIT``.

    Notes
    -----
    Guo et al., "On calibration of modern neural networks", ICML 2017. Where every case is right the likelihood has
    no maximum and the lower end is returned.
    """
    values, truth = check_outputs(logits, labels)
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(truth))

    def negative_log_likelihood(inverse: float) -> float:
        scaled = values * inverse
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, truth]))

    # Convex in 1/T, not in T.
    found = minimize_scalar(negative_log_likelihood, bounds=(1 / 20, 20), method="bounded", options={"xatol": 1e-8})
    return float(1 / found.x)


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15) -> float:
    """Mean distance of the highest probability from the share that is right, over equal-width bins.

    Parameters
    ----------
    probabilities : array, shape (n, n_stages)
    labels : array of int, shape (n,)
    bins : int
        Of equal width over 0 to 1, closed on the right.

    Returns
    -------
    float
        0 to 1.
    """
    values, truth = check_outputs(probabilities, labels)
    highest, right = values.max(axis=1), values.argmax(axis=1) == truth
    place = np.clip(np.ceil(highest * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=highest - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(truth))


def vote(probabilities_per_slice: ArrayLike) -> Vote:
    """Combine slices: mean of the softmax outputs and majority vote; ties go to the higher mean probability.

    Parameters
    ----------
    probabilities_per_slice : array, shape (n_slices, n_stages)
        Two or three slices; one is allowed.
    """
    values = np.asarray(probabilities_per_slice, dtype=float)
    mean = values.mean(axis=0)
    counts = np.bincount(values.argmax(axis=1), minlength=values.shape[1])
    stage = int(np.argmax(np.where(counts == counts.max(), mean, -1.0)))
    return Vote(stage, mean, int(counts[stage]))


def feature_distance_limit(distances: ArrayLike, *, percentile: float = 99.5) -> float:
    """Limit beyond which a case counts as unlike the training data.

    Parameters
    ----------
    distances : array, shape (n,)
        :meth:`gastromap.rad_score.RadScore.distance` of the training cases.
    percentile : float
        0 to 100.
    """
    return float(np.percentile(np.asarray(distances, dtype=float), percentile))


@dataclass(frozen=True)
class Calibration:
    """All that calibration learnt for one set of weights.

    Raises
    ------
    ModelError
        ``CALIBRATION_INVALID``: a number outside its range.
    """

    temperature: float
    conformal_threshold: float  #: 0 to 1
    coverage: float  #: nominal coverage of the prediction sets
    cases: int  #: validation patients it was fitted on
    feature_distance_limit: float | None = None  #: None: distance is not judged
    weights_sha256: str = ""  #: of the weights it belongs to
    fitted_on: str = ""  #: name of the validation cohort

    def __post_init__(self) -> None:
        limit = self.feature_distance_limit
        for valid, expected in (
            (0 < self.temperature < math.inf, "a positive temperature"),
            (0 <= self.conformal_threshold <= 1, "a conformal threshold from 0 to 1"),
            (0 < self.coverage < 1, "a coverage between 0 and 1"),
            (self.cases >= 0, "a number of cases"),
            (limit is None or 0 < limit < math.inf, "a positive distance limit"),
        ):
            if not valid:
                _refuse_file(expected)

    @classmethod
    def none(cls) -> Calibration:
        """No calibration: probabilities as they are, sets of all stages, never confidently staged."""
        return cls(temperature=1.0, conformal_threshold=1.0, coverage=0.9, cases=0)

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read ``calibration.json`` written by :meth:`save`.

        Raises
        ------
        ModelError
            ``CALIBRATION_INVALID``.
        """
        content = load_model_object(
            path,
            code="CALIBRATION_INVALID",
            where="calibration file",
            file_format=_FORMAT,
            keys=tuple(cls.__dataclass_fields__),
        )
        limit = content["feature_distance_limit"]
        try:
            return cls(
                temperature=finite(content["temperature"]),
                conformal_threshold=finite(content["conformal_threshold"]),
                coverage=finite(content["coverage"]),
                cases=int(finite(content["cases"])),
                feature_distance_limit=None if limit is None else finite(limit),
                weights_sha256=str(content["weights_sha256"]),
                fitted_on=str(content["fitted_on"]),
            )
        except ValueError:
            _refuse_file("finite numbers")

    def save(self, path: Path) -> None:
        """Write ``calibration.json``; same calibration, same bytes."""
        dump_object(path, file_format=_FORMAT, content=asdict(self))

    @property
    def identifier(self) -> str:
        """Short hash of the content, ``none`` where nothing was fitted."""
        if self.cases == 0:
            return "none"
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]

    def apply(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probabilities; shape (…, n_stages) is kept."""
        return softmax(logits, temperature=self.temperature)

    def prediction_set(self, probabilities: ArrayLike) -> tuple[str, ...]:
        """Names of the stages in the prediction set of one case, lowest first."""
        return tuple(STAGES[index] for index in prediction_set(probabilities, self.conformal_threshold))

    def assess(self, case: Vote, *, slices: int, feature_distance: float | None = None) -> Confidence:
        """Say how far a stage can be trusted, and why not.

        Parameters
        ----------
        case : Vote
            Of :func:`vote`, from calibrated probabilities.
        slices : int
            Number of slices that voted.
        feature_distance : float, optional
            :meth:`gastromap.rad_score.RadScore.distance` of the case; None where there is no Rad-score.

        Returns
        -------
        Confidence
            ``staged`` is False as soon as there is one reason.
        """
        stages = self.prediction_set(case.probabilities)
        reasons = []
        if self.cases == 0:
            reasons.append("The model has no calibration.")
        if len(stages) > _WIDEST_SET:
            reasons.append(f"The {self.coverage:.0%} prediction set spans {len(stages)} stages.")
        if STAGES[case.stage] not in stages:
            reasons.append("The stage chosen by majority lies outside the prediction set.")
        if 2 * case.votes <= slices:
            reasons.append(f"The slices disagree: {case.votes} of {slices} agree on the stage.")
        limit = self.feature_distance_limit
        # "Not below" instead of "above": a distance that is not a number is no proof of likeness.
        if limit is not None and feature_distance is not None and not feature_distance <= limit:
            reasons.append("The image is unlike the training data.")
        return Confidence(
            staged=not reasons,
            prediction_set=stages,
            coverage=self.coverage,
            votes_for_stage=case.votes,
            slices=slices,
            reasons=tuple(reasons),
            calibration=self.identifier,
        )


def _refuse_file(expected: str) -> NoReturn:
    raise ModelError(
        "CALIBRATION_INVALID",
        where="calibration",
        expected=expected,
        got="something else",
        remedy="Fit the calibration again.",
    )
