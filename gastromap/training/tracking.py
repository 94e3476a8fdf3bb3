"""What the tracking overlays need: one row of figures an epoch, and a place on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ignite.engine import Engine, Events

from gastromap.errors import UsageError

__all__ = ["WithValidationMetrics", "local_mlflow"]


class WithValidationMetrics:
    """Training handler that puts the validation figures beside the training figures of the same epoch.

    MONAI's tracking handlers then write both with the epoch of the training; attached to the evaluator they would
    count the evaluator's own epochs, of which there is always one.

    Parameters
    ----------
    evaluator : Engine
        Run by a ``ValidationHandler`` that stands before this handler.
    interval : int
        Epochs between two validations; the figures of an older one are not repeated.
    """

    def __init__(self, evaluator: Engine, *, interval: int = 1) -> None:
        self._evaluator = evaluator
        self._interval = interval

    def attach(self, engine: Engine) -> None:
        """Look at the figures after each epoch."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Copy the figures, or take away those of an earlier epoch."""
        fresh = engine.state.epoch % self._interval == 0
        for name, value in self._evaluator.state.metrics.items():
            if fresh:
                engine.state.metrics[name] = value
            else:
                engine.state.metrics.pop(name, None)


def local_mlflow(folder: str | Path) -> str:
    """Tracking address of a data base in ``folder``, after making sure that MLflow sends nothing anywhere.

    MLflow reports its use over the network unless told otherwise, and ``MLFLOW_TRACKING_URI`` would take precedence
    over the address returned here.

    Raises
    ------
    UsageError
        ``TRACKING_REMOTE`` if that variable names another place, ``TRACKING_MISSING`` without MLflow.
    """
    uri = f"sqlite:///{Path(folder).expanduser().resolve() / 'mlruns.db'}"
    if os.environ.get("MLFLOW_TRACKING_URI", uri) != uri:
        raise UsageError(
            "TRACKING_REMOTE",
            where="training",
            expected="MLFLOW_TRACKING_URI unset: this overlay writes to a local data base",
            got="another address",
            remedy="Unset it, or write an own overlay.",
        )
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # MONAI imports MLflow, where it is installed, before any configuration is read: too early for the variable.
    telemetry = sys.modules.get("mlflow.telemetry")
    if telemetry is None:
        raise UsageError(
            "TRACKING_MISSING",
            where="training",
            expected="MLflow",
            got="no such package",
            remedy="Install requirements-tracking.txt.",
        )
    telemetry.set_telemetry_client()
    Path(folder).expanduser().mkdir(parents=True, exist_ok=True)
    return uri
