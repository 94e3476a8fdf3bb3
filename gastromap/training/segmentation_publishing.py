"""From two finished trainings to a segmentation bundle that the application runs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.utils import ensure_tuple

from gastromap.evaluation.metrics import dice
from gastromap.model_card import CARD_NAME, WEIGHTS_NAME, ModelCard
from gastromap.preprocessing.transforms import RAS_TO_LPS
from gastromap.segmentation.finder import TumourFinder
from gastromap.segmentation.limits import FinderLimits
from gastromap.segmentation.stomach import COARSE_CARD, COARSE_WEIGHTS
from gastromap.segmentation.weights import (
    LOOK_CARD,
    LOOK_PREFIX,
    LOOK_WEIGHTS,
    WALL_CARD,
    WALL_WEIGHTS,
    finder_limits,
)
from gastromap.training.stored_weights import check_run, install, store_part, store_weights
from gastromap.training.volume_datalist import read_volume_datalist

__all__ = ["finder_metrics", "publish_segmentation", "publish_wall"]

_log = logging.getLogger(__name__)
_FINDER_FILES = (COARSE_WEIGHTS, COARSE_CARD, WEIGHTS_NAME, CARD_NAME, LOOK_WEIGHTS, LOOK_CARD)
#: Overlap from which a tumour counts as found.
_FOUND = 0.1


def publish_segmentation(
    fine: Path | Sequence[Path],
    coarse: Path,
    data: Path | Sequence[Path],
    bundle: Path,
    *,
    command: str,
    second_look: Path | None = None,
    tumour_value: int = 2,
    limits: Mapping[str, Any] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Put the weights of both networks into a bundle, in half precision, with cards, hashes and validation figures.

    Parameters
    ----------
    fine : Path, or several
        Folder with ``model.pt`` and ``model.json`` of a training; of several stages, the mean of the weights is taken.
    coarse : Path
        Of the training of the coarse network.
    data : Path, or several
        Folders with ``datalist.json``: whole volumes; those of the validation are searched.
    bundle : Path
        Its ``models/`` receives the files, all or none.
    command : str
        The training commands, for the cards.
    second_look : Path, optional
        Of the training of a second look behind the weights of ``fine``.
    tumour_value : int
        Of the masks.
    limits : mapping, optional
        Values of :class:`gastromap.segmentation.FinderLimits` that differ from the defaults; the window is that of the
        training unless it is given.
    progress : callable
        Called after each volume.

    Returns
    -------
    dict
        Of :func:`finder_metrics`.

    Raises
    ------
    UsageError
        ``PUBLISH_INPUT`` if a run has no weights, stages do not fit together or the second look was trained behind
        other weights, or a code of the datalist.
    """
    stages: tuple[Path, ...] = ensure_tuple(fine)
    for folder in (*stages, coarse, *([second_look] if second_look else [])):
        check_run(folder)
    splits = read_volume_datalist(data)
    with tempfile.TemporaryDirectory(prefix="gastromap-publish-") as scratch:
        staging = Path(scratch)
        made = _facts(command, splits)
        coarse_card = _halved([coarse], staging, COARSE_WEIGHTS, made)
        # The norms of the network were trained on windows of one size.
        used = {"window": ModelCard.read(stages[-1]).volume_profile().patch, **(limits or {})}
        # All of them: defaults of a later version must not change what published weights find.
        made["limits"] = asdict(FinderLimits.from_mapping(used))
        card, card_name = _halved(stages, staging, WEIGHTS_NAME, made), CARD_NAME
        coarse_card.write(staging, COARSE_CARD)
        card.write(staging)
        if second_look is not None:
            sha256 = store_part(second_look, staging / LOOK_WEIGHTS, LOOK_PREFIX, behind=staging / WEIGHTS_NAME)
            card = _finished(second_look, sha256, made)
            card_name = LOOK_CARD
            card.write(staging, card_name)
        metrics = _measured(staging, card, card_name, splits, tumour_value=tumour_value, progress=progress)
        # A wall network brings limits for the networks that it was published with.
        names = (*_FINDER_FILES, WALL_WEIGHTS, WALL_CARD)
        install(staging, bundle / "models", names)
    return metrics


def publish_wall(
    run: Path,
    data: Path | Sequence[Path],
    bundle: Path,
    *,
    command: str,
    tumour_value: int = 2,
    limits: Mapping[str, Any] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Put a wall network beside the networks of a published bundle, which stay as they are.

    Parameters
    ----------
    run : Path
        Folder with ``model.pt`` and ``model.json`` of a training with ``configs/wall.yaml``.
    data, bundle, command, tumour_value, progress
        As of :func:`publish_segmentation`.
    limits : mapping, optional
        Values of :class:`gastromap.segmentation.FinderLimits` that differ from those of the bundle.

    Returns
    -------
    dict
        Of :func:`finder_metrics`.

    Raises
    ------
    UsageError
        ``PUBLISH_INPUT`` if the run has no weights, or a code of the datalist.
    ModelError
        If the bundle is not published.
    """
    check_run(run)
    splits = read_volume_datalist(data)
    models = bundle / "models"
    with tempfile.TemporaryDirectory(prefix="gastromap-publish-") as scratch:
        staging = Path(scratch)
        # What lies there already takes part in the measurement and is not written again.
        for name in _FINDER_FILES:
            if (models / name).is_file():
                (staging / name).symlink_to((models / name).resolve())
        made = _facts(command, splits)
        # Those of an earlier wall network too.
        used = {**asdict(finder_limits(models)), **(limits or {})}
        made["limits"] = asdict(FinderLimits.from_mapping(used))
        card = _halved([run], staging, WALL_WEIGHTS, made)
        card.write(staging, WALL_CARD)
        metrics = _measured(staging, card, WALL_CARD, splits, tumour_value=tumour_value, progress=progress)
        install(staging, models, (WALL_WEIGHTS, WALL_CARD))
    return metrics


def _facts(command: str, splits: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """What a card says of how its weights were made; a card that counts its own data keeps that."""
    return {"command": command, "precision": "float16", "data": {k: len(v) for k, v in splits.items()}}


def _measured(
    staging: Path,
    card: ModelCard,
    name: str,
    splits: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    tumour_value: int,
    progress: Callable[[], None],
) -> dict[str, Any]:
    """Search the volumes of the validation with what is staged, and write the figures into one of its cards."""
    finder = TumourFinder.load(staging, device=torch.device("cpu"))
    metrics = finder_metrics(finder, splits["validation"], tumour_value=tumour_value, progress=progress)
    training = {**card.training, "metrics": {"validation": metrics}}
    card.published(weights_sha256=card.weights_sha256, training=training).write(staging, name)
    return metrics


def _halved(stages: Sequence[Path], staging: Path, name: str, training: Mapping[str, Any]) -> ModelCard:
    sha256 = store_weights(stages, staging / name, precision=str(training["precision"]))
    return _finished(stages[-1], sha256, training)


def _finished(run: Path, sha256: str, training: Mapping[str, Any]) -> ModelCard:
    card = ModelCard.read(run)
    # The volumes that are searched now need not be those of the training.
    own = {key: value for key, value in card.training.items() if key == "data"}
    return card.published(weights_sha256=sha256, training={**training, **own})


def finder_metrics(
    finder: TumourFinder,
    records: Sequence[Mapping[str, Any]],
    *,
    tumour_value: int = 2,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Search volumes with known tumours.

    Parameters
    ----------
    finder : TumourFinder
    records : sequence of mapping
        ``image`` and ``label``, paths of NIfTI files on one grid.
    tumour_value : int
        Of the masks. Volumes without it count for ``false_alarms`` only.
    progress : callable
        Called after each volume.

    Returns
    -------
    dict
        ``volumes``, ``found`` (share with Dice above 0.1), ``dice`` (mean; 0 where nothing was found),
        ``key_slice_within_5_mm``, ``without_tumour``, ``false_alarms``; figures are None where there is no volume.
    """
    import nibabel

    overlap: list[float] = []
    near = false_alarms = without = 0
    for record in records:
        image: Any = nibabel.load(record["image"])
        mask: Any = nibabel.load(record["label"])
        affine = RAS_TO_LPS @ np.asarray(image.affine, float)
        hu = np.asarray(image.dataobj, np.float32).transpose(2, 1, 0)
        truth = np.asarray(mask.dataobj).transpose(2, 1, 0) == tumour_value
        finding = finder(hu, affine)
        if truth.any():
            overlap.append(dice(finding.mask, truth))
            true_key = int(np.argmax(truth.sum(axis=(1, 2))))
            step = float(np.linalg.norm(affine[:3, 2]))
            near += finding.key_index is not None and abs(finding.key_index - true_key) * step <= 5.0
        else:
            without += 1
            false_alarms += finding.found
        progress()
    count = len(overlap)
    return {
        "volumes": count,
        "found": float(np.mean([value > _FOUND for value in overlap])) if count else None,
        "dice": float(np.mean(overlap)) if count else None,
        "key_slice_within_5_mm": near / count if count else None,
        "without_tumour": without,
        "false_alarms": false_alarms,
    }
