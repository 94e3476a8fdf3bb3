"""Evaluate a published bundle on a datalist by the rules of the application."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gastromap.bundle import Bundle
from gastromap.calibration import Calibration, Vote, vote
from gastromap.evaluation.metrics import dice
from gastromap.evaluation.report import evaluate_predictions
from gastromap.evaluation.stages import STAGES
from gastromap.explain import explanation, otsu_mask
from gastromap.preprocessing import SlicePreprocessing
from gastromap.staging import best_device
from gastromap.training.datalist import read_datalist
from gastromap.training.recalibration import LabelledLogits, set_quality
from gastromap.training.records import RecordOutput, run_records

__all__ = ["evaluate_bundle", "prediction_rows"]


def prediction_rows(outputs: Sequence[RecordOutput], calibration: Calibration) -> list[dict[str, Any]]:
    """One row a patient: true stage, calibrated mean probabilities, stage by majority vote."""
    return [_row(output, vote(calibration.apply(output.logits))) for output in outputs]


def _row(output: RecordOutput, ballot: Vote) -> dict[str, Any]:
    return {
        "PatientID": output.patient_id,
        "stage": STAGES[output.label],
        **{f"prob_{stage}": float(p) for stage, p in zip(STAGES, ballot.probabilities, strict=True)},
        "predicted": STAGES[ballot.stage],
    }


def evaluate_bundle(
    models: Path,
    data: Path,
    out: Path,
    *,
    split: str = "test",
    seed: int = 0,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Run a bundle over a split and write ``predictions.csv`` and ``metrics.json``.

    Parameters
    ----------
    models : Path
        Folder that holds the bundle, or the bundle.
    data : Path
        Folder with ``datalist.json``; where records have masks, Grad-CAM is compared with them.
    out : Path
        Folder for the two files; made if missing.
    split : {"training", "validation", "test"}
    seed : int
        Of the bootstrap.
    progress : callable
        Called after each record.

    Returns
    -------
    dict
        Metrics with 95 % intervals; ``prediction_sets`` as :func:`gastromap.training.recalibration.set_quality`, with
        ``confidently_staged``; ``grad_cam`` holds the mean Dice of the binarised map with the tumour mask and
        that of a disc of equal area in the middle of the body field.
    """
    bundle = Bundle.find(models)
    device = best_device()
    network = bundle.card.load_weights(bundle.models).to(device)
    records = read_datalist(data)[split]
    preprocess = SlicePreprocessing(bundle.card.profile())
    rows: list[dict[str, Any]] = []
    overlap: list[tuple[int, float, float]] = []
    confident = 0
    cases: list[LabelledLogits] = []
    for output in run_records(records, network, preprocess, device=device, progress=progress):
        _, ballot, confidence, _ = bundle.judge(output.logits, output.features[output.key])
        cases.append(LabelledLogits(output.patient_id, output.label, output.logits))
        confident += confidence.staged
        rows.append(_row(output, ballot))
        if output.mask is not None and output.mask.any():
            overlap.append((output.label, *_overlap(output, network, ballot.stage, device)))
    metrics = evaluate_predictions(rows, seed=seed)
    metrics["prediction_sets"] = {
        **set_quality(cases, [bundle.calibration] * len(cases)),
        "confidently_staged": confident / len(rows),
    }
    if overlap:
        metrics["grad_cam"] = _overlap_summary(overlap)
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    with (out / "predictions.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return metrics


def _overlap(output: RecordOutput, network: Any, stage: int, device: torch.device) -> tuple[float, float]:
    """Dice of the tumour with the binarised map, and with a centred disc of the same area."""
    assert output.mask is not None  # noqa: S101
    maps = output.maps[output.key : output.key + 1].clone().to(device)
    small = explanation(maps, network, target=stage)[0]
    heatmap = output.prepared.to_slice(small)
    marked = otsu_mask(heatmap)
    size = output.prepared.tensor.shape[-1]
    field = output.prepared.to_slice(np.ones((size, size), np.float32)) > 0
    rows, columns = np.nonzero(field)
    centre = (rows.mean(), columns.mean()) if rows.size else (0.0, 0.0)
    y, x = np.ogrid[: marked.shape[0], : marked.shape[1]]
    radius = np.sqrt(max(int(marked.sum()), 1) / np.pi)
    disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
    return dice(marked, output.mask), dice(disc, output.mask)


def _overlap_summary(overlap: Sequence[tuple[int, float, float]]) -> dict[str, Any]:
    labels, cam, disc = (np.asarray(column) for column in zip(*overlap, strict=True))
    return {
        "dice": float(cam.mean()),
        "dice_of_centred_disc": float(disc.mean()),
        "dice_by_stage": {STAGES[k]: float(cam[labels == k].mean()) for k in range(4) if (labels == k).any()},
        "cases": len(cam),
    }
