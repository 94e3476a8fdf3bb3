"""The evaluation as one HTML page that needs no other file and no network.

Templates are ``page.html`` and, for survival, ``survival/survival.html``.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from importlib import resources
from typing import Any

from gastromap.evaluation.survival.figures import figure_names
from gastromap.evaluation.tables import named_nomograms, slug

__all__ = ["render_page"]

_RESEARCH_USE = "Research use only, not a diagnosis."
#: Words of the page for the names of the report; the order of the tables.
_STAGE_ROWS = (
    ("accuracy", "Accuracy"),
    ("auc.macro", "Macro AUC, one against rest"),
    ("kappa.linear", "Kappa, linear weights"),
    ("kappa.quadratic", "Kappa, quadratic weights"),
    ("ordinal_mae", "Mean error in stages"),
    ("ordinal_c_index", "Ordinal C-index"),
    ("brier", "Brier score, 0 to 2"),
    ("calibration_error", "Expected calibration error, 15 bins"),
)
_BY_STAGE = (
    ("auc", "AUC"),
    ("sensitivity", "Sensitivity"),
    ("specificity", "Specificity"),
    ("ppv", "PPV"),
    ("npv", "NPV"),
)
_ENDPOINT_ROWS = (
    ("auc", "AUC"),
    ("sensitivity", "Sensitivity"),
    ("specificity", "Specificity"),
    ("ppv", "PPV"),
    ("npv", "NPV"),
    ("accuracy", "Accuracy"),
    ("f1", "F1 score"),
    ("brier", "Brier score, 0 to 1"),
    ("over_treatment", "Over-treatment, FP/N"),
    ("under_treatment", "Under-treatment, FN/N"),
    ("number_needed_to_treat", "Number needed to treat"),
)
_READER_COLUMNS = (
    ("accuracy", "Accuracy"),
    ("kappa", "Kappa with truth"),
    ("sensitivity", "Sensitivity"),
    ("specificity", "Specificity"),
    ("ppv", "PPV"),
    ("npv", "NPV"),
)
_SUBGROUP_COLUMNS = (
    ("accuracy", "Accuracy"),
    ("auc.macro", "Macro AUC"),
    ("kappa.quadratic", "Kappa, quadratic"),
    ("endpoint.auc", "AUC of the endpoint"),
    ("endpoint.sensitivity", "Sensitivity"),
    ("endpoint.specificity", "Specificity"),
)
_SURVIVAL_ROWS = (
    ("harrell_c", "Harrell C"),
    ("uno_c", "Uno C"),
    ("integrated_brier", "Integrated Brier score"),
    ("integrated_brier_of_kaplan_meier", "of Kaplan–Meier"),
    ("brier_skill", "1 − ratio"),
)
_SURVIVAL_MONTHS = (
    ("auc", "AUC"),
    ("harrell_c_before", "Harrell C, deaths before"),
    ("uno_c_before", "Uno C, deaths before"),
    ("brier", "Brier score"),
)
_SURVIVAL_COMPARED = {
    "harrell_c": "Harrell C",
    "uno_c": "Uno C",
    "auc.36": "AUC, 36 months",
    "auc.60": "AUC, 60 months",
    "integrated_brier": "Integrated Brier score",
}
_COMPARED = dict(_STAGE_ROWS)
_COMPARED_OF_ENDPOINT = dict(_ENDPOINT_ROWS)
_PERCENT = ("over_treatment", "under_treatment")


def _find(tree: Mapping[str, Any], path: str) -> Any:
    if path in tree:
        return tree[path]
    head, _, rest = path.partition(".")
    return _find(tree[head], rest)


def _number(value: float | None, name: str = "", *, signed: bool = False) -> str:
    if value is None:
        return "∞" if name == "number_needed_to_treat" else "–"
    if name in _PERCENT:
        text = f"{100 * value:+.2f} %" if signed else f"{100 * value:.2f} %"
    elif name == "number_needed_to_treat":
        text = f"{value:.2f}"
    elif name == "months":
        text = f"{value:.1f}"
    else:
        text = f"{value:+.3f}" if signed else f"{value:.3f}"
    # "-0.000" would show a direction where there is none.
    unsigned = text.lstrip("+-")
    return unsigned if float(unsigned.removesuffix(" %")) == 0 else text.replace("-", "−")


def _range(low: float | None, high: float | None, name: str = "", *, signed: bool = False) -> str:
    if low is None and (high is None or name != "number_needed_to_treat"):
        return ""
    return f"{_number(low, name, signed=signed)} to {_number(high, name, signed=signed)}"


def _p_value(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _picture(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")


def _tiles(report: Mapping[str, Any]) -> list[dict[str, str]]:
    chosen: list[tuple[str, str, Any]] = []
    if report["stages"]:
        metrics = report["stages"]["metrics"]
        chosen = [
            ("Macro AUC", "", metrics["auc"]["macro"]),
            ("Accuracy", "", metrics["accuracy"]),
            ("Kappa, quadratic", "", metrics["kappa"]["quadratic"]),
            ("Calibration error", "", metrics["calibration_error"]),
        ]
    for endpoint in report["endpoints"][: 4 if not chosen else 1]:
        chosen.append((f"AUC, {endpoint['name']}", "", endpoint["metrics"]["auc"]))
    if report["survival"]:
        cohort = report["survival"]["cohorts"][-1]
        for model in cohort["models"][: 4 - min(2, len(chosen))]:
            chosen.append((f"Harrell C, {model['name']}", "", model["metrics"]["harrell_c"]))
    return [
        {"name": name, "value": _number(entry["value"], key), "range": _range(entry["low"], entry["high"], key)}
        for name, key, entry in chosen
    ]


def _endpoints(report: Mapping[str, Any], pictures: Mapping[str, str]) -> list[dict[str, Any]]:
    names: list[str] = []
    found = []
    for endpoint in report["endpoints"]:
        names.append(slug(endpoint["name"], names))
        keys = [f"endpoint_{names[-1]}_{part}" for part in ("roc", "calibration", "decision_curve")]
        rows = [
            {
                "name": words,
                "value": _number(endpoint["metrics"][key]["value"], key),
                "range": _range(endpoint["metrics"][key]["low"], endpoint["metrics"][key]["high"], key),
                "other": _range(
                    endpoint["metrics"][key].get("exact_low", endpoint["metrics"][key].get("delong_low")),
                    endpoint["metrics"][key].get("exact_high", endpoint["metrics"][key].get("delong_high")),
                    key,
                ),
            }
            for key, words in _ENDPOINT_ROWS
            if key in endpoint["metrics"]
        ]
        found.append(
            {
                **endpoint,
                "id": names[-1],
                "table": rows,
                "pictures": [pictures[key] for key in keys if key in pictures],
            }
        )
    return found


def render_page(report: Mapping[str, Any], figures: Mapping[str, bytes]) -> str:
    """Make the page.

    Parameters
    ----------
    report : mapping
        Of :func:`gastromap.evaluation.assemble.evaluate_table`; every text in it is escaped.
    figures : mapping of bytes
        SVG by name, of :func:`gastromap.evaluation.figures.evaluation_figures`; embedded as pictures.
    """
    from jinja2 import DictLoader, Environment, StrictUndefined

    templates = {
        name: resources.files("gastromap.evaluation").joinpath(path).read_text(encoding="utf-8")
        for name, path in (("page", "page.html"), ("survival", "survival/survival.html"))
    }
    environment = Environment(
        loader=DictLoader(templates), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(find=_find, number=_number, interval=_range, p_value=_p_value)
    pictures = {name: _picture(svg) for name, svg in figures.items()}
    return environment.get_template("page").render(
        report=report,
        stages=report["stages"],
        tiles=_tiles(report),
        endpoints=_endpoints(report, pictures),
        pictures=pictures,
        subgroups=list(
            zip(report["subgroups"], [p for n, p in pictures.items() if n.startswith("subgroup_")], strict=True)
        ),
        stage_rows=_STAGE_ROWS,
        by_stage=_BY_STAGE,
        reader_columns=_READER_COLUMNS,
        subgroup_columns=_SUBGROUP_COLUMNS,
        survival=report["survival"],
        survival_names=figure_names(report["survival"]) if report["survival"] else [],
        survival_rows=_SURVIVAL_ROWS,
        survival_months=_SURVIVAL_MONTHS,
        survival_compared=_SURVIVAL_COMPARED,
        nomograms=[
            (content, pictures[f"nomogram_{name}"])
            for name, content in named_nomograms(report).items()
            if f"nomogram_{name}" in pictures
        ],
        compared=_COMPARED,
        compared_of_endpoint=_COMPARED_OF_ENDPOINT,
        percent=round(100 * report["plan"]["level"]),
        research_use=_RESEARCH_USE,
    )
