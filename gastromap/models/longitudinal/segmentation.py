"""Tumour segmentation on the encoder of the longitudinal network: the first step of its training."""

from __future__ import annotations

import math

import torch
from monai.data import MetaTensor
from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrUpBlock
from torch import Tensor, nn

from gastromap.errors import UsageError
from gastromap.models.longitudinal.encoder import Encoder, EncoderMaps
from gastromap.models.longitudinal.presets import Preset, preset_named

__all__ = ["SegmentationNet", "bottleneck"]

#: Channels of the decoder at the resolution of the image, at least.
_LEAST = 4


def bottleneck(preset: Preset) -> nn.Module:
    """Residual convolutions behind stage 4 (``paper``), else nothing; shared with the longitudinal network."""
    if preset.style == "default":
        return nn.Identity()
    return _residual(preset.widths[-1], preset.token_width)


class SegmentationNet(nn.Module):
    """U-Net on the encoder of the longitudinal network.

    Parameters
    ----------
    preset : str or Preset
    detail : int
        Channels of a decoder that ends at the resolution of the stem, with the voxels of a cell as channels; 0 for
        one that ends at the image's, as in the longitudinal design. The layers of the stomach's wall are as thin as a
        voxel, which the few channels affordable at full size do not tell apart; a step takes three fifths. Not for
        ``paper``.
    second_look : int
        Channels of a network behind that decoder (:class:`SecondLook`), which judges what it has marked; 0 for none.
        Trained after the rest, with the rest as it is (``start_from(only="second_look.")``). Needs ``detail``.

    Raises
    ------
    ValueError
        ``detail`` with ``paper``, or ``second_look`` without ``detail``.

    Notes
    -----
    Input (batch, 1, D, H, W), any size that ``preset.stride`` divides; output one tumour logit a voxel, same shape.
    Whole volumes go through MONAI's ``SlidingWindowInferer`` with windows of ``preset.crop_voxels``.
    """

    def __init__(self, preset: str | Preset = "default", *, detail: int = 0, second_look: int = 0) -> None:
        super().__init__()
        self.preset = preset_named(preset)
        if detail and self.preset.style != "default":
            msg = "expected detail 0 for this preset"
            raise ValueError(msg)
        if second_look and not detail:
            msg = "expected detail with second_look"
            raise ValueError(msg)
        self.encoder = Encoder(self.preset)
        self.bottleneck = bottleneck(self.preset)
        self.decoder = _Decoder(self.preset, detail) if self.preset.style == "default" else _PaperDecoder(self.preset)
        self.second_look = SecondLook(self.preset.stem[0].stride, detail, second_look) if second_look else None

    def forward(self, image: Tensor) -> Tensor:
        """Tumour logits, shape (batch, 1, D, H, W).

        Raises
        ------
        UsageError
            ``INPUT_SHAPE``.
        """
        if not torch.jit.is_scripting():
            image = without_meta(image)
            check_divisible(image, self.preset)
        maps = self.encoder(image)
        deepest = self.bottleneck(maps.stage4)
        if self.second_look is not None:
            first, features = self.decoder.with_features(image, maps, deepest)  # type: ignore[operator]
            looked: Tensor = self.second_look(image, first, features)
            return looked
        out: Tensor = self.decoder(image, maps, deepest)
        return out


def check_divisible(image: Tensor, preset: Preset) -> None:
    """Refuse sizes at which maps and skips would not meet."""
    if image.ndim != 5 or any(size % step for size, step in zip(image.shape[2:], preset.stride, strict=True)):
        raise UsageError(
            "INPUT_SHAPE",
            where="network input",
            expected=f"(batch, channels, D, H, W) with D, H, W multiples of {preset.stride}",
            got=str(tuple(image.shape)),
            remedy="Crop or pad the volume.",
        )


def without_meta(image: Tensor) -> Tensor:
    """Plain tensor of MONAI's tensor with metadata, which neither the scan nor its compiled form understands."""
    return image.as_subclass(Tensor) if isinstance(image, MetaTensor) else image


class _Decoder(nn.Module):
    """Transposed convolutions from stage 4 up to the image, joined at each step with the encoder's maps."""

    def __init__(self, preset: Preset, detail: int) -> None:
        super().__init__()
        first, last = preset.stem
        one, two, three, four = preset.widths
        self.up3 = _up(four, three, (2, 2, 2))
        self.up2 = _up(three, two, (2, 2, 2))
        self.up1 = _up(two, one, (2, 2, 2))
        self.up_stem = _up(one, first.channels, last.stride)
        self.top = (_Cells if detail else _FullSize)(
            first.stride, first.channels, detail or max(first.channels // 2, _LEAST)
        )

    def forward(self, image: Tensor, maps: EncoderMaps, deepest: Tensor) -> Tensor:
        out: Tensor = self.top(image, self._joined(maps, deepest))
        return out

    def with_features(self, image: Tensor, maps: EncoderMaps, deepest: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and the maps that they were made of at the resolution of the stem (with ``detail``)."""
        features: Tensor = self.top.features(image, self._joined(maps, deepest))  # type: ignore[operator]
        return self.top.out(features), features

    def _joined(self, maps: EncoderMaps, deepest: Tensor) -> Tensor:
        x = self.up1(self.up2(self.up3(deepest, maps.stage3), maps.stage2), maps.stage1)
        out: Tensor = self.up_stem(x, maps.stem)
        return out


class _FullSize(nn.Module):
    """Logits by convolutions at the resolution of the image."""

    def __init__(self, stride: tuple[int, int, int], width: int, channels: int) -> None:
        super().__init__()
        self.image = _residual(1, channels)
        self.up = _up(width, channels, stride)
        self.out = nn.Conv3d(channels, 1, 1)

    def forward(self, image: Tensor, maps: Tensor) -> Tensor:
        out: Tensor = self.out(self.up(maps, self.image(image)))
        return out


class _Cells(nn.Module):
    """Logits of every voxel at the resolution of the stem, with the voxels of a cell of the image as channels."""

    def __init__(self, stride: tuple[int, int, int], width: int, channels: int) -> None:
        super().__init__()
        self.stride = stride
        self.own = _residual(math.prod(stride), channels)
        self.join = _residual(channels + width, channels)
        self.out = nn.ConvTranspose3d(channels, 1, stride, stride)

    def forward(self, image: Tensor, maps: Tensor) -> Tensor:
        out: Tensor = self.out(self.features(image, maps))
        return out

    def features(self, image: Tensor, maps: Tensor) -> Tensor:
        """Maps at the resolution of the stem, of which the logits are made."""
        out: Tensor = self.join(torch.cat([self.own(cells(image, self.stride)), maps], dim=1))
        return out


def cells(image: Tensor, stride: tuple[int, int, int]) -> Tensor:
    """Voxels of a cell as channels: (batch, C, D, H, W) to (batch, C * d * h * w, D / d, H / h, W / w)."""
    batch, channels, (d, h, w) = image.shape[0], image.shape[1], stride
    depth, height, width = image.shape[2] // d, image.shape[3] // h, image.shape[4] // w
    parts = image.reshape(batch, channels, depth, d, height, h, width, w).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return parts.reshape(batch, channels * d * h * w, depth, height, width)


class SecondLook(nn.Module):
    """Judge what a first decoder marked: tumour, or fold of the wall.

    Parameters
    ----------
    stride : (slice, row, column)
        Of the stem of the first network, whose cells it reads.
    features : int
        Channels of the maps of the first decoder.
    channels : int
        At half their resolution; twice as many below.

    Notes
    -----
    Input: image (batch, 1, D, H, W), 0 to 1 for -160 to 240 HU; logits of the first decoder, same shape; its maps.
    Output: logits (batch, 1, D, H, W).

    Batch norm, other than in the first network: instance norm measures the contrast of a crop in its own spread, which
    the air and fat in it make, so that the 24 HU between tumour and mucosa are not the same in two crops. For the same
    reason the range of enhancing soft tissue is given as an image of its own.
    """

    def __init__(self, stride: tuple[int, int, int], features: int, channels: int) -> None:
        super().__init__()
        self.stride = stride
        voxels = math.prod(stride)
        self.enter = _residual(3 * voxels + features, features, "batch")
        self.down1 = nn.Conv3d(features, channels, (1, 2, 2), (1, 2, 2))
        self.stage1 = nn.Sequential(*[_residual(channels, channels, "batch") for _ in range(3)])
        self.down2 = nn.Conv3d(channels, 2 * channels, 2, 2)
        self.stage2 = nn.Sequential(*[_residual(2 * channels, 2 * channels, "batch") for _ in range(2)])
        self.up2 = nn.ConvTranspose3d(2 * channels, channels, 2, 2)
        self.join = _residual(2 * channels, channels, "batch")
        self.up1 = nn.ConvTranspose3d(channels, features, (1, 2, 2), (1, 2, 2))
        self.last = nn.Sequential(
            nn.Conv3d(2 * features, features, 1, bias=False), nn.BatchNorm3d(features), nn.LeakyReLU(0.01)
        )
        self.out = nn.ConvTranspose3d(features, 1, stride, stride)
        # Hardly a voxel is tumour: else the first steps do nothing but learn that.
        nn.init.constant_(self.out.bias, -4.0)  # type: ignore[arg-type]

    def forward(self, image: Tensor, first: Tensor, features: Tensor) -> Tensor:
        """Logits, shape (batch, 1, D, H, W)."""
        # 20 to 140 HU of the window.
        tissue = ((image - 0.45) / 0.3).clamp(0, 1)
        seen = cells(torch.cat([image, tissue, torch.sigmoid(first)], dim=1), self.stride)
        fine = self.enter(torch.cat([seen, features], dim=1))
        x = self.stage1(self.down1(fine))
        x = self.join(torch.cat([x, self.up2(self.stage2(self.down2(x)))], dim=1))
        out: Tensor = self.out(self.last(torch.cat([fine, self.up1(x)], dim=1)))
        return out


class _PaperDecoder(nn.Module):
    """The same with a residual block on every skip, each as wide as the level above."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        one, two, three, four = preset.widths
        self.image = _residual(1, one)
        self.skip1, self.skip2, self.skip3 = _residual(one, two), _residual(two, three), _residual(three, four)
        self.up4 = _up(preset.token_width, four, (2, 2, 2))
        self.up3 = _up(four, three, (2, 2, 2))
        self.up2 = _up(three, two, (2, 2, 2))
        self.up1 = _up(two, one, (2, 2, 2))
        self.last = _residual(one, one)
        self.out = nn.Conv3d(one, 1, 1)

    def forward(self, image: Tensor, maps: EncoderMaps, deepest: Tensor) -> Tensor:
        x = self.up4(deepest, self.skip3(maps.stage3))
        x = self.up2(self.up3(x, self.skip2(maps.stage2)), self.skip1(maps.stage1))
        out: Tensor = self.out(self.last(self.up1(x, self.image(image))))
        return out


def _residual(in_channels: int, out_channels: int, norm: str = "instance") -> nn.Module:
    return UnetrBasicBlock(3, in_channels, out_channels, kernel_size=3, stride=1, norm_name=norm, res_block=True)


def _up(in_channels: int, out_channels: int, stride: tuple[int, int, int]) -> nn.Module:
    return UnetrUpBlock(
        3, in_channels, out_channels, kernel_size=3, upsample_kernel_size=stride, norm_name="instance", res_block=True
    )
