"""Grad-CAM against pytorch-grad-cam called the plain way."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM, HiResCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from gastromap.explain import LAYER, METHOD, explanation, grad_cam, otsu_mask
from gastromap.models import GTRNet


@pytest.fixture(scope="module")
def network() -> GTRNet:
    torch.manual_seed(3)
    return GTRNet(depth=18).eval()


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    torch.manual_seed(4)
    return torch.nn.functional.avg_pool2d(torch.randn(1, 1, 232, 232), 9, stride=1) * 5


class TestAgainstPytorchGradCam:
    @pytest.mark.parametrize("target", [0, 1, 2, 3])
    def test_the_map_equals_the_naive_library_call_within_1e_4(self, network, image, target) -> None:
        with torch.inference_mode():
            maps = network.feature_maps(image).clone()
        ours = cv2.resize(grad_cam(maps.clone(), network.head, target=target)[0], (224, 224))
        library = GradCAM(model=network, target_layers=[network.layer4[-1]])
        theirs = library(input_tensor=image, targets=[ClassifierOutputTarget(target)])[0]
        # pytorch-grad-cam scales again after resizing; so do we before comparing.
        ours = (ours - ours.min()) / (1e-7 + ours.max() - ours.min())
        np.testing.assert_allclose(ours, theirs, atol=1e-4)

    @pytest.mark.parametrize("target", [0, 3])
    def test_the_map_of_the_application_equals_the_librarys_of_the_named_method_and_layer(
        self, network, image, target
    ) -> None:
        with torch.inference_mode():
            maps = network.early_maps(image).clone()
        small = explanation(maps.clone(), network, target=target)[0]
        ours = cv2.resize(small, (224, 224))
        method = {"HiResCAM": HiResCAM, "Grad-CAM": GradCAM}[METHOD]
        library = method(model=network, target_layers=[getattr(network, LAYER)[-1]])
        theirs = library(input_tensor=image, targets=[ClassifierOutputTarget(target)])[0]
        ours = (ours - ours.min()) / (1e-7 + ours.max() - ours.min())
        np.testing.assert_allclose(ours, theirs, atol=1e-4)

    @pytest.mark.parametrize("depth", [50, 152])
    def test_both_maps_equal_the_librarys_at_the_other_depths(self, image, depth) -> None:
        torch.manual_seed(depth)
        net = GTRNet(depth=depth).eval()
        with torch.inference_mode():
            early = net.early_maps(image)
            late = net.late_maps(early)
            target = int(net.head(late).argmax())
        pairs = [
            (grad_cam(late.clone(), net.head, target=target)[0], GradCAM, net.layer4[-1]),
            (explanation(early.clone(), net, target=target)[0], HiResCAM, net.layer2[-1]),
        ]
        for small, method, layer in pairs:
            ours = cv2.resize(small, (224, 224))
            theirs = method(model=net, target_layers=[layer])(image, targets=[ClassifierOutputTarget(target)])[0]
            assert theirs.max() > 0.5
            ours = (ours - ours.min()) / (1e-7 + ours.max() - ours.min())
            np.testing.assert_allclose(ours, theirs, atol=1e-4)

    def test_the_map_is_not_inverted(self, network) -> None:
        # One hot cell that speaks for class 2 must be the maximum, not the minimum.
        maps = torch.zeros(1, 512, 7, 7)
        channel = int(network.fc.weight[2].argmax())
        maps[0, channel, 5, 1] = 10
        cam = grad_cam(maps, network.head, target=2)[0]
        assert np.unravel_index(cam.argmax(), cam.shape) == (5, 1)


class TestSanity:
    def test_other_weights_give_another_map(self, network, image) -> None:
        torch.manual_seed(99)
        other = GTRNet(depth=18).eval()
        first, second = (
            grad_cam(n.feature_maps(image).detach(), n.head, target=1)[0].ravel() for n in (network, other)
        )
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.9

    def test_nothing_that_speaks_for_the_class_gives_zero(self, network) -> None:
        maps = torch.zeros(1, 512, 7, 7)
        assert grad_cam(maps, network.head, target=0).max() == 0


@pytest.mark.slow
def test_it_needs_neither_pytorch_grad_cam_nor_torchvision() -> None:
    program = """
import sys
for name in ("pytorch_grad_cam", "torchvision"):
    sys.modules[name] = None  # importing it raises ImportError, as where it is not installed
import torch
import gastromap.staging
from gastromap.explain import explanation, grad_cam
from gastromap.models import GTRNet
net = GTRNet(depth=18).eval()
with torch.inference_mode():
    maps = net.early_maps(torch.randn(1, 1, 224, 224)).clone()
assert explanation(maps, net, target=1).shape == (1, 28, 28)
assert grad_cam(torch.rand(1, 512, 7, 7), net.head, target=1).shape == (1, 7, 7)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


class TestOtsu:
    def test_two_levels_are_parted_as_opencv_parts_them(self) -> None:
        rng = np.random.default_rng(0)
        values = np.clip(np.where(rng.random((80, 80)) < 0.2, 0.8, 0.2) + rng.normal(0, 0.05, (80, 80)), 0, 1)
        eight_bit = np.round(values * 255).astype(np.uint8)
        _, reference = cv2.threshold(eight_bit, 0, 1, cv2.THRESH_OTSU)
        assert (otsu_mask(eight_bit / 255.0) == reference.astype(bool)).mean() > 0.999

    def test_a_constant_map_has_no_foreground(self) -> None:
        assert not otsu_mask(np.full((4, 4), 0.5)).any()
