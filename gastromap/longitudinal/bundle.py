"""The longitudinal bundle on disk: metadata, card, weights, numbers; read without evaluating its configurations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gastromap.bundle_folder import find_bundle, read_metadata
from gastromap.errors import ModelError
from gastromap.files import write_text
from gastromap.longitudinal.constants import LongitudinalConstants
from gastromap.model_card import ModelCard
from gastromap.models.longitudinal import LongitudinalNet
from gastromap.results import ModelIdentity

__all__ = ["LONGITUDINAL_BUNDLE", "LongitudinalBundle", "check_columns", "name_columns"]

LONGITUDINAL_BUNDLE = "gastric_longitudinal_survival"


@dataclass(frozen=True)
class LongitudinalBundle:
    """The parts of the bundle that a prediction needs."""

    folder: Path
    metadata: dict[str, Any]
    card: ModelCard
    constants: LongitudinalConstants

    @property
    def models(self) -> Path:
        """Folder of weights, card and numbers."""
        return self.folder / "models"

    @property
    def identity(self) -> ModelIdentity:
        """Model identity for results."""
        return self.card.identity(
            self.metadata,
            network=f"LongitudinalNet-{self.constants.preset}",
            preprocessing=str(self.card.volume_profile()),
        )

    def load_network(self) -> LongitudinalNet:
        """Network with the weights, in evaluation mode, on the CPU.

        Raises
        ------
        ModelError
            As of :meth:`ModelCard.load_weights`.
        """
        network: LongitudinalNet = self.card.load_weights(self.models)
        return network

    @classmethod
    def find(cls, models: Path) -> LongitudinalBundle:
        """Read the bundle below ``models``, or ``models`` itself if it is the bundle.

        Raises
        ------
        ModelError
            ``BUNDLE_MISSING``, or as :meth:`read`.
        """
        return cls.read(find_bundle(models, LONGITUDINAL_BUNDLE))

    @classmethod
    def read(cls, folder: Path) -> LongitudinalBundle:
        """Read a bundle folder.

        Raises
        ------
        ModelError
            ``BUNDLE_METADATA``, ``MODEL_CARD``, ``LONGITUDINAL_CONSTANTS``, or ``CALIBRATION_MISMATCH`` if the numbers
            were fitted with other weights.
        """
        metadata, _ = read_metadata(folder)
        card = ModelCard.read(folder / "models")
        constants = LongitudinalConstants.read(folder / "models")
        if card.network.get("type") != "LongitudinalNet":
            raise ModelError(
                "MODEL_CARD",
                where="model",
                expected="a LongitudinalNet",
                got="another network",
                remedy=f"Name the bundle {LONGITUDINAL_BUNDLE}.",
            )
        if constants.weights_sha256 != card.weights_sha256:
            raise ModelError(
                "CALIBRATION_MISMATCH",
                where="model",
                expected="numbers fitted with these weights",
                got="with others",
                remedy="Publish the weights again (gastromap publish-pairs).",
            )
        check_columns(metadata, len(constants.breaks_months) - 1)
        return cls(folder, metadata, card, constants)


def check_columns(metadata: dict[str, Any], intervals: int) -> None:
    """Refuse metadata that name other outputs than those of a network with so many intervals.

    Raises
    ------
    ModelError
        ``BUNDLE_METADATA``.
    """
    named = len(metadata["network_data_format"]["outputs"]["pred"]["channel_def"])
    if named != 1 + intervals:
        raise ModelError(
            "BUNDLE_METADATA",
            where="model",
            expected=f"{1 + intervals} outputs under channel_def",
            got=str(named),
            remedy="Name the outputs of this network in configs/metadata.json.",
        )


def name_columns(folder: Path, intervals: int) -> None:
    """Name the outputs of a network with so many survival intervals in the metadata of its bundle.

    Raises
    ------
    ModelError
        ``BUNDLE_METADATA`` if there are none to begin with.
    """
    metadata, columns = read_metadata(folder)
    if len(columns) == 1 + intervals:
        return
    out = metadata["network_data_format"]["outputs"]["pred"]
    out["num_channels"], out["spatial_shape"] = 1 + intervals, [1, 1 + intervals]
    hazards = {str(k): f"hazard of survival interval {k}" for k in range(1, 1 + intervals)}
    out["channel_def"] = {"0": columns[0], **hazards}
    write_text(folder / "configs" / "metadata.json", json.dumps(metadata, indent=2, ensure_ascii=False) + "\n")
