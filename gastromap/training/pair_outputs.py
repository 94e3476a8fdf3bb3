"""Run the longitudinal network over the patients of a datalist as the application runs it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gastromap.errors import UsageError
from gastromap.files import write_text
from gastromap.longitudinal.bundle import LongitudinalBundle
from gastromap.longitudinal.constants import Inputs, LongitudinalConstants
from gastromap.longitudinal.outcome import outcomes
from gastromap.models.longitudinal import LongitudinalNet
from gastromap.preprocessing.pair_transforms import pair_preprocessing
from gastromap.preprocessing.volume import VolumeProfile
from gastromap.staging import best_device
from gastromap.training.pair_datalist import read_pair_datalist
from gastromap.training.pair_maps import encode

__all__ = ["EncodedPair", "encode_records", "judge_pairs", "predict_pairs", "prediction_table", "shuffled_followup"]

_SHOWN: Mapping[Inputs, tuple[bool, bool]] = {
    "pair": (True, True),
    "baseline_only": (True, False),
    "followup_only": (False, True),
}


@dataclass(frozen=True)
class EncodedPair:
    """One patient behind stage 3 of the encoder."""

    record: Mapping[str, Any]
    maps: Mapping[int, Tensor]  #: by scan (0 before, 1 after treatment), (channels, d, h, w)

    def shows(self, inputs: Inputs) -> bool:
        """Whether the patient has the scans."""
        return all(scan in self.maps for scan, shown in enumerate(_SHOWN[inputs]) if shown)


def encode_records(
    records: Sequence[Mapping[str, Any]],
    network: LongitudinalNet,
    profile: VolumeProfile,
    *,
    progress: Callable[[], None] = lambda: None,
) -> list[EncodedPair]:
    """Maps of all patients, on the CPU (0.3 MB a scan in ``default``).

    Parameters
    ----------
    records : sequence of mapping
        Of :func:`gastromap.training.pair_datalist.read_pair_datalist`.
    network : LongitudinalNet
        In evaluation mode.
    profile : VolumeProfile
    progress : callable
        Called after each patient.
    """
    prepare = pair_preprocessing(profile)
    found = []
    for record in records:
        item: Any = prepare(dict(record))
        maps = encode(network, item).cpu()
        scans = item["present"].nonzero().flatten().tolist()
        found.append(EncodedPair(record, dict(zip(scans, maps, strict=True))))
        progress()
    return found


@torch.inference_mode()
def judge_pairs(network: LongitudinalNet, pairs: Sequence[EncodedPair], inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Logits (n_patients, 1 + K) and the scans shown (n_patients, 2), on the CPU.

    Parameters
    ----------
    network : LongitudinalNet
    pairs : sequence of EncodedPair
    inputs : {"pair", "baseline_only", "followup_only"}
        ``pair`` shows what each patient has.
    """
    device = next(network.parameters()).device
    logits, shown = [], []
    for pair in pairs:
        wanted = [use and scan in pair.maps for scan, use in enumerate(_SHOWN[inputs])]
        present = torch.tensor([wanted])
        maps = torch.stack([pair.maps[scan] for scan, use in enumerate(wanted) if use])
        logits.append(network.judge(maps.to(device), present.to(device)).logits.float().cpu())
        shown.append(present)
    return torch.cat(logits), torch.cat(shown)


def shuffled_followup(pairs: Sequence[EncodedPair], *, seed: int) -> list[EncodedPair]:
    """The same patients, each complete pair with the second scan of another one.

    Raises
    ------
    UsageError
        ``SHUFFLE`` with fewer than two complete pairs.
    """
    complete = [index for index, pair in enumerate(pairs) if pair.shows("pair")]
    if len(complete) < 2:
        raise UsageError(
            "SHUFFLE",
            where="follow-up scans",
            expected="two or more complete pairs",
            got=str(len(complete)),
            remedy="Take another split.",
        )
    # Along one cycle through all: nobody keeps the own scan.
    cycle = np.random.default_rng(seed).permutation(complete)
    found = list(pairs)
    for own, other in zip(cycle, np.roll(cycle, -1), strict=True):
        found[own] = replace(pairs[own], maps={0: pairs[own].maps[0], 1: pairs[other].maps[1]})
    return found


def prediction_table(
    pairs: Sequence[EncodedPair], logits: Tensor, present: Tensor, constants: LongitudinalConstants
) -> list[dict[str, Any]]:
    """Rows that ``gastromap evaluate --predictions`` takes, one a patient; empty cells where a label is missing."""
    rows = []
    for pair, outcome, shown in zip(pairs, outcomes(logits, present, constants), present.tolist(), strict=True):
        lnm, death, months = pair.record["label"]
        clinical = pair.record["clinical"]
        row = {
            "patient_id": pair.record["patient_id"],
            "cohort": pair.record["cohort"],
            "lnm": _whole(lnm),
            "lnm_probability": outcome.lnm_probability,
            "death": _whole(death),
            # float32 labels would turn 51.8 into 51.79999923706055.
            "os_months": "" if math.isnan(months) else round(months, 4),
            "os_risk": outcome.os_risk,
            "rmst_months": outcome.rmst_months,
            "risk_group": outcome.risk_group or "",
            **{f"s{month}": value for month, value in outcome.survival.items()},
            "inputs": outcome.inputs,
            **{f"mask{n}": int(shown[n - 1] and f"mask{n}" in pair.record) for n in (1, 2)},
        }
        rows.append(row | {name: value for name, value in clinical.items() if name not in row})
    return rows


def predict_pairs(
    models: Path,
    data: Path,
    out: Path,
    *,
    split: str = "test",
    shuffle_seed: int | None = None,
    baseline_only: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Run the published bundle over a split and write the table of predictions.

    Parameters
    ----------
    models : Path
        Folder that holds the bundle, or the bundle.
    data : Path
        Folder with ``datalist.json``.
    out : Path
        CSV file.
    split : {"training", "validation", "test"}
    shuffle_seed : int, optional
        Give every pair the second scan of another patient: shows what the model takes from it.
    baseline_only : bool
        Show the scan before treatment alone.
    progress : callable
        Called after each patient.

    Raises
    ------
    UsageError
        ``PREDICT_PAIRS`` without patients, and as of the datalist and the crops.
    ModelError
        As of the bundle.
    """
    bundle = LongitudinalBundle.find(models)
    records = read_pair_datalist(data)[split]
    if not records:
        raise UsageError(
            "PREDICT_PAIRS",
            where="datalist",
            expected=f"patients under {split}",
            got="none",
            remedy="Name another split.",
        )
    network = bundle.load_network().to(best_device())
    pairs = encode_records(records, network, bundle.card.volume_profile(), progress=progress)
    if shuffle_seed is not None:
        pairs = shuffled_followup(pairs, seed=shuffle_seed)
    logits, present = judge_pairs(network, pairs, "baseline_only" if baseline_only else "pair")
    rows = prediction_table(pairs, logits, present, bundle.constants)
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(out, text.getvalue())
    return rows


def _whole(label: float) -> int | str:
    return "" if math.isnan(label) else int(label)
