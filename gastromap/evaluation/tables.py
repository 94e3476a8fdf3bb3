"""The evaluation as flat tables: rows of one form each, for CSV and for the page."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gastromap.evaluation.survival.tables import survival_tables
from gastromap.nomogram.combined import CombinedNomogram
from gastromap.nomogram.combined_drawing import points_table

__all__ = ["csv_text", "evaluation_tables", "named_nomograms", "slug"]

_Rows = list[dict[str, Any]]


def slug(name: str, taken: Sequence[str] = ()) -> str:
    """File name of an endpoint or column: ASCII letters and digits, numbered where it is empty or taken."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:40] or "endpoint"
    number = 1
    while (found := plain if number == 1 else f"{plain}_{number}") in taken:
        number += 1
    return found


def csv_text(rows: _Rows) -> str:
    """Rows as CSV with a header; columns in the order of their first appearance, empty where a row has none."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def evaluation_tables(report: Mapping[str, Any]) -> dict[str, _Rows]:
    """Every table of :func:`gastromap.evaluation.assemble.evaluate_table` by file name without ending."""
    tables: dict[str, _Rows] = {}
    if report["stages"]:
        tables |= _stage_tables(report["stages"])
    names: list[str] = []
    for endpoint in report["endpoints"]:
        names.append(slug(endpoint["name"], names))
        tables |= _endpoint_tables(endpoint, names[-1])
    if report["comparison"]:
        tables |= _comparison_tables(report["comparison"])
    if report["readers"]:
        tables |= _reader_tables(report["readers"])
    if report["subgroups"]:
        tables["subgroups"] = _subgroup_rows(report["subgroups"])
    tables |= _pair_tables(report)
    if report["survival"]:
        tables |= survival_tables(report["survival"])
    for name, content in named_nomograms(report).items():
        nomogram = CombinedNomogram.from_json(content)
        tables[f"nomogram_{name}"] = [
            {"coefficient": column, "value": value, "standard_error": nomogram.standard_errors[column]}
            for column, value in nomogram.coefficients.items()
        ]
        tables[f"nomogram_{name}_points"] = points_table(nomogram)
    return tables


def named_nomograms(report: Mapping[str, Any]) -> dict[str, Any]:
    """Content of each fitted nomogram by file name without ending."""
    found: dict[str, Any] = {}
    for content in report["nomograms"]:
        found[slug(content["name"], list(found))] = content
    return found


def _pair_tables(report: Mapping[str, Any]) -> dict[str, _Rows]:
    tables: dict[str, _Rows] = {}
    if report["endpoint_comparison"]:
        tables["endpoint_delong"] = [
            {"first_score": pair["names"][0], "second_score": pair["names"][1]}
            | {key: value for key, value in pair.items() if key != "names"}
            for pair in report["endpoint_comparison"]
        ]
    if report["endpoint_subgroups"]:
        tables["endpoint_subgroups"] = [
            {"column": group["column"], **{key: value for key, value in part.items() if key != "metrics"}}
            | {"metric": metric, **entry}
            for group in report["endpoint_subgroups"]
            for part in group["levels"]
            for metric, entry in part["metrics"].items()
        ]
    return tables


def _stage_tables(stages: Mapping[str, Any]) -> dict[str, _Rows]:
    metrics = []
    for name, entry in stages["metrics"].items():
        by_stage = {"": entry} if "value" in entry else entry
        metrics += [{"metric": name, "stage": stage, **values} for stage, values in by_stage.items()]
    for row in metrics:
        area = stages["delong"].get(row["stage"]) if row["metric"] == "auc" else None
        if area:
            row |= {"delong_low": area["low"], "delong_high": area["high"]}
    confusion = [
        {"true": true} | {f"predicted_{name}": count for name, count in zip(stages["stages"], line, strict=True)}
        for true, line in zip(stages["stages"], stages["confusion_matrix"], strict=True)
    ]
    roc = [
        {"stage": stage, "false_positive_rate": false, "sensitivity": true}
        for stage, curve in stages["roc"].items()
        for false, true in zip(curve["false_positive_rate"], curve["sensitivity"], strict=True)
    ]
    return {
        "stage_metrics": metrics,
        "confusion_matrix": confusion,
        "stage_roc": roc,
        "stage_confidence": [dict(row) for row in stages["confidence_bins"]],
    }


def _columns(table: Mapping[str, Sequence[Any]]) -> _Rows:
    return [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]


def _endpoint_tables(endpoint: Mapping[str, Any], name: str) -> dict[str, _Rows]:
    metrics = [{"metric": metric, **entry} for metric, entry in endpoint["metrics"].items()]
    metrics += [{"metric": metric, "value": count} for metric, count in endpoint["counts"].items()]
    tables = {f"endpoint_{name}": metrics, f"endpoint_{name}_roc": _columns(endpoint["roc"])}
    fit = endpoint["calibration"]
    if fit:
        for metric in ("slope", "intercept", "in_the_large"):
            metrics.append({"metric": f"calibration_{metric}", **fit[metric]})
        for metric in ("mean_error", "error_90", "largest_error", "equal_mass_error"):
            metrics.append({"metric": f"calibration_{metric}", "value": fit[metric]})
        for metric, value in fit["hosmer_lemeshow"].items():
            metrics.append({"metric": f"hosmer_lemeshow_{metric}", "value": value})
        tables[f"endpoint_{name}_calibration"] = _columns(fit["bins"])
    if endpoint["decision_curve"]:
        tables[f"endpoint_{name}_decision_curve"] = _columns(endpoint["decision_curve"])
    return tables


def _comparison_tables(comparison: Mapping[str, Any]) -> dict[str, _Rows]:
    rows = [
        {"endpoint": label, "metric": metric, "first": entry["first"], "second": entry["second"]}
        | {
            f"difference{suffix}": entry["difference"][key]
            for suffix, key in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
        for label, part in (("", comparison["metrics"]), (comparison["endpoint_name"], comparison["endpoint"]))
        for metric, entry in part.items()
    ]
    delong = [{"positive": name, **area} for name, area in comparison["delong"].items()]
    return {"comparison": rows, "comparison_delong": delong, "comparison_mcnemar": [dict(comparison["mcnemar"])]}


def _reader_tables(readers: Mapping[str, Any]) -> dict[str, _Rows]:
    rows = [
        {"reader": row["name"], "condition": row["condition"], "metric": metric, **entry}
        | ({"mcnemar_p": row["mcnemar"]["p_value"]} if "mcnemar" in row and metric == "accuracy" else {})
        for row in (*readers["rows"], *readers["changes"])
        for metric, entry in row["metrics"].items()
    ]
    agreement = []
    for condition, found in readers["agreement"].items():
        agreement += [{"condition": condition, **pair} for pair in found["pairs"]]
        agreement.append({"condition": condition, "first": "all (Fleiss, unweighted)", "kappa": found["fleiss"]})
    return {"readers": rows, "reader_against_model": list(readers["against_model"]), "reader_agreement": agreement}


def _subgroup_rows(groups: Sequence[Mapping[str, Any]]) -> _Rows:
    return [
        {"column": group["column"], "level": part["level"], "rows": part["rows"], "patients": part["patients"]}
        | {"metric": metric, **entry}
        for group in groups
        for part in group["levels"]
        for metric, entry in part["metrics"].items()
    ]
