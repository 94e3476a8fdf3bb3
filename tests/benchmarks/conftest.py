"""A benchmark quiets the libraries for its whole process; here it shares the process with other tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Undo ``logging.disable``."""
    before = logging.root.manager.disable
    yield
    logging.disable(before)
