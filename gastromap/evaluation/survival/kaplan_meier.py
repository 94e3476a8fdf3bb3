"""Kaplan–Meier curves with limits and numbers at risk, medians and tests between groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "GroupTest",
    "KaplanMeier",
    "gehan_wilcoxon",
    "kaplan_meier",
    "log_rank",
    "median_follow_up",
    "numbers_at_risk",
]

_Array = NDArray[np.float64]
#: A survival this near to one half is one half: it is a product of fractions.
_EQUAL = 1e-9


@dataclass(frozen=True)
class KaplanMeier:
    """Survival by month with pointwise limits (log-log); arrays of shape (k,), the first month is 0."""

    months: _Array
    survival: _Array
    low: _Array  #: NaN once the curve is 0
    high: _Array
    patients: int
    deaths: int

    def at(self, months: ArrayLike) -> tuple[_Array, _Array, _Array]:
        """Survival and its limits at some months; NaN beyond the longest follow-up of the living."""
        wanted = np.asarray(months, dtype=float)
        place = np.searchsorted(self.months, wanted, side="right") - 1
        beyond = (wanted > self.months[-1]) & (self.survival[-1] > 0)
        found = [np.where(beyond, np.nan, curve[place]) for curve in (self.survival, self.low, self.high)]
        return found[0], found[1], found[2]

    def median(self) -> tuple[float, float, float]:
        """Median survival and its interval in months; NaN where a curve does not fall to one half.

        Notes
        -----
        As R ``survfit``: where the curve runs at one half exactly, the middle of that stretch; limits from the curves
        of the limits.
        """
        middle, high, low = (self._crosses(curve) for curve in (self.survival, self.high, self.low))
        return middle, low, high

    def _crosses(self, curve: _Array) -> float:
        reached, below = np.flatnonzero(curve <= 0.5 + _EQUAL), np.flatnonzero(curve < 0.5 - _EQUAL)
        if not len(reached):
            return math.nan
        first = reached[0]
        if abs(curve[first] - 0.5) > _EQUAL or not len(below):
            return float(self.months[first])
        return float((self.months[first] + self.months[below[0]]) / 2)


@dataclass(frozen=True)
class GroupTest:
    """Test that groups have one survival."""

    chi_squared: float
    degrees: int
    p_value: float


def kaplan_meier(time: ArrayLike, death: ArrayLike, *, level: float = 0.95) -> KaplanMeier:
    """Kaplan–Meier curve by scikit-survival.

    Parameters
    ----------
    time : array, shape (n,)
        Months, 0 or more.
    death : array of bool, shape (n,)
    level : float
        Of the limits, 0 to 1.
    """
    from sksurv.nonparametric import kaplan_meier_estimator  # type: ignore[import-untyped]

    months, died = np.asarray(time, dtype=float), np.asarray(death, dtype=bool)
    when, survival, limits = kaplan_meier_estimator(died, months, conf_level=level, conf_type="log-log")
    # With nobody left the log-log limits do not exist; limits of 0 would look certain.
    limits = np.where(survival > 0, limits, np.nan)
    if when[0] > 0:
        when, survival = np.concatenate([[0.0], when]), np.concatenate([[1.0], survival])
        limits = np.concatenate([np.ones((2, 1)), limits], axis=1)
    return KaplanMeier(when, survival, limits[0], limits[1], len(months), int(died.sum()))


def numbers_at_risk(time: ArrayLike, months: ArrayLike) -> list[int]:
    """Patients still under observation just before each month."""
    return [int(np.count_nonzero(np.asarray(time) >= month)) for month in np.asarray(months)]


def median_follow_up(time: ArrayLike, death: ArrayLike) -> float:
    """Median follow-up in months by the reverse Kaplan–Meier curve (Schemper and Smith 1996); NaN if not reached."""
    if bool(np.asarray(death, dtype=bool).all()):
        return math.nan
    return kaplan_meier(time, ~np.asarray(death, dtype=bool)).median()[0]


def log_rank(time: ArrayLike, death: ArrayLike, group: ArrayLike) -> GroupTest:
    """Log-rank test by statsmodels (R ``survdiff``); NaN with one group only."""
    return _test(time, death, group, None)


def gehan_wilcoxon(time: ArrayLike, death: ArrayLike, group: ArrayLike) -> GroupTest:
    """Gehan–Wilcoxon test: as the log-rank test, each death weighted by the number at risk; early ones count more."""
    return _test(time, death, group, "gb")


def _test(time: ArrayLike, death: ArrayLike, group: ArrayLike, weights: str | None) -> GroupTest:
    from statsmodels.duration.survfunc import survdiff

    number = np.unique(np.asarray(group).astype(str), return_inverse=True)[1]
    groups, died = int(number.max()) + 1, np.asarray(death, dtype=int)
    if groups < 2 or not died.any():
        return GroupTest(math.nan, groups - 1, math.nan)
    try:
        with np.errstate(invalid="ignore", divide="ignore"):
            value, p_value = survdiff(np.asarray(time, dtype=float), died, number, weight_type=weights)
    except np.linalg.LinAlgError:
        # No death while both groups were under observation.
        return GroupTest(math.nan, groups - 1, math.nan)
    return GroupTest(float(value), groups - 1, float(p_value))
