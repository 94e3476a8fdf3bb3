"""Limits that a throw-away process sets on itself before it touches other people's bytes."""

from __future__ import annotations

import resource

__all__ = ["limit_memory", "lower_limit"]


def lower_limit(kind: int, value: int) -> None:
    """Set the soft limit of a resource (``resource.RLIMIT_*``), at most to its hard limit."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def limit_memory(size: int) -> None:
    """Limit the address space to ``size`` bytes, and leave no core file: it would hold patient data."""
    lower_limit(resource.RLIMIT_AS, size)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
