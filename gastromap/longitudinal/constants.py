"""Numbers that travel with the weights of the longitudinal model: ``longitudinal.json`` beside ``model.pt``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from gastromap.errors import ModelError, UsageError
from gastromap.models.longitudinal.constants import LongitudinalCalibration
from gastromap.models.longitudinal.survival import check_breaks
from gastromap.nomogram.json_file import dump_object, finite, finite_list, load_model_object

__all__ = ["CONSTANTS_NAME", "MONTHS", "Inputs", "LongitudinalConstants", "inputs_of"]

CONSTANTS_NAME: Final = "longitudinal.json"
_FORMAT: Final = "gastromap-longitudinal/1"

#: Months at which S(t) is given, as far as the training was followed.
MONTHS: Final = (12, 24, 36, 48, 60)

#: What a prediction was made from.
Inputs = Literal["pair", "baseline_only", "followup_only"]


def inputs_of(*, baseline: bool, followup: bool) -> Inputs:
    """Name of what is there."""
    if baseline and followup:
        return "pair"
    return "baseline_only" if baseline else "followup_only"


@dataclass(frozen=True)
class LongitudinalConstants:
    """What has to be known, beside the weights, to read the network's logits.

    Attributes
    ----------
    breaks_months : tuple of K + 1 numbers
        Of the survival intervals.
    preset : str
        Of the network.
    calibration : LongitudinalCalibration
        The identity until the weights are published.
    os_risk_median : mapping
        Median calibrated ``os_risk`` (months, negative) of the training patients by :data:`Inputs`: above it lies
        the high-risk group. Empty until the weights are published.
    weights_sha256 : str
        Of the weights that the numbers were fitted with.
    fitted_on : str
    """

    breaks_months: tuple[float, ...]
    preset: str
    calibration: LongitudinalCalibration = field(default_factory=LongitudinalCalibration)
    os_risk_median: Mapping[str, float] = field(default_factory=dict)
    weights_sha256: str = ""
    fitted_on: str = ""

    @property
    def months(self) -> tuple[int, ...]:
        """Months of :data:`MONTHS` that the last break reaches."""
        return tuple(month for month in MONTHS if month <= self.breaks_months[-1])

    def write(self, folder: Path) -> None:
        """Write ``longitudinal.json``; same numbers, same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        content: dict[str, Any] = {
            "breaks_months": list(self.breaks_months),
            "preset": self.preset,
            "calibration": self.calibration.to_json(),
            "os_risk_median": dict(self.os_risk_median),
            "weights_sha256": self.weights_sha256,
            "fitted_on": self.fitted_on,
        }
        dump_object(folder / CONSTANTS_NAME, file_format=_FORMAT, content=content)

    @classmethod
    def read(cls, folder: str | Path) -> LongitudinalConstants:
        """Read ``longitudinal.json``.

        Raises
        ------
        ModelError
            ``LONGITUDINAL_CONSTANTS`` or ``LONGITUDINAL_CALIBRATION``.
        """
        content: Any = load_model_object(
            Path(folder) / CONSTANTS_NAME,
            code="LONGITUDINAL_CONSTANTS",
            where="model",
            file_format=_FORMAT,
            keys=tuple(cls.__dataclass_fields__),
        )
        try:
            breaks = finite_list(content["breaks_months"])
            check_breaks(breaks)
            medians = {str(key): finite(value) for key, value in content["os_risk_median"].items()}
        except (ValueError, AttributeError, UsageError) as error:
            raise ModelError(
                "LONGITUDINAL_CONSTANTS",
                where="model",
                expected="increasing breaks from 0 and finite medians",
                got="others",
                remedy="Publish the weights again (gastromap publish-pairs).",
            ) from error
        return cls(
            breaks_months=breaks,
            preset=str(content["preset"]),
            calibration=LongitudinalCalibration.from_json(content["calibration"]),
            os_risk_median=medians,
            weights_sha256=str(content["weights_sha256"]),
            fitted_on=str(content["fitted_on"]),
        )
