"""Whole studies: GastroMAP beside the plain chain (warm), and beside the bare SDK import (cold)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.cold import BARE, measure_cold
from benchmarks.inputs import StudyInput, has_weights, random_bundle
from benchmarks.plain import N4_ITERATIONS, N4_SHRINK, PlainChain
from benchmarks.study import StudyRun, run_study
from benchmarks.table import Sample, render, stage_samples
from gastromap.staging import TStager

__all__ = ["compare_studies"]

_DEPTH = 152
_PLAIN = f"plain, ResNet-{_DEPTH}"
_OURS = f"GastroMAP, GTRNet-{_DEPTH}"
_SHIPPED = "GastroMAP, shipped"
_STAGES = (
    "load",
    "select",
    "volume",
    "key slice",
    "resample 1 mm",
    "N4",
    "preprocess",
    "infer",
    "explain",
    "nomogram",
    "write",
    "total",
    "CPU",
)
_NOTES = f"""\
  Seconds, median (min-max). Warm: one process, models loaded, one uncounted run before; the chains take turns.
  CPU adds up all threads; where other work fills the machine it says more than the wall time.
  Both: every file of the study read, the same series, key slice and neighbours, Grad-CAM of the key slice, CPU.
  Plain: stock SDK loader, selector and volume operators; SimpleITK for 1 mm and N4 of the whole volume (field fitted
  at shrink {N4_SHRINK}, applied at full resolution); torchvision; pytorch-grad-cam. No geometry check, nothing written.
  GastroMAP: input gate, key slice from the SEG where none is named, nomogram, all reports and DICOM objects, written
  and read back. Its shipped profile has no N4 (CT numbers are calibrated), hence the second ratio.
  Networks of depth {_DEPTH} have random weights."""


def compare_studies(
    studies: Sequence[StudyInput], models: Path, scratch: Path, *, rounds: int, quick: bool
) -> dict[str, dict[str, object] | list[dict[str, object]]]:
    """Measure the studies warm and the first of them cold; print the tables.

    Parameters
    ----------
    studies : sequence of StudyInput
    models : Path
        Bundle with the shipped weights; left out where it has none.
    scratch : Path
        Folder for a bundle of the published depth with random weights.
    rounds : int
        Counted ones.
    quick : bool
        One step of N4: shows that it runs, not how fast.
    """
    bundles = {_OURS: random_bundle(scratch / "bundle", depth=_DEPTH)}
    if has_weights(models):
        bundles[_SHIPPED] = models
    warm = [_warm(study, bundles, rounds=rounds, quick=quick) for study in studies]
    cold = _cold(studies[0], bundles, repeats=rounds)
    print(_NOTES, end="\n\n", flush=True)
    return {"warm": warm, "cold": cold}


def _warm(study: StudyInput, bundles: dict[str, Path], *, rounds: int, quick: bool) -> dict[str, object]:
    # The device is the CPU for all: the plain chain is not written for another one.
    stagers = {name: TStager.load(path, device=torch.device("cpu")) for name, path in bundles.items()}
    plain = PlainChain(depth=_DEPTH, n4_iterations=(1,) if quick else N4_ITERATIONS)
    ours: dict[str, list[StudyRun]] = {name: [] for name in stagers}
    peer: list[dict[str, float]] = []
    for _ in range(rounds + 1):
        for name, stager in stagers.items():
            ours[name].append(run_study(study, stager))
        told = ours[_OURS][-1]
        peer.append(plain.run(study.folder, series_uid=told.series_uid, key_position_mm=told.key_position_mm))
    samples = {name: stage_samples([run.seconds for run in runs[1:]]) for name, runs in ours.items()}
    samples[_PLAIN] = stage_samples(peer[1:])
    names = [_PLAIN, _OURS, _SHIPPED]
    rows = [
        [stage, *(str(samples[name].get(stage, "-")) if name in samples else "no weights" for name in names)]
        for stage in _STAGES
    ]
    print(render(f"Warm, seconds a study: {study.name}; {rounds} counted runs each", ["stage", *names], rows))
    total = {name: stages["total"].median for name, stages in samples.items()}
    ratios = {name: round(total[_PLAIN] / total[name], 2) for name in stagers}
    without_n4 = {
        name: round((total[_PLAIN] - samples[_PLAIN]["N4"].median) / seconds, 2)
        for name, seconds in total.items()
        if name != _PLAIN
    }
    for name, ratio in ratios.items():
        print(f"  plain / {name}: {ratio:.1f} (aim 5 or more); without N4 {without_n4[name]:.1f}")
    print()
    sys.stdout.flush()
    return {
        "study": study.name,
        "seconds": {
            name: {stage: sample.to_json() for stage, sample in stages.items()} for name, stages in samples.items()
        },
        "plain_to_ours": ratios,
        "plain_without_n4_to_ours": without_n4,
    }


def _cold(study: StudyInput, bundles: dict[str, Path], *, repeats: int) -> dict[str, object]:
    runs = measure_cold(study, bundles, repeats=repeats)
    samples = {name: Sample(tuple(run.wall for run in values)) for name, values in runs.items()}
    processor = {name: Sample(tuple(run.cpu for run in values)) for name, values in runs.items()}
    ratios = {name: round(sample.median / samples[BARE].median, 2) for name, sample in samples.items()}
    cpu_ratios = {name: round(sample.median / processor[BARE].median, 2) for name, sample in processor.items()}
    rows = [
        [name, str(samples[name]), f"{ratios[name]:.2f}", str(processor[name]), f"{cpu_ratios[name]:.2f}"]
        for name in runs
    ]
    if _SHIPPED not in samples:
        rows.append([_SHIPPED, "no weights", "-", "-", "-"])
    title = f"Cold, seconds of a whole process: {study.name}; {repeats} counted runs each, in turns, disk cache warm"
    print(render(title, ["process", "wall", "to bare (aim <= 1.3)", "CPU", "to bare"], rows), end="\n\n")
    return {
        "study": study.name,
        "seconds": {name: sample.to_json() for name, sample in samples.items()},
        "cpu_seconds": {name: sample.to_json() for name, sample in processor.items()},
        "ratio_to_bare_import": {name: ratio for name, ratio in ratios.items() if name != BARE},
        "cpu_ratio_to_bare_import": {name: ratio for name, ratio in cpu_ratios.items() if name != BARE},
    }
