"""Clinical predictors of a nomogram: type, levels and what stands in for a missing value, all from training.

numpy only, because the application applies stored nomograms. Encoding one patient uses that patient and the stored
values, never other patients.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from gastromap.errors import UsageError
from gastromap.nomogram.json_file import finite

__all__ = ["Predictor", "fit_predictor", "predictor_from_json"]

_Array = NDArray[np.float64]
_EMPTY = frozenset({"", "na", "n/a", "nan", "none", "null"})
#: Ends of the axis of a number, as shares of the training patients.
_AXIS = (0.01, 0.99)
_MOST_LEVELS = 12
#: Nearer to 0 or 1 a probability has no usable log-odds.
_NEAREST = 1e-6


def _refuse(expected: str, got: str, remedy: str) -> NoReturn:
    raise UsageError("CLINICAL_INVALID", where="clinical values", expected=expected, got=got, remedy=remedy)


def _blank(cell: object) -> bool:
    return cell is None or cell != cell or str(cell).strip().lower() in _EMPTY


def _number(cell: object) -> float:
    try:
        value = float(str(cell))
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _level(cell: object) -> str:
    # A spreadsheet gives the code 1 as 1.0.
    value = _number(cell)
    return f"{value:g}" if not math.isnan(value) else str(cell).strip()


@dataclass(frozen=True)
class Predictor:
    """One predictor as the training cohort defined it."""

    name: str
    fill: float | str  #: for a missing value: median or most frequent level of training
    levels: tuple[str, ...] = ()  #: the first is the reference; empty for a number
    low: float = 0.0  #: ends of the axis of a number, on the scale of the model
    high: float = 0.0
    log_odds: bool = False  #: a probability that enters as log-odds
    missing: int = 0  #: patients of training without it

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its coefficients."""
        return tuple(f"{self.name} {level}" for level in self.levels[1:]) if self.levels else (self.name,)

    def encode(self, cells: Sequence[object]) -> tuple[_Array, NDArray[np.bool_]]:
        """Columns of the model and which patients were given the value of training.

        Parameters
        ----------
        cells : sequence, length n
            Text or numbers; None, NaN and blank cells are missing.

        Returns
        -------
        columns : array, shape (n, len(columns))
        imputed : array of bool, shape (n,)

        Raises
        ------
        UsageError
            ``CLINICAL_INVALID``: text where training had numbers, a level training had not, or no probability.
        """
        imputed = np.asarray([_blank(cell) for cell in cells], dtype=bool)
        filled = [self.fill if blank else cell for cell, blank in zip(cells, imputed, strict=True)]
        if self.levels:
            words = [_level(cell) for cell in filled]
            bad = next((k for k, word in enumerate(words) if word not in self.levels), None)
            if bad is not None:
                _refuse(f"a level of training in {self.name}", f"another in row {bad + 1}", "Correct it or empty it.")
            return np.asarray([[word == level for level in self.levels[1:]] for word in words], dtype=float), imputed
        values = np.asarray([_number(cell) for cell in filled])
        wrong = np.isnan(values) | (self.log_odds & ((values < 0) | (values > 1)))
        if wrong.any():
            kind = "probabilities" if self.log_odds else "numbers"
            _refuse(f"{kind} in {self.name}", f"something else in row {np.flatnonzero(wrong)[0] + 1}", "Correct it.")
        return self.scaled(values)[:, np.newaxis], imputed

    def scaled(self, values: _Array) -> _Array:
        """Numbers on the scale of the model."""
        if not self.log_odds:
            return values
        inside = np.clip(values, _NEAREST, 1 - _NEAREST)
        return np.asarray(np.log(inside / (1 - inside)))

    def shown(self, value: float) -> str:
        """Number on the scale of the model in the words of the table."""
        return f"{1 / (1 + math.exp(-value)):.3g}" if self.log_odds else f"{value:.4g}"

    def to_json(self) -> dict[str, Any]:
        """Object that :func:`predictor_from_json` reads."""
        return asdict(self) | {"levels": list(self.levels)}


def fit_predictor(name: str, cells: Sequence[object], *, levels: bool = False, log_odds: bool = False) -> Predictor:
    """Find type, levels, replacement and axis on the training cohort.

    Parameters
    ----------
    name : str
    cells : sequence
        Of training only.
    levels : bool
        Treat numbers as levels (codes).
    log_odds : bool
        The cells are probabilities and enter as log-odds.

    Raises
    ------
    UsageError
        ``CLINICAL_INVALID``: no value, one value only, or more than twelve levels.
    """
    known = [cell for cell in cells if not _blank(cell)]
    numbers = np.asarray([_number(cell) for cell in known])
    missing = len(cells) - len(known)
    if not known:
        _refuse(f"values of {name} in training", "none", "Leave the predictor out.")
    if levels or np.isnan(numbers).any():
        words = Counter(_level(cell) for cell in known)
        if not 1 < len(words) <= _MOST_LEVELS:
            _refuse(
                f"2 to {_MOST_LEVELS} levels of {name} in training", f"{len(words)}", "Join levels or leave it out."
            )
        ordered = tuple(sorted(words))
        return Predictor(name, max(ordered, key=lambda word: words[word]), ordered, missing=missing)
    plain = Predictor(name, float(np.median(numbers)), log_odds=log_odds, missing=missing)
    scaled = plain.encode(numbers.tolist())[0][:, 0]
    low, high = np.quantile(scaled, _AXIS)
    if low == high:
        low, high = scaled.min(), scaled.max()
    if low == high:
        _refuse(f"different values of {name} in training", "one value", "Leave the predictor out.")
    return Predictor(name, plain.fill, (), float(low), float(high), log_odds, missing)


def predictor_from_json(content: object) -> Predictor:
    """Read one predictor; ValueError where it is none."""
    keys = {"name", "fill", "levels", "low", "high", "log_odds", "missing"}
    if not isinstance(content, Mapping) or set(content) != keys or not isinstance(content["levels"], list):
        raise ValueError("not a predictor")
    levels = tuple(str(level) for level in content["levels"])
    fill = str(content["fill"]) if levels else finite(content["fill"])
    if levels and (fill not in levels or len(levels) < 2):
        raise ValueError("levels without the one that stands in")
    low, high = finite(content["low"]), finite(content["high"])
    if not levels and low >= high:
        raise ValueError("an axis without length")
    return Predictor(
        str(content["name"]), fill, levels, low, high, content["log_odds"] is True, int(finite(content["missing"]))
    )
