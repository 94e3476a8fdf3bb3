"""Weights on their way from a training into a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from monai.utils import ensure_tuple

from gastromap.errors import UsageError
from gastromap.model_card import WEIGHTS_NAME, sha256_of

__all__ = ["check_run", "install", "store_part", "store_weights"]


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
    runs: tuple[Path, ...] = ensure_tuple(run)
    state = _mean(runs)
    kinds = {value.dtype for value in state.values() if value.is_floating_point()}
    if len(runs) == 1 and kinds == {getattr(torch, precision)}:
        # Published weights again: the same file, so that its hash and the history of the repository keep it.
        shutil.copyfile(runs[0] / WEIGHTS_NAME, target)
    else:
        torch.save(_in_precision(state, precision), target)
    return sha256_of(target)


def store_part(run: Path, target: Path, prefix: str, *, behind: Path, precision: str = "float16") -> str:
    """Copy those weights of a training whose names begin with a prefix; all others are in another file.

    Parameters
    ----------
    run : Path
        Folder with ``model.pt``, all weights of the network.
    target : Path
        File to write.
    prefix : str
    behind : Path
        File with the other weights, in the same precision.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    UsageError
        ``PUBLISH_INPUT`` where the other weights of the training are not those of ``behind``.
    """
    whole = torch.load(run / WEIGHTS_NAME, map_location="cpu", weights_only=True)
    state = _in_precision(whole, precision)
    others = torch.load(behind, map_location="cpu", weights_only=True)
    rest = {key: value for key, value in state.items() if not key.startswith(prefix)}
    if rest.keys() != others.keys() or not all(torch.equal(value, others[key]) for key, value in rest.items()):
        raise UsageError(
            "PUBLISH_INPUT",
            where="run",
            expected="a training behind the weights that are published with it",
            got="other weights",
            remedy="Name the training that it started from (--initial_weights).",
        )
    torch.save({key: value for key, value in state.items() if key.startswith(prefix)}, target)
    return sha256_of(target)


def _in_precision(state: dict[str, torch.Tensor], precision: str) -> dict[str, torch.Tensor]:
    kind = getattr(torch, precision)
    return {key: value.to(kind) if value.is_floating_point() else value for key, value in state.items()}


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
