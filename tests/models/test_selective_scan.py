"""Selective scan: values and gradients of every backend against the recurrence in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gastromap.models.selective_scan import selective_scan
from gastromap.models.selective_scan.native import why_not

_NAMES = ("u", "dt", "A", "B", "C")


@pytest.fixture(params=["block", "native"])
def backend(request: pytest.FixtureRequest) -> str:
    reason = why_not(torch.zeros(1)) if request.param == "native" else None
    if reason is not None:
        pytest.skip(f"compiled selective scan: {reason}")
    return request.param


def make_inputs(
    *, batch: int = 1, length: int, channels: int, states: int, step: float | None = None, seed: int = 0
) -> list[Tensor]:
    """u, dt, A, B, C in float64; steps vary between 0.01 and 1 unless one is given."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    u = normal(batch, length, channels)
    dt = 0.01 + torch.rand(u.shape, generator=draw, dtype=torch.float64) if step is None else torch.full_like(u, step)
    A = -torch.arange(1, states + 1, dtype=torch.float64).repeat(channels, 1)
    return [u, dt, A, normal(batch, length, states), normal(batch, length, states)]


def as_float(inputs: list[Tensor]) -> list[Tensor]:
    return [x.float() for x in inputs]


def gradients(inputs: list[Tensor], **options: object) -> list[Tensor]:
    """Gradients of a weighted sum of the output, so that no two outputs count alike."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    y = selective_scan(*leaves, **options)
    weights = torch.sin(torch.arange(y.numel(), dtype=torch.float64)).reshape(y.shape).to(y.dtype)
    return list(torch.autograd.grad((y * weights).sum(), leaves))


def log_space_scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """The forbidden form, exp(S) cumsum(exp(-S) x), by chunks of 16 steps and clamped: breaks from dt = 0.5 on."""
    state, outputs = u.new_zeros(u.size(0), *A.shape), []
    for first in range(0, u.size(1), 16):
        part = slice(first, first + 16)
        total = (dt[:, part, :, None] * A).cumsum(1).clamp(min=-60)
        driven = (dt[:, part] * u[:, part]).unsqueeze(3) * B[:, part].unsqueeze(2)
        states = total.exp() * (state.unsqueeze(1) + ((-total).exp() * driven).cumsum(1))
        outputs.append((states * C[:, part].unsqueeze(2)).sum(3))
        state = states[:, -1]
    return torch.cat(outputs, 1)


class TestValues:
    @pytest.mark.parametrize("length", [256, 1000])
    @pytest.mark.parametrize("step", [0.02, 0.1, 0.5, 1, 3, 10])
    def test_float32_is_within_1e5_of_the_recurrence_in_float64(self, backend: str, length: int, step: float) -> None:
        inputs = make_inputs(length=length, channels=24, states=16, step=step)
        truth = selective_scan(*inputs, backend="sequential")
        y = selective_scan(*as_float(inputs), backend=backend)
        assert y.dtype == torch.float32
        assert (y - truth).abs().max() <= 1e-5 * truth.abs().max()

    @pytest.mark.parametrize(("step", "good"), [(0.02, True), (0.1, True), (0.5, False), (3, False), (10, False)])
    def test_the_test_above_catches_a_scan_in_log_space(self, step: float, *, good: bool) -> None:
        inputs = make_inputs(length=256, channels=24, states=16, step=step)
        truth = selective_scan(*inputs, backend="sequential")
        error = (log_space_scan(*as_float(inputs)) - truth).abs().max()
        assert bool(error <= 1e-5 * truth.abs().max()) is good

    @pytest.mark.parametrize(("batch", "length", "chunk"), [(2, 5, None), (2, 5, 64), (3, 1, None), (2, 100, 7)])
    def test_any_length_and_chunk_gives_the_same(
        self, backend: str, batch: int, length: int, chunk: int | None
    ) -> None:
        inputs = make_inputs(batch=batch, length=length, channels=19, states=3)
        truth = selective_scan(*inputs, backend="sequential")
        torch.testing.assert_close(selective_scan(*inputs, backend=backend, chunk=chunk), truth)

    def test_one_channel_and_one_state_is_the_sum_worked_out_by_hand(self, backend: str) -> None:
        # dt = ln 2 with A = -1 halves the state at each step: h = 2 ln2, ln2 + 4 ln2; y = C h + D u.
        half = torch.log(torch.tensor(2.0, dtype=torch.float64)).item()
        u = torch.tensor([[[2.0], [4.0]]], dtype=torch.float64)
        one = torch.ones_like(u)
        D = torch.tensor([10.0], dtype=torch.float64)
        y = selective_scan(u, half * one, -one[0, :1], one, 3 * one, D, backend=backend)
        assert y.flatten().tolist() == pytest.approx([6 * half + 20, 15 * half + 40])

    def test_z_gates_after_d_has_been_added(self, backend: str) -> None:
        inputs = make_inputs(length=9, channels=4, states=2)
        D, z = torch.arange(4, dtype=torch.float64), torch.randn_like(inputs[0])
        plain = selective_scan(*inputs, backend="sequential")
        y = selective_scan(*inputs, D, z, backend=backend)
        torch.testing.assert_close(y, (plain + D * inputs[0]) * z * torch.sigmoid(z))

    def test_half_precision_and_autocast_are_computed_in_float32(self, backend: str) -> None:
        inputs = as_float(make_inputs(length=300, channels=8, states=4))
        expected = selective_scan(*inputs, backend=backend)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(selective_scan(*inputs, backend=backend), expected)
        rounded = [x.bfloat16() for x in inputs]
        y = selective_scan(*rounded, backend=backend)
        assert y.dtype == torch.bfloat16
        expected = selective_scan(*(x.float() for x in rounded), backend=backend)
        torch.testing.assert_close(y, expected.bfloat16())

    def test_a_nan_stays_in_its_channel_and_batch_entry_and_after_its_time(self, backend: str) -> None:
        inputs = make_inputs(batch=2, length=40, channels=20, states=4)
        inputs[0][1, 30, 17] = torch.nan
        for kind in (torch.float64, torch.float32):
            bad = selective_scan(*(x.to(kind) for x in inputs), backend=backend).isnan()
            assert bad[1, 30:, 17].all()
            assert bad.sum() == 10

    @pytest.mark.parametrize("step", [1e-9, 1e4])
    def test_steps_of_almost_nothing_and_beyond_all_decay_stay_exact(self, backend: str, step: float) -> None:
        inputs = make_inputs(length=40, channels=3, states=4, step=step)
        truth = selective_scan(*inputs, backend="sequential")
        y = selective_scan(*as_float(inputs), backend=backend)
        assert (y - truth).abs().max() <= 1e-5 * truth.abs().max()


class TestGradients:
    @pytest.mark.parametrize("chunk", [None, 1, 4, 5, 13])
    def test_gradcheck_passes_for_every_chunk_length(self, backend: str, chunk: int | None) -> None:
        inputs = [x.requires_grad_() for x in make_inputs(batch=2, length=13, channels=5, states=3)]
        assert torch.autograd.gradcheck(lambda *x: selective_scan(*x, backend=backend, chunk=chunk), inputs)

    def test_gradcheck_passes_for_one_step_and_for_d_and_z(self, backend: str) -> None:
        inputs = make_inputs(batch=2, length=1, channels=3, states=2)
        inputs += [torch.ones(3, dtype=torch.float64), torch.randn_like(inputs[0])]
        for x in inputs:
            x.requires_grad_()
        assert torch.autograd.gradcheck(lambda *x: selective_scan(*x, backend=backend), inputs)

    @pytest.mark.parametrize("length", [256, 1000, 4096])
    def test_float32_gradients_are_within_1e5_of_float64(self, backend: str, length: int) -> None:
        inputs = make_inputs(length=length, channels=12, states=16)
        truth = gradients(inputs, backend="sequential")
        for name, ours, true in zip(_NAMES, gradients(as_float(inputs), backend=backend), truth, strict=True):
            assert (ours - true).norm() <= 1e-5 * true.norm(), name
            assert (ours - true).abs().max() <= 1e-5 * true.abs().max(), name

    def test_a_small_budget_and_inputs_out_of_order_in_memory_change_nothing(self, backend: str) -> None:
        inputs = make_inputs(batch=2, length=70, channels=6, states=4)
        truth = gradients(inputs, backend="sequential")
        strided = [x.transpose(0, 1).contiguous().transpose(0, 1) for x in inputs]
        leaves = [x.detach().requires_grad_() for x in strided]
        assert not any(x.is_contiguous() for x in leaves)
        y = selective_scan(*leaves, backend=backend, chunk=8, budget=1)
        weights = torch.sin(torch.arange(y.numel(), dtype=torch.float64)).reshape(y.shape)
        # A transposed weight makes the gradient that arrives strided too.
        found = torch.autograd.grad(y.transpose(1, 2), leaves, weights.transpose(1, 2))
        for ours, true in zip(found, truth, strict=True):
            torch.testing.assert_close(ours, true)

    def test_several_threads_and_batch_entries_give_what_one_thread_gives(self, backend: str) -> None:
        inputs = make_inputs(batch=3, length=50, channels=70, states=4)
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(1)
            one = gradients(inputs, backend=backend)
            torch.set_num_threads(4)
            four = gradients(inputs, backend=backend)
        finally:
            torch.set_num_threads(before)
        for ours, true in zip(four, one, strict=True):
            torch.testing.assert_close(ours, true)

    def test_a_second_derivative_is_refused(self, backend: str) -> None:
        inputs = [x.requires_grad_() for x in make_inputs(length=9, channels=2, states=2)]
        (first,) = torch.autograd.grad(
            selective_scan(*inputs, backend=backend).square().sum(), inputs[:1], create_graph=True
        )
        with pytest.raises(RuntimeError, match="once_differentiable"):
            first.sum().backward()
