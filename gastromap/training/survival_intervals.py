"""Follow-up intervals of the discrete-time survival model and what a patient's follow-up says about each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from gastromap.errors import UsageError
from gastromap.models.longitudinal.survival import check_breaks

__all__ = ["FEWEST_DEATHS", "PAPER_BREAKS", "IntervalTargets", "event_quantile_breaks", "interval_targets"]

#: Months, as in the authors' public code.
PAPER_BREAKS: Final = (0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 120.0, 160.0)

#: Deaths in an interval; with fewer in all, survival cannot be learned.
FEWEST_DEATHS: Final = 5


class IntervalTargets(NamedTuple):
    """What is known of each interval, shape (batch, K), float; both 0 where nothing is."""

    survived: Tensor
    died: Tensor
    labelled: Tensor  #: bool, shape (batch,): time and status are known


def event_quantile_breaks(
    months: ArrayLike, death: ArrayLike, *, intervals: int = 10, min_deaths: int = FEWEST_DEATHS
) -> tuple[float, ...]:
    """Breaks at quantiles of the training deaths; the last is the longest follow-up.

    Parameters
    ----------
    months, death : array, shape (n_patients,)
        Follow-up in months and 1 for a death; patients with either missing (NaN) are left out.
    intervals : int
        K at most; fewer until each interval holds `min_deaths`.
    min_deaths : int

    Returns
    -------
    tuple of K + 1 numbers, from 0

    Raises
    ------
    UsageError
        ``SURVIVAL_LABELS``, also with fewer than `min_deaths` deaths.
    """
    time, event = _known(months, death)
    deaths = np.sort(time[event])
    end = float(time.max()) if time.size else 0.0
    for k in range(intervals, 0, -1):
        inner = np.quantile(deaths, np.arange(1, k) / k) if deaths.size else np.zeros(0)
        breaks = np.concatenate([[0.0], inner, [end]])
        # numpy closes the last interval, as interval_targets does.
        if np.all(np.diff(breaks) > 0) and np.histogram(deaths, breaks)[0].min() >= min_deaths:
            return tuple(float(value) for value in breaks)
    raise UsageError(
        "SURVIVAL_LABELS",
        where="training labels",
        expected=f"{min_deaths} deaths or more",
        got=str(deaths.size),
        remedy="Train lymph-node metastasis alone, or follow longer.",
    )


def interval_targets(months: Tensor, death: Tensor, breaks_months: Sequence[float]) -> IntervalTargets:
    """Targets of each interval [b_(k-1), b_k); the last one is closed.

    Parameters
    ----------
    months, death : Tensor, shape (batch,)
        NaN in either: the patient is not labelled.
    breaks_months : sequence of K + 1 numbers

    Returns
    -------
    IntervalTargets

    Notes
    -----
    A patient who dies has survived the intervals that end by then. A censored patient has survived those that were
    followed to their midpoint. A death after the last break counts as survival throughout.
    """
    breaks = check_breaks(breaks_months).to(months.device)
    time, event = months.double().unsqueeze(-1), death.double().unsqueeze(-1) > 0
    labelled = torch.isfinite(months) & torch.isfinite(death)
    start, stop = breaks[:-1], breaks[1:]
    closing = torch.zeros(len(stop), dtype=torch.bool, device=months.device)
    closing[-1] = True
    died = event & (time >= start) & ((time < stop) | (closing & (time == stop)))
    survived = torch.where(event, (time >= stop) & ~died, time >= (start + stop) / 2)
    known = labelled.unsqueeze(-1)
    return IntervalTargets((survived & known).float(), (died & known).float(), labelled)


def _known(months: ArrayLike, death: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    time, event = np.asarray(months, float), np.asarray(death, float)
    known = np.isfinite(time) & np.isfinite(event) if time.shape == event.shape else np.zeros(time.shape, bool)
    if (
        time.ndim != 1
        or time.shape != event.shape
        or (time[known] < 0).any()
        or not np.isin(event[known], (0, 1)).all()
    ):
        raise UsageError(
            "SURVIVAL_LABELS",
            where="training labels",
            expected="one time of 0 or more and one status 0 or 1 a patient",
            got="others",
            remedy="Correct os_months and death in the datalist.",
        )
    return time[known], event[known] > 0
