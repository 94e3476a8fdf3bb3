"""Maps of the longitudinal network against MONAI's Grad-CAM, plain attention and sanity checks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.visualize import GradCAM
from scipy.stats import spearmanr
from torch import Tensor, nn

from gastromap.errors import UsageError
from gastromap.explain_3d import co_attention_maps, grad_cam_3d, to_voxels
from gastromap.models.longitudinal import LongitudinalNet
from gastromap.models.longitudinal.survival import os_risk

BREAKS = tuple(float(b) for b in range(0, 110, 10))


@pytest.fixture(scope="module")
def image() -> Tensor:
    torch.manual_seed(0)
    return nn.functional.avg_pool3d(torch.rand(2, 2, 68, 68, 68), 5, stride=1) * 3 - 1


def network(seed: int) -> LongitudinalNet:
    torch.manual_seed(seed)
    return LongitudinalNet("tiny").eval()


class OneScan(nn.Module):
    """A lone baseline as the only input, one score as the only output: what MONAI's hooks can follow."""

    def __init__(self, net: LongitudinalNet, target: str) -> None:
        super().__init__()
        self.net, self.target = net, target

    def forward(self, x: Tensor) -> Tensor:
        pair = torch.cat([x, torch.zeros_like(x)], dim=1)
        logits = self.net(pair, torch.tensor([[True, False]]).expand(len(x), 2))
        return logits[:, :1] if self.target == "lnm" else os_risk(logits[:, 1:], BREAKS).unsqueeze(1)


class TestGradCam:
    @pytest.mark.parametrize("target", ["lnm", "os_risk"])
    @pytest.mark.parametrize("stage", [3, 4])
    def test_a_lone_scan_gets_the_map_of_monai(self, image, target, stage) -> None:
        net = network(1)
        ours = grad_cam_3d(
            net, image, target=target, stage=stage, breaks_months=BREAKS, present=torch.tensor([[True, False]] * 2)
        )
        # Without this postprocessing MONAI inverts its map.
        library = GradCAM(OneScan(net, target), f"net.encoder.stage{stage}", postprocessing=lambda v: v)
        for patient in range(2):
            theirs = library(image[patient : patient + 1, :1], class_idx=0)[0, 0]
            mine = to_voxels(ours[patient, 0], (64, 64, 64))
            assert np.corrcoef(mine.ravel(), theirs.detach().numpy().ravel())[0, 1] > 0.99

    def test_a_patient_has_one_scale_and_an_absent_scan_is_empty(self, image) -> None:
        maps = grad_cam_3d(network(1), image, target="lnm", present=torch.tensor([[True, True], [False, True]]))
        assert maps.shape == (2, 2, 8, 8, 8)
        assert not maps[1, 0].any()
        for patient in maps:
            assert patient.max() == pytest.approx(1, abs=1e-4) or not patient.any()
            assert patient.min() >= 0

    def test_both_scans_of_a_pair_get_the_gradient_of_their_own_pass(self, image) -> None:
        net = network(1)
        maps = grad_cam_3d(net, image[:1], target="lnm")
        stage3 = net.encoder.until_stage3(image[0].unsqueeze(1)).detach().requires_grad_()
        net.judge(stage3, torch.tensor([[True, True]])).logits[0, 0].backward()
        cam = torch.relu((stage3.grad.mean((2, 3, 4), keepdim=True) * stage3.detach()).sum(1))
        np.testing.assert_allclose(maps[0], (cam / cam.max()).numpy(), atol=1e-4)
        assert maps[0, 0].any()
        assert maps[0, 1].any()

    @pytest.mark.parametrize("target", ["lnm", "os_risk"])
    def test_randomised_weights_change_the_map(self, image, target) -> None:
        def maps(seed: int) -> np.ndarray:
            return grad_cam_3d(network(seed), image, target=target, breaks_months=BREAKS)

        first = maps(1)
        ranks = [abs(spearmanr(first.ravel(), maps(seed).ravel())[0]) for seed in range(2, 5)]
        assert np.mean(ranks) < 0.5

    def test_no_gradient_is_left_in_the_network(self, image) -> None:
        net = network(1)
        grad_cam_3d(net, image, target="lnm")
        assert all(p.grad is None for p in net.parameters())

    def test_survival_needs_breaks_and_the_network_must_not_be_training(self, image) -> None:
        with pytest.raises(UsageError, match="EXPLANATION"):
            grad_cam_3d(network(1), image, target="os_risk")
        with pytest.raises(UsageError, match="EXPLANATION"):
            grad_cam_3d(network(1).train(), image, target="lnm")


class TestCoAttention:
    def test_every_place_distributes_one_look(self, image) -> None:
        maps = co_attention_maps(network(1), image)
        assert maps.first_to_second.shape == (2, 8, 8, 8, 8, 8, 8)
        for rows in (maps.first_to_second, maps.second_to_first):
            np.testing.assert_allclose(rows.sum((-1, -2, -3)), 1, atol=1e-4)
        np.testing.assert_allclose(maps.pooling.sum((2, 3, 4)), 1, atol=1e-4)

    def test_the_rows_are_the_mean_over_the_heads_of_the_last_block(self, image) -> None:
        net = network(1)
        affinity = net.detailed(image).affinity[-1]
        maps = co_attention_maps(net, image)
        onward = affinity.softmax(-1).mean(1).detach().numpy()
        backward = affinity.softmax(-2).mean(1).transpose(1, 2).detach().numpy()
        np.testing.assert_allclose(maps.first_to_second.reshape(2, 512, 512), onward, atol=1e-6)
        np.testing.assert_allclose(maps.second_to_first.reshape(2, 512, 512), backward, atol=1e-6)

    def test_entropy_is_one_where_all_places_are_alike_and_falls_with_a_sharp_look(self, image) -> None:
        net = network(1)
        with torch.no_grad():
            net.head.blocks[-1].query.weight.zero_()
            np.testing.assert_allclose(co_attention_maps(net, image).entropy, 1, atol=1e-5)
            net.head.blocks[-1].query.weight.normal_(std=20)
        assert co_attention_maps(net, image).entropy.mean() < 0.3

    def test_a_look_at_one_place_is_found_at_its_voxels(self) -> None:
        cells = np.zeros((4, 4, 4), np.float32)
        cells[3, 0, 1] = 1
        large = to_voxels(cells, (32, 64, 64))
        # The middle of that cell, 8 x 16 x 16 voxels.
        assert np.unravel_index(large.argmax(), large.shape)[0] >= 24
        assert large[28, 8, 24] > 0.85
        assert large[:16].max() == 0
