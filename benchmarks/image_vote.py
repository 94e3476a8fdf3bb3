"""``python -m benchmarks.image_vote``: how often the image vote reads the phase of a synthetic scan right.

The patients are those of ``gastromap synth`` with the same seed, in the series, slices and noise of their DICOM
studies; files are left out. They are read twice: with the HU of the phantom, equal in all patients, and with HU that
vary. The exit status is 1 if an arterial scan or one without contrast was called portal-venous.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args
from unittest.mock import patch

import numpy as np

from benchmarks.table import render
from gastromap.dicom_input.coarse import look_stride
from gastromap.dicom_input.enhancement import measure_enhancement
from gastromap.dicom_input.image_vote import ContrastPhase, phase_of
from gastromap.synthetic.cohort import iter_cohort
from gastromap.synthetic.dicom_headers import plan_study
from gastromap.synthetic.dicom_series import AxialSeries, axial_series, render_axial
from gastromap.synthetic.export_scan import MATRIX, Scan, plan_scan
from gastromap.synthetic.organs import ENHANCEMENT
from gastromap.synthetic.processes import map_in_processes
from gastromap.synthetic.types import Case, rng_for

__all__ = ["HABITS", "Reading", "main", "read_patient"]

SAID: tuple[ContrastPhase, ...] = get_args(ContrastPhase)
TRUE = SAID[:-1]
HABITS = ("equal", "varied")
_TITLES = {"equal": "HU of the phantom, equal in all patients", "varied": "HU that vary from patient to patient"}

_Phases = tuple[float, float, float]  #: HU in the arterial, portal-venous and delayed phase
#: HU without contrast: usual values, chosen for this measurement.
_NATIVE = {
    "liver": 55.0,
    "liver_vein": 42.0,
    "spleen": 48.0,
    "kidney_cortex": 33.0,
    "kidney_medulla": 31.0,
    "aorta": 42.0,
    "cava": 40.0,
    "portal": 42.0,
    "pancreas": 40.0,
    "gut_wall": 38.0,
    "mesenteric": 42.0,
}


@dataclass(frozen=True)
class Reading:
    """One scan and what was said of it."""

    habit: str
    true: str
    said: str
    seconds: float


def _tables(case: Case, habit: str) -> tuple[dict[str, _Phases], dict[str, _Phases]]:
    """HU with and without contrast of one patient, both in the form of ``ENHANCEMENT``.

    What varies is chosen, not measured: the dose for the weight (a factor of 0.7 to 1.45), the liver (SD 6 HU; one in
    seven is fatty, 10 to 25 HU darker), aorta (SD 5 %) and kidneys (SD 6 %) each on their own in each phase, and a late
    arterial phase (up to a quarter of the way to the portal-venous one).
    """
    rng = rng_for(case.seed, case.number, "enhancement")
    dose = float(np.clip(np.exp(rng.normal(0, 0.18)), 0.7, 1.45))
    liver = float(rng.normal(0, 6) - (rng.uniform(10, 25) if rng.random() < 0.15 else 0))
    aorta, kidney, late = rng.normal(1, 0.05, 3), rng.normal(1, 0.06, 3), float(rng.uniform(0, 0.25))
    if habit == "equal":
        dose, liver, aorta, kidney, late = 1.0, 0.0, np.ones(3), np.ones(3), 0.0
    contrast: dict[str, _Phases] = {}
    plain: dict[str, _Phases] = {}
    for tissue, values in ENHANCEMENT.items():
        factor = {"aorta": aorta, "kidney_cortex": kidney, "kidney_medulla": kidney}.get(tissue, np.ones(3))
        native = _NATIVE[tissue] + (liver if tissue == "liver" else 0.0)
        arterial, portal, delayed = np.asarray(values) * factor
        full = np.array([arterial + late * (portal - arterial), portal, delayed])
        contrast[tissue] = tuple(native + dose * (full - _NATIVE[tissue]))
        plain[tissue] = (native, native, native)
    return contrast, plain


def _said(scan: Scan, series: AxialSeries) -> tuple[ContrastPhase, float]:
    """What the vote says of a series, and its seconds without the decoding."""
    step_mm = series.z_mm[1] - series.z_mm[0]
    stride = look_stride(len(series.z_mm), step_mm)
    indices = range(0, len(series.z_mm), stride)
    hu = np.stack([render_axial(scan, series, index) for index in indices]).astype(np.float32)
    affine = scan.affine_lps()
    affine[:3, 2] = (0, 0, step_mm * stride)
    start = time.perf_counter()
    return phase_of(measure_enhancement(hu, affine)), time.perf_counter() - start


def read_patient(case: Case, *, matrix: int = MATRIX) -> list[Reading]:
    """Render the series of a patient without contrast and in three phases, with both habits, and read them.

    Parameters
    ----------
    case : Case
    matrix : int
        Rows and columns.

    Returns
    -------
    readings : list of Reading
    """
    scan = plan_scan(case, matrix=matrix)
    series = {item.key: item for item in axial_series(plan_study(scan))}
    readings = []
    for habit in HABITS:
        contrast, plain = _tables(case, habit)
        for true in TRUE:
            # The phantom knows no scan without contrast: it is an arterial one with other HU.
            with patch.dict(ENHANCEMENT, plain if true == "plain" else contrast):
                said, seconds = _said(scan, series["arterial" if true == "plain" else true])
            readings.append(Reading(habit, true, said, seconds))
    return readings


def _read_all(cases: Sequence[Case], workers: int) -> Iterator[Reading]:
    for number, readings in enumerate(map_in_processes(read_patient, cases, workers=workers), start=1):
        if sys.stderr.isatty():
            print(f"\r{number} of {len(cases)} patients", end="", file=sys.stderr, flush=True)
        yield from readings
    if sys.stderr.isatty():
        print(file=sys.stderr)


def _table(title: str, counts: Mapping[tuple[str, str], int]) -> str:
    rows = [[true, *(str(counts.get((true, said), 0)) for said in SAID)] for true in TRUE]
    return render(title, ["true \\ said", *SAID], rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Read the scans, print the tables; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.image_vote", description=__doc__.split("\n\n")[0])
    parser.add_argument("--patients", type=int, default=60, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=20_262, help="of the cohort (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the counts as JSON")
    given = parser.parse_args(argv)
    readings = list(_read_all(list(iter_cohort(given.patients, given.seed)), given.workers))
    counts = {habit: Counter((r.true, r.said) for r in readings if r.habit == habit) for habit in HABITS}
    print(f"Image vote on {given.patients} synthetic patients of three centres, seed {given.seed}\n")
    for habit in HABITS:
        found = counts[habit]
        print(_table(_TITLES[habit], found))
        right = found["portal", "portal"] / given.patients
        print(f"  portal right {right:.0%}, delayed called portal {found['delayed', 'portal'] / given.patients:.0%}\n")
    seconds = sorted(reading.seconds for reading in readings)
    print(f"Seconds a series without decoding: median {seconds[len(seconds) // 2]:.3f}, most {seconds[-1]:.3f}")
    if given.json is not None:
        tables = {habit: {f"{t} {s}": n for (t, s), n in sorted(found.items())} for habit, found in counts.items()}
        report = {"patients": given.patients, "seed": given.seed, "counts": tables}
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return int(any(found[true, "portal"] for found in counts.values() for true in ("plain", "arterial")))


if __name__ == "__main__":
    sys.exit(main())
