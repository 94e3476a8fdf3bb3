"""A GastroMAP bundle on disk: metadata, model card, weights, calibration, Rad-score, nomogram."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gastromap.bundle_folder import find_bundle, read_metadata
from gastromap.calibration import Calibration, Vote, vote
from gastromap.errors import ModelError
from gastromap.evaluation.stages import STAGES
from gastromap.model_card import ModelCard
from gastromap.nomogram import NomogramModel
from gastromap.rad_score import RadScore
from gastromap.results import Confidence, ModelIdentity

__all__ = ["TSTAGE_BUNDLE", "Bundle", "Judgement"]


class Judgement(NamedTuple):
    """What calibration, vote and Rad-score say of one case."""

    probabilities: NDArray[np.float64]  #: calibrated, (slices, classes)
    ballot: Vote
    confidence: Confidence
    rad_score: float | None


TSTAGE_BUNDLE = "gastric_tstage_classification"


@dataclass(frozen=True)
class Bundle:
    """The parts of a bundle that inference needs, read without evaluating its configuration files.

    Bundle configurations are code; the application reads JSON only (GHSA-873f-pvrv-4x83 and others).
    """

    folder: Path
    metadata: dict[str, Any]
    card: ModelCard
    calibration: Calibration
    rad_score: RadScore | None
    nomogram: NomogramModel
    labels: tuple[str, ...]

    @property
    def models(self) -> Path:
        """Folder of weights, card and fitted numbers."""
        return self.folder / "models"

    @property
    def identity(self) -> ModelIdentity:
        """Model identity for results."""
        depth = self.card.network.get("depth", 152)
        family = "GTRNet" if self.card.network.get("crop_fusion", True) else "ResNet"
        return self.card.identity(
            self.metadata,
            network=f"{family}-{depth}",
            preprocessing=str(self.card.preprocessing.get("name", "")),
        )

    def judge(self, logits: NDArray[np.floating], key_features: NDArray[np.floating]) -> Judgement:
        """Combine the slices of one case: the rule of the application, of evaluation and of nothing else.

        Parameters
        ----------
        logits : array, shape (slices, classes)
        key_features : array, shape (channels,)
            Pooled features of the key slice, for Rad-score and distance.
        """
        probabilities = self.calibration.apply(logits)
        ballot = vote(probabilities)
        score = distance = None
        if self.rad_score is not None:
            score = float(self.rad_score.score(key_features))
            distance = float(self.rad_score.distance(key_features))
        confidence = self.calibration.assess(ballot, slices=len(logits), feature_distance=distance)
        return Judgement(probabilities, ballot, confidence, score)

    @classmethod
    def find(cls, models: Path, name: str = TSTAGE_BUNDLE) -> Bundle:
        """Read the bundle ``name`` below ``models``, or ``models`` itself if it is the bundle.

        Raises
        ------
        ModelError
            ``BUNDLE_MISSING``, ``BUNDLE_METADATA``, ``MODEL_CARD``, or a code of the fitted parts.
        """
        return cls.read(find_bundle(models, name))

    @classmethod
    def read(cls, folder: Path) -> Bundle:
        """Read a bundle folder; see :meth:`find`."""
        metadata, labels = _metadata(folder)
        models = folder / "models"
        card = ModelCard.read(models)
        calibration_file, score_file, nomogram_file = (
            models / name for name in ("calibration.json", "rad_score.json", "nomogram.json")
        )
        calibration = Calibration.load(calibration_file) if calibration_file.is_file() else Calibration.none()
        if calibration.cases and calibration.weights_sha256 != card.weights_sha256:
            raise ModelError(
                "CALIBRATION_MISMATCH",
                where="model",
                expected="a calibration of these weights",
                got="one of others",
                remedy="Publish the weights again (gastromap publish).",
            )
        return cls(
            folder=folder,
            metadata=metadata,
            card=card,
            calibration=calibration,
            rad_score=RadScore.load(score_file) if score_file.is_file() else None,
            nomogram=NomogramModel.load(nomogram_file) if nomogram_file.is_file() else NomogramModel.published(),
            labels=labels,
        )


def _metadata(folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    metadata, labels = read_metadata(folder)
    if labels != STAGES:
        raise ModelError(
            "BUNDLE_METADATA",
            where="model",
            expected=f"the classes {', '.join(STAGES)}",
            got=", ".join(labels),
            remedy="Use a T-stage bundle.",
        )
    return metadata, labels
