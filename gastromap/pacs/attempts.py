"""Try again where a fault may pass."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from gastromap.pacs.remote import PacsError
from gastromap.pacs.settings import PacsSettings

__all__ = ["with_attempts"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def with_attempts(settings: PacsSettings, step: Callable[[], _T], *, sleep: Callable[[float], None] = time.sleep) -> _T:
    """Run a step until it succeeds, its fault is a lasting one, or the attempts are used up.

    Raises
    ------
    PacsError
        Of the last attempt.
    """
    wait = settings.wait_s
    for attempt in range(1, settings.attempts + 1):
        try:
            return step()
        except PacsError as error:
            if error.lasting or attempt == settings.attempts:
                raise
            _log.warning("attempt %d of %d: %s %s", attempt, settings.attempts, error.code, error.got)
            sleep(wait)
            wait *= 2
    raise AssertionError
