"""Call a function in a process of its own, so that its peak memory is its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

__all__ = ["in_fresh_process"]

_T = TypeVar("_T")


def in_fresh_process(function: Callable[..., _T], *arguments: object) -> _T:
    """Result of a module's function, called in a process forked from one that has only imported that module."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([function.__module__])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()
