"""Files of a prepared cohort of pairs: datalist, clinical table, split, reconciliation. No patient data."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gastromap.cohort.outputs import drop_stale_images, write_reconciliation
from gastromap.cohort.pair_case import FILES, PairCase
from gastromap.cohort.pair_summary import PairSummary, overview
from gastromap.cohort.splitting import SPLITS, split_csv
from gastromap.files import write_text

__all__ = ["UsedPair", "write_pair_files"]

_NAME = "gastric cancer before and after chemotherapy"


@dataclass(frozen=True)
class UsedPair:
    """A patient of the datalist.

    Attributes
    ----------
    patient : str
        Pseudonym.
    case : PairCase
    files : mapping
        Keys of the datalist to paths below the folder.
    days : mapping of int to str
        Dates of the scans, shifted by a secret number of days that is the patient's own.
    interval_days : int or None
    part : str
    """

    patient: str
    case: PairCase
    files: Mapping[str, str]
    days: Mapping[int, str]
    interval_days: int | None
    part: str

    @property
    def labels(self) -> dict[str, Any]:
        """Labels that are known."""
        values = {"lnm": self.case.lnm, "death": self.case.death, "os_months": self.case.os_months}
        return {key: value for key, value in values.items() if value is not None}

    @property
    def entry(self) -> dict[str, Any]:
        """Entry of the datalist; an absent value is an absent key."""
        case = self.case
        found: dict[str, Any] = {
            "patient_id": self.patient,
            **{key: self.files[key] for key in FILES if key in self.files},
            **{f"center{number}": list(point) for number, point in sorted(case.centres.items())},
            **{f"date{number}": day for number, day in sorted(self.days.items())},
            **self.labels,
            "clinical": dict(case.clinical),
        }
        if case.cohort:
            found["cohort"] = case.cohort
        return found if case.fold is None else {**found, "fold": case.fold}


def write_pair_files(
    out: Path,
    used: Sequence[UsedPair],
    splits: Mapping[str, str],
    summary: PairSummary,
    *,
    variables: Sequence[str],
    seed: int,
) -> None:
    """Write all tables, the datalist last.

    Parameters
    ----------
    out : Path
    used : sequence of UsedPair
    splits : mapping
        All assignments ever made.
    summary : PairSummary
    variables : sequence of str
        Clinical ones.
    seed : int
        Of the split.
    """
    drop_stale_images(out)
    ordered = sorted(used, key=lambda pair: pair.patient)
    table = _clinical(ordered, variables)
    write_text(out / "split.csv", split_csv(splits))
    write_text(out / "clinical.csv", table)
    write_reconciliation(out, overview(summary), summary.findings)
    parts: dict[str, list[dict[str, Any]]] = {part: [] for part in SPLITS}
    for pair in ordered:
        parts[pair.part].append(pair.entry)
    meta = {"schema": 1, "name": _NAME, "table_sha256": hashlib.sha256(table.encode()).hexdigest(), "seed": seed}
    write_text(out / "datalist.json", json.dumps({"meta": meta, **parts}, indent=1, ensure_ascii=False) + "\n")


def _clinical(used: Sequence[UsedPair], variables: Sequence[str]) -> str:
    text = io.StringIO()
    labels = ("lnm", "death", "os_months")
    names = ("patient_id", "centre", *FILES, "date1", "date2", "interval_days", *labels)
    further = [name for name in variables if name not in names]
    writer = csv.DictWriter(text, [*names, *further, "split"], restval="", lineterminator="\n")
    writer.writeheader()
    for pair in used:
        writer.writerow(
            {
                "patient_id": pair.patient,
                "centre": pair.case.cohort,
                **pair.files,
                **{f"date{number}": day for number, day in pair.days.items()},
                "interval_days": "" if pair.interval_days is None else pair.interval_days,
                **pair.labels,
                **{name: pair.case.clinical.get(name, "") for name in further},
                "split": pair.part,
            }
        )
    return text.getvalue()
