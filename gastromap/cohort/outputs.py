"""Files of a prepared cohort: datalist, clinical table, split, reconciliation. No patient data."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gastromap.cohort.findings import Finding
from gastromap.cohort.matching import Case
from gastromap.cohort.reconciliation import Overview, findings_csv, render_reconciliation
from gastromap.cohort.resolving import Record
from gastromap.cohort.splitting import SPLITS, split_csv
from gastromap.evaluation.stages import STAGES
from gastromap.files import write_text

if TYPE_CHECKING:
    from gastromap.cohort.pipeline import CohortSummary

__all__ = ["drop_stale_images", "write_cohort_files", "write_reconciliation"]

Used = Sequence[tuple[Case, Record, str]]


def write_cohort_files(
    out: Path, used: Used, splits: Mapping[str, str], summary: CohortSummary, *, with_centre: bool
) -> None:
    """Write all tables, the datalist last.

    Parameters
    ----------
    out : Path
    used : sequence of (Case, Record, str)
        Cases with their image and split.
    splits : mapping
        All assignments ever made.
    summary : CohortSummary
    with_centre : bool
        Whether the table has a column of centres.
    """
    drop_stale_images(out)
    ordered = sorted(used, key=lambda item: item[1].result["image"])
    write_text(out / "split.csv", split_csv(splits))
    write_text(out / "clinical.csv", _clinical(ordered, with_centre=with_centre))
    write_reconciliation(out, _overview(summary), summary.findings)
    parts: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for case, record, split in ordered:
        entry = {"image": record.result["image"], "label": case.label, "patient_id": record.patient}
        parts[split].append({**entry, "centre": case.centre} if with_centre else entry)
    write_text(
        out / "datalist.json", json.dumps({"name": "gastric cancer", **parts}, indent=1, ensure_ascii=False) + "\n"
    )


def write_reconciliation(out: Path, overview: Overview, findings: Sequence[Finding]) -> None:
    """Write the reconciliation as CSV and as a page."""
    write_text(out / "reconciliation.csv", findings_csv(findings))
    write_text(out / "reconciliation.html", render_reconciliation(overview, findings))


def _overview(summary: CohortSummary) -> Overview:
    parts = [(name, summary.splits[name]) for name in SPLITS if name in summary.splits]
    totals = tuple(sum(counts[k] for _, counts in parts) for k in range(len(STAGES)))
    lines = [*parts, ("all", totals)] if parts else []
    return Overview(
        tiles=(
            ("rows in the table", summary.rows),
            ("patients in the table", summary.patients),
            ("studies found", summary.studies),
            ("patients in the datalist", summary.used),
            ("patients left out", summary.patients - summary.used),
        ),
        columns=(*STAGES, "all"),
        splits=tuple((name, (*counts, sum(counts))) for name, counts in lines),
        nothing="No patient has both a stage and usable images.",
    )


def _clinical(used: Used, *, with_centre: bool) -> str:
    text = io.StringIO()
    names = ("patient_id", "centre", "stage", "label", "tumour_size_cm", "lauren", "differentiation", "split")
    writer = csv.DictWriter(text, [name for name in names if with_centre or name != "centre"], lineterminator="\n")
    writer.writeheader()
    seen: set[str] = set()
    for case, record, split in used:
        if record.patient in seen or case.label is None:
            continue
        seen.add(record.patient)
        row: dict[str, Any] = {
            "patient_id": record.patient,
            "stage": STAGES[case.label],
            "label": case.label,
            "tumour_size_cm": case.clinical.tumour_size_cm,
            "lauren": case.clinical.lauren,
            "differentiation": case.clinical.differentiation,
            "split": split,
        }
        writer.writerow({**row, "centre": case.centre} if with_centre else row)
    return text.getvalue()


def drop_stale_images(out: Path) -> None:
    """Remove images and masks that no record names: of studies that are gone or have another patient now."""
    named: set[Path] = set()
    for path in (out / "records").glob("*.json"):
        result = json.loads(path.read_text(encoding="utf-8"))["result"]
        named.update(out / file for file in (result.get("image"), *result.get("files", {}).values()) if file)
    for folder in ("images", "masks"):
        for path in (out / folder).glob("*.nii.gz"):
            if path not in named:
                path.unlink()
