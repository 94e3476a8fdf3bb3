"""Tumours found in whole synthetic studies, and what the stage is with the slice that was found.

    python -m benchmarks.segmentation --patients 60 --seed 907 --out RESULT

Fresh patients of centre 3, whose scanner no training has seen; the portal-venous volume as the input gate would hand it
over. Each goes through ``gastromap.segmentation.TumourFinder`` with the shipped weights, and is staged twice: on the
true key slice and on the one that was found. With ``--without-tumour N`` so many stomachs without any tumour are
searched too: second scans of synthetic patients of whose tumour chemotherapy has left nothing. RESULT receives
``segmentation.json`` and ``segmentation.md``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.inputs import REPOSITORY
from benchmarks.machine import load_average, machine
from gastromap.bundle import Bundle
from gastromap.evaluation.metrics import dice
from gastromap.evaluation.stages import STAGES
from gastromap.key_slice import key_slice_at
from gastromap.results import KeySliceOrigin
from gastromap.segmentation.finder import TumourFinder
from gastromap.segmentation.lazy import SEGMENTATION_BUNDLE
from gastromap.staging import TStager
from gastromap.synthetic.cohort import iter_cohort
from gastromap.synthetic.export_scan import Scan, plan_scan
from gastromap.synthetic.visits import iter_longitudinal
from gastromap.volume import CtVolume, SeriesRecord, SliceSource

__all__ = ["main", "study_row"]

#: Aims of the project for 60 studies.
_FOUND, _DICE, _KEY_MM, _KEY_SHARE, _SECONDS = 0.1, 0.6, 5.0, 0.7, 20.0


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write the table; return 1 where an aim is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.segmentation", description=__doc__.split("\n\n")[0])
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--seed", type=int, default=907, help="of the cohort (default: %(default)s)")
    parser.add_argument("--centre", type=int, nargs="+", default=[3], choices=(1, 2, 3))
    parser.add_argument("--without-tumour", type=int, default=0, metavar="N", help="stomachs without a tumour")
    parser.add_argument("--model", type=Path, default=REPOSITORY / "bundles", help="folder of the bundles")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(argv)
    finder = TumourFinder.load(given.model / SEGMENTATION_BUNDLE / "models", device=torch.device("cpu"))
    stager = TStager(Bundle.find(given.model), device=torch.device("cpu"))
    cases = iter_cohort(given.patients, given.seed, centres=given.centre)
    rows = [
        study_row(plan_scan(case), finder, stager)
        for case in tqdm(cases, total=given.patients, unit="study", file=sys.stderr)
    ]
    free = [
        _alarm(scan, finder)
        for scan in tqdm(
            _responders(given.without_tumour, given.seed, given.centre), total=given.without_tumour, file=sys.stderr
        )
    ]
    report = {
        "patients": given.patients,
        "seed": given.seed,
        "centres": given.centre,
        "machine": machine(torch.device("cpu")),
        "load_average_at_end": load_average(),
        "summary": {**summarise(rows), "without_tumour": _answers(free)},
        "studies": rows,
        "without_tumour": free,
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "segmentation.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    text = _table(report)
    (given.out / "segmentation.md").write_text(text, encoding="utf-8")
    print(text)
    return 0 if all(report["summary"]["aims"].values()) else 1


def study_row(scan: Scan, finder: TumourFinder, stager: TStager) -> dict[str, Any]:
    """Find, compare with the truth, stage twice."""
    volume = volume_of(scan)
    truth = scan.tumour_masks()
    start = time.perf_counter()
    found = finder(volume.hu, volume.affine_lps)
    seconds = time.perf_counter() - start
    row: dict[str, Any] = {
        "stage": scan.case.stage,
        "slices": len(volume.sources),
        "step_mm": volume.step_mm,
        "found": found.found,
        "sure": found.sure,
        "probability": round(found.probability, 3),
        "dice": dice(found.mask, truth),
        "true_ml": float(truth.sum() * np.prod(volume.pixel_spacing_mm) * volume.step_mm / 1000),
        "seconds": round(seconds, 2),
        "staged_true_key": _staged(stager, volume, scan.key_index, "seg"),
    }
    if found.found and found.key_index is not None and found.measures is not None:
        row["key_distance_mm"] = abs(found.key_index - scan.key_index) * volume.step_mm
        row["ml"] = found.measures.volume_ml
        row["long_axis_mm"] = found.measures.long_axis_mm
        row["staged_auto_key"] = _staged(stager, volume, found.key_index, "auto")
    return row


def _responders(count: int, seed: int, centres: Sequence[int]) -> Iterator[Scan]:
    """Second scans of patients of whose tumour nothing is left: about one in nine."""
    visits = iter_longitudinal(100 * count, seed, centres=centres)
    return itertools.islice((visit.followup() for visit in visits if visit.course.complete), count)


def _alarm(scan: Scan, finder: TumourFinder) -> dict[str, Any]:
    volume = volume_of(scan)
    found = finder(volume.hu, volume.affine_lps)
    return {"step_mm": volume.step_mm, "found": found.found, "sure": found.sure}


def _answers(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many were answered how."""
    return {
        "sure": sum(row["found"] and row["sure"] for row in rows),
        "unsure": sum(row["found"] and not row["sure"] for row in rows),
        "refused": sum(not row["found"] for row in rows),
    }


def volume_of(scan: Scan) -> CtVolume:
    """The portal-venous series of a synthetic examination as the gate would give it."""
    hu: NDArray[np.float32] = np.stack([scan.hu(i) for i in range(len(scan.z_mm))]).astype(np.float32)
    header = pydicom.Dataset()
    return CtVolume(
        hu=hu,
        affine_lps=scan.affine_lps(),
        sources=tuple(SliceSource(f"2.25.{i}", header) for i in range(len(hu))),
        series=SeriesRecord("2.25.1", "2.25.2", 1, "series 1", len(hu), scan.step_mm, scan.step_mm, None, "portal", {}),
    )


def _staged(stager: TStager, volume: CtVolume, index: int, origin: KeySliceOrigin) -> str:
    return stager.stage(stager.infer(stager.prepare(volume, key_slice_at(volume, index, origin)))).stage


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures over all studies; a tumour that was not found has a Dice of zero and no slice within reach."""
    count = len(rows)
    overlap = np.array([row["dice"] for row in rows])
    near = sum(row.get("key_distance_mm", np.inf) <= _KEY_MM for row in rows)
    seconds = [row["seconds"] for row in rows]
    true = {
        key: sum(row.get(key) == row["stage"] for row in rows) / count for key in ("staged_true_key", "staged_auto_key")
    }
    summary = {
        "found": float((overlap > _FOUND).mean()),
        "dice": float(overlap.mean()),
        "dice_by_stage": {
            s: float(overlap[[r["stage"] == s for r in rows]].mean())
            for s in STAGES
            if any(r["stage"] == s for r in rows)
        },
        "key_slice_within_5_mm": near / count,
        "seconds_median": float(np.median(seconds)),
        "seconds_max": max(seconds),
        "accuracy_true_key": true["staged_true_key"],
        "accuracy_auto_key": true["staged_auto_key"],
        "right": _answers([row for row in rows if row["dice"] > _FOUND]),
        "elsewhere": _answers([row for row in rows if row["dice"] <= _FOUND]),
        "same_stage_both_ways": sum(r.get("staged_auto_key") == r["staged_true_key"] for r in rows) / count,
    }
    summary["aims"] = {
        "found in 90 %": summary["found"] >= 0.9,
        "mean Dice 0.6": summary["dice"] >= _DICE,
        "key slice within 5 mm in 70 %": summary["key_slice_within_5_mm"] >= _KEY_SHARE,
        "20 s a study": summary["seconds_max"] <= _SECONDS,
    }
    return summary


def _table(report: dict[str, Any]) -> str:
    s = report["summary"]
    by_stage = ", ".join(f"{stage} {value:.2f}" for stage, value in s["dice_by_stage"].items())
    lines = [
        f"| {report['patients']} synthetic studies of centre {report['centres']} (seed {report['seed']}) | |",
        "|---|---|",
        f"| tumour found (Dice above 0.1) | {s['found']:.3f} |",
        f"| mean Dice | {s['dice']:.3f} ({by_stage}) |",
        f"| key slice within 5 mm of the true one | {s['key_slice_within_5_mm']:.3f} |",
        f"| seconds a study, median; longest | {s['seconds_median']:.1f}; {s['seconds_max']:.1f} |",
        f"| stage right with the true key slice | {s['accuracy_true_key']:.3f} |",
        f"| stage right with the slice that was found | {s['accuracy_auto_key']:.3f} |",
        f"| same stage both ways | {s['same_stage_both_ways']:.3f} |",
        f"| what was found is the tumour | {_words(s['right'])} |",
        f"| it is not, or nothing was found | {_words(s['elsewhere'])} |",
        f"| {sum(s['without_tumour'].values())} stomachs without a tumour | {_words(s['without_tumour'])} |",
        "",
        *(f"{'reached' if ok else 'MISSED'}: {name}" for name, ok in s["aims"].items()),
        "",
    ]
    return "\n".join(lines)


def _words(answers: dict[str, int]) -> str:
    return f"{answers['sure']} surely, {answers['unsure']} unsurely, {answers['refused']} refused"


if __name__ == "__main__":
    sys.exit(main())
