"""Weights from outside: the file that the authors of GTRNet released, and ImageNet files of torchvision.

Such files come as a bare state dict, as a checkpoint that holds one, or as a pickled network. A pickle is a program;
none is run here. ``torch.load`` reads weights only, and every class name of a torchvision ResNet stands for a record
that keeps what it is given and does nothing, so neither the classes nor torchvision are needed, and any other name in
the file ends the import.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from gastromap.errors import ModelError
from gastromap.model_card import sha256_of
from gastromap.models import GTRNet

__all__ = ["PUBLISHED_SHA256", "ForeignWeights", "foreign", "read_weights"]

#: The weights released with doi 10.1038/s41746-025-02002-5 (233,519,033 bytes).
PUBLISHED_SHA256 = "df3fc8e82b45d387254c3502f0cea81a6f1163d4adbdeddd4dd6bc5e10999561"

_MODULE_NAMES = (
    *(f"torchvision.models.resnet.{name}" for name in ("ResNet", "BasicBlock", "Bottleneck")),
    "torch.nn.modules.activation.ReLU",
    "torch.nn.modules.batchnorm.BatchNorm2d",
    "torch.nn.modules.container.Sequential",
    "torch.nn.modules.conv.Conv2d",
    "torch.nn.modules.linear.Linear",
    "torch.nn.modules.pooling.AdaptiveAvgPool2d",
    "torch.nn.modules.pooling.MaxPool2d",
    "torch.nn.parallel.data_parallel.DataParallel",
)
#: Losses and metrics in checkpoints are often numpy scalars; they are not needed, but they must not stop the import.
_SCALAR_NAMES = (
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.dtypes.Float32DType",
    "numpy.dtypes.Float64DType",
    "numpy.dtypes.Int64DType",
)
#: Where checkpoints keep the network.
_NETWORK_KEYS = ("model_state_dict", "state_dict", "model")
#: Blocks in each stage and whether they are bottlenecks -> depth (He et al. 2016, Table 1).
_DEPTHS: dict[tuple[tuple[int, ...], bool], int] = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), True): 50,
    ((3, 8, 36, 3), True): 152,
}
#: Files older than torch 0.4 do not count batches; the count is not used.
_COUNT = "num_batches_tracked"
#: torchvision's modules lie at most four deep; a file that nests deeper is none.
_DEEPEST = 6


@dataclass(frozen=True)
class ForeignWeights:
    """A residual network read from a file.

    Attributes
    ----------
    state : mapping of str to Tensor
        torchvision's names, float32, on the CPU.
    depth : {18, 50, 152}
    classes : int or None
        Outputs; ``None`` without a classifier.
    form : str
        ``state dict``, ``checkpoint`` or ``whole model``.
    sha256 : str
        Of the file.
    """

    state: Mapping[str, Tensor]
    depth: int
    classes: int | None
    form: Literal["state dict", "checkpoint", "whole model"]
    sha256: str

    @property
    def published(self) -> bool:
        """Whether the file is the one that the authors released."""
        return self.sha256 == PUBLISHED_SHA256


class _Inert:
    """Stands for any allowed class of a pickle: keeps its state, does nothing."""

    __slots__ = ("state",)
    state: Any

    def __new__(cls, *_arguments: Any) -> _Inert:
        made = super().__new__(cls)
        made.state = None
        return made

    def __init__(self, *_arguments: Any) -> None:
        """Forget the arguments."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


def foreign(expected: str, got: str, remedy: str = "") -> ModelError:
    """Error ``WEIGHTS_FOREIGN``: the file is no network that can be imported."""
    remedy = remedy or "Name a file of the released weights or of torchvision."
    return ModelError("WEIGHTS_FOREIGN", where="weights file", expected=expected, got=got, remedy=remedy)


def read_weights(path: Path) -> ForeignWeights:
    """Read a torchvision ResNet from a file, running nothing that is in it.

    Parameters
    ----------
    path : Path
        State dict, checkpoint with ``model_state_dict``, ``state_dict`` or ``model``, or pickled whole network.

    Raises
    ------
    ModelError
        ``WEIGHTS_FOREIGN``: no such file, another content, or names that are not allowed.
    """
    if not path.is_file():
        raise foreign("a file", "no such file")
    allowed: list[Any] = [(_Inert, name) for name in (*_MODULE_NAMES, *_SCALAR_NAMES)]
    try:
        with torch.serialization.safe_globals(allowed):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises many types; none may escape with file content
        raise foreign(
            "tensors and the classes of a torchvision ResNet, nothing else", f"{type(error).__name__} while reading"
        ) from error
    form, tensors = _network_in(content)
    state = _plain_names(tensors)
    depth = _depth_of(state)
    _check_complete(state, depth)
    classifier = state.get("fc.weight")
    return ForeignWeights(
        state={name: value.float() if value.is_floating_point() else value for name, value in state.items()},
        depth=depth,
        classes=None if classifier is None else classifier.shape[0],
        form=form,
        sha256=sha256_of(path),
    )


def _network_in(
    content: Any, *, inside: bool = False
) -> tuple[Literal["state dict", "checkpoint", "whole model"], dict[str, Tensor]]:
    if isinstance(content, _Inert):
        return "whole model", dict(_tensors_of(content))
    if isinstance(content, Mapping):
        for key in () if inside else _NETWORK_KEYS:
            if isinstance(content.get(key), Mapping | _Inert):
                return "checkpoint", _network_in(content[key], inside=True)[1]
        tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
        if tensors:
            return "state dict", tensors
    raise foreign("a state dict, a checkpoint or a network", "something else")


def _tensors_of(module: Any, prefix: str = "", level: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers of an unpickled module, by the names that ``state_dict`` would give them."""
    if not isinstance(module, _Inert) or not isinstance(module.state, Mapping) or level > _DEEPEST:
        raise foreign("the modules of a torchvision ResNet", "another structure")
    for kind in ("_parameters", "_buffers"):
        for name, value in _mapping(module.state, kind):
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
    for name, child in _mapping(module.state, "_modules"):
        if child is not None:
            yield from _tensors_of(child, f"{prefix}{name}.", level + 1)


def _mapping(state: Mapping[str, Any], key: str) -> list[tuple[Any, Any]]:
    found = state.get(key, {})
    return list(found.items()) if isinstance(found, Mapping) else []


def _plain_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without the prefix of a parallel wrapper."""
    prefix = "module."
    wrapped = all(name.startswith(prefix) for name in tensors)
    return {name[len(prefix) :] if wrapped else name: value.detach() for name, value in tensors.items()}


def _depth_of(state: Mapping[str, Tensor]) -> int:
    blocks = tuple(len({name.split(".")[1] for name in state if name.startswith(f"layer{k}.")}) for k in range(1, 5))
    depth = _DEPTHS.get((blocks, "layer1.0.conv3.weight" in state))
    if depth is None:
        raise foreign("a ResNet of depth 18, 50 or 152", f"blocks {', '.join(map(str, blocks))} in its four stages")
    return depth


def _check_complete(state: Mapping[str, Tensor], depth: int) -> None:
    """Every name and shape as torchvision has them, all numbers finite; the classifier may be absent."""
    classes = len(state["fc.bias"]) if "fc.bias" in state and state["fc.bias"].ndim else 1
    with torch.device("meta"):
        wanted = GTRNet(depth=depth, in_channels=3, num_classes=classes, crop_fusion=False).state_dict()
    needed = {name for name in wanted if not name.endswith(_COUNT)}
    if not {"fc.weight", "fc.bias"} & set(state):
        needed -= {"fc.weight", "fc.bias"}
    missing, further = needed - set(state), set(state) - set(wanted)
    # Shapes before values: a file of a few bytes can claim a tensor of any size.
    other = [name for name in set(state) & set(wanted) if not _alike(state[name], wanted[name])]
    if missing or further or other:
        got = f"{len(missing)} tensors missing, {len(further)} further, {len(other)} of another kind or shape"
        raise foreign(f"the tensors of a torchvision resnet{depth}", got)
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        raise foreign("finite weights", "others")


def _alike(value: Tensor, wanted: Tensor) -> bool:
    return (
        value.shape == wanted.shape
        and value.is_floating_point() == wanted.is_floating_point()
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )
