"""What a report cannot say, and why: silence would look like a finding."""

from __future__ import annotations

from collections.abc import Sequence

from gastromap.reports.catalogue import known
from gastromap.reports.phrases import VARIABLES
from gastromap.results import NomogramOmitted, StudyResult
from gastromap.text import Text, enumerated

__all__ = ["missing_variables", "unavailable_rows"]


def missing_variables(nomogram: NomogramOmitted) -> str:
    """Name the variables a nomogram lacked; empty where it names none."""
    return _named(nomogram.missing) if nomogram.missing else ""


def _named(variables: Sequence[str]) -> str:
    return enumerated([VARIABLES.get(name, name) for name in variables])


def _of_nomogram(result: StudyResult) -> list[tuple[str, str]]:
    nomogram = result.nomogram
    rows: list[tuple[str, str]] = []
    if result.stage.rad_score is None:
        rows.append((Text("Rad-score"), Text("the model has none")))
    if not isinstance(nomogram, NomogramOmitted):
        return rows
    clinical = [name for name in nomogram.missing if name != "rad_score"]
    if clinical:
        rows.append((Text("Clinical variables"), Text("not given: {variables}", variables=_named(clinical))))
    return [(Text("Nomogram"), known(nomogram.reason)), *rows]


def _after_treatment(result: StudyResult) -> list[tuple[str, str]]:
    comparison = result.comparison
    nodes = Text("Lymph-node metastasis and survival")
    if comparison is None:
        return [
            (Text("Comparison before and after treatment"), Text("one study was sent")),
            (nodes, Text("need a CT before and one after treatment")),
        ]
    rows: list[tuple[str, str]] = []
    if comparison.stage is None:
        rows.append((Text("Stage after treatment"), Text("the CT after treatment has no key slice")))
    if not comparison.changes:
        elsewhere, unknown = Text("different places were marked"), Text("the size is not known at both dates")
        rows.append((Text("Change of size"), elsewhere if comparison.elsewhere else unknown))
    if comparison.outlook is None:
        rows.append((nodes, known(comparison.omitted)))
    return rows


def unavailable_rows(result: StudyResult) -> tuple[tuple[str, str], ...]:
    """Return what was not available in this run, with the reason of each.

    Parameters
    ----------
    result : StudyResult
    """
    rows = _of_nomogram(result)
    if not result.stage.confidence.calibration:
        rows.append((Text("Calibration"), Text("the model has none")))
    if result.tumour is None:
        rows.append((Text("Outline and size of the tumour"), Text("no outline was sent, and none was drawn")))
    rows += _after_treatment(result)
    # No model of GastroMAP speaks of them; a T stage alone is easily read as a whole staging.
    rows.append((Text("N and M category"), Text("not assessed by this software")))
    return tuple(rows)
