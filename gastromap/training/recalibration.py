"""Fit temperature and prediction sets again with labelled patients of one site; weights and nomogram stay."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gastromap.bundle import Bundle
from gastromap.calibration import Calibration, expected_calibration_error, fit_calibration, prediction_set, vote
from gastromap.errors import UsageError
from gastromap.evaluation.conformal import conformal_rank
from gastromap.evaluation.endpoint_report import exact_interval
from gastromap.files import check_none_exists, unwritable
from gastromap.preprocessing import SlicePreprocessing
from gastromap.staging import best_device
from gastromap.training.datalist import read_datalist
from gastromap.training.records import run_records

__all__ = ["MINIMUM_PATIENTS", "LabelledLogits", "coverage_range", "recalibrate", "set_quality"]

#: Below this the coverage that a threshold really has is anybody's guess (:func:`coverage_range`: 0.81 to 0.97 at 50).
MINIMUM_PATIENTS = 50
_FOLDS = 5


@dataclass(frozen=True)
class LabelledLogits:
    """What the network says of one patient whose stage is known."""

    patient_id: str
    label: int  #: 0 is T1
    logits: NDArray[np.floating]  #: (slices, classes)


def set_quality(cases: Sequence[LabelledLogits], calibrations: Sequence[Calibration]) -> dict[str, Any]:
    """How often prediction sets hold the stage and how well probabilities are calibrated.

    Parameters
    ----------
    cases : sequence of LabelledLogits
        One a patient.
    calibrations : sequence of Calibration
        The one that judges each case; the same length.

    Returns
    -------
    dict
        ``coverage`` with the exact binomial 95 % interval ``coverage_low`` and ``coverage_high`` (Clopper and Pearson),
        ``nominal``, ``stages_per_set``, ``calibration_error`` (15 bins, calibrated), ``calibration_error_before`` (of
        the plain softmax) and ``patients``.
    """
    plain = np.stack([vote(Calibration.none().apply(case.logits)).probabilities for case in cases])
    calibrated = np.stack(
        [vote(c.apply(case.logits)).probabilities for case, c in zip(cases, calibrations, strict=True)]
    )
    labels = [case.label for case in cases]
    sets = [prediction_set(p, c.conformal_threshold) for p, c in zip(calibrated, calibrations, strict=True)]
    held = sum(label in stages for label, stages in zip(labels, sets, strict=True))
    low, high = exact_interval(held, len(cases))
    return {
        "coverage": held / len(cases),
        "coverage_low": low,
        "coverage_high": high,
        "nominal": calibrations[0].coverage,
        "stages_per_set": float(np.mean([len(stages) for stages in sets])),
        "calibration_error_before": expected_calibration_error(plain, labels),
        "calibration_error": expected_calibration_error(calibrated, labels),
        "patients": len(cases),
    }


def coverage_range(patients: int, *, coverage: float = 0.9, level: float = 0.95) -> tuple[float, float]:
    """Range of the coverage that a threshold fitted on so many patients has on all others.

    The coverage follows a beta distribution (Vovk, "Conditional validity of inductive conformal predictors", 2012).

    Parameters
    ----------
    patients : int
        From 1; with too few for the coverage all stages are in the set, and the range is (1, 1).
    coverage, level : float
        Nominal coverage, and probability of the range.
    """
    from scipy.stats import beta

    rank = conformal_rank(patients, coverage)
    if rank > patients:
        return 1.0, 1.0
    low, high = beta.interval(level, rank, patients + 1 - rank)
    return float(low), float(high)


def recalibrate(
    models: Path,
    data: Path,
    out: Path,
    *,
    site: str,
    split: str = "test",
    coverage: float | None = None,
    seed: int = 0,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Write a copy of a bundle whose temperature and prediction sets were fitted on patients of one site.

    Parameters
    ----------
    models : Path
        Folder that holds the bundle, or the bundle.
    data : Path
        Folder with ``datalist.json``; the patients must not have trained the network.
    out : Path
        Folder of the new bundle; must not exist.
    site : str
        Name of the patients, for results and reports.
    split : {"training", "validation", "test"}
    coverage : float, optional
        Of the prediction sets; as before by default.
    seed : int
        Of the folds.
    progress : callable
        Called after each record.

    Returns
    -------
    dict
        ``as_published`` and ``recalibrated``, each as :func:`set_quality`. The second is measured on patients that the
        fit had not seen (five folds); what is written was fitted on all.

    Raises
    ------
    UsageError
        ``RECALIBRATE_PATIENTS``: fewer than :data:`MINIMUM_PATIENTS` patients, or one twice.
    OutputError
        ``OUTPUT_EXISTS`` or ``OUTPUT_UNWRITABLE``.
    """
    check_none_exists(out.parent, [out.name])
    bundle = Bundle.find(models)
    device = best_device()
    network = bundle.card.load_weights(bundle.models).to(device)
    records = read_datalist(data)[split]
    patients = {str(record["patient_id"]) for record in records}
    if len(patients) < MINIMUM_PATIENTS or len(patients) != len(records):
        raise UsageError(
            "RECALIBRATE_PATIENTS",
            where=f"{split} records",
            expected=f"{MINIMUM_PATIENTS} patients or more, one record each",
            got=f"{len(records)} records of {len(patients)} patients",
            remedy="Add patients, or name another split (--split).",
        )
    preprocess = SlicePreprocessing(bundle.card.profile())
    cases = [
        LabelledLogits(output.patient_id, output.label, output.logits)
        for output in run_records(records, network, preprocess, device=device, progress=progress)
    ]
    wanted = bundle.calibration.coverage if coverage is None else coverage

    def fitted(chosen: Sequence[LabelledLogits]) -> Calibration:
        found = fit_calibration(
            np.concatenate([case.logits for case in chosen]),
            np.concatenate([[case.label] * len(case.logits) for case in chosen]),
            [case.patient_id for case in chosen for _ in case.logits],
            coverage=wanted,
            weights_sha256=bundle.card.weights_sha256,
            fitted_on=site,
        )
        # What is unlike the training images does not depend on who calibrates.
        return replace(found, feature_distance_limit=bundle.calibration.feature_distance_limit)

    fold = np.random.default_rng(seed).permutation(len(cases)) % _FOLDS
    of_fold = [fitted([case for case, f in zip(cases, fold, strict=True) if f != k]) for k in range(_FOLDS)]
    quality = {
        "as_published": set_quality(cases, [bundle.calibration] * len(cases)),
        "recalibrated": set_quality(cases, [of_fold[f] for f in fold]),
    }
    _write(bundle, fitted(cases), out)
    return quality


def _write(bundle: Bundle, calibration: Calibration, out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
            copy = Path(scratch) / "bundle"
            shutil.copytree(bundle.folder, copy, ignore=shutil.ignore_patterns("eval", "__pycache__", "*.partial"))
            calibration.save(copy / "models" / "calibration.json")
            copy.rename(out)
    except OSError as error:
        raise unwritable(error) from error
