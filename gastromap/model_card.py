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

from gastromap.errors import ModelError, UsageError
from gastromap.nomogram.json_file import dump_object, load_model_object
from gastromap.text import Text, in_a_row

if TYPE_CHECKING:
    from gastromap.preprocessing import PreprocessingProfile
    from gastromap.preprocessing.volume import VolumeProfile
    from gastromap.results import ModelIdentity

__all__ = [
    "CARD_NAME",
    "SYNTHETIC_ORIGIN",
    "WEIGHTS_NAME",
    "ModelCard",
    "facts_of",
    "network_of",
    "preprocessing_of",
    "sha256_of",
    "start_card",
    "start_volume_card",
]

CARD_NAME = "model.json"
WEIGHTS_NAME = "model.pt"
#: Options of a training on a cohort of ``gastromap synth``.
SYNTHETIC_ORIGIN = {
    "trained_on": "synthetic",
    "notice": Text(
        "Demonstration model trained on SYNTHETIC images only. It knows nothing of patients; not for diagnosis."
    ),
}
_FORMAT = "gastromap-model/1"
#: Figures of the bundle's metadata that a reader of one report can use.
_FIGURES = {
    "macro_auc": Text("macro AUC"),
    "accuracy": Text("accuracy"),
    "kappa_quadratic": Text("quadratic kappa"),
}
_REMEDY = "Name a folder with a published bundle (-m), or restore models/model.pt and models/model.json."


def facts_of(metadata: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What the metadata of a bundle say of its model in words; what they do not say is left out.

    Parameters
    ----------
    metadata : mapping
        ``metadata.json``; figures are 0 to 1.

    Returns
    -------
    tuple of (label, text)
    """
    measured = metadata.get("eval_metrics")
    measured = measured if isinstance(measured, Mapping) else {}
    figures = [
        Text("{figure} {value}", figure=label, value=f"{measured[name]:.2f}")
        for name, label in _FIGURES.items()
        if isinstance(measured.get(name), float)
    ]
    facts = (
        (Text("Task"), metadata.get("task")),
        (Text("Training data"), metadata.get("data_source")),
        (Text("Evaluated on"), measured.get("data") if figures else None),
        (Text("Figures"), in_a_row(figures)),
        (Text("Intended use"), metadata.get("intended_use")),
    )
    return tuple((label, value) for label, value in facts if isinstance(value, str) and value)


@dataclass(frozen=True)
class ModelCard:
    """What has to be known to run a set of weights.

    Attributes
    ----------
    network : mapping
        ``type`` (see :mod:`gastromap.models.registry`; GTRNet without it) and the arguments of that class.
    preprocessing : mapping
        Values of :class:`gastromap.preprocessing.PreprocessingProfile`; networks for volumes have those of
        :class:`gastromap.preprocessing.volume.VolumeProfile`.
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
    def read(cls, folder: Path, name: str = CARD_NAME) -> ModelCard:
        """Read ``model.json`` (or another card) from the folder of the weights.

        Raises
        ------
        ModelError
            ``MODEL_CARD``.
        """
        content: Any = load_model_object(
            folder / name,
            code="MODEL_CARD",
            where="model",
            file_format=_FORMAT,
            keys=tuple(cls.__dataclass_fields__),
        )
        return cls(**content)

    def write(self, folder: Path, name: str = CARD_NAME) -> None:
        """Write ``model.json`` (or another card); same card, same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        content = json.loads(json.dumps(asdict(self)))
        dump_object(folder / name, file_format=_FORMAT, content=content)

    def identity(self, metadata: Mapping[str, Any], *, network: str, preprocessing: str) -> ModelIdentity:
        """What results say of the model; name and version are those of the bundle's metadata."""
        from gastromap.results import ModelIdentity

        return ModelIdentity(
            name=str(metadata["name"]),
            version=str(metadata["version"]),
            network=network,
            weights_sha256=self.weights_sha256,
            preprocessing=preprocessing,
            trained_on=self.trained_on,
            notice=self.notice,
        )

    def profile(self) -> PreprocessingProfile:
        """Preprocessing that the weights were trained with."""
        from gastromap.preprocessing import PreprocessingProfile

        return PreprocessingProfile.from_mapping(dict(self.preprocessing))

    def volume_profile(self) -> VolumeProfile:
        """Preprocessing of a network for volumes.

        Raises
        ------
        ModelError
            ``PROFILE_UNKNOWN``.
        """
        from gastromap.preprocessing.volume import VolumeProfile

        return VolumeProfile.from_mapping(self.preprocessing)

    def build(self) -> Any:
        """Network of the card, with random weights.

        Raises
        ------
        ModelError
            ``MODEL_CARD`` if the arguments are not those of the network or do not suit the preprocessing.
        """
        from gastromap.models.registry import build_network

        kind = str(self.network.get("type", "GTRNet"))
        if kind == "GTRNet":
            self._check_channels()
        try:
            return build_network(self.network)
        except (TypeError, ValueError, UsageError) as error:
            raise ModelError(
                "MODEL_CARD",
                where="model",
                expected="a known type and its arguments under network",
                got="others",
                remedy="Correct the model card.",
            ) from error

    def _check_channels(self) -> None:
        channels = self.profile().channels
        if self.network.get("in_channels", 1) != channels:
            raise ModelError(
                "MODEL_CARD",
                where="model",
                expected=f"{channels} input channels for the preprocessing profile",
                got=str(self.network.get("in_channels", 1)),
                remedy="Run the weights with the profile they were trained with.",
            )

    def load_weights(self, folder: Path, name: str = WEIGHTS_NAME, *, beside: Mapping[str, Any] | None = None) -> Any:
        """Build the network and load ``model.pt`` after checking its hash.

        Parameters
        ----------
        folder : Path
            Folder of the weights.
        name : str
            File in it.
        beside : mapping, optional
            Further weights by name, where the file does not hold all.

        Returns
        -------
        nn.Module
            In evaluation mode, float32, on the CPU. Half-precision weights are widened.

        Raises
        ------
        ModelError
            ``WEIGHTS_MISSING``, ``WEIGHTS_HASH`` or ``WEIGHTS_MISMATCH``.
        """
        state = {**(beside or {}), **self.checked_state(folder, name)}
        net = self.build()
        try:
            net.load_state_dict(state)
        except Exception as error:  # torch raises many types; none of them may escape with file content
            raise _mismatch(error) from error
        return net.eval()

    def checked_state(self, folder: Path, name: str = WEIGHTS_NAME) -> dict[str, Any]:
        """Weights by name, as they are in the file, after checking its hash.

        Raises
        ------
        ModelError
            ``WEIGHTS_MISSING``, ``WEIGHTS_HASH`` or ``WEIGHTS_MISMATCH``.
        """
        import torch

        path = folder / name
        if not path.is_file():
            raise ModelError("WEIGHTS_MISSING", where="model", expected=name, got="no such file", remedy=_REMEDY)
        found = sha256_of(path)
        if found != self.weights_sha256:
            raise ModelError(
                "WEIGHTS_HASH",
                where="model",
                expected=f"SHA-256 {self.weights_sha256[:12] or '(none: not published)'}",
                got=found[:12],
                remedy="Publish the weights again (gastromap publish) or restore the file.",
            )
        try:
            return dict(torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # the unpickler raises many types; none of them may escape with file content
            raise _mismatch(error) from error

    def published(self, *, weights_sha256: str, training: Mapping[str, Any]) -> ModelCard:
        """Card of the finished weights."""
        return replace(self, weights_sha256=weights_sha256, training={**self.training, **training})


def _mismatch(error: Exception) -> ModelError:
    return ModelError(
        "WEIGHTS_MISMATCH",
        where="model",
        expected="a state dict of the network on the card",
        got=type(error).__name__,
        remedy=_REMEDY,
    )


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


def start_volume_card(
    folder: str | Path,
    *,
    network: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    trained_on: str,
    notice: str,
    seed: int,
    data: Mapping[str, int] | None = None,
) -> None:
    """Like :func:`start_card`, for networks that read volumes; ``preprocessing`` holds values of ``VolumeProfile``.

    ``data`` counts the scans of each split.
    """
    from gastromap.preprocessing.volume import VolumeProfile

    ModelCard(
        network=dict(network),
        preprocessing=VolumeProfile.from_mapping(preprocessing).to_mapping(),
        trained_on=trained_on,
        notice=notice,
        training={"seed": seed} if data is None else {"seed": seed, "data": dict(data)},
    ).write(Path(folder))


def network_of(folder: str | Path) -> Any:
    """Network of the card in ``folder``; for bundle configurations, which load the weights themselves."""
    return ModelCard.read(Path(folder)).build()


def preprocessing_of(folder: str | Path) -> str:
    """Profile name of the card in ``folder``; for bundle configurations."""
    return ModelCard.read(Path(folder)).profile().name


def volume_profile_of(folder: str | Path) -> VolumeProfile:
    """Preprocessing of the card in ``folder``, a network for volumes; for bundle configurations."""
    return ModelCard.read(Path(folder)).volume_profile()
