"""Files of a prepared cohort: datalist, clinical table, split, reconciliation. No patient data."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gastromap.cohort.matching import Case
from gastromap.cohort.reconciliation import findings_csv, render_reconciliation
from gastromap.cohort.resolving import Record
from gastromap.cohort.splitting import SPLITS, split_csv
from gastromap.evaluation.stages import STAGES
from gastromap.files import write_text

if TYPE_CHECKING:
    from gastromap.cohort.pipeline import CohortSummary

__all__ = ["write_cohort_files"]

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
    _drop_stale_images(out)
    ordered = sorted(used, key=lambda item: item[1].result["image"])
    write_text(out / "split.csv", split_csv(splits))
    write_text(out / "clinical.csv", _clinical(ordered, with_centre=with_centre))
    write_text(out / "reconciliation.csv", findings_csv(summary.findings))
    write_text(out / "reconciliation.html", render_reconciliation(summary))
    parts: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for case, record, split in ordered:
        entry = {"image": record.result["image"], "label": case.label, "patient_id": record.patient}
        parts[split].append({**entry, "centre": case.centre} if with_centre else entry)
    write_text(
        out / "datalist.json", json.dumps({"name": "gastric cancer", **parts}, indent=1, ensure_ascii=False) + "\n"
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


def _drop_stale_images(out: Path) -> None:
    """Remove images that no record names: of studies that are gone or have another patient now."""
    named = set()
    for path in (out / "records").glob("*.json"):
        image = json.loads(path.read_text(encoding="utf-8"))["result"].get("image")
        named.add(None if image is None else out / image)
    for path in (out / "images").glob("*.nii.gz"):
        if path not in named:
            path.unlink()
