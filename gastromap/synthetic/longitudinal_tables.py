"""Tables of a longitudinal cohort: the clinical table a hospital could have, the split, the datalist of training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from gastromap.synthetic.cases import STAGES
from gastromap.synthetic.export_tables import Split, split_by_stratum
from gastromap.synthetic.types import Stage, rng_for
from gastromap.synthetic.visits import Visits

__all__ = ["PREOPERATIVE", "longitudinal_datalist", "split_visits", "visits_row"]

#: Clinical variables known before surgery, by their column; ypT and ypN are not among them.
PREOPERATIVE: Final = (
    "age_years",
    "sex",
    "third",
    "tumour_size_cm",
    "differentiation",
    "lauren",
    "cea_ng_ml",
    "ca199_u_ml",
    "ct",
    "cn",
    "regimen_drugs",
    "cycles",
)
_FILES: Final = ("image1", "mask1", "image2", "mask2")

#: Share of patients whose depth is read one category off, and accuracy of the N category before treatment.
_CT_WRONG: Final = 0.25
_CN_RIGHT: Final = 0.7


def visits_row(visits: Visits, files: Mapping[str, str], scanners: Mapping[str, Any]) -> dict[str, Any]:
    """One row of ``clinical.csv``: files, dates, labels, clinical variables, scanners; empty where there is none.

    Parameters
    ----------
    visits : Visits
    files : mapping
        ``image1``, ``mask1``, ``image2``, ``mask2`` relative to the cohort, as far as they exist.
    scanners : mapping
        Further columns.

    Returns
    -------
    row : dict
    """
    case, course = visits.case, visits.course
    first, second = visits.dates
    rng = rng_for(case.seed, case.number, "reading")
    return {
        "patient_id": case.patient_id,
        "centre": case.centre,
        **{name: files.get(name, "") for name in _FILES},
        "date1": first.isoformat(),
        "date2": second.isoformat() if visits.followed else "",
        "interval_days": course.interval_days if visits.followed else "",
        "lnm": int(course.node_positive),
        "death": int(course.outcome.death),
        "os_months": course.outcome.os_months,
        "age_years": case.age_years,
        "sex": case.sex,
        "third": case.third,
        "tumour_size_cm": case.size_cm,
        "differentiation": case.differentiation,
        "lauren": case.lauren,
        "cea_ng_ml": case.cea_ng_ml,
        "ca199_u_ml": case.ca199_u_ml,
        "ct": _read_depth(case.stage, rng),
        "cn": "N+" if case.node_positive == (rng.random() < _CN_RIGHT) else "N0",
        "regimen_drugs": course.drugs,
        "cycles": course.cycles,
        "ypt": course.ypt,
        "ypn": course.ypn,
        **scanners,
    }


def _read_depth(stage: Stage, rng: np.random.Generator) -> Stage:
    off = int(rng.choice((-1, 1))) if rng.random() < _CT_WRONG else 0
    return STAGES[int(np.clip(STAGES.index(stage) + off, 0, len(STAGES) - 1))]


def split_visits(everybody: Sequence[Visits], *, validation_share: float) -> dict[str, Split]:
    """Split by patient, with the same share of node metastasis and death on either side; centre 3 is the test."""
    return split_by_stratum(
        [(v.case.patient_id, v.case.centre, 2 * v.course.node_positive + v.course.outcome.death) for v in everybody],
        seed=everybody[0].case.seed,
        validation_share=validation_share,
    )


def longitudinal_datalist(
    everybody: Sequence[Visits], records: Sequence[Mapping[str, Any]], split: Mapping[str, Split], *, table: str
) -> str:
    """Text of ``datalist.json``.

    Parameters
    ----------
    everybody : sequence of Visits
    records : sequence of mapping
        Of the same patients; their ``clinical`` rows count.
    split : mapping
        Patient ID to part.
    table : str
        Text of ``clinical.csv``; its hash ties the list to it.

    Returns
    -------
    text : str
        An absent value is an absent key.
    """
    parts: dict[Split, list[dict[str, Any]]] = {"training": [], "validation": [], "test": []}
    for visits, record in zip(everybody, records, strict=True):
        row = record["clinical"]
        keys = (*_FILES, "date1", "date2", "lnm", "death", "os_months")
        parts[split[row["patient_id"]]].append(
            {
                "patient_id": row["patient_id"],
                **{key: row[key] for key in keys if row[key] != ""},
                "clinical": {name: row[name] for name in PREOPERATIVE},
                "cohort": f"centre {visits.case.centre}",
            }
        )
    meta = {
        "schema": 1,
        "name": "SYNTHETIC gastric cancer before and after chemotherapy",
        "table_sha256": hashlib.sha256(table.encode()).hexdigest(),
        "seed": everybody[0].case.seed,
    }
    return json.dumps({"meta": meta, **parts}, indent=1) + "\n"
