"""Selective scan in plain PyTorch: all chunks of the sequence advance together, one time step at a time.

The state of all chunks fits the processor's cache, and only products of decays between 0 and 1 occur, so any
positive step size is safe. Nothing of the size of sequence x states x channels is kept for the backward pass.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = ["block_scan", "block_scan_plain", "steps_per_chunk"]


def block_scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, *, chunk: int, budget: int) -> Tensor:
    """Scan with a backward pass that recomputes the states; shapes as in ``selective_scan``.

    Parameters
    ----------
    chunk : int
        Time steps of a chunk; 0 chooses.
    budget : int
        Bytes of decays and recomputed states at a time.
    """
    # torch leaves apply without annotations.
    return cast(Tensor, _BlockScan.apply(u, dt, A, B, C, chunk, budget))


def block_scan_plain(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, chunk: int = 0) -> Tensor:
    """Same values without a backward pass of its own: for inference, ``torch.jit.script`` and traces."""
    # 32 MB of decays from one pass to the next, as exp is half of the work; TorchScript knows no global constants.
    return _forward(u, dt, A, B, C, steps_per_chunk(u, A, chunk), 32 << 20)[0]


def steps_per_chunk(u: Tensor, A: Tensor, chunk: int = 0) -> int:
    """Time steps of a chunk, for sequences ``u`` (B, L, D) and ``A`` (D, N)."""
    length = u.size(1)
    if chunk > 0:
        return min(chunk, length)
    balanced = max(8, int(4 * math.sqrt(length)))
    if u.is_cuda:
        # Starting a kernel costs more than what it does: fewer steps with more chunks.
        return min(max(8, int(math.sqrt(length))), length)
    # Half a megabyte of states in float32 stays in the second-level cache.
    chunks = min(length, max(1, (1 << 17) // (u.size(0) * A.size(0) * A.size(1))))
    steps = min((length + chunks - 1) // chunks, balanced)
    return min(max(steps, 8), length)


def _time_major(x: Tensor, steps: int) -> Tensor:
    """(B, L, F) to (steps, B x chunks, F); padded with zeros, and a step of size zero changes no state."""
    batch, length, width = x.shape
    chunks = (length + steps - 1) // steps
    padded = functional.pad(x, [0, 0, 0, chunks * steps - length])
    return padded.reshape(batch, chunks, steps, width).permute(2, 0, 1, 3).reshape(steps, batch * chunks, width)


def _batch_major(x: Tensor, batch: int, length: int) -> Tensor:
    """Undo ``_time_major``."""
    steps, rows, width = x.shape
    chunks = rows // batch
    ordered = x.reshape(steps, batch, chunks, width).permute(1, 2, 0, 3).reshape(batch, chunks * steps, width)
    return ordered[:, :length].contiguous()


def _forward(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, steps: int, budget: int) -> tuple[Tensor, Tensor]:
    """Output (B, L, D) and the state before each chunk (B x chunks, N, D)."""
    batch, length = u.size(0), u.size(1)
    decay = A.t().contiguous()
    step = _time_major(dt, steps)
    drive = (step * _time_major(u, steps)).unsqueeze(2)
    step = step.unsqueeze(2)
    to_state = _time_major(B, steps).unsqueeze(3)
    to_output = _time_major(C, steps).unsqueeze(3)
    rows, channels = drive.size(1), drive.size(3)
    state = torch.zeros([rows, decay.size(0), channels], dtype=u.dtype, device=u.device)
    decays: list[Tensor] = []
    if rows > batch:
        keep = steps * state.numel() * state.element_size() <= budget
        for t in range(steps):
            a = (step[t] * decay).exp_()
            if keep:
                decays.append(a)
            state = (state * a).addcmul_(to_state[t], drive[t])
        state = _carry(state, step.sum(0), decay, batch)
    start = state
    outputs: list[Tensor] = []
    for t in range(steps):
        a = decays[t] if len(decays) > 0 else (step[t] * decay).exp_()
        # In place on a product only: that is what keeps this form differentiable where it is scripted.
        state = (state * a).addcmul_(to_state[t], drive[t])
        outputs.append((to_output[t] * state).sum(1))
    return _batch_major(torch.stack(outputs), batch, length), start


def _carry(ends: Tensor, total_step: Tensor, decay: Tensor, batch: int) -> Tensor:
    """State before each chunk from the state that each chunk reaches when it starts from zero."""
    rows, states, channels = ends.shape
    chunks = rows // batch
    through = (total_step * decay).exp_().reshape(batch, chunks, states, channels)
    ends = ends.reshape(batch, chunks, states, channels)
    before: list[Tensor] = [torch.zeros_like(ends[:, 0])]
    for k in range(chunks - 1):
        before.append(through[:, k] * before[-1] + ends[:, k])
    return torch.stack(before, 1).reshape(rows, states, channels)


class _BlockScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, chunk: int, budget: int) -> Tensor:
        ctx.steps, ctx.budget = steps_per_chunk(u, A, chunk), budget
        y, start = _forward(u, dt, A, B, C, ctx.steps, budget)
        ctx.save_for_backward(u, dt, A, B, C, start)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return (*_backward(grad, *ctx.saved_tensors, steps=ctx.steps, budget=ctx.budget), None, None)


def _backward(
    grad: Tensor, u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, start: Tensor, *, steps: int, budget: int
) -> tuple[Tensor, ...]:
    """Gradients of u, dt, A, B and C.

    With g_t the gradient of state t and a_t its decay: g_t = C_t gy_t + a_{t+1} g_{t+1}, from the last step to the
    first. The states are recomputed from those before each chunk, a few chunks at a time.
    """
    batch, length = u.size(0), u.size(1)
    decay = A.t().contiguous()
    u, dt, B, C, grad = (_time_major(x, steps) for x in (u, dt, B, C, grad))
    d_u, d_dt, d_B, d_C = (torch.empty_like(x) for x in (u, dt, B, C))
    d_decay = torch.zeros_like(decay)
    per_chunk = 2 * steps * decay.numel() * decay.element_size()
    size = max(1, budget // per_chunk)
    a, h = (u.new_empty(steps, min(size, u.size(1)), *decay.shape) for _ in range(2))
    # Decays of all chunks, where the budget allows: exp is half of the work of a pass.
    whole = a if a.size(1) == u.size(1) > batch else None
    incoming = _incoming(grad, dt, C, decay, batch, decays=whole)
    for first in range(0, u.size(1), size):
        part = slice(first, first + size)
        d_u[:, part], d_dt[:, part], d_B[:, part], d_C[:, part] = _backward_part(
            (u[:, part], dt[:, part], B[:, part], C[:, part], grad[:, part]),
            decay,
            start[part],
            incoming[part],
            a=a[:, : len(start[part])],
            h=h[:, : len(start[part])],
            d_decay=d_decay,
            with_decays=whole is not None,
        )
    d_u, d_dt, d_B, d_C = (_batch_major(x, batch, length) for x in (d_u, d_dt, d_B, d_C))
    return d_u, d_dt, d_decay.t(), d_B, d_C


def _incoming(grad: Tensor, dt: Tensor, C: Tensor, decay: Tensor, batch: int, *, decays: Tensor | None) -> Tensor:
    """What flows back into each chunk from the following one: decay times gradient (B x chunks, N, D).

    ``decays`` is filled with those of all steps if it is given.
    """
    rows = grad.size(1)
    outgoing = grad.new_zeros(rows, *decay.shape)
    if rows == batch:
        return outgoing
    scratch = torch.empty_like(outgoing)
    for t in reversed(range(grad.size(0))):
        a = scratch if decays is None else decays[t]
        torch.mul(dt[t].unsqueeze(1), decay, out=a).exp_()
        outgoing.baddbmm_(C[t].unsqueeze(2), grad[t].unsqueeze(1)).mul_(a)
    through = torch.mul(dt.sum(0).unsqueeze(1), decay, out=scratch).exp_().reshape(batch, -1, *decay.shape)
    outgoing = outgoing.reshape(through.shape)
    incoming = torch.zeros_like(outgoing)
    for k in reversed(range(incoming.size(1) - 1)):
        torch.addcmul(outgoing[:, k + 1], through[:, k + 1], incoming[:, k + 1], out=incoming[:, k])
    return incoming.reshape(rows, *decay.shape)


def _backward_part(
    inputs: tuple[Tensor, ...],
    decay: Tensor,
    start: Tensor,
    incoming: Tensor,
    *,
    a: Tensor,
    h: Tensor,
    d_decay: Tensor,
    with_decays: bool,
) -> tuple[Tensor, ...]:
    """Gradients of u, dt, B, C of some chunks; adds to that of the decay.

    ``a`` and ``h`` are scratch; ``a`` holds the decays already if ``with_decays``.
    """
    u, dt, B, C, grad = inputs
    drive = dt * u
    before = start
    for t in range(len(u)):
        if not with_decays:
            torch.mul(dt[t].unsqueeze(1), decay, out=a[t]).exp_()
        before = torch.mul(before, a[t], out=h[t]).baddbmm_(B[t].unsqueeze(2), drive[t].unsqueeze(1))
    d_u, d_dt, d_B, d_C = (torch.empty_like(x) for x in (u, dt, B, C))
    g, scratch, by_chunk = incoming, torch.empty_like(start), torch.zeros_like(start)
    for t in reversed(range(len(u))):
        g = torch.baddbmm(g, C[t].unsqueeze(2), grad[t].unsqueeze(1))
        d_C[t] = torch.bmm(h[t], grad[t].unsqueeze(2)).squeeze(2)
        d_B[t] = torch.bmm(g, drive[t].unsqueeze(2)).squeeze(2)
        e = torch.bmm(B[t].unsqueeze(1), g).squeeze(1)
        g.mul_(a[t])
        w = torch.mul(g, start if t == 0 else h[t - 1], out=h[t])
        torch.mul(w, decay, out=scratch)
        d_dt[t] = torch.addcmul(scratch.sum(1), e, u[t])
        d_u[t] = e * dt[t]
        by_chunk.addcmul_(w, dt[t].unsqueeze(1))
    d_decay += by_chunk.sum(0)
    return d_u, d_dt, d_B, d_C
