"""Facts of one run: identifier, versions, seconds by stage. No patient data."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata

from gastromap import __version__
from gastromap.results import RunRecord

__all__ = ["Stopwatch"]

_PACKAGES = ("torch", "monai", "monai-deploy-app-sdk", "holoscan-cu13", "pydicom", "highdicom", "numpy")


class Stopwatch:
    """Collect the seconds of each stage of one run.

    Parameters
    ----------
    config : mapping
        Settings that differ from the defaults, plain values.
    now : callable
        Clock with a time zone.
    """

    def __init__(
        self,
        *,
        config: Mapping[str, object] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._config = dict(config or {})
        self._started = now()
        self._run_id = uuid.uuid4().hex
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; equal names add up."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def record(self) -> RunRecord:
        """Return what is known so far."""
        return RunRecord(
            run_id=self._run_id,
            started=self._started.isoformat(timespec="seconds"),
            version=__version__,
            packages={name: _version(name) for name in _PACKAGES},
            seconds={name: round(value, 4) for name, value in self.seconds.items()},
            config=dict(self._config),
        )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
