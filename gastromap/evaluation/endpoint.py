"""A binary endpoint: T3 or T4 against T1 or T2, or any label column with its score column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gastromap.evaluation.metrics import (
    accuracy,
    class_rates,
    confusion_matrix,
    number_needed_to_treat,
    over_and_under_treatment,
)
from gastromap.evaluation.ranking import binary_auc
from gastromap.evaluation.stages import STAGES
from gastromap.evaluation.table import StagePredictions, column, is_empty, numbers, refuse

__all__ = ["Endpoint", "EndpointColumns", "endpoint_metrics", "outcomes", "read_endpoint", "stage_endpoint"]

_Array = NDArray[np.float64]

_YES = frozenset({"1", "1.0", "yes", "y", "true", "positive", "pos", "+"})
_NO = frozenset({"0", "0.0", "no", "n", "false", "negative", "neg", "-"})


@dataclass(frozen=True)
class EndpointColumns:
    """Where an endpoint stands in the table."""

    name: str
    label: str  #: column of the truth
    score: str  #: column of the score; higher speaks for positive
    positive: tuple[str, ...] = ()  #: cells that are positive; without them 1/0, yes/no, true/false, positive/negative
    threshold: float | None = None  #: called positive at or above it; 0.5 where the score is a probability
    youden: bool = False  #: take the threshold from the training table: largest sensitivity + specificity


@dataclass(frozen=True)
class Endpoint:
    """Truth, score and decision of each case."""

    name: str
    positive: NDArray[np.bool_]  #: shape (n,)
    score: _Array  #: shape (n,)
    called: NDArray[np.bool_]  #: shape (n,)
    units: tuple[str, ...]  #: patients, or row numbers where they are unknown
    rule: str  #: what makes a case be called positive, in words
    is_probability: bool  #: score within 0 to 1
    by_patient: bool = True
    left_out: int = 0  #: rows without label or score
    rows: tuple[int, ...] = ()  #: of the table, where the endpoint was read from its columns


def stage_endpoint(cases: StagePredictions, *, positive: Sequence[str]) -> Endpoint:
    """Endpoint of the stages: positive against all others.

    Parameters
    ----------
    cases : StagePredictions
    positive : sequence of str
        Stages, for example T3 and T4.

    Returns
    -------
    Endpoint
        The score is the sum of their probabilities, the decision that of the predicted stage.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID`` where `positive` is not a part of the stages.
    """
    wanted = [STAGES.index(stage) for stage in STAGES if stage in positive]
    if not 0 < len(wanted) < len(STAGES) or set(positive) - set(STAGES):
        refuse("one to three of T1 to T4 as positive", "something else", "Name stages, for example T3,T4.")
    p = cases.probabilities
    name = " or ".join(STAGES[index] for index in wanted)
    return Endpoint(
        name=name,
        positive=np.isin(cases.labels, wanted),
        score=_sum_of(p, wanted),
        called=np.isin(cases.predicted, wanted),
        units=cases.units,
        rule=f"predicted stage {name}",
        is_probability=True,
        by_patient=cases.patients is not None,
    )


def _sum_of(probabilities: _Array, wanted: Sequence[int]) -> _Array:
    # Rows of rounded figures add up to 1 only nearly; a probability above 1 has no log-odds.
    share = np.clip(probabilities[:, wanted].sum(axis=1) / probabilities.sum(axis=1), 0.0, 1.0)
    # Twelve digits: 0.1 + 0.4 and 0.2 + 0.3 must tie, and the order of tiny probabilities must stay.
    return np.asarray([float(f"{value:.12g}") for value in share])


def read_endpoint(
    rows: Sequence[Mapping[str, Any]], where: EndpointColumns, patients: Sequence[str] | None
) -> Endpoint:
    """Endpoint from columns of the table; rows without label or score are left out and counted.

    Parameters
    ----------
    rows : sequence of mapping
    where : EndpointColumns
    patients : sequence of str, optional
        Patient of each row; without them each row is a patient.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID``: a column is missing, a cell cannot be read, both outcomes are not there, or a score
        that is no probability has no threshold.
    """
    truth = outcomes(rows, where.label, where.positive)
    score = numbers(rows, where.score)
    use = np.asarray([value is not None for value in truth]) & ~np.isnan(score)
    positive = np.asarray([bool(value) for value in truth])[use]
    if not 0 < positive.sum() < len(positive):
        refuse(f"cases with and without {where.name}", "one outcome only", "Check the label column.")
    kept = score[use]
    is_probability = bool(kept.min() >= 0 and kept.max() <= 1)
    if where.threshold is None and not is_probability:
        refuse(
            f"a threshold for {where.name}",
            "a score that is no probability and no threshold",
            "Give the threshold; it must not be chosen on these cases.",
        )
    threshold = 0.5 if where.threshold is None else where.threshold
    units = [str(row) for row in range(len(rows))] if patients is None else list(patients)
    return Endpoint(
        name=where.name,
        positive=positive,
        score=kept,
        called=kept >= threshold,
        units=tuple(unit for unit, used in zip(units, use, strict=True) if used),
        rule=f"{where.score} of {threshold:g} or more",
        is_probability=is_probability,
        by_patient=patients is not None,
        left_out=int(np.count_nonzero(~use)),
        rows=tuple(np.flatnonzero(use).tolist()),
    )


def outcomes(rows: Sequence[Mapping[str, Any]], name: str, positive: Sequence[str] = ()) -> list[bool | None]:
    """Whether each cell of a column is positive; None where it is empty.

    Parameters
    ----------
    rows : sequence of mapping
    name : str
        Of the column.
    positive : sequence of str
        Cells that are positive; without them 1/0, yes/no, true/false, positive/negative.

    Raises
    ------
    UsageError
        ``PREDICTIONS_INVALID`` with the first row that cannot be read.
    """
    return [_outcome(cell, name, positive, number) for number, cell in enumerate(column(rows, name), start=1)]


def _outcome(cell: object, name: str, positive: Sequence[str], number: int) -> bool | None:
    if is_empty(cell):
        return None
    text = str(cell).strip()
    if positive:
        return text in positive
    if text.lower() in _YES | _NO:
        return text.lower() in _YES
    refuse(
        f"1 or 0, yes or no in column {name}",
        f"something else in row {number}",
        "Correct the cell, or say which cells are positive.",
    )


def endpoint_metrics(endpoint: Endpoint, weights: _Array | None = None) -> dict[str, _Array]:
    """Every figure of an endpoint by name.

    Parameters
    ----------
    endpoint : Endpoint
    weights : array, shape (…, n), optional
        How often each case counts.

    Returns
    -------
    dict of array, shape (…)
        ``sensitivity``, ``specificity``, ``ppv``, ``npv``, ``accuracy``, ``f1``, ``auc``, ``over_treatment``
        (false positives of all cases), ``under_treatment`` (false negatives of all cases),
        ``number_needed_to_treat`` and, for a probability, ``brier`` (mean squared error, 0 to 1).
    """
    truth = endpoint.positive.astype(np.int64)
    confusion = confusion_matrix(truth, endpoint.called.astype(np.int64), stages=2, weights=weights)
    values = {name: rate[..., 1] for name, rate in class_rates(confusion).items()}
    values["accuracy"] = accuracy(confusion)
    hits, missed = confusion[..., 1, 1], confusion[..., 0, 1] + confusion[..., 1, 0]
    values["f1"] = np.divide(2 * hits, 2 * hits + missed, out=np.full(hits.shape, np.nan), where=2 * hits + missed > 0)
    values["auc"] = binary_auc(endpoint.score, endpoint.positive, weights)
    errors = {
        "n": confusion.sum(axis=(-2, -1)),
        "false_positives": confusion[..., 0, 1],
        "false_negatives": confusion[..., 1, 0],
    }
    values["over_treatment"], values["under_treatment"] = over_and_under_treatment(**errors)
    values["number_needed_to_treat"] = number_needed_to_treat(positives=confusion[..., 1, :].sum(axis=-1), **errors)
    if endpoint.is_probability:
        drawn = np.ones(len(truth)) if weights is None else weights
        values["brier"] = np.asarray(drawn @ (endpoint.score - truth) ** 2 / drawn.sum(axis=-1))
    return values
