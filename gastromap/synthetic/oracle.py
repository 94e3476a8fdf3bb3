"""What can be known at best of a longitudinal cohort: discrimination of the true hazard and of node size alone.

No training reads this. A model on images is measured against ``c_visible``, a model of nodes against ``auc_node_size``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gastromap.evaluation.ranking import binary_auc
from gastromap.evaluation.survival.weighted import harrell_c
from gastromap.synthetic.visits import Visits

__all__ = ["Oracle", "describe", "oracle_of", "truth_csv", "truth_row"]


@dataclass(frozen=True)
class Oracle:
    """Best reachable figures of one part of a cohort."""

    patients: int
    with_followup: int
    deaths: int
    node_positive: int
    c_full: float  #: Harrell's C of the true log-hazard
    c_visible: float  #: of its part in the images: stage, nodes, shrinkage
    c_shrinkage: float
    c_stage_and_nodes: float  #: what a single scan could show
    c_to_reach: float  #: 80 % of the way from 0.5 to c_visible
    auc_node_size_before: float  #: of the largest node's short axis, for metastasis after treatment
    auc_node_size_after: float


def truth_row(visits: Visits, *, node_before_mm: float, node_after_mm: float) -> dict[str, Any]:
    """True hazard of a patient in parts, and what made it."""
    case, course = visits.case, visits.course
    return {
        "patient_id": case.patient_id,
        "stage": case.stage,
        "node_positive_before": int(case.node_positive),
        "lnm": int(course.node_positive),
        "log_volume_ratio": "" if course.complete else round(course.response, 4),
        "complete_response": int(course.complete),
        **{f"log_hazard_{name}": round(value, 4) for name, value in asdict(course.hazard).items()},
        "log_hazard_visible": round(course.hazard.visible, 4),
        "log_hazard": round(course.hazard.total, 4),
        "node_before_mm": node_before_mm,
        "node_after_mm": node_after_mm,
        "followup": int(visits.followed),
        "os_months": course.outcome.os_months,
        "death": int(course.outcome.death),
    }


def oracle_of(rows: Sequence[Mapping[str, Any]]) -> Oracle:
    """Best reachable figures over rows of :func:`truth_row`; NaN where a group is empty."""

    def column(name: str) -> list[float]:
        return [float(row[name]) for row in rows]

    def c(*parts: str) -> float:
        risk = [sum(values) for values in zip(*(column(part) for part in parts), strict=True)]
        return harrell_c(column("os_months"), column("death"), risk)

    visible = c("log_hazard_visible")
    lnm = [row["lnm"] == 1 for row in rows]
    return Oracle(
        patients=len(rows),
        with_followup=sum(row["followup"] for row in rows),
        deaths=sum(row["death"] for row in rows),
        node_positive=sum(lnm),
        c_full=c("log_hazard"),
        c_visible=visible,
        c_shrinkage=c("log_hazard_shrinkage"),
        c_stage_and_nodes=c("log_hazard_stage", "log_hazard_nodes"),
        c_to_reach=0.5 + 0.8 * (visible - 0.5),
        auc_node_size_before=float(binary_auc(column("node_before_mm"), lnm)),
        auc_node_size_after=float(binary_auc(column("node_after_mm"), lnm)),
    )


def truth_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Text of ``oracle/patients.csv``."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def describe(parts: Mapping[str, Oracle]) -> str:
    """Table of the figures, one column a part of the cohort."""
    lines: list[tuple[str, str, str]] = [
        ("patients", "patients", "d"),
        ("with a scan after treatment", "with_followup", "d"),
        ("deaths", "deaths", "d"),
        ("with node metastasis", "node_positive", "d"),
        ("C-index of the true hazard", "c_full", ".3f"),
        ("  its visible part: stage, nodes, shrinkage", "c_visible", ".3f"),
        ("    80 % of the way there from 0.5", "c_to_reach", ".3f"),
        ("  shrinkage alone", "c_shrinkage", ".3f"),
        ("  stage and nodes alone", "c_stage_and_nodes", ".3f"),
        ("AUC of node size alone, after treatment", "auc_node_size_after", ".3f"),
        ("  before treatment", "auc_node_size_before", ".3f"),
    ]
    rows = [("", *parts)]
    rows += [(text, *(format(getattr(part, name), kind) for part in parts.values())) for text, name, kind in lines]
    return "\n".join(f"{row[0]:<45}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in rows)
