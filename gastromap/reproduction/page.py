"""The reproduction page as Markdown: the text is in ``page.md``, the figures come from ``recompute`` alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

__all__ = ["render_reproduction"]

_TEMPLATE = Path(__file__).with_name("page.md")
_MEASURES = ("accuracy", "macro AUC", "kappa linear", "kappa quadratic")
_PREDICTORS = {
    "rad_score": "Rad-score, per SD",
    "size_5cm_or_more": "tumour size ≥ 5 cm",
    "differentiation_moderate": "differentiation moderate",
    "differentiation_poor": "differentiation poor",
    "lauren_diffuse": "Lauren diffuse",
    "lauren_mixed": "Lauren mixed",
}
_THRESHOLDS = ("threshold T1\\|T2", "threshold T2\\|T3", "threshold T3\\|T4")


def render_reproduction(found: Mapping[str, Any], *, command: str) -> str:
    """Write the page.

    Parameters
    ----------
    found : mapping
        Of :func:`gastromap.reproduction.recompute`.
    command : str
        That makes the page, for its first lines.

    Returns
    -------
    text : str
        Markdown.
    """
    # Markdown for a file of ours, not HTML from strangers: escaping would garble it.
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)  # noqa: S701
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    sizes = found["split"]["slices_a_patient"].items()
    return template.render(
        found,
        command=command,
        measures=[_measure(name, found["outputs"]) for name in _MEASURES],
        slices_a_patient=", ".join(f"{count} with {size}" for size, count in sizes),
        refits=list(found["nomogram"]["refit"]),
        predictors=_predictors(found["nomogram"]),
    )


def _measure(name: str, outputs: Mapping[str, Any]) -> list[str]:
    entry, printed = outputs[name], outputs["printed"].get(name)
    cells = [name, f"{entry['value']:.4f} ({entry['low']:.3f} to {entry['high']:.3f})"]
    if printed is None:
        return [*cells, "", "", ""]
    inside = entry["low"] <= printed <= entry["high"]
    note = "inside the interval" if inside else "outside the interval"
    return [*cells, f"{printed:.3f}", f"{entry['value'] - printed:+.3f}", note]


def _predictors(nomogram: Mapping[str, Any]) -> list[list[str]]:
    published, refits = nomogram["published"], nomogram["refit"].values()
    rows = []
    for key, name in _PREDICTORS.items():
        fitted = [f"{fit['coefficients'][key]:+.2f} ({fit['standard_errors'][key]:.2f})" for fit in refits]
        opposite = all(fit["coefficients"][key] * published["coefficients"][key] < 0 for fit in refits)
        rows.append([name, f"{published['coefficients'][key]:+.2f}", *fitted, "opposite sign" if opposite else ""])
    for position, name in enumerate(_THRESHOLDS):
        fitted = [f"{fit['thresholds'][position]:+.2f}" for fit in refits]
        rows.append([name, f"{published['thresholds'][position]:+.2f}", *fitted, ""])
    return rows
