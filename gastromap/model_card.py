"""The model card: which network, preprocessing and data belong to a set of weights.

``model.json`` lies beside ``model.pt``. It is the only place that ties weights to an architecture and to a
preprocessing profile; training writes it, publishing completes it, evaluation and deployment read it. It is JSON
so that nothing is executed to find out what a bundle holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gastromap.errors import ModelError
from gastromap.nomogram.json_file import dump_object, load_model_object

if TYPE_CHECKING:
    from gastromap.models import GTRNet
    from gastromap.preprocessing import PreprocessingProfile

__all__ = ["CARD_NAME", "WEIGHTS_NAME", "ModelCard", "network_of", "preprocessing_of", "sha256_of", "start_card"]

CARD_NAME = "model.json"
WEIGHTS_NAME = "model.pt"
_FORMAT = "gastromap-model/1"
_REMEDY = "Name a folder with a published bundle (-m), or restore models/model.pt and models/model.json."


@dataclass(frozen=True)
class ModelCard:
    """What has to be known to run a set of weights.

    Attributes
    ----------
    network : mapping
        Arguments of :class:`gastromap.models.GTRNet`.
    preprocessing : mapping
        Values of :class:`gastromap.preprocessing.PreprocessingProfile`.
    weights_sha256 : str
        Of ``model.pt``; empty while training runs.
    trained_on : str
        ``synthetic`` or a name of the training cohort.
    notice : str
        Sentence printed wherever a figure of this model is printed.
    training : mapping
        Command, seed, data and metrics that made the weights.
    """

    network: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    weights_sha256: str = ""
    trained_on: str = ""
    notice: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> ModelCard:
        """Read ``model.json`` from the folder of the weights.

        Raises
        ------
        ModelError
            ``MODEL_CARD``.
        """
        content: Any = load_model_object(
            folder / CARD_NAME,
            code="MODEL_CARD",
            where="model",
            file_format=_FORMAT,
            keys=tuple(cls.__dataclass_fields__),
        )
        return cls(**content)

    def write(self, folder: Path) -> None:
        """Write ``model.json``; same card, same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        content = json.loads(json.dumps(asdict(self)))
        dump_object(folder / CARD_NAME, file_format=_FORMAT, content=content)

    def profile(self) -> PreprocessingProfile:
        """Preprocessing that the weights were trained with."""
        from gastromap.preprocessing import PreprocessingProfile

        return PreprocessingProfile.from_mapping(dict(self.preprocessing))

    def build(self) -> GTRNet:
        """Network of the card, with random weights.

        Raises
        ------
        ModelError
            ``MODEL_CARD`` if the arguments are not those of the network or do not suit the preprocessing.
        """
        from gastromap.models import GTRNet

        channels = self.profile().channels
        if self.network.get("in_channels", 1) != channels:
            raise ModelError(
                "MODEL_CARD",
                where="model",
                expected=f"{channels} input channels for the preprocessing profile",
                got=str(self.network.get("in_channels", 1)),
                remedy="Run the weights with the profile they were trained with.",
            )
        try:
            return GTRNet(**self.network)
        except (TypeError, ValueError) as error:
            raise ModelError(
                "MODEL_CARD",
                where="model",
                expected="arguments of GTRNet under network",
                got="others",
                remedy="Correct the model card.",
            ) from error

    def load_weights(self, folder: Path) -> GTRNet:
        """Build the network and load ``model.pt`` after checking its hash.

        Parameters
        ----------
        folder : Path
            Folder of the weights.

        Returns
        -------
        GTRNet
            In evaluation mode, float32, on the CPU. Half-precision weights are widened.

        Raises
        ------
        ModelError
            ``WEIGHTS_MISSING``, ``WEIGHTS_HASH`` or ``WEIGHTS_MISMATCH``.
        """
        import torch

        path = folder / WEIGHTS_NAME
        if not path.is_file():
            raise ModelError(
                "WEIGHTS_MISSING", where="model", expected=WEIGHTS_NAME, got="no such file", remedy=_REMEDY
            )
        found = sha256_of(path)
        if found != self.weights_sha256:
            raise ModelError(
                "WEIGHTS_HASH",
                where="model",
                expected=f"SHA-256 {self.weights_sha256[:12] or '(none: not published)'}",
                got=found[:12],
                remedy="Publish the weights again (gastromap publish) or restore the file.",
            )
        net = self.build()
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            net.load_state_dict(state)
        except Exception as error:  # the unpickler raises many types; none of them may escape with file content
            raise ModelError(
                "WEIGHTS_MISMATCH",
                where="model",
                expected="a state dict of the network on the card",
                got=type(error).__name__,
                remedy=_REMEDY,
            ) from error
        return net.eval()

    def published(self, *, weights_sha256: str, training: Mapping[str, Any]) -> ModelCard:
        """Card of the finished weights."""
        return replace(self, weights_sha256=weights_sha256, training={**self.training, **training})


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as hexadecimal text."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def start_card(
    folder: str | Path,
    *,
    network: Mapping[str, Any],
    preprocessing: str,
    trained_on: str,
    notice: str,
    seed: int,
) -> None:
    """Write the card when a training starts, so that its checkpoints can be evaluated while it runs."""
    from gastromap.preprocessing import PreprocessingProfile

    arguments = {key: value for key, value in network.items() if key != "imagenet_weights"}
    ModelCard(
        network=arguments,
        preprocessing=PreprocessingProfile.named(preprocessing).to_mapping(),
        trained_on=trained_on,
        notice=notice,
        training={"seed": seed},
    ).write(Path(folder))


def network_of(folder: str | Path) -> GTRNet:
    """Network of the card in ``folder``; for bundle configurations, which load the weights themselves."""
    return ModelCard.read(Path(folder)).build()


def preprocessing_of(folder: str | Path) -> str:
    """Profile name of the card in ``folder``; for bundle configurations."""
    return ModelCard.read(Path(folder)).profile().name
