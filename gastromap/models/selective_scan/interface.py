"""The one public function of the selective scan: checks, precision, the choice of backend."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from gastromap.errors import UsageError
from gastromap.models.selective_scan.backends import BACKENDS, run
from gastromap.models.selective_scan.block import block_scan_plain

__all__ = ["selective_scan"]


def selective_scan(
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    # Not keyword-only, as the house has it elsewhere: TorchScript cannot compile keyword-only arguments with defaults.
    backend: str = "auto",
    chunk: int | None = None,
    budget: int = 64 << 20,
) -> Tensor:
    """State-space recurrence with input-dependent steps (Mamba, arXiv 2312.00752).

    h_t = exp(dt_t A) * h_{t-1} + (dt_t u_t) B_t, starting from 0; y_t = sum over the states of C_t h_t.

    Parameters
    ----------
    u : Tensor, shape (batch, length, channels)
        Input.
    dt : Tensor, shape (batch, length, channels)
        Step sizes, **already positive**: no softplus is applied here.
    A : Tensor, shape (channels, states)
        Negative. A positive entry makes the state grow without bound.
    B, C : Tensor, shape (batch, length, states)
    D : Tensor, shape (channels,), optional
        Adds D u.
    z : Tensor, shape (batch, length, channels), optional
        Multiplies the result by SiLU(z), after D.
    backend : {"auto", "block", "native", "cuda", "sequential"}
        ``auto`` takes ``cuda`` on a GPU where the package mamba-ssm is installed, ``native`` on a CPU where it can be
        compiled, else ``block``; the log says once which and why. ``sequential`` is the slow reference of the tests.
    chunk : int, optional
        Time steps of a chunk: in ``block`` of those that advance together, in ``native`` between two states that are
        kept for the backward pass. Chosen by default; changes speed and memory, not the values.
    budget : int
        Bytes of decays and recomputed states that ``block`` holds at a time.

    Returns
    -------
    y : Tensor, shape (batch, length, channels), type of ``u``

    Raises
    ------
    UsageError
        ``SCAN_ARGUMENT`` for shapes that do not fit each other or an unknown backend; ``SCAN_BACKEND`` if the backend
        that was asked for is not available here. No other one is taken instead.

    Notes
    -----
    Computed in float32, or float64 if ``u`` is float64, under autocast too. Differentiable once. In
    ``torch.jit.script``, traces and ``torch.export`` the ``block`` form without a backward pass of its own is used,
    whatever ``backend`` says: an ``autograd.Function`` can neither be scripted nor saved. Scripted and traced layers
    run at other lengths; ``torch.export`` unrolls the loop for the length that it saw.
    """
    wide = torch.float64 if u.dtype == torch.float64 else torch.float32
    if torch.jit.is_scripting():
        y = block_scan_plain(u.to(wide), dt.to(wide), A.to(wide), B.to(wide), C.to(wide), 0 if chunk is None else chunk)
    else:
        _check(u, dt, A, B, C, D, z, backend, chunk, budget)
        y = run(u.to(wide), dt.to(wide), A.to(wide), B.to(wide), C.to(wide), backend, chunk or 0, budget)
    if D is not None:
        y = y + D.to(wide) * u.to(wide)
    if z is not None:
        y = y * functional.silu(z.to(wide))
    return y.to(u.dtype)


def _check(
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    backend: str,
    chunk: int | None,
    budget: int,
) -> None:
    if u.dim() != 3 or min(u.shape) < 1 or not u.is_floating_point():
        raise _argument("u", "floating point of shape (batch, length, channels)", u)
    batch, length, channels = u.shape
    if A.dim() != 2 or A.size(0) != channels or A.size(1) < 1:
        raise _argument("A", f"shape ({channels}, states)", A)
    states = A.size(1)
    wanted = [("dt", dt, (batch, length, channels)), ("D", D, (channels,)), ("z", z, (batch, length, channels))]
    wanted += [("B", B, (batch, length, states)), ("C", C, (batch, length, states))]
    for name, given, shape in wanted:
        if given is not None and tuple(given.shape) != shape:
            raise _argument(name, f"shape {shape}", given)
    if backend not in BACKENDS:
        raise _option("backend", f"one of {', '.join(BACKENDS)}", backend)
    if chunk is not None and chunk < 1:
        raise _option("chunk", "1 or more steps", chunk)
    if budget < 1:
        raise _option("budget", "1 or more bytes", budget)


def _argument(name: str, expected: str, got: Tensor) -> UsageError:
    return _option(name, expected, f"{str(got.dtype).removeprefix('torch.')} of shape {tuple(got.shape)}")


def _option(name: str, expected: str, got: object) -> UsageError:
    where = f"selective_scan, {name}"
    return UsageError("SCAN_ARGUMENT", where=where, expected=expected, got=str(got), remedy="Correct the call.")
