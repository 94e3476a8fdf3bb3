"""Tables of a synthetic cohort: clinical rows, the split by patient, the MONAI datalist."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from gastromap.synthetic.cases import STAGES
from gastromap.synthetic.export_scan import Scan
from gastromap.synthetic.types import Case, rng_for

__all__ = [
    "TEST_CENTRE",
    "Split",
    "clinical_csv",
    "clinical_row",
    "datalist_json",
    "split_by_stratum",
    "split_cases",
]

Split = Literal["training", "validation", "test"]
#: Held out as the external test, as in the published study.
TEST_CENTRE: Final = 3


def split_cases(cases: Sequence[Case], *, validation_share: float) -> dict[str, Split]:
    """Assign each patient to one part.

    Parameters
    ----------
    cases : sequence of Case
        Every patient of the cohort.
    validation_share : float
        Part of the patients of centres 1 and 2 that validate, within each stage.

    Returns
    -------
    split : dict
        Patient ID to ``training``, ``validation`` or ``test`` (all of centre 3).
    """
    return split_by_stratum(
        [(case.patient_id, case.centre, STAGES.index(case.stage)) for case in cases],
        seed=cases[0].seed if cases else 0,
        validation_share=validation_share,
    )


def split_by_stratum(
    patients: Sequence[tuple[str, int, int]], *, seed: int, validation_share: float
) -> dict[str, Split]:
    """Assign each patient to one part, with the same share of validation in each stratum.

    Parameters
    ----------
    patients : sequence of tuple
        Patient ID, centre, number of the stratum.
    seed : int
        Seed of the cohort.
    validation_share : float
        Part of the patients of centres 1 and 2.

    Returns
    -------
    split : dict
        Patient ID to part.
    """
    split: dict[str, Split] = {name: "test" for name, centre, _ in patients if centre == TEST_CENTRE}
    for stratum in sorted({stratum for _, _, stratum in patients}):
        inside = [name for name, centre, own in patients if centre != TEST_CENTRE and own == stratum]
        order = rng_for(seed, stratum, "split").permutation(len(inside))
        held = {int(i) for i in order[: round(validation_share * len(inside))]}
        split.update({name: "validation" if i in held else "training" for i, name in enumerate(inside)})
    return split


def clinical_row(scan: Scan) -> dict[str, Any]:
    """One row of ``clinical.csv``: labels, clinical variables, scanner."""
    case, scanner = scan.case, scan.scanner
    return {
        "patient_id": case.patient_id,
        "centre": case.centre,
        "stage": case.stage,
        "label": STAGES.index(case.stage),
        "third": case.third,
        "tumour_size_cm": case.size_cm,
        "lauren": case.lauren,
        "differentiation": case.differentiation,
        "age_years": case.age_years,
        "sex": case.sex,
        "cea_ng_ml": case.cea_ng_ml,
        "ca199_u_ml": case.ca199_u_ml,
        "node_positive": int(case.node_positive),
        "positive_nodes": case.positive_nodes,
        "manufacturer": scanner.manufacturer,
        "scanner_model": scanner.model,
        "kernel": scanner.kernel,
        "slice_thickness_mm": scanner.slice_thickness_mm,
        "pixel_spacing_mm": scanner.pixel_spacing_mm,
        "key_z_mm": float(scan.z_mm[scan.key_index]),
    }


def clinical_csv(rows: Sequence[Mapping[str, Any]], split: Mapping[str, Split]) -> str:
    """Text of ``clinical.csv``, one row a patient, with the part of each."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=[*rows[0], "split"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "split": split[row["patient_id"]]} for row in rows)
    return text.getvalue()


def datalist_json(records: Sequence[Mapping[str, Any]], split: Mapping[str, Split]) -> str:
    """Text of ``datalist.json``: MONAI's layout, one list a part."""
    parts: dict[Split, list[Mapping[str, Any]]] = {"training": [], "validation": [], "test": []}
    for record in records:
        parts[split[record["patient_id"]]].append(record)
    return json.dumps({"name": "SYNTHETIC gastric cancer", **parts}, indent=1) + "\n"
