"""Encoder of one scan: stem, four stages, their maps returned (no hooks)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from gastromap.models.longitudinal.blocks import GatedSpatialConvolution, activation, instance_norm
from gastromap.models.longitudinal.mamba import TriMambaLayer
from gastromap.models.longitudinal.presets import Preset

__all__ = ["Encoder", "EncoderMaps"]


class EncoderMaps(NamedTuple):
    """Maps of one forward pass, (batch, channels, D, H, W) each, finest first."""

    stem: Tensor  #: before the last convolution of the stem; the input itself where there is only one
    stage1: Tensor
    stage2: Tensor
    stage3: Tensor
    stage4: Tensor


class _Export(nn.Module):
    """Norm and MLP on a stage's exported maps; the main path goes on without them (``paper``)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = instance_norm(width, "paper")
        self.mlp = nn.Sequential(nn.Conv3d(width, 2 * width, 1), nn.GELU(), nn.Conv3d(2 * width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mlp(self.norm(x))
        return out


class Encoder(nn.Module):
    """Stem of convolutions, then four stages of gated convolutions and Mamba layers.

    Parameters
    ----------
    preset : Preset
    in_channels : int
        1, or 2 with a channel for the tumour mask.

    Notes
    -----
    Input (batch, in_channels, D, H, W), each side a multiple of ``preset.stride``. No layer mixes patients.
    """

    def __init__(self, preset: Preset, in_channels: int = 1) -> None:
        super().__init__()
        style = preset.style
        layers: list[nn.Module] = []
        channels = in_channels
        for conv in preset.stem:
            layers.append(nn.Conv3d(channels, conv.channels, conv.kernel, stride=conv.stride, padding=conv.kernel // 2))
            channels = conv.channels
            layers += [instance_norm(channels, style), activation(style)]
        # The last convolution of the stem has neither norm nor activation.
        self.stem = nn.Sequential(*layers[:-3])
        self.stem_end = layers[-3]
        self.stage1 = _stage(preset, 1, channels)
        self.stage2 = _stage(preset, 2, preset.widths[0])
        self.stage3 = _stage(preset, 3, preset.widths[1])
        self.stage4 = _stage(preset, 4, preset.widths[2])
        self.export1, self.export2, self.export3, self.export4 = (
            _Export(width) if style == "paper" else nn.Identity() for width in preset.widths
        )

    def forward(self, x: Tensor) -> EncoderMaps:
        """Maps of all stages."""
        stem = self.stem(x)
        stage1 = self.stage1(self.stem_end(stem))
        stage2 = self.stage2(stage1)
        stage3 = self.stage3(stage2)
        return EncoderMaps(
            stem, self.export1(stage1), self.export2(stage2), self.export3(stage3), self.until_stage4(stage3)
        )

    def until_stage3(self, x: Tensor) -> Tensor:
        """Maps of stage 3 as stage 4 reads them (not exported)."""
        out: Tensor = self.stage3(self.stage2(self.stage1(self.stem_end(self.stem(x)))))
        return out

    def until_stage4(self, stage3: Tensor) -> Tensor:
        """Exported maps of stage 4 from those of :meth:`until_stage3`."""
        out: Tensor = self.export4(self.stage4(stage3))
        return out


def _stage(preset: Preset, number: int, channels: int) -> nn.Sequential:
    width = preset.widths[number - 1]
    layers: list[nn.Module] = []
    if number > 1:
        layers += [instance_norm(channels, preset.style), nn.Conv3d(channels, width, 2, stride=2)]
    layers.append(GatedSpatialConvolution(width, preset.style))
    if number in preset.mamba_stages:
        layers += [TriMambaLayer(width, preset.state, preset.style) for _ in range(preset.mamba_layers)]
    return nn.Sequential(*layers)
