"""Agreement of readers: kappa with standard errors, several raters, paired proportions; by statsmodels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gastromap.evaluation.metrics import confusion_matrix

__all__ = ["Kappa", "McNemar", "cohen_kappa", "fleiss_kappa", "mcnemar"]


@dataclass(frozen=True)
class Kappa:
    """Agreement beyond chance with a normal interval cut at -1 and 1; NaN where undefined."""

    kappa: float
    low: float
    high: float
    standard_error: float


@dataclass(frozen=True)
class McNemar:
    """Cases that only one of two is right on, and the exact two-sided p value."""

    only_first: int
    only_second: int
    p_value: float


def cohen_kappa(
    first: ArrayLike,
    second: ArrayLike,
    *,
    weights: Literal["none", "linear", "quadratic"] = "quadratic",
    classes: int = 4,
    level: float = 0.95,
) -> Kappa:
    """Agreement of two raters on the same cases.

    Parameters
    ----------
    first, second : array of int, shape (n,)
        0 to `classes` - 1.
    weights : {"none", "linear", "quadratic"}
        How disagreement grows with the distance of the classes.
    level : float
        Of the interval, 0 to 1.

    Notes
    -----
    Standard error of Fleiss, Cohen and Everitt 1969, doi 10.1037/h0028106; rows are taken as independent.
    """
    from scipy.stats import norm
    from statsmodels.stats.inter_rater import cohens_kappa

    table = confusion_matrix(first, second, stages=classes)
    used = np.flatnonzero(table.sum(axis=0) + table.sum(axis=1))
    if len(used) < 2:
        return Kappa(np.nan, np.nan, np.nan, np.nan)
    wanted = {"none": None, "linear": "linear", "quadratic": "quadratic"}[weights]
    with np.errstate(invalid="ignore", divide="ignore"):
        # Its z value, which is not used here, is 0/0 where one rater gives one class only.
        found = cohens_kappa(table, wt=wanted)
    kappa, error = float(found.kappa), float(np.sqrt(max(found.var_kappa, 0.0)))
    half = float(norm.ppf((1 + level) / 2)) * error
    return Kappa(kappa, max(kappa - half, -1.0), min(kappa + half, 1.0), error)


def fleiss_kappa(ratings: ArrayLike, *, classes: int = 4) -> float:
    """Unweighted agreement of several raters.

    Parameters
    ----------
    ratings : array of int, shape (n, raters)
        0 to `classes` - 1.

    Returns
    -------
    float
        NaN where all ratings are one class.
    """
    from statsmodels.stats.inter_rater import fleiss_kappa as of_counts

    values = np.asarray(ratings)
    counts = np.stack([np.count_nonzero(values == k, axis=1) for k in range(classes)], axis=1)
    if np.count_nonzero(counts.sum(axis=0)) < 2:
        return float("nan")
    return float(of_counts(counts))


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> McNemar:
    """Test whether two are right equally often on the same cases (exact binomial).

    Parameters
    ----------
    first_right, second_right : array of bool, shape (n,)
    """
    from statsmodels.stats.contingency_tables import mcnemar as exact

    a, b = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    only_first, only_second = int(np.sum(a & ~b)), int(np.sum(~a & b))
    table = np.array([[int(np.sum(a & b)), only_first], [only_second, int(np.sum(~a & ~b))]])
    return McNemar(only_first, only_second, float(exact(table, exact=True).pvalue))
