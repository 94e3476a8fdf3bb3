"""Staging one CT volume: the library behind the operators, usable without them.

``prepare`` -> ``infer`` -> ``stage`` and ``explain``: four steps, so that an operator can hold each of them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gastromap import nomogram
from gastromap.bundle import Bundle
from gastromap.errors import UsageError
from gastromap.explain import LAYER, METHOD, explanation
from gastromap.model_card import facts_of
from gastromap.models import GTRNet
from gastromap.preprocessing import PreparedSlice, SlicePreprocessing
from gastromap.results import (
    ClinicalVariables,
    GradCamResult,
    KeySlice,
    NomogramOmitted,
    NomogramResult,
    SliceHeatMap,
    SlicePrediction,
    StageResult,
)
from gastromap.text import Text
from gastromap.volume import CtVolume

__all__ = ["Inference", "PreparedCase", "TStager", "best_device"]

_log = logging.getLogger(__name__)

#: No figure of the model says how right it is after treatment.
_TREATED = Text("The study was made after treatment; the model was trained and calibrated on untreated tumours.")
#: In 60 synthetic studies 0.72 of the stages were right on the slice that was found, 0.82 on the true one.
_UNCHECKED = Text("Nobody has checked the automatic key slice; the model was calibrated on true key slices.")
#: Of 17 synthetic stomachs without a tumour, something was found in 14: in 8 by weak signs alone.
_WEAK = Text(
    "The segmentation model found the tumour by weak signs alone, which it often finds in a stomach without one."
)


@dataclass(frozen=True)
class PreparedCase:
    """The slices of one case as network input.

    ``indices`` are slice indices of the volume in ascending order; ``key`` is the position of the key slice.
    """

    volume: CtVolume
    key_slice: KeySlice
    indices: tuple[int, ...]
    key: int
    slices: tuple[PreparedSlice, ...]


@dataclass(frozen=True)
class Inference:
    """Raw network outputs of one case."""

    case: PreparedCase
    maps: Tensor  #: (slices, channels, h, w), of the second residual stage
    features: NDArray[np.float32]  #: (slices, channels)
    logits: NDArray[np.float32]  #: (slices, classes)


def best_device(name: str = "auto") -> torch.device:
    """Device to compute on: ``auto`` takes a CUDA GPU when there is one.

    Raises
    ------
    UsageError
        ``DEVICE_UNKNOWN`` for a name torch does not know.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise UsageError(
            "DEVICE_UNKNOWN",
            where="command line",
            expected="auto, cpu, cuda or cuda:N",
            got="another name",
            remedy="Correct --device.",
        ) from error


class TStager:
    """Stage CT volumes with one bundle.

    Parameters
    ----------
    bundle : Bundle
    device : torch.device, optional
        Default: a CUDA GPU when there is one.
    """

    def __init__(self, bundle: Bundle, *, device: torch.device | None = None) -> None:
        self.bundle = bundle
        self.device = device or best_device()
        self._network: GTRNet = bundle.card.load_weights(bundle.models).to(self.device)
        self._preprocess = SlicePreprocessing(bundle.card.profile())
        _log.info("%s on %s", bundle.identity.network, self.device)

    @classmethod
    def load(cls, models: Path, *, device: torch.device | None = None) -> TStager:
        """Read the bundle below ``models`` and its weights.

        Raises
        ------
        ModelError
            If anything is missing, damaged or does not belong together.
        """
        return cls(Bundle.find(models), device=device)

    def prepare(self, volume: CtVolume, key_slice: KeySlice) -> PreparedCase:
        """Prepare the key slice and its neighbours; at an end of the volume there is one neighbour only."""
        first, last = max(key_slice.index - 1, 0), min(key_slice.index + 1, len(volume.sources) - 1)
        indices = tuple(range(first, last + 1))
        return PreparedCase(
            volume=volume,
            key_slice=key_slice,
            indices=indices,
            key=key_slice.index - first,
            slices=tuple(self._preprocess(volume.hu[i], volume.affine_lps) for i in indices),
        )

    @torch.inference_mode()
    def infer(self, case: PreparedCase) -> Inference:
        """Run the network once over all slices of a case."""
        batch = torch.stack([s.tensor for s in case.slices]).to(self.device)
        maps = self._network.early_maps(batch)
        features = self._network.pool(self._network.late_maps(maps))
        logits = self._network.fc(features)
        return Inference(
            case=case, maps=maps, features=features.float().cpu().numpy(), logits=logits.float().cpu().numpy()
        )

    def stage(self, inference: Inference) -> StageResult:
        """Combine the slices to a stage with its confidence.

        The probabilities are the mean of the calibrated softmax outputs, the stage is the majority vote, ties go
        to the higher mean (T-stage design, section 3). Rad-score and distance are those of the key slice. A study
        after treatment, or on a key slice that nobody has checked, is never confidently staged.
        """
        bundle, case = self.bundle, inference.case
        probabilities, ballot, confidence, score = bundle.judge(inference.logits, inference.features[case.key])
        doubts = [_TREATED] if case.volume.role == "followup" else []
        if case.key_slice.origin == "auto":
            doubts.append(_UNCHECKED)
        if case.key_slice.weak_signs:
            doubts.append(_WEAK)
        if doubts:
            confidence = replace(confidence, staged=False, reasons=(*confidence.reasons, *doubts))
        return StageResult(
            stage=bundle.labels[ballot.stage],
            probabilities=_named(bundle.labels, ballot.probabilities),
            slices=tuple(
                SlicePrediction(
                    index=i,
                    sop_instance_uid=case.volume.sources[i].sop_instance_uid,
                    probabilities=_named(bundle.labels, row),
                )
                for i, row in sorted(
                    zip(case.indices, probabilities, strict=True), key=lambda p: case.volume.index_from_feet(p[0])
                )
            ),
            confidence=confidence,
            rad_score=score,
            model=bundle.identity,
            device=str(self.device),
            model_facts=facts_of(bundle.metadata),
        )

    def explain(self, inference: Inference, stage: str) -> GradCamResult:
        """Class activation maps for ``stage`` of all slices that were read, on the grid of the CT slices."""
        case = inference.case
        # Feature maps made in inference mode cannot enter autograd; a copy can.
        small = explanation(inference.maps.clone(), self._network, target=self.bundle.labels.index(stage))
        maps = [prepared.to_slice(values) for prepared, values in zip(case.slices, small, strict=True)]
        return GradCamResult(
            stage=stage,
            heatmap=maps[case.key],
            index=case.key_slice.index,
            method=METHOD,
            layer=LAYER,
            neighbours=tuple(
                SliceHeatMap(index, values)
                for index, values in zip(case.indices, maps, strict=True)
                if index != case.key_slice.index
            ),
        )

    def nomogram(self, stage: StageResult, clinical: ClinicalVariables) -> NomogramResult | NomogramOmitted:
        """Nomogram of Rad-score and clinical variables; says what is missing instead of guessing it."""
        return nomogram.apply(self.bundle.nomogram, rad_score=stage.rad_score, clinical=clinical)


def _named(labels: tuple[str, ...], values: NDArray[np.floating]) -> dict[str, float]:
    return {label: float(value) for label, value in zip(labels, values, strict=True)}
