"""Mamba layers that have outgrown their residual stream."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gastromap.models.longitudinal import LongitudinalNet
from gastromap.models.longitudinal.mamba import TriMambaLayer
from gastromap.models.longitudinal.settling import settle


@pytest.fixture
def scans() -> Tensor:
    return torch.rand(3, 1, 32, 32, 32, generator=torch.Generator().manual_seed(1))


def network(*, grown: float = 1.0) -> LongitudinalNet:
    torch.manual_seed(2)
    net = LongitudinalNet("tiny").eval()
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, TriMambaLayer):
                layer.mixer.leave.weight.mul_(grown)
    return net


def messages(net: LongitudinalNet, scans: Tensor) -> list[tuple[float, float]]:
    """Standard deviations of message and stream of each Mamba layer."""
    found: list[tuple[float, float]] = []

    def look(layer: TriMambaLayer, args: tuple[Tensor]) -> None:
        tokens = args[0].permute(0, 2, 3, 4, 1)
        found.append((float(layer.mixer(layer.norm(tokens)).std()), float(tokens.std())))

    hooks = [m.register_forward_pre_hook(look) for m in net.modules() if isinstance(m, TriMambaLayer)]
    with torch.no_grad():
        net.encoder.until_stage4(net.encoder.until_stage3(scans))
    for hook in hooks:
        hook.remove()
    return found


class TestSettling:
    def test_layers_with_messages_far_larger_than_their_stream_start_anew(self, scans: Tensor) -> None:
        net = network(grown=1e6)
        assert all(message > 100 * stream for message, stream in messages(net, scans))
        assert settle(net, scans) == len(messages(net, scans))
        assert all(message <= stream for message, stream in messages(net, scans))

    def test_they_are_the_same_whenever_a_training_goes_on(self, scans: Tensor) -> None:
        first, second = network(grown=1e6), network(grown=1e6)
        settle(first, scans)
        torch.manual_seed(99)
        settle(second, scans)
        for one, two in zip(first.parameters(), second.parameters(), strict=True):
            assert torch.equal(one, two)

    def test_a_layer_within_the_limit_stays_as_it_is(self, scans: Tensor) -> None:
        net, before = network(), network()
        assert all(message < stream for message, stream in messages(net, scans))
        assert settle(net, scans) == 0
        for name, value in net.encoder.state_dict().items():
            torch.testing.assert_close(value, before.encoder.state_dict()[name], rtol=0, atol=0)

    def test_different_places_differ_again_in_more_than_one_direction(self, scans: Tensor) -> None:
        def share(net: LongitudinalNet) -> float:
            with torch.no_grad():
                tokens = net.encoder.until_stage3(scans)[0].flatten(1)
            values = torch.linalg.svdvals(tokens - tokens.mean(1, keepdim=True)) ** 2
            return float(values[0] / values.sum())

        net = network(grown=1e6)
        grown = share(net)
        settle(net, scans)
        assert share(net) < grown

    def test_tokens_of_the_head_have_unit_size(self, scans: Tensor) -> None:
        net = network(grown=1e6)
        settle(net, scans)
        with torch.no_grad():
            stage3 = net.encoder.until_stage3(scans)
            assert float(net.head.fine(stage3).std()) == pytest.approx(1, abs=1e-3)
            assert float(net.head.coarse(net.encoder.until_stage4(stage3)).std()) == pytest.approx(1, abs=1e-3)
