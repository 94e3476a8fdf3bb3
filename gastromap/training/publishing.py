"""From a finished training to a bundle that the application runs: weights, calibration, Rad-score, nomogram."""

from __future__ import annotations

import csv
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gastromap.calibration import feature_distance_limit, fit_calibration
from gastromap.errors import GastromapError
from gastromap.evaluation.report import evaluate_predictions
from gastromap.evaluation.stages import STAGES
from gastromap.model_card import CARD_NAME, WEIGHTS_NAME, ModelCard
from gastromap.nomogram import fit_nomogram
from gastromap.preprocessing import SlicePreprocessing
from gastromap.rad_score import RadScore, fit_rad_score
from gastromap.training.datalist import read_datalist
from gastromap.training.evaluating import prediction_rows
from gastromap.training.records import RecordOutput, run_records
from gastromap.training.stored_weights import check_run, install, store_weights

__all__ = ["headline", "publish"]

_log = logging.getLogger(__name__)
_FILES = (WEIGHTS_NAME, CARD_NAME, "calibration.json", "rad_score.json", "nomogram.json")
#: More training cases do not move a LASSO of 30 features, and take minutes.
_MOST_LASSO_CASES = 1500


def publish(
    run: Path,
    data: Path,
    bundle: Path,
    *,
    command: str,
    cohort: str | None = None,
    precision: str = "float16",
    seed: int = 0,
    progress: Callable[[str], Callable[[], None]] = lambda _: lambda: None,
) -> dict[str, Any]:
    """Fit everything that belongs to a checkpoint and put it into a bundle.

    Temperature and prediction sets are fitted on the validation patients; the Rad-score on the training patients;
    the nomogram on the validation patients, which neither network nor Rad-score has seen.

    Parameters
    ----------
    run : Path
        Folder with ``model.pt`` and ``model.json`` of a training.
    data : Path
        Folder with ``datalist.json`` and, for the nomogram, ``clinical.csv``.
    bundle : Path
        Bundle folder; its ``models/`` receives the files, all or none.
    command : str
        The training command, for the card.
    cohort : str, optional
        Name of the patients in ``data``, where they are others than those the weights were trained on.
    precision : {"float16", "float32"}
        Of the stored weights; everything is fitted with the stored ones.
    seed : int
        Of folds and bootstrap.
    progress : callable
        Gets the name of a split and returns a function that is called after each record.

    Returns
    -------
    dict
        The metrics written into the card.

    Raises
    ------
    UsageError
        ``PUBLISH_INPUT`` if the run has no weights, or a code of the fits.
    """
    card = ModelCard.read(run)
    check_run(run)
    fitted_on = cohort or card.trained_on
    splits = read_datalist(data)
    with tempfile.TemporaryDirectory(prefix="gastromap-publish-") as scratch:
        staging = Path(scratch)
        sha256 = store_weights(run, staging / WEIGHTS_NAME, precision=precision)
        card = card.published(weights_sha256=sha256, training={})
        network = card.load_weights(staging)
        preprocess = SlicePreprocessing(card.profile())

        def outputs(split: str) -> list[RecordOutput]:
            return list(
                run_records(splits[split], network, preprocess, device=torch.device("cpu"), progress=progress(split))
            )

        training, validation = outputs("training"), outputs("validation")
        _log.info("fitting Rad-score")
        score = _fit_score(training, seed=seed, trained_on=fitted_on)
        score.save(staging / "rad_score.json")
        calibration = fit_calibration(
            np.concatenate([o.logits for o in validation]),
            np.concatenate([[o.label] * len(o.logits) for o in validation]),
            [o.patient_id for o in validation for _ in o.logits],
            distance_limit=feature_distance_limit(score.distance(np.stack([o.features[o.key] for o in training]))),
            weights_sha256=sha256,
            fitted_on=f"{fitted_on}, validation patients",
        )
        calibration.save(staging / "calibration.json")
        nomogram = _fit_nomogram(validation, score, data / "clinical.csv", fitted_on)
        if nomogram is not None:
            nomogram.save(staging / "nomogram.json")
        metrics = {
            "validation": evaluate_predictions(prediction_rows(validation, calibration), seed=seed),
        }
        card = card.published(
            weights_sha256=sha256,
            training={
                "command": command,
                "precision": precision,
                "data": _data_of(splits),
                "metrics": {split: headline(values) for split, values in metrics.items()},
            },
        )
        card.write(staging)
        install(staging, bundle / "models", _FILES)
    return metrics


def _fit_score(outputs: Sequence[RecordOutput], *, seed: int, trained_on: str) -> RadScore:
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.permutation(len(outputs))[:_MOST_LASSO_CASES])
    return fit_rad_score(
        np.stack([outputs[i].features[outputs[i].key] for i in chosen]),
        [outputs[i].label for i in chosen],
        seed=seed,
        trained_on=f"{trained_on}, training patients",
    )


def _fit_nomogram(outputs: Sequence[RecordOutput], score: RadScore, table: Path, trained_on: str) -> Any:
    """Refit the nomogram, or say in the log why it stays the published one."""
    if not table.is_file():
        _log.warning("no clinical.csv: the bundle keeps the published nomogram")
        return None
    with table.open(encoding="utf-8-sig", newline="") as stream:
        rows = {row["patient_id"]: row for row in csv.DictReader(stream)}
    known = [o for o in outputs if o.patient_id in rows]
    columns: Mapping[str, list[Any]] = {
        "rad_score": [float(score.score(o.features[o.key])) for o in known],
        "stage": [STAGES[o.label] for o in known],
        "PatientID": [o.patient_id for o in known],
        "tumour_size_cm": [_number_or_text(rows[o.patient_id]["tumour_size_cm"]) for o in known],
        "differentiation": [rows[o.patient_id]["differentiation"] for o in known],
        "lauren": [rows[o.patient_id]["lauren"] for o in known],
    }
    try:
        return fit_nomogram(columns, trained_on=f"the {trained_on} cohort")
    except GastromapError as error:
        _log.warning("the bundle keeps the published nomogram: %s", error)
        return None


def _number_or_text(cell: str) -> float | str | None:
    """Read a cell; the fit leaves out rows without a value and refuses text by name."""
    text = (cell or "").strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _data_of(splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, int]:
    return {split: len({record["patient_id"] for record in records}) for split, records in splits.items()}


def headline(report: Mapping[str, Any]) -> dict[str, Any]:
    """The whole-cohort figures of a report of ``evaluate_predictions``, each ``{"value", "low", "high"}``."""
    metrics = report["metrics"]
    return {
        "macro_auc": metrics["auc"]["macro"],
        "accuracy": metrics["accuracy"],
        "kappa_quadratic": metrics["kappa"]["quadratic"],
    }
