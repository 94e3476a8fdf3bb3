"""Rad-score: a linear score of the deep features before the classifier, in SD of the training cohort.

Scoring needs numpy only; fitting (LASSO, as in doi 10.1038/s41746-025-02002-5) imports scikit-learn when called.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gastromap.errors import ModelError, UsageError
from gastromap.evaluation.stages import stage_indices
from gastromap.nomogram.json_file import dump_object, finite, finite_list, load_model_object

__all__ = ["RadScore", "cross_fitted_rad_score", "fit_rad_score"]

_FORMAT = "gastromap-rad-score/1"
#: Coefficients right to about 2e-6; scikit-learn's 1e-4 leaves errors of 3e-4 on the released features.
_TOLERANCE = 1e-6
_ITERATIONS = 100_000
_KEYS = (
    "dimension",
    "feature_indices",
    "coefficients",
    "feature_mean",
    "feature_sd",
    "intercept",
    "score_mean",
    "score_sd",
    "trained_on",
)


def _refuse(expected: str) -> NoReturn:
    raise ModelError(
        "RAD_SCORE_INVALID",
        where="Rad-score file",
        expected=expected,
        got="something else",
        remedy="Fit the Rad-score again.",
    )


@dataclass(frozen=True)
class RadScore:
    """Linear score over some positions of the pooled feature vector.

    Raises
    ------
    ModelError
        ``RAD_SCORE_INVALID``: unequal lengths, positions outside the vector, an SD that is not positive.
    """

    dimension: int  #: length of the pooled feature vector, for example 2048
    feature_indices: tuple[int, ...]  #: positions used, 0 is the first
    coefficients: tuple[float, ...]  #: stage steps per SD of the feature
    feature_mean: tuple[float, ...]  #: of the training cohort
    feature_sd: tuple[float, ...]
    intercept: float
    score_mean: float  #: of the raw score on the training cohort
    score_sd: float
    trained_on: str = ""

    def __post_init__(self) -> None:
        lists = (self.feature_indices, self.coefficients, self.feature_mean, self.feature_sd)
        single = (self.intercept, self.score_mean, self.score_sd)
        indices = self.feature_indices
        for valid, expected in (
            (len({len(values) for values in lists}) == 1 and len(indices) > 0, "lists of equal length"),
            (all(math.isfinite(value) for values in (*lists, single) for value in values), "finite numbers"),
            (len(set(indices)) == len(indices), "each feature once"),
            (all(0 <= index < self.dimension for index in indices), "features inside the vector"),
            (min((*self.feature_sd, self.score_sd), default=0) > 0, "positive standard deviations"),
        ):
            if not valid:
                _refuse(expected)

    def _standardised(self, features: ArrayLike) -> NDArray[np.float64]:
        values = np.asarray(features, dtype=float)
        if values.ndim not in (1, 2) or values.shape[-1] != self.dimension:
            raise ModelError(
                "RAD_SCORE_MISMATCH",
                where="Rad-score",
                expected=f"{self.dimension} features",
                got=f"an array of shape {values.shape}",
                remedy="Use the Rad-score that was fitted with this network.",
            )
        chosen = values[..., list(self.feature_indices)]
        return np.asarray((chosen - np.asarray(self.feature_mean)) / np.asarray(self.feature_sd))

    def score(self, features: ArrayLike) -> NDArray[np.float64]:
        """Score in SD of the training cohort.

        Parameters
        ----------
        features : array, shape (d,) or (n, d)
            Pooled penultimate features of the network it was fitted with.

        Returns
        -------
        array, shape () or (n,)
            Higher speaks for a higher stage; NaN where a used feature is NaN.

        Raises
        ------
        ModelError
            ``RAD_SCORE_MISMATCH``: another length than `dimension`.
        """
        raw = self._standardised(features) @ np.asarray(self.coefficients) + self.intercept
        return np.asarray((raw - self.score_mean) / self.score_sd)

    def distance(self, features: ArrayLike) -> NDArray[np.float64]:
        """Distance from the training cohort: root mean square of the used features in SD (diagonal Gaussian).

        Parameters
        ----------
        features : array, shape (d,) or (n, d)

        Returns
        -------
        array, shape () or (n,)
            About 1 for a typical case of the training cohort.
        """
        return np.asarray(np.sqrt(np.mean(self._standardised(features) ** 2, axis=-1)))

    @classmethod
    def load(cls, path: Path) -> RadScore:
        """Read a score written by :meth:`save`.

        Raises
        ------
        ModelError
            ``RAD_SCORE_INVALID``.
        """
        content = load_model_object(
            path, code="RAD_SCORE_INVALID", where="Rad-score file", file_format=_FORMAT, keys=_KEYS
        )
        try:
            positions = finite_list(content["feature_indices"])
            dimension = finite(content["dimension"])
            if any(value != int(value) for value in (*positions, dimension)):
                raise ValueError("not whole")
            return cls(
                dimension=int(dimension),
                feature_indices=tuple(int(index) for index in positions),
                coefficients=finite_list(content["coefficients"]),
                feature_mean=finite_list(content["feature_mean"]),
                feature_sd=finite_list(content["feature_sd"]),
                intercept=finite(content["intercept"]),
                score_mean=finite(content["score_mean"]),
                score_sd=finite(content["score_sd"]),
                trained_on=str(content["trained_on"]),
            )
        except ValueError:
            _refuse("finite numbers, whole ones as positions")

    def save(self, path: Path) -> None:
        """Write the score as JSON; same score, same bytes."""
        dump_object(path, file_format=_FORMAT, content={name: getattr(self, name) for name in _KEYS})


def _refuse_fit(expected: str, got: str, remedy: str) -> NoReturn:
    raise UsageError("RAD_SCORE_FIT", where="training features", expected=expected, got=got, remedy=remedy)


def _check_training(
    features: ArrayLike, stage: Iterable[object], max_features: int, folds: int, patients: Sequence[str] | None
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Features, stages and patient numbers, all of the same length."""
    x = np.asarray(features, dtype=float)
    y = stage_indices(stage, where="training features")
    if max_features < 1:
        _refuse_fit("one feature at least", f"max_features {max_features}", "Ask for more features.")
    if x.ndim != 2 or len(x) != len(y):
        _refuse_fit("one row of features a stage", f"shape {x.shape} and {len(y)} stages", "Give one of each per case.")
    if not np.all(np.isfinite(x)):
        _refuse_fit("finite features", "others", "Leave out the cases that failed.")
    if patients is not None and len(patients) != len(y):
        _refuse_fit("one patient identifier a row", f"{len(patients)} for {len(y)} rows", "Give one a row.")
    numbers = np.arange(len(y)) if patients is None else np.unique(np.asarray(patients), return_inverse=True)[1]
    if folds < 2 or len(np.unique(numbers)) < folds:
        _refuse_fit("at least two folds and a patient a fold", f"{folds} folds", "Use fewer folds or more patients.")
    if len(np.unique(y)) < 2:
        _refuse_fit("two stages at least", "one", "Add patients of another stage.")
    return x, y, numbers


def _folds_of(numbers: NDArray[np.int64], folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Fold of each row: whole patients, in random order, of nearly equal number."""
    order = rng.permutation(len(np.unique(numbers)))
    return np.asarray(order[numbers] % folds, dtype=np.int64)


def _fit(
    x: NDArray[np.float64], y: NDArray[np.int64], fold: NDArray[np.int64], max_features: int, trained_on: str
) -> RadScore:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import Lasso, LassoCV

    mean, sd = x.mean(axis=0), x.std(axis=0)
    # A unit that never fires has no scale and carries nothing.
    varying = np.flatnonzero(sd > 1e-9 * (1 + np.abs(mean)))
    z = (x[:, varying] - mean[varying]) / sd[varying]
    cv = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]
    with warnings.catch_warnings():
        # The smallest penalties of the path, which are never chosen, may stop a little early.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # With more features than rows the smallest penalties interpolate and cost most of the time (glmnet's rule).
        shortest = 1e-2 if z.shape[1] > len(z) else 1e-3
        path = LassoCV(cv=cv, eps=shortest, max_iter=_ITERATIONS, tol=_TOLERANCE).fit(z, y)
    # Each row counts once, as in R glmnet; LassoCV itself counts each fold once, and folds of patients differ in rows.
    error = np.average(path.mse_path_, axis=1, weights=[len(held_out) for _, held_out in cv])
    alpha = float(path.alphas_[int(np.argmin(error))])
    coefficients = Lasso(alpha=alpha, max_iter=_ITERATIONS, tol=_TOLERANCE).fit(z, y).coef_
    # Stable order: equal coefficients must not depend on the sorting routine.
    top = np.argsort(-np.abs(coefficients), kind="stable")[:max_features]
    top = np.sort(top[coefficients[top] != 0])
    if len(top) == 0:
        _refuse_fit("features that follow the stage", "none", "Check that rows and stages belong together.")
    # The same penalty again, so that few patients and thirty features still give a stable score.
    refit = Lasso(alpha=alpha, max_iter=_ITERATIONS, tol=_TOLERANCE).fit(z[:, top], y)
    raw = z[:, top] @ refit.coef_ + refit.intercept_
    kept = varying[top]
    return RadScore(
        dimension=x.shape[1],
        feature_indices=tuple(kept.tolist()),
        coefficients=tuple(refit.coef_.tolist()),
        feature_mean=tuple(mean[kept].tolist()),
        feature_sd=tuple(sd[kept].tolist()),
        intercept=float(refit.intercept_),
        score_mean=float(raw.mean()),
        score_sd=float(raw.std()),
        trained_on=trained_on,
    )


def fit_rad_score(
    features: ArrayLike,
    stage: Iterable[object],
    *,
    max_features: int = 30,
    folds: int = 5,
    seed: int,
    patients: Sequence[str] | None = None,
    trained_on: str = "",
) -> RadScore:
    """Select features by LASSO and fit the linear score.

    Parameters
    ----------
    features : array, shape (n, d)
        Pooled penultimate features.
    stage : iterable, length n
        T1 … T4 or 0 … 3.
    max_features : int
        Features kept, those with the largest absolute coefficient per SD (30 in doi 10.1038/s41746-025-02002-5).
    folds : int
        Of the cross-validation that chooses the penalty.
    seed : int
        Of the assignment to folds.
    patients : sequence of str, optional
        Patient of each row, when a patient has several: all rows of a patient stay in one fold.
    trained_on : str
        Name of the cohort, stored with the score.

    Returns
    -------
    RadScore
        Mean 0 and SD 1 over the given rows.

    Raises
    ------
    UsageError
        ``RAD_SCORE_FIT`` or ``STAGE_INVALID``.
    """
    x, y, numbers = _check_training(features, stage, max_features, folds, patients)
    return _fit(x, y, _folds_of(numbers, folds, np.random.default_rng(seed)), max_features, trained_on)


def cross_fitted_rad_score(
    features: ArrayLike,
    stage: Iterable[object],
    *,
    max_features: int = 30,
    folds: int = 5,
    seed: int,
    patients: Sequence[str] | None = None,
) -> NDArray[np.float64]:
    """Score each training case by a model that has not seen its patient; for fitting the nomogram.

    Parameters
    ----------
    features, stage, max_features, folds, seed, patients
        As in :func:`fit_rad_score`.

    Returns
    -------
    array, shape (n,)
        In SD of the training cohort.

    Notes
    -----
    The LASSO is honest here; the network is not, if it was trained on the same patients. Features of a validation
    cohort are better still.
    """
    x, y, numbers = _check_training(features, stage, max_features, folds, patients)
    rng = np.random.default_rng(seed)
    outer = _folds_of(numbers, folds, rng)
    scores = np.empty(len(y))
    for k in np.unique(outer):
        seen = outer != k
        inner = _folds_of(np.unique(numbers[seen], return_inverse=True)[1], folds, rng)
        scores[~seen] = _fit(x[seen], y[seen], inner, max_features, "").score(x[~seen])
    return scores
