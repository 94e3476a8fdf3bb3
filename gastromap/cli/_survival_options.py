"""Options of ``gastromap evaluate`` for survival, training table and combined nomograms."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gastromap.errors import UsageError

if TYPE_CHECKING:
    from gastromap.evaluation.endpoint_training import EndpointNomogram
    from gastromap.evaluation.survival.cases import ModelColumns, SurvivalColumns
    from gastromap.evaluation.survival.report import SurvivalPlan
    from gastromap.evaluation.survival.training import Covariate

__all__ = ["OPTIONS", "add_arguments", "endpoint_nomograms", "further_tables", "survival_plan"]

_log = logging.getLogger(__name__)

#: Attributes of the options below; all are for a table.
OPTIONS = (
    "os", "risk", "expected_time", "survival_at", "risk_cutoff", "training", "also", "covariate", "cohort",
    "os_nomogram", "endpoint_nomogram",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to the command."""
    group = parser.add_argument_group("survival, training and nomograms")
    many: dict[str, Any] = {"action": "append", "default": []}
    group.add_argument("--os", metavar="TIME,DEATH[:CELL|CELL]", help="months and death (default: os_months,death)")
    group.add_argument(
        "--risk", **many, metavar="[NAME=]COLUMN", help="higher means earlier death (default: os_risk); repeatable"
    )
    group.add_argument(
        "--expected-time", **many, metavar="[NAME=]COLUMN",
        help="expected survival time: higher means later death, negated on import; repeatable",
    )  # fmt: skip
    group.add_argument(
        "--survival-at", **many, metavar="[NAME=]PREFIX|12:COLUMN,…",
        help="columns of S(t) of a model (default: s12, s24 … for the first one); repeatable",
    )  # fmt: skip
    group.add_argument(
        "--risk-cutoff", **many, metavar="[NAME=]NUMBER",
        help="high risk above it; must come from training (default: the median of --training); repeatable",
    )  # fmt: skip
    group.add_argument(
        "--training", type=Path, metavar="FILE",
        help="training table, same column names: cut-offs, scales, replacements and nomograms come from it alone",
    )  # fmt: skip
    group.add_argument(
        "--also", **many, metavar="NAME=FILE",
        help="same patients and columns by other inputs, such as baseline only or shuffled follow-up; repeatable",
    )  # fmt: skip
    group.add_argument(
        "--covariate", **many, metavar="COLUMN[:levels]", help="of the Cox tables; levels: its numbers are codes"
    )
    group.add_argument("--cohort", metavar="COLUMN", help="evaluate survival for each level on its own")
    group.add_argument(
        "--os-nomogram", **many, metavar="NAME=COLUMN[:levels],…", help="Cox nomogram fitted on --training; repeatable"
    )
    group.add_argument(
        "--endpoint-nomogram", **many, metavar="NAME=ENDPOINT:COLUMN[:levels],…",
        help="logistic nomogram of an --endpoint fitted on --training; repeatable",
    )  # fmt: skip


def _refuse(expected: str) -> NoReturn:
    raise UsageError(
        "EVALUATE_ARGUMENTS",
        where="arguments",
        expected=expected,
        got="another form",
        remedy="See gastromap evaluate --help.",
    )


def _named(texts: Sequence[str], option: str, default: str) -> dict[str, str]:
    """Values by model name; without a name the model is the first one."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name, value = (name.strip(), value.strip()) if equals else (default, text.strip())
        if not name or not value or name in found:
            _refuse(f"{option} [NAME=]VALUE, each name once")
        found[name] = value
    return found


def _columns(text: str | None) -> SurvivalColumns:
    from gastromap.evaluation.survival.cases import SurvivalColumns

    if text is None:
        return SurvivalColumns()
    time, _, death = text.partition(",")
    column, _, cells = death.partition(":")
    if not time.strip() or not column.strip():
        _refuse("--os TIME,DEATH[:CELL|CELL]")
    dead = tuple(cell.strip() for cell in cells.split("|") if cell.strip())
    return SurvivalColumns(time.strip(), column.strip(), dead)


def _models(arguments: argparse.Namespace) -> tuple[tuple[ModelColumns, ...], dict[str, float]]:
    """Models of the table, and cut-offs of those in further tables."""
    from gastromap.evaluation.survival.cases import ModelColumns, parse_months

    risks = _named(arguments.risk, "--risk", arguments.name)
    times = _named(arguments.expected_time, "--expected-time", arguments.name)
    if set(risks) & set(times):
        _refuse("--risk or --expected-time for a model")
    columns = risks | times
    first = next(iter(columns), arguments.name)
    curves = _named(arguments.survival_at, "--survival-at", first)
    try:
        cuts = {name: float(text) for name, text in _named(arguments.risk_cutoff, "--risk-cutoff", first).items()}
    except ValueError:
        _refuse("--risk-cutoff [NAME=]NUMBER")
    columns = columns or {first: "os_risk"}
    further = {name: cut for name, cut in cuts.items() if name in further_tables(arguments)}
    if (set(curves) | set(cuts)) - set(columns) - set(further):
        _refuse("names of --risk, --expected-time or --also")
    if times and not risks:
        # Further tables have the columns of the first model, expected times too.
        further = {name: -cut for name, cut in further.items()}
    models = tuple(
        ModelColumns(
            name,
            column,
            expected_time=name in times,
            # Columns s12 … without an option belong to the first model; another's S(t) must be named.
            survival=parse_months(curves[name]) if name in curves else (None if name == first else {}),
            threshold=-cuts[name] if name in cuts and name in times else cuts.get(name),
        )
        for name, column in columns.items()
    )
    return models, further


def _covariates(text: str) -> tuple[Covariate, ...]:
    from gastromap.evaluation.survival.training import parse_covariate

    found = tuple(parse_covariate(part) for part in text.split(","))
    if not all(covariate.column for covariate in found):
        _refuse("names of columns, separated by commas")
    return found


def survival_plan(arguments: argparse.Namespace) -> SurvivalPlan | None:
    """Plan of the survival part; None where no option asks for it and nobody's death is known (said in the log)."""
    from gastromap.evaluation.survival.cases import deaths_known, survival_rows
    from gastromap.evaluation.survival.report import SurvivalPlan
    from gastromap.evaluation.survival.training import OsNomogram
    from gastromap.evaluation.table import read_rows

    asked = (arguments.os, arguments.risk, arguments.expected_time, arguments.os_nomogram, arguments.covariate)
    (models, cutoffs), columns = _models(arguments), _columns(arguments.os)
    nomograms = _named(arguments.os_nomogram, "--os-nomogram", "")
    if not any(asked):
        tables = [read_rows(path) for path in (arguments.predictions, arguments.training) if path is not None]
        if not survival_rows(tables[0], columns, models[0]):
            return None
        if not all(deaths_known(rows, columns) for rows in tables):
            _log.warning("a table in which nobody is known to have died: survival is not evaluated")
            return None
    return SurvivalPlan(
        columns=columns,
        models=models,
        covariates=tuple(covariate for text in arguments.covariate for covariate in _covariates(text)),
        nomograms=tuple(OsNomogram(name, _covariates(text)) for name, text in nomograms.items()),
        cohort=arguments.cohort,
        further_cutoffs=cutoffs,
    )


def endpoint_nomograms(arguments: argparse.Namespace) -> tuple[EndpointNomogram, ...]:
    """Logistic nomograms of the endpoints."""
    from gastromap.evaluation.endpoint_training import EndpointNomogram

    found = []
    for name, text in _named(arguments.endpoint_nomogram, "--endpoint-nomogram", "").items():
        endpoint, _, columns = text.partition(":")
        found.append(EndpointNomogram(name, endpoint.strip(), _covariates(columns)))
    return tuple(found)


def further_tables(arguments: argparse.Namespace) -> dict[str, Path]:
    """Tables of the same patients by other inputs."""
    return {name: Path(path) for name, path in _named(arguments.also, "--also", "").items()}
