"""GTRNet against torchvision's ResNet: the published network and its starting point."""

from __future__ import annotations

import pytest
import torch
from torchvision import models as torchvision_models

from gastromap.models import GTRNet


def _pair(depth: int, *, crop_fusion: bool) -> tuple[GTRNet, torch.nn.Module]:
    torch.manual_seed(0)
    reference = torchvision_models.get_model(f"resnet{depth}", num_classes=4).eval()
    net = GTRNet(depth=depth, in_channels=3, crop_fusion=crop_fusion).eval()
    missing, unexpected = net.load_state_dict(reference.state_dict(), strict=False)
    assert unexpected == []
    assert missing == (["fuse.weight"] if crop_fusion else [])
    return net, reference


class TestAgainstTorchvision:
    @pytest.mark.parametrize("depth", [18, 50, 152])
    def test_without_crop_fusion_it_is_the_released_residual_network(self, depth: int) -> None:
        net, reference = _pair(depth, crop_fusion=False)
        x = torch.randn(2, 3, 224, 224)
        with torch.inference_mode():
            torch.testing.assert_close(net(x), reference(x), rtol=1e-5, atol=1e-5)

    def test_with_crop_fusion_it_starts_as_the_pretrained_network(self) -> None:
        net, reference = _pair(18, crop_fusion=True)
        x = torch.randn(2, 3, 224, 224)
        with torch.inference_mode():
            torch.testing.assert_close(net(x), reference(x), rtol=1e-5, atol=1e-5)

    def test_imagenet_weights_on_one_channel_see_a_grey_picture_as_three_channels_do(self, tmp_path) -> None:
        reference = torchvision_models.get_model("resnet18").eval()
        torch.save(reference.state_dict(), tmp_path / "imagenet.pt")
        net = GTRNet(depth=18, in_channels=1, imagenet_weights=tmp_path / "imagenet.pt").eval()
        grey = torch.randn(1, 1, 224, 224)
        features = torch.nn.Sequential(*list(reference.children())[:-1])
        with torch.inference_mode():
            torch.testing.assert_close(
                net.features(grey), features(grey.expand(-1, 3, -1, -1)).flatten(1), rtol=1e-4, atol=1e-4
            )

    def test_weights_of_another_depth_are_refused(self, tmp_path) -> None:
        torch.save(torchvision_models.get_model("resnet18").state_dict(), tmp_path / "imagenet.pt")
        with pytest.raises((ValueError, RuntimeError)):
            GTRNet(depth=50, in_channels=3, imagenet_weights=tmp_path / "imagenet.pt")


class TestCropStream:
    def test_a_trained_crop_stream_changes_the_result_only_through_the_middle_of_the_image(self) -> None:
        torch.manual_seed(1)
        net = GTRNet(depth=18).eval()
        with torch.no_grad():
            net.fuse.weight[:, :64] = 0
            net.fuse.weight[:, 64:, 0, 0] = torch.eye(64)
        x = torch.randn(1, 1, 224, 224)
        border, middle = x.clone(), x.clone()
        border[..., :30, :] += 5
        middle[..., 100:120, 100:120] += 5
        with torch.inference_mode():
            torch.testing.assert_close(net(border), net(x))
            assert not torch.allclose(net(middle), net(x), atol=1e-3)

    def test_the_head_on_the_feature_maps_gives_the_logits(self) -> None:
        net = GTRNet(depth=18).eval()
        x = torch.randn(2, 1, 224, 224)
        with torch.inference_mode():
            maps = net.feature_maps(x)
            assert maps.shape == (2, 512, 7, 7)
            torch.testing.assert_close(net.head(maps), net(x))

    def test_an_unknown_depth_is_refused(self) -> None:
        with pytest.raises(ValueError, match="depth"):
            GTRNet(depth=34)
