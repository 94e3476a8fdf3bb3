"""``python -m benchmarks``: GastroMAP beside the plain chain (warm), the bare SDK import (cold) and other readers."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.cold import BARE, measure_cold
from benchmarks.inputs import (
    REPOSITORY,
    StudyInput,
    compressed_copy,
    has_weights,
    portal_series,
    random_bundle,
    real_study,
    synthetic_study,
)
from benchmarks.machine import load_average, machine
from benchmarks.plain import N4_ITERATIONS, N4_SHRINK, PlainChain
from benchmarks.reading import READING_NOTES, compare_reading
from benchmarks.study import StudyRun, run_study
from benchmarks.table import Sample, render, stage_samples
from gastromap.staging import TStager

__all__ = ["main"]

_SECTIONS = ("study", "reading")
#: Reading takes a second or less where a study takes many.
_READING_ROUNDS = 3
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


@dataclass(frozen=True)
class _Settings:
    rounds: int
    cold_repeats: int
    matrix: int
    n4_iterations: tuple[int, ...]
    models: Path
    with_real: bool
    sections: tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write the JSON; return the exit status."""
    parser = argparse.ArgumentParser(prog="./run bench", description="Measure speed against named peers.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round, small synthetic study, one step of N4: shows that it runs, not how fast",
    )
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds (default: %(default)s)")
    parser.add_argument("--only", choices=_SECTIONS, help="one section: whole studies, or reading a series")
    parser.add_argument(
        "-m", "--model", type=Path, default=REPOSITORY / "bundles", help="shipped bundle (default: bundles)"
    )
    given = parser.parse_args(argv)
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    rounds = 1 if given.quick else max(given.rounds, 1)
    settings = _Settings(
        rounds=rounds,
        cold_repeats=rounds,
        matrix=128 if given.quick else 512,
        n4_iterations=(1,) if given.quick else N4_ITERATIONS,
        models=given.model.resolve(),
        with_real=not given.quick,
        sections=_SECTIONS if given.only is None else (given.only,),
    )
    report = _measure(settings)
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _measure(settings: _Settings) -> dict[str, object]:
    facts: dict[str, object] = {**machine(torch.device("cpu")), "load_average_at_start": load_average()}
    print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items()), end="\n\n", flush=True)
    report: dict[str, object] = {"machine": facts}
    with tempfile.TemporaryDirectory(prefix="gastromap-bench-") as folder:
        scratch = Path(folder)
        synthetic = synthetic_study(scratch / "study", matrix=settings.matrix)
        real = real_study() if settings.with_real else None
        if "study" in settings.sections:
            report |= _studies(synthetic, real, scratch, settings)
        if "reading" in settings.sections:
            report["reading"] = _reading(synthetic, real, scratch, settings)
    facts["load_average_at_end"] = load_average()
    print(f"  Load average at the start {facts['load_average_at_start']}, at the end {facts['load_average_at_end']}.")
    return report


def _studies(
    synthetic: StudyInput, real: StudyInput | None, scratch: Path, settings: _Settings
) -> dict[str, dict[str, object] | list[dict[str, object]]]:
    bundles = {_OURS: random_bundle(scratch / "bundle", depth=_DEPTH)}
    if has_weights(settings.models):
        bundles[_SHIPPED] = settings.models
    warm = [_warm(study, bundles, settings) for study in (synthetic, real) if study is not None]
    cold = _cold(synthetic, bundles, repeats=settings.cold_repeats)
    print(_NOTES, end="\n\n", flush=True)
    return {"warm": warm, "cold": cold}


def _reading(
    synthetic: StudyInput, real: StudyInput | None, scratch: Path, settings: _Settings
) -> list[dict[str, object]]:
    if real is None:
        reason = "was not found, see GASTROMAP_DATA" if settings.with_real else "is left out"
        print(f"Reading: the public series TCGA-AY-4070 {reason}; a synthetic series stands in for it.\n")
    series = real or portal_series(synthetic, scratch / "series")
    inputs = (series, compressed_copy(series, scratch / "compressed"))
    found = [
        compare_reading(item, rounds=settings.rounds * _READING_ROUNDS, cold_rounds=settings.cold_repeats)
        for item in inputs
    ]
    print(READING_NOTES, flush=True)
    return found


def _warm(study: StudyInput, bundles: dict[str, Path], settings: _Settings) -> dict[str, object]:
    # The device is the CPU for all: the plain chain is not written for another one.
    stagers = {name: TStager.load(path, device=torch.device("cpu")) for name, path in bundles.items()}
    plain = PlainChain(depth=_DEPTH, n4_iterations=settings.n4_iterations)
    ours: dict[str, list[StudyRun]] = {name: [] for name in stagers}
    peer: list[dict[str, float]] = []
    for _ in range(settings.rounds + 1):
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
    print(render(f"Warm, seconds a study: {study.name}; {settings.rounds} counted runs each", ["stage", *names], rows))
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


if __name__ == "__main__":
    sys.exit(main())
