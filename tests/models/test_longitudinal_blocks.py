"""Building blocks of the longitudinal network against loops written out here."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gastromap.models.longitudinal.blocks import GatedSpatialConvolution
from gastromap.models.longitudinal.co_attention import CoAttention
from gastromap.models.longitudinal.mamba import ScanDirection, TriMamba, TriMambaLayer


def read_in_order(direction: ScanDirection, u: Tensor) -> Tensor:
    """One token after the other, one state after the other; u (length, channels)."""
    length, channels = u.shape
    weight, bias = direction.conv.weight[:, 0], direction.conv.bias
    out = torch.zeros_like(u)
    state = torch.zeros(channels, direction.state, dtype=u.dtype)
    for t in range(length):
        taps = sum(weight[:, 3 - lag] * u[t - lag] for lag in range(4) if t >= lag)
        v = functional.silu(taps + bias)
        chosen = direction.select.weight @ v
        low, b, c = chosen.split([direction.rank, direction.state, direction.state])
        step = functional.softplus(direction.step.weight @ low + direction.step_bias)
        decay = torch.exp(step[:, None] * -torch.exp(direction.A_log))
        state = decay * state + (step * v)[:, None] * b
        out[t] = state @ c + direction.D * v
    return out


def randomise(module: nn.Module) -> None:
    """Biases and norms start at 0 and 1, where swapped or lost ones would not show."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, p in module.named_parameters():
            if not name.endswith("A_log"):
                p.normal_(std=0.5)


class TestTriMamba:
    def test_three_orders_are_summed_gated_and_projected(self) -> None:
        mixer = TriMamba(3, 4)
        randomise(mixer)
        depth, height, width = 3, 2, 4
        tokens = torch.randn(1, depth, height, width, 3)
        u, z = (tokens.reshape(-1, 3) @ mixer.enter.weight.T).chunk(2, dim=-1)
        order = [(d, h, w) for d in range(depth) for h in range(height) for w in range(width)]
        depth_fastest = [order.index((d, h, w)) for h in range(height) for w in range(width) for d in range(depth)]
        total = torch.zeros_like(u)
        for direction, sequence in (
            (mixer.onward, list(range(len(order)))),
            (mixer.backward_, list(range(len(order)))[::-1]),
            (mixer.across, depth_fastest),
        ):
            total[sequence] += read_in_order(direction, u[sequence])
        expected = (total * functional.silu(z)) @ mixer.leave.weight.T
        torch.testing.assert_close(mixer(tokens)[0], expected.view(depth, height, width, 3), atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("style", ["default", "paper"])
    def test_without_its_output_weights_the_layer_is_the_identity(self, style) -> None:
        # The residual, which the authors' code drops.
        layer = TriMambaLayer(8, 4, style)
        with torch.no_grad():
            layer.mixer.leave.weight.zero_()
            if layer.mlp is not None:
                layer.mlp[-1].weight.zero_()
                layer.mlp[-1].bias.zero_()
        x = torch.randn(2, 8, 2, 3, 4)
        torch.testing.assert_close(layer(x), x)

    def test_every_token_reaches_every_other(self) -> None:
        mixer = TriMamba(4, 4)
        randomise(mixer)
        tokens = torch.randn(1, 2, 3, 2, 4, requires_grad=True)
        for source in ((0, 0, 0), (1, 2, 1)):
            (gradient,) = torch.autograd.grad(mixer(tokens)[0, *source].sum(), tokens)
            assert (gradient[0].abs().sum(-1) > 0).all()


class TestGatedSpatialConvolution:
    def test_a_closed_gate_lets_nothing_of_the_branch_through(self) -> None:
        block = GatedSpatialConvolution(4, "default")
        with torch.no_grad():
            block.gate[1].weight.zero_()
            block.gate[1].bias.fill_(-200.0)
            block.join[0].bias.zero_()
            block.join[1].bias.zero_()
        x = torch.randn(2, 4, 4, 4, 4)
        torch.testing.assert_close(block(x), x, atol=1e-6, rtol=0)

    def test_paper_adds_its_branches(self) -> None:
        block = GatedSpatialConvolution(4, "paper")
        x = torch.randn(2, 4, 4, 4, 4)
        expected = x + block.join(block.branch(x) + torch.relu(block.gate(x)))
        torch.testing.assert_close(block(x), expected)


class TestCoAttention:
    def test_both_ways_equal_torchs_attention_head_by_head(self) -> None:
        block = CoAttention(8, 2).eval()
        randomise(block)
        first, second = torch.randn(3, 5, 8), torch.randn(3, 7, 8)
        one, two, affinity = block(first, second, torch.tensor([True, True, True]))
        assert affinity.shape == (3, 2, 5, 7)
        heads = lambda x: x.view(3, -1, 2, 4).transpose(1, 2)  # noqa: E731
        a, b = block.norm(first), block.norm(second)
        query, key = heads(a @ block.query.weight.T), heads(b @ block.key.weight.T)
        for x, asking, asked, values, got in (
            (first, query, key, block.value(b), one),
            (second, key, query, block.value(a), two),
        ):
            message = functional.scaled_dot_product_attention(asking, asked, heads(values))
            m = block.out(message.transpose(1, 2).reshape(3, -1, 8))
            x = x + torch.sigmoid(block.gate(torch.cat([x, m], -1))) * m
            torch.testing.assert_close(got, x + block.mlp(x), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(affinity, query @ key.transpose(-1, -2) / math.sqrt(4), atol=1e-5, rtol=1e-4)

    def test_no_message_flows_to_or_from_an_absent_scan(self) -> None:
        block = CoAttention(8, 2).eval()
        first, second = torch.randn(2, 5, 8), torch.randn(2, 5, 8)
        one, two, _ = block(first, second, torch.tensor([False, True]))
        assert torch.equal(one[0], (first + block.mlp(first))[0])
        assert torch.equal(two[0], (second + block.mlp(second))[0])
        assert not torch.allclose(one[1], (first + block.mlp(first))[1])
