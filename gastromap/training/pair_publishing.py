"""From a finished training of the longitudinal model to the bundle that the application runs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gastromap.bundle_folder import read_metadata
from gastromap.errors import UsageError
from gastromap.longitudinal.bundle import name_columns
from gastromap.longitudinal.constants import CONSTANTS_NAME, Inputs, LongitudinalConstants
from gastromap.longitudinal.outcome import outcomes
from gastromap.model_card import CARD_NAME, WEIGHTS_NAME, ModelCard
from gastromap.models.longitudinal import LongitudinalNet
from gastromap.models.longitudinal.constants import CalibrationConstants, LongitudinalCalibration
from gastromap.training.longitudinal_calibration import fit_constants
from gastromap.training.pair_datalist import read_pair_datalist, targets_of
from gastromap.training.pair_metrics import lnm_auc, os_concordance
from gastromap.training.pair_outputs import EncodedPair, encode_records, judge_pairs
from gastromap.training.stored_weights import check_run, install, store_weights
from gastromap.training.survival_intervals import FEWEST_DEATHS

__all__ = ["publish_pairs", "scarcity"]

_log = logging.getLogger(__name__)
_INPUTS: tuple[Inputs, ...] = ("pair", "baseline_only", "followup_only")


def publish_pairs(
    run: Path,
    data: Path,
    bundle: Path,
    *,
    command: str,
    precision: str = "float16",
    progress: Callable[[str], Callable[[], None]] = lambda _: lambda: None,
) -> dict[str, dict[str, float]]:
    """Fit the numbers that belong to a checkpoint and put both into a bundle.

    Calibration is fitted on the validation patients, apart for pairs, first scans alone and second scans alone; the
    medians that part high from low risk come from the training patients. Everything is fitted with the stored weights.

    Parameters
    ----------
    run : Path
        Folder with ``model.pt``, ``model.json`` and ``longitudinal.json`` of a training.
    data : Path
        Folder with ``datalist.json``.
    bundle : Path
        Its ``models/`` receives the three files, all or none; its metadata name the outputs of this network.
    command : str
        The training command, for the card.
    precision : {"float16", "float32"}
        Of the stored weights.
    progress : callable
        Gets the name of a split and returns a function that is called after each patient.

    Returns
    -------
    dict
        By inputs: ``lnm_auc`` and ``os_c`` of the validation patients, ``patients``. Slopes do not change them, so
        they are those of the uncalibrated predictions.

    Raises
    ------
    UsageError
        ``PUBLISH_INPUT`` if the run has no weights or the datalist no patients to fit on.
    ModelError
        ``BUNDLE_METADATA`` if the bundle has none, and as of card and weights.
    """
    card, constants = ModelCard.read(run), LongitudinalConstants.read(run)
    splits = read_pair_datalist(data)
    _check(run, splits["training"], splits["validation"])
    read_metadata(bundle)
    with tempfile.TemporaryDirectory(prefix="gastromap-publish-") as scratch:
        staging = Path(scratch)
        sha256 = store_weights(run, staging / WEIGHTS_NAME, precision=precision)
        card = card.published(weights_sha256=sha256, training={})
        network: LongitudinalNet = card.load_weights(staging)
        encoded = {
            split: encode_records(splits[split], network, card.volume_profile(), progress=progress(split))
            for split in ("training", "validation")
        }
        constants = replace(
            constants,
            calibration=LongitudinalCalibration(
                **{inputs: _fitted(network, encoded["validation"], inputs, constants) for inputs in _INPUTS}
            ),
            weights_sha256=sha256,
            fitted_on=f"{card.trained_on}, validation patients",
        )
        constants = replace(constants, os_risk_median=_medians(network, encoded["training"], constants))
        metrics: dict[str, dict[str, float]] = {
            inputs: figures
            for inputs in _INPUTS
            if (figures := _figures(network, encoded["validation"], inputs, constants)) is not None
        }
        scarce = scarcity(targets_of(splits["training"]))
        card = replace(card, notice=" ".join((card.notice, *scarce)).strip()).published(
            weights_sha256=sha256,
            training={
                "command": command,
                "precision": precision,
                "data": {split: len(records) for split, records in splits.items()},
                "metrics": {"validation": metrics},
            },
        )
        card.write(staging)
        constants.write(staging)
        name_columns(bundle, len(constants.breaks_months) - 1)
        install(staging, bundle / "models", (WEIGHTS_NAME, CARD_NAME, CONSTANTS_NAME))
    return metrics


def scarcity(targets: Tensor) -> tuple[str, ...]:
    """What has to be said of a task that hardly anybody was labelled for; part of the card's notice.

    Parameters
    ----------
    targets : Tensor, shape (n_patients, 3)
        LNM, death, months of the training patients; NaN where missing.

    Returns
    -------
    tuple of str
        One sentence for each such task.
    """
    lnm, death = targets[:, 0], targets[torch.isfinite(targets[:, 2]), 1]
    positive, negative, died = int((lnm > 0).sum()), int((lnm == 0).sum()), int((death > 0).sum())
    said = []
    if min(positive, negative) < FEWEST_DEATHS:
        said.append(f"Node metastasis rests on {positive} patients with and {negative} without it: do not rely on it.")
    if died < FEWEST_DEATHS:
        said.append(f"Survival rests on {died} deaths: do not rely on it.")
    return tuple(said)


def _check(run: Path, training: Sequence[Any], validation: Sequence[Any]) -> None:
    check_run(run)
    if not training or not validation:
        raise UsageError(
            "PUBLISH_INPUT",
            where="datalist",
            expected="training and validation patients",
            got="none on one of the sides",
            remedy="Name the datalist of the training.",
        )


def _shown(
    network: LongitudinalNet, pairs: Sequence[EncodedPair], inputs: Inputs
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Logits, present and targets of the patients who have these scans; None without any."""
    found = [pair for pair in pairs if pair.shows(inputs)]
    if not found:
        return None
    logits, present = judge_pairs(network, found, inputs)
    return logits, present, targets_of([dict(pair.record) for pair in found])


def _fitted(
    network: LongitudinalNet, pairs: Sequence[EncodedPair], inputs: Inputs, constants: LongitudinalConstants
) -> CalibrationConstants:
    """Constants of one kind of input; the identity, with a word in the log, where the patients do not allow a fit."""
    shown = _shown(network, pairs, inputs)
    if shown is None:
        _log.warning("%s: no validation patient, left uncalibrated", inputs)
        return CalibrationConstants()
    logits, _, target = shown
    try:
        fitted = fit_constants(logits, target, constants.breaks_months)
    except UsageError as error:
        if error.code != "CALIBRATION_FIT":
            raise
        _log.warning("%s: left uncalibrated: %s", inputs, error)
        return CalibrationConstants()
    # A falling line would turn the order round: what the validation cannot confirm is not calibrated.
    if fitted.lnm_slope <= 0:
        _log.warning("%s: node metastasis left uncalibrated, its slope would be negative", inputs)
        fitted = replace(fitted, lnm_offset=0.0, lnm_slope=1.0)
    if fitted.os_slope <= 0:
        _log.warning("%s: survival left uncalibrated, its slope would be negative", inputs)
        fitted = replace(fitted, os_offset=0.0, os_slope=1.0)
    return fitted


def _medians(
    network: LongitudinalNet, pairs: Sequence[EncodedPair], constants: LongitudinalConstants
) -> dict[str, float]:
    found: dict[str, float] = {}
    for inputs in _INPUTS:
        shown = _shown(network, pairs, inputs)
        if shown is not None:
            logits, present, _ = shown
            found[inputs] = float(np.median([o.os_risk for o in outcomes(logits, present, constants)]))
    return found


def _figures(
    network: LongitudinalNet, pairs: Sequence[EncodedPair], inputs: Inputs, constants: LongitudinalConstants
) -> dict[str, float] | None:
    shown = _shown(network, pairs, inputs)
    if shown is None:
        return None
    logits, _, target = shown
    figures = {"lnm_auc": lnm_auc(logits, target), "os_c": os_concordance(logits, target, constants.breaks_months)}
    # JSON has no NaN: a figure that these patients do not define is left out.
    return {**{k: v for k, v in figures.items() if np.isfinite(v)}, "patients": len(target)}
