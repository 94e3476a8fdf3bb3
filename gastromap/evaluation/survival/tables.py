"""The survival part of an evaluation as flat tables, for CSV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["survival_tables"]

_Rows = list[dict[str, Any]]


def survival_tables(survival: Mapping[str, Any]) -> dict[str, _Rows]:
    """Every table of :func:`gastromap.evaluation.survival.report.survival_report` by file name without ending."""
    names = ("metrics", "tests", "groups", "curves", "calibration", "decision_curve", "cox", "comparison", "subgroups")
    tables: dict[str, _Rows] = {f"survival_{name}": [] for name in names}
    for cohort in survival["cohorts"]:
        for name, rows in _of_cohort(cohort).items():
            tables[f"survival_{name}"] += [{"cohort": cohort["name"], **row} for row in rows]
    return {name: rows for name, rows in tables.items() if rows}


def _of_cohort(cohort: Mapping[str, Any]) -> dict[str, _Rows]:
    found: dict[str, _Rows] = {"cox": _cox(cohort["cox"]), "subgroups": _subgroups(cohort["subgroups"])}
    found["comparison"] = [
        {"first_model": pair["names"][0], "second_model": pair["names"][1], "metric": metric}
        | {"first": entry["first"], "second": entry["second"]}
        | {f"difference_{key}": value for key, value in entry["difference"].items()}
        for pair in cohort["comparison"]
        for metric, entry in pair["metrics"].items()
    ]
    groups = [("", cohort["overall"])]
    groups += [(m["name"], curve) for m in cohort["models"] if m["groups"] for curve in m["groups"]["curves"]]
    found["groups"] = [_group(model, curve) for model, curve in groups]
    found["curves"] = [row for model, curve in groups for row in _steps(model, curve)]
    for model in cohort["models"]:
        for name, rows in _of_model(model).items():
            found[name] = found.get(name, []) + [{"model": model["name"], **row} for row in rows]
    return found


def _of_model(model: Mapping[str, Any]) -> dict[str, _Rows]:
    metrics: _Rows = []
    for name, entry in model["metrics"].items():
        by_month = {"": entry} if "value" in entry else entry
        metrics += [{"metric": name, "month": month, **values} for month, values in by_month.items()]
    for part in model["calibration"]:
        metrics.append({"metric": "calibration_slope", "month": part["month"], **part["slope"]})
        for name in ("observed_to_expected", "mean_error", "error_90", "largest_error"):
            metrics.append({"metric": f"calibration_{name}", "month": part["month"], "value": part[name]})
    if model["d_calibration"]:
        for name in ("chi_squared", "p_value"):
            metrics.append({"metric": f"d_calibration_{name}", "month": "", "value": model["d_calibration"][name]})
    tests: _Rows = []
    if model["groups"]:
        metrics.append({"metric": "risk_threshold", "month": "", "value": model["groups"]["threshold"]})
        metrics.append({"metric": "hazard_ratio", "month": "", **(model["groups"]["hazard_ratio"] or {})})
        tests = [{"test": name, **model["groups"][name]} for name in ("log_rank", "gehan_wilcoxon")]
    return {
        "metrics": metrics,
        "tests": tests,
        "calibration": [
            {"month": part["month"], **dict(zip(part["groups"], values, strict=True))}
            for part in model["calibration"]
            for values in zip(*part["groups"].values(), strict=True)
        ],
        "decision_curve": [
            {"month": curve["month"], **{key: curve[key][k] for key in curve if key != "month"}}
            for curve in model["decision_curves"]
            for k in range(len(curve["thresholds"]))
        ],
    }


def _group(model: str, curve: Mapping[str, Any]) -> dict[str, Any]:
    row = {"model": model, "group": curve["name"], "patients": curve["patients"], "deaths": curve["deaths"]}
    row |= {f"median_{key}": value for key, value in curve["median"].items()}
    for month, entry in curve["at"].items():
        row |= {f"survival_{month}_{key}": value for key, value in entry.items()}
    return row


def _steps(model: str, curve: Mapping[str, Any]) -> _Rows:
    columns = ("months", "survival", "low", "high")
    return [
        {"model": model, "group": curve["name"], **dict(zip(columns, values, strict=True))}
        for values in zip(*(curve[name] for name in columns), strict=True)
    ]


def _cox(cox: Mapping[str, Any]) -> _Rows:
    return [{"model": kind, **row} for kind, part in cox.items() if part for row in part["rows"]]


def _subgroups(groups: Any) -> _Rows:
    rows = []
    for group in groups:
        for part in group["levels"]:
            place = {"column": group["column"], "level": part["level"]}
            place |= {"patients": part["patients"], "deaths": part["deaths"]}
            for model in part["models"]:
                metrics = dict(model["metrics"]) | {"hazard_ratio": model["hazard_ratio"] or {}}
                rows += [{**place, "model": model["name"], "metric": name, **entry} for name, entry in metrics.items()]
    return rows
