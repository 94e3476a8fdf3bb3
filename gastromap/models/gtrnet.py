"""GTRNet: a residual network with a pooled and a cropped early stream (doi 10.1038/s41746-025-02002-5)."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from monai.networks.nets.resnet import ResNet, ResNetBlock, ResNetBottleneck
from torch import Tensor, nn

__all__ = ["GTRNet"]

_log = logging.getLogger(__name__)

#: depth -> (block, blocks a stage), as in He et al. 2016, Table 1.
_LAYOUT: dict[int, tuple[type[nn.Module], list[int]]] = {
    18: (ResNetBlock, [2, 2, 2, 2]),
    50: (ResNetBottleneck, [3, 4, 6, 3]),
    152: (ResNetBottleneck, [3, 8, 36, 3]),
}


class GTRNet(nn.Module):
    """Four-class T-stage network for one CT slice.

    The map after the first convolution goes two ways: max-pooled (context of the whole slice) and cropped in the
    middle at full detail. A 1 x 1 convolution fuses them. It starts as the identity on the pooled stream, so a
    network loaded with ImageNet weights behaves at first exactly like the pretrained residual network.

    Parameters
    ----------
    depth : {152, 50, 18}
    in_channels : int
        1 for the ``paper`` preprocessing profile, 3 for ``released``.
    num_classes : int
    crop_fusion : bool
        ``False`` is the plain residual network that the authors released.
    imagenet_weights : path, ``"download"`` or None
        State dict of a torchvision ResNet of the same depth. ``"download"`` asks torchvision for it and needs a
        network connection and torchvision. ``None`` trains from scratch and says so in the log.

    Notes
    -----
    Input (batch, in_channels, 224, 224), output logits (batch, num_classes). Parameter names are those of
    torchvision's ResNet, plus ``fuse.weight``.
    """

    def __init__(
        self,
        *,
        depth: int = 152,
        in_channels: int = 1,
        num_classes: int = 4,
        crop_fusion: bool = True,
        imagenet_weights: str | Path | None = None,
    ) -> None:
        super().__init__()
        if depth not in _LAYOUT:
            msg = f"expected depth in {sorted(_LAYOUT)}, got {depth}"
            raise ValueError(msg)
        self.depth = depth
        block, layers = _LAYOUT[depth]
        # bias_downsample=False and stride 2 make MONAI's 2-D network the one of torchvision, name by name.
        net = ResNet(
            block,
            layers,
            [64, 128, 256, 512],
            spatial_dims=2,
            n_input_channels=in_channels,
            conv1_t_size=7,
            conv1_t_stride=2,
            num_classes=num_classes,
            bias_downsample=False,
        )
        self.conv1, self.bn1, self.act, self.maxpool = net.conv1, net.bn1, net.act, net.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4
        self.avgpool = net.avgpool
        self.fc = net.fc
        self.fuse: nn.Conv2d | None = nn.Conv2d(128, 64, kernel_size=1, bias=False) if crop_fusion else None
        if self.fuse is not None:
            with torch.no_grad():
                self.fuse.weight.zero_()
                self.fuse.weight[:, :64, 0, 0] = torch.eye(64)
        if imagenet_weights is None:
            _log.info("GTRNet-%d starts from random weights (no ImageNet weights given)", depth)
        else:
            self.load_imagenet(imagenet_weights)

    @property
    def name(self) -> str:
        """Name used in results, for example ``GTRNet-18``."""
        return f"GTRNet-{self.depth}" if self.fuse is not None else f"ResNet-{self.depth}"

    def early_maps(self, x: Tensor) -> Tensor:
        """Maps of the second residual stage, from which an explanation can be made at a useful resolution.

        Parameters
        ----------
        x : Tensor, shape (batch, in_channels, rows, columns)

        Returns
        -------
        Tensor, shape (batch, channels, rows / 8, columns / 8)
        """
        x = self.act(self.bn1(self.conv1(x)))
        pooled: Tensor = self.maxpool(x)
        if self.fuse is not None:
            height, width = pooled.shape[-2:]
            top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
            pooled = self.fuse(torch.cat([pooled, x[..., top : top + height, left : left + width]], dim=1))
        out: Tensor = self.layer2(self.layer1(pooled))
        return out

    def late_maps(self, early: Tensor) -> Tensor:
        """Maps of the last residual stage from those of the second."""
        out: Tensor = self.layer4(self.layer3(early))
        return out

    def feature_maps(self, x: Tensor) -> Tensor:
        """Maps of the last residual stage.

        Parameters
        ----------
        x : Tensor, shape (batch, in_channels, rows, columns)

        Returns
        -------
        Tensor, shape (batch, channels, rows / 32, columns / 32)
        """
        return self.late_maps(self.early_maps(x))

    def pool(self, maps: Tensor) -> Tensor:
        """Average each map: (batch, channels, h, w) to the penultimate vector (batch, channels)."""
        return torch.flatten(self.avgpool(maps), 1)

    def head(self, maps: Tensor) -> Tensor:
        """Logits from the maps of the last stage."""
        logits: Tensor = self.fc(self.pool(maps))
        return logits

    def head_from_early(self, early: Tensor) -> Tensor:
        """Logits from the maps of the second stage."""
        return self.head(self.late_maps(early))

    def features(self, x: Tensor) -> Tensor:
        """Penultimate vector, shape (batch, 512) for depth 18, else (batch, 2048)."""
        return self.pool(self.feature_maps(x))

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (batch, num_classes)."""
        return self.head(self.feature_maps(x))

    def load_imagenet(self, weights: str | Path) -> None:
        """Copy ImageNet weights into everything but the classifier.

        With one input channel the first convolution gets the sum over its three channels: a grey picture then
        gives the same response.
        """
        if str(weights) == "download":
            from torchvision import models

            state = models.get_model(f"resnet{self.depth}", weights="DEFAULT").state_dict()
        else:
            state = torch.load(weights, map_location="cpu", weights_only=True)
        state = {key: value for key, value in state.items() if not key.startswith("fc.")}
        if self.conv1.in_channels == 1:
            state["conv1.weight"] = state["conv1.weight"].sum(dim=1, keepdim=True)
        result = self.load_state_dict(state, strict=False)
        absent = sorted(set(result.missing_keys) - {"fc.weight", "fc.bias", "fuse.weight"})
        if absent or result.unexpected_keys:
            msg = f"expected the weights of a torchvision resnet{self.depth}, got {len(absent)} missing keys"
            raise ValueError(msg)
        _log.info("GTRNet-%d starts from ImageNet weights", self.depth)
