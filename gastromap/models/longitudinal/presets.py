"""Sizes of the longitudinal network as data: ``paper``, ``default`` and ``tiny``."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from gastromap.errors import UsageError

__all__ = ["PRESETS", "Preset", "StemConv", "preset_named"]

#: Strides along (slice, row, column).
Strides = tuple[int, int, int]


@dataclass(frozen=True)
class StemConv:
    """One convolution of the stem; all but the last are followed by a norm and the activation."""

    channels: int
    kernel: int
    stride: Strides


@dataclass(frozen=True)
class Preset:
    """Sizes of one network.

    ``crop_voxels`` and ``spacing_mm`` describe the crop it was sized for, (slice, row, column); the network itself
    takes any size that its stride divides.
    """

    name: str
    style: Literal["default", "paper"]  #: gate, norm and place of the MLP; see ``blocks`` and ``mamba``
    crop_voxels: tuple[int, int, int]
    spacing_mm: tuple[float, float, float] | None  #: ``None``: the crop is resized, its spacing varies
    stem: tuple[StemConv, ...]
    widths: tuple[int, int, int, int]
    mamba_stages: tuple[int, ...]
    mamba_layers: int
    state: int
    token_width: int
    attention_heads: int
    attention_blocks: int
    trunk: int
    dropout: float
    intervals: int = 10

    @property
    def stride(self) -> Strides:
        """Voxels of the input a cell of stage 4 stands for."""
        down = [8, 8, 8]
        for conv in self.stem:
            down = [d * s for d, s in zip(down, conv.stride, strict=True)]
        return down[0], down[1], down[2]


_TABLE = (
    Preset(
        name="default",
        style="default",
        crop_voxels=(64, 128, 128),
        spacing_mm=(2.0, 1.0, 1.0),
        stem=(StemConv(16, 3, (1, 2, 2)), StemConv(32, 3, (2, 2, 2))),
        widths=(32, 64, 128, 256),
        mamba_stages=(2, 3, 4),
        mamba_layers=2,
        state=16,
        token_width=192,
        attention_heads=4,
        attention_blocks=2,
        trunk=128,
        dropout=0.3,
    ),
    # The published network as far as it is known; token width and trunk are its convolutions' widths.
    Preset(
        name="paper",
        style="paper",
        crop_voxels=(96, 96, 96),
        spacing_mm=None,
        stem=(StemConv(48, 7, (2, 2, 2)),),
        widths=(48, 96, 192, 384),
        mamba_stages=(1, 2, 3, 4),
        mamba_layers=2,
        state=16,
        token_width=768,
        attention_heads=1,
        attention_blocks=1,
        trunk=384,
        dropout=0.0,
    ),
    # Not smaller: instance norm over one voxel has no variance and raises in training.
    Preset(
        name="tiny",
        style="default",
        crop_voxels=(32, 32, 32),
        spacing_mm=(4.0, 4.0, 4.0),
        stem=(StemConv(4, 3, (2, 2, 2)), StemConv(8, 3, (1, 1, 1))),
        widths=(8, 16, 32, 64),
        mamba_stages=(2, 3, 4),
        mamba_layers=1,
        state=4,
        token_width=48,
        attention_heads=2,
        attention_blocks=2,
        trunk=32,
        dropout=0.3,
    ),
)

PRESETS: Final = MappingProxyType({preset.name: preset for preset in _TABLE})


def preset_named(preset: str | Preset) -> Preset:
    """Preset by name; a preset (one changed with ``dataclasses.replace``, say) is returned as it is.

    Raises
    ------
    UsageError
        ``PRESET``.
    """
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise UsageError(
            "PRESET",
            where="network",
            expected=f"one of {', '.join(PRESETS)}",
            got=repr(preset),
            remedy="Correct the preset in the configuration.",
        )
    return PRESETS[preset]
