"""Selective scan in TorchScript and traces: saved, loaded and run at other lengths."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gastromap.models.selective_scan import selective_scan

pytestmark = pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")


class _Layer(nn.Module):
    """Holds the parameters as a Mamba layer does, so that a gradient is wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.A = nn.Parameter(-torch.arange(1.0, 5.0).repeat(6, 1))
        self.D = nn.Parameter(torch.linspace(0, 1, 6))

    def forward(self, u: Tensor, dt: Tensor, B: Tensor, C: Tensor, z: Tensor) -> Tensor:
        return selective_scan(u, dt, self.A, B, C, self.D, z)


def _tokens(length: int) -> tuple[Tensor, ...]:
    draw = torch.Generator().manual_seed(length)
    widths = (6, 6, 4, 4, 6)
    u, dt, B, C, z = (torch.randn(2, length, width, generator=draw) for width in widths)
    return u, dt.abs(), B, C, z


@pytest.fixture(params=["script", "trace"])
def exported(request: pytest.FixtureRequest, tmp_path: Path) -> torch.jit.ScriptModule:
    """The layer, exported, saved and loaded again."""
    layer = _Layer()
    made = torch.jit.script(layer) if request.param == "script" else torch.jit.trace(layer, _tokens(50))
    made.save(tmp_path / "layer.pt")
    return torch.jit.load(tmp_path / "layer.pt")


@pytest.mark.parametrize("length", [1, 7, 50, 700])
def test_an_exported_layer_gives_the_same_at_any_length(exported: torch.jit.ScriptModule, length: int) -> None:
    tokens = _tokens(length)
    torch.testing.assert_close(exported(*tokens), _Layer()(*tokens), rtol=1e-5, atol=1e-5)


def test_an_exported_layer_can_be_trained_further(exported: torch.jit.ScriptModule) -> None:
    layer, tokens = _Layer(), _tokens(60)
    exported(*tokens).sum().backward()
    layer(*tokens).sum().backward()
    torch.testing.assert_close(exported.A.grad, layer.A.grad, rtol=1e-4, atol=1e-4)


def test_autocast_does_not_reach_into_an_exported_layer(exported: torch.jit.ScriptModule) -> None:
    tokens = _tokens(300)
    expected = exported(*tokens)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(exported(*tokens), expected)


def test_torch_export_gives_the_same() -> None:
    layer, tokens = _Layer(), _tokens(20)
    exported = torch.export.export(layer, tokens).module()
    torch.testing.assert_close(exported(*tokens), layer(*tokens), rtol=1e-5, atol=1e-5)
