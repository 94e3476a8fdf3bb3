"""Predicted survival curves given at a few months, read at any month in between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SurvivalCurves"]

_Array = NDArray[np.float64]
#: A survival of 0 has no logarithm.
_SMALLEST = 1e-12


@dataclass(frozen=True)
class SurvivalCurves:
    """S(t) of each patient at some months, not rising.

    Notes
    -----
    Between two months the hazard is taken as constant, so S(t) = S(a)·(S(b)/S(a))^((t−a)/(b−a)); S(0) is 1.
    """

    months: _Array  #: shape (k,), above 0, rising
    values: _Array  #: shape (n, k), 0 to 1

    def part(self, use: NDArray[np.bool_]) -> SurvivalCurves:
        """Curves of some patients."""
        return SurvivalCurves(self.months, self.values[use])

    @property
    def last(self) -> float:
        """Last month the curves reach."""
        return float(self.months[-1])

    def at(self, months: ArrayLike) -> _Array:
        """S(t) of every patient at each month, shape (n, m); NaN beyond the last month."""
        wanted = np.atleast_1d(np.asarray(months, dtype=float))
        return np.stack([self.of_each(np.full(len(self.values), month)) for month in wanted], axis=1)

    def of_each(self, months: ArrayLike) -> _Array:
        """S of each patient at a month of its own, shape (n,); NaN beyond the last month."""
        wanted = np.asarray(months, dtype=float)
        knots = np.concatenate([[0.0], self.months])
        hazard = np.concatenate(
            [np.zeros((len(self.values), 1)), -np.log(np.clip(self.values, _SMALLEST, 1.0))], axis=1
        )
        place = np.clip(np.searchsorted(knots, wanted, side="right") - 1, 0, len(knots) - 2)
        share = (wanted - knots[place]) / (knots[place + 1] - knots[place])
        row = np.arange(len(wanted))
        between = hazard[row, place] + share * (hazard[row, place + 1] - hazard[row, place])
        return np.where(wanted > self.last, np.nan, np.exp(-between))
