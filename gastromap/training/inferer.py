"""Mixed precision on any device."""

from __future__ import annotations

from typing import Any

import torch
from monai.inferers import SimpleInferer
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gastromap.errors import UsageError

__all__ = ["AutocastInferer", "best_precision"]

_CONVOLUTIONS = (torch.conv3d, nn.functional.conv3d)
#: Instructions with which a CPU computes in bfloat16: Intel and AMD, then ARM.
_BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


def best_precision(device: torch.device) -> str:
    """``bfloat16`` where the device computes in it, else ``float32``.

    A CPU without instructions for it is not merely as slow as in float32. On two cores with AVX2 alone, forward and
    backward pass of the longitudinal network (preset ``default``, one pair) took 64 s in bfloat16 and 2.9 s in float32,
    of GTRNet-18 (eight slices) 14 s and 1.2 s.

    Parameters
    ----------
    device : torch.device
        ``cpu`` or ``cuda``.

    Returns
    -------
    str
        A value of ``dtype`` of :class:`AutocastInferer`.
    """
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        instructions = torch.cpu.get_capabilities()
        able = any(instructions.get(name, False) for name in _BFLOAT16_INSTRUCTIONS)
    return "bfloat16" if able else "float32"


class AutocastInferer(SimpleInferer):
    """Run the network under autocast and return float32.

    MONAI's ``amp=True`` opens a CUDA autocast only; with this inferer a CPU that can trains in bfloat16 too, two to
    three times faster (:func:`best_precision`).

    Parameters
    ----------
    dtype : {"float32", "bfloat16", "float16"}
        ``float32`` switches autocast off. bfloat16 has the exponents of float32, so gradients need no scaling.
        float16 is for GPUs without bfloat16 (before Ampere): small gradients vanish in it unless they are scaled,
        which MONAI's trainer does with ``amp=True``, on a GPU only.
    """

    def __init__(self, *, dtype: str = "bfloat16") -> None:
        super().__init__()
        if dtype not in ("float32", "bfloat16", "float16"):
            msg = f"expected dtype float32, bfloat16 or float16, got {dtype}"
            raise ValueError(msg)
        self._dtype = getattr(torch, dtype)

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        """Return ``network(inputs)`` as float32."""
        plain = inputs.as_tensor() if hasattr(inputs, "as_tensor") else inputs
        if plain.ndim == 4:
            plain = plain.contiguous(memory_format=torch.channels_last)
        enabled = self._dtype is not torch.float32
        if self._dtype is torch.float16 and inputs.device.type == "cpu":
            raise UsageError(
                "PRECISION",
                where="training",
                expected="float32 or bfloat16 on the CPU",
                got="float16",
                remedy="Correct precision; gradients are scaled on a GPU only.",
            )
        with (
            torch.autocast(inputs.device.type, dtype=self._dtype if enabled else torch.bfloat16, enabled=enabled),
            _FlatConvolutions(),
        ):
            out: Tensor = super().__call__(plain, network, *args, **kwargs)
        return out.float()


class _FlatConvolutions(TorchFunctionMode):
    """Compute 3D convolutions in float32 on the CPU where the image has fewer slices than the kernel.

    There torch 2.14 (oneDNN) returns memory that nobody has written as weight gradient in bfloat16: NaN, noise or a
    crash. It happens in the deepest maps of small crops. They cost nothing in float32.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _CONVOLUTIONS:
            image, weight, *others = args
            if image.shape[-3] < weight.shape[-3] and image.device.type == "cpu":
                with torch.autocast("cpu", enabled=False):
                    return func(image.float(), weight.float(), *others, **(kwargs or {}))
        return func(*args, **(kwargs or {}))
