"""How a training of the longitudinal model starts: breaks, first weights, card."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gastromap.longitudinal.constants import LongitudinalConstants
from gastromap.model_card import start_volume_card
from gastromap.models.longitudinal import LongitudinalNet
from gastromap.models.longitudinal.settling import settle
from gastromap.preprocessing.pair_transforms import pair_preprocessing
from gastromap.preprocessing.volume import VolumeProfile
from gastromap.training.multitask_loss import MultitaskLoss
from gastromap.training.resuming import start_from
from gastromap.training.survival_intervals import FEWEST_DEATHS, PAPER_BREAKS, event_quantile_breaks

__all__ = ["multitask_loss", "start_pair_card", "start_weights", "training_breaks"]

_log = logging.getLogger(__name__)

#: End of the only interval where nobody's survival is known.
_MONTHS_WITHOUT_LABELS = 60.0
#: Patients whose scans are shown to an encoder before it is used.
_SHOWN = 4


def training_breaks(targets: Tensor, wanted: str | Sequence[float] = "quantiles") -> tuple[float, ...]:
    """Breaks of the survival intervals in months.

    Parameters
    ----------
    targets : Tensor, shape (n_patients, 3)
        Of the training patients: LNM, death, months.
    wanted : {"quantiles", "paper"} or sequence of float
        Quantiles of the deaths; the fixed ones of the paper; or these. Too few deaths for quantiles make one interval
        up to the longest follow-up.

    Raises
    ------
    UsageError
        ``SURVIVAL_LABELS`` if times or deaths are impossible.
    """
    if wanted == "paper":
        return PAPER_BREAKS
    if isinstance(wanted, str):
        months, death = targets[:, 2].numpy(), targets[:, 1].numpy()
        deaths = int((death[np.isfinite(months)] > 0).sum())
        if deaths >= FEWEST_DEATHS:
            return event_quantile_breaks(months, death)
        _log.warning("%d deaths: one survival interval only, and survival can hardly be learned", deaths)
        longest = float(np.nanmax(months)) if np.isfinite(months).any() else 0.0
        return (0.0, longest if longest > 0 else _MONTHS_WITHOUT_LABELS)
    return tuple(float(value) for value in wanted)


def start_weights(
    network: LongitudinalNet,
    *,
    encoder_weights: str | Path | None = None,
    initial_weights: str | Path | None = None,
    mask_gain: float = 0.5,
    records: Sequence[Mapping[str, Any]] = (),
    profile: Mapping[str, Any] | None = None,
) -> LongitudinalNet:
    """First weights of a training.

    Parameters
    ----------
    network : LongitudinalNet
    encoder_weights : path, optional
        Weights of a segmentation network of the same preset; its encoder is taken.
    initial_weights : path, optional
        Weights of another run, for example with the encoder frozen; they take precedence.
    mask_gain : float
        What the segmentation has no weights for: the mask channel starts as if a voxel of the tumour were brighter by
        this share of the window. A frozen encoder would never learn to read a mask that starts at 0. Only the middle
        of each kernel is set, so that a channel of -1 (no mask given) adds a constant, which the first norm removes:
        with whole kernels the padding would make it an edge round the crop.
    records, profile : sequence of mapping, mapping
        Of the training, and values of ``VolumeProfile``: some scans of theirs are shown to the encoder of a
        segmentation: Mamba layers that have outgrown their stream start anew, and its maps are brought to the size that
        the head expects.

    Raises
    ------
    ModelError
        ``ENCODER_WEIGHTS``.
    """
    if initial_weights is not None:
        start_from(network, initial_weights)
    elif encoder_weights is not None:
        network.load_shared(torch.load(encoder_weights, map_location="cpu", weights_only=True))
        if network.mask_channel:
            entry = next(network.encoder.parameters())
            with torch.no_grad():
                depth, rows, columns = (side // 2 for side in entry.shape[2:])
                entry[:, 1] = 0
                entry[:, 1, depth, rows, columns] = mask_gain * entry[:, 0].sum(dim=(1, 2, 3))
        if records and profile is not None:
            settle(network, _scans(network, records[:_SHOWN], profile))
    else:
        _log.warning("no encoder_weights: the encoder starts from random weights; do not freeze it")
    return network


def _scans(network: LongitudinalNet, records: Sequence[Mapping[str, Any]], profile: Mapping[str, Any]) -> Tensor:
    """Scans of some patients as the encoder takes them."""
    prepare = pair_preprocessing(VolumeProfile.from_mapping(profile))
    found = []
    for record in records:
        item: Any = prepare(dict(record))
        masks = item["masks"][None] if network.mask_channel else None
        found.append(network.scans(item["image"][None], item["present"][None], masks)[0])
    return torch.cat(found)


def multitask_loss(
    network: LongitudinalNet, targets: Tensor, breaks_months: Sequence[float], *, penalty: float = 0.0
) -> MultitaskLoss:
    """Loss with the label shares of the training patients.

    Parameters
    ----------
    network : LongitudinalNet
    targets : Tensor, shape (n_patients, 3)
    breaks_months : sequence of K + 1 numbers
    penalty : float
        Of the squared norm of the OS head; 0.1 with the preset ``paper``, which also averages over intervals.
    """
    paper = network.preset.style == "paper"
    loss = MultitaskLoss.for_training(targets, breaks_months, over_intervals="mean" if paper else "sum")
    if penalty == 0:
        return loss
    return MultitaskLoss(
        breaks_months,
        lnm_labelled=loss.labelled[0],
        os_labelled=loss.labelled[1],
        lnm_pos_weight=loss.lnm_pos_weight,
        task_weights=loss.task_weights,
        over_intervals=loss.over_intervals,
        penalty=penalty,
        penalised=network.head.hazards.weight,
    )


def start_pair_card(
    folder: str | Path,
    *,
    network: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    breaks_months: Sequence[float],
    trained_on: str,
    notice: str,
    seed: int,
) -> None:
    """Write card and breaks when a training starts, so that its checkpoints can be evaluated while it runs.

    Parameters
    ----------
    folder : path
        Of the checkpoints.
    network : mapping
        ``type`` and the arguments of :class:`LongitudinalNet`.
    preprocessing : mapping
        Values of ``VolumeProfile``; ``patch`` is the crop.
    breaks_months : sequence of K + 1 numbers
    trained_on, notice, seed
        For the card.
    """
    start_volume_card(
        folder, network=network, preprocessing=preprocessing, trained_on=trained_on, notice=notice, seed=seed
    )
    LongitudinalConstants(breaks_months=tuple(breaks_months), preset=str(network.get("preset", "default"))).write(
        Path(folder)
    )
