"""Calibrated probabilities, prediction sets and the rule that says "not confidently staged".

Everything learnt is a handful of numbers in ``calibration.json`` beside the weights. Running needs numpy only;
fitting the temperature imports scipy.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gastromap.errors import ModelError, UsageError
from gastromap.evaluation.conformal import check_outputs, fit_conformal, prediction_set
from gastromap.evaluation.stages import STAGES
from gastromap.evaluation.temperature import expected_calibration_error, fit_temperature, softmax
from gastromap.nomogram.json_file import dump_object, finite, load_model_object
from gastromap.results import Confidence
from gastromap.text import Text

__all__ = [
    "Calibration",
    "Vote",
    "expected_calibration_error",
    "feature_distance_limit",
    "fit_calibration",
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


def vote(probabilities_per_slice: ArrayLike) -> Vote:
    """Combine slices: mean of the softmax outputs and majority vote; ties go to the higher mean probability.

    Parameters
    ----------
    probabilities_per_slice : array, shape (n_slices, n_stages)
        Two or three slices; one is allowed.

    Raises
    ------
    ModelError
        ``NETWORK_OUTPUT``: not finite, or no slice. It must not become a stage.
    """
    values = np.asarray(probabilities_per_slice, dtype=float)
    if values.ndim != 2 or values.size == 0 or not np.all(np.isfinite(values)):
        raise ModelError(
            "NETWORK_OUTPUT",
            where="network output",
            expected="finite probabilities for one slice at least",
            got="others",
            remedy="Check the weights and the device.",
        )
    mean = values.mean(axis=0)
    counts = np.bincount(values.argmax(axis=1), minlength=values.shape[1])
    stage = int(np.argmax(np.where(counts == counts.max(), mean, -1.0)))
    return Vote(stage, mean, int(counts[stage]))


def fit_calibration(
    logits: ArrayLike,
    labels: ArrayLike,
    cases: Sequence[str],
    *,
    coverage: float = 0.9,
    distance_limit: float | None = None,
    weights_sha256: str = "",
    fitted_on: str = "",
) -> Calibration:
    """Fit temperature and prediction sets on validation slices, as they are used later.

    Parameters
    ----------
    logits : array, shape (n_slices, n_stages)
    labels : array of int, shape (n_slices,)
        Stage of the slice's patient, 0 is T1.
    cases : sequence of str, length n_slices
        Patient of each slice; the sets are fitted on the mean over a patient's slices.
    coverage : float
        Of the prediction sets, above 0 and below 1.
    distance_limit : float, optional
        Of :func:`feature_distance_limit`.
    weights_sha256, fitted_on : str
        Stored with the calibration.

    Raises
    ------
    UsageError
        ``CALIBRATION_FIT``, also where slices of one patient have different labels.
    """
    values, truth = check_outputs(logits, labels)
    temperature = fit_temperature(values, truth)
    first, case = np.unique(np.asarray(cases), return_index=True, return_inverse=True)[1:]
    if len(case) != len(truth) or np.any(truth[first][case] != truth):
        raise UsageError(
            "CALIBRATION_FIT",
            where="validation outputs",
            expected="one patient a slice and one stage a patient",
            got="something else",
            remedy="Correct the validation data.",
        )
    shares = (case == np.arange(len(first))[:, np.newaxis]) / np.bincount(case)[:, np.newaxis]
    means = shares @ softmax(values, temperature=temperature)
    return Calibration(
        temperature=temperature,
        conformal_threshold=fit_conformal(means, truth[first], coverage=coverage),
        coverage=coverage,
        cases=len(first),
        feature_distance_limit=distance_limit,
        weights_sha256=weights_sha256,
        fitted_on=fitted_on,
    )


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
            reasons.append(Text("The model has no calibration."))
        if len(stages) > _WIDEST_SET:
            coverage = f"{self.coverage * 100:.0f}"
            reasons.append(
                Text("The {coverage}% prediction set spans {stages} stages.", coverage=coverage, stages=len(stages))
            )
        if STAGES[case.stage] not in stages:
            reasons.append(Text("The stage chosen by majority lies outside the prediction set."))
        if 2 * case.votes <= slices:
            reasons.append(
                Text("The slices disagree: {votes} of {slices} agree on the stage.", votes=case.votes, slices=slices)
            )
        limit = self.feature_distance_limit
        # "Not below" instead of "above": a distance that is not a number is no proof of likeness.
        if limit is not None and feature_distance is not None and not feature_distance <= limit:
            reasons.append(Text("The image is unlike the training data."))
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
