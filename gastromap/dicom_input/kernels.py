"""Which convolution kernels are sharp: their noise and edge overshoot spoil texture and small tumours.

Names follow the manufacturers' schemes; an unknown name is neither sharp nor soft.
"""

from __future__ import annotations

import re

__all__ = ["is_sharp_kernel", "softness_rank"]

#: Siemens: a letter or two for the body region, two digits of sharpness, optional variant (B30f, Br38f, I31f).
_SIEMENS = re.compile(r"[a-z]{1,2}(\d{2})[a-z]{0,2}")
#: Canon and Toshiba: FC01 to FC19 body, FC30 and up bone and lung.
_CANON = re.compile(r"fc(\d{2})[a-z]?")
_SHARP_NAMES = {"lung", "bone", "boneplus", "bone+", "edge", "ultra", "yb", "yc", "yd", "ya", "l", "d", "e"}
_SOFT_NAMES = {"standard", "soft", "stnd", "std", "a", "b", "c", "sa", "sb"}


def _name(kernel: str | None) -> str:
    # Newer Siemens scanners add the iterative strength as a second value: "Br38f 3".
    return (kernel or "").strip().casefold().split(" ")[0]


def is_sharp_kernel(kernel: str | None) -> bool:
    """Whether a kernel is made for lung or bone."""
    name = _name(kernel)
    if name in _SHARP_NAMES:
        return True
    if match := _CANON.fullmatch(name):
        return int(match[1]) >= 30
    if match := _SIEMENS.fullmatch(name):
        return int(match[1]) >= 55
    return False


def softness_rank(kernel: str | None) -> int:
    """Rank a kernel for soft tissue: 0 soft, 1 unknown, 2 medium, 3 sharp."""
    name = _name(kernel)
    if is_sharp_kernel(kernel):
        return 3
    if name in _SOFT_NAMES:
        return 0
    match = _CANON.fullmatch(name) or _SIEMENS.fullmatch(name)
    if match:
        return 0 if int(match[1]) < 46 else 2
    return 1
