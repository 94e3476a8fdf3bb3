"""Weights on their way from a training into a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from monai.utils import ensure_tuple

from gastromap.errors import UsageError
from gastromap.model_card import WEIGHTS_NAME, sha256_of

__all__ = ["check_run", "install", "store_weights"]


def check_run(run: Path) -> None:
    """Refuse a folder that no training has written weights to.

    Raises
    ------
    UsageError
        ``PUBLISH_INPUT``.
    """
    if not (run / WEIGHTS_NAME).is_file():
        raise UsageError(
            "PUBLISH_INPUT",
            where="run",
            expected=WEIGHTS_NAME,
            got="no such file",
            remedy="Name the checkpoint folder of a training (--ckpt_dir).",
        )


def store_weights(run: Path | Sequence[Path], target: Path, *, precision: str = "float16") -> str:
    """Copy the weights of a training in another precision.

    Parameters
    ----------
    run : Path, or several
        Folder with ``model.pt``, a bare state dict. Of several, the stages of one training, the mean of the weights is
        stored (Izmailov et al., UAI 2018, arXiv 1803.05407).
    target : Path
        File to write.
    precision : {"float16", "float32"}
        Of what is floating point.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    UsageError
        ``PUBLISH_INPUT`` where the runs are not of one network.
    """
    state = _mean(ensure_tuple(run))
    kind = getattr(torch, precision)
    torch.save(
        {key: value.to(kind) if value.is_floating_point() else value for key, value in state.items()},
        target,
    )
    return sha256_of(target)


def _mean(runs: Sequence[Path]) -> dict[str, torch.Tensor]:
    states = [torch.load(run / WEIGHTS_NAME, map_location="cpu", weights_only=True) for run in runs]
    last: dict[str, torch.Tensor] = states[-1]
    shapes = [{key: value.shape for key, value in state.items()} for state in states]
    if any(of_one != shapes[-1] for of_one in shapes):
        raise UsageError(
            "PUBLISH_INPUT",
            where="run",
            expected="stages of one network",
            got="weights of different shapes",
            remedy="Name stages of one training, or a single one.",
        )
    # Counters, which are whole numbers, are those of the last stage.
    return {
        key: torch.stack([state[key] for state in states]).mean(0) if value.is_floating_point() else value
        for key, value in last.items()
    }


def install(staging: Path, models: Path, names: Sequence[str]) -> None:
    """Move finished files into a bundle, each in one step.

    Parameters
    ----------
    staging, models : Path
        From and to; ``models`` is made if missing.
    names : sequence of str
        Files; one that is not there is taken away from the bundle too: a part of other weights must not survive
        beside the new ones.
    """
    models.mkdir(parents=True, exist_ok=True)
    for name in names:
        source, target = staging / name, models / name
        if source.is_file():
            partial = target.with_suffix(".partial")
            shutil.copyfile(source, partial)
            partial.replace(target)
        else:
            target.unlink(missing_ok=True)
