"""Calibration constants of the longitudinal network: numbers that travel with its weights as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from gastromap.errors import ModelError

__all__ = ["CalibrationConstants", "LongitudinalCalibration"]


@dataclass(frozen=True)
class CalibrationConstants:
    """LNM logit becomes ``lnm_offset + lnm_slope * logit``, every hazard logit ``os_offset + os_slope * logit``.

    One pair of numbers for all intervals keeps S(t) monotone.
    """

    lnm_offset: float = 0.0
    lnm_slope: float = 1.0
    os_offset: float = 0.0
    os_slope: float = 1.0

    def apply(self, logits: Tensor) -> Tensor:
        """Calibrated logits, shape (batch, 1 + K)."""
        lnm = self.lnm_offset + self.lnm_slope * logits[..., :1]
        return torch.cat([lnm, self.os_offset + self.os_slope * logits[..., 1:]], dim=-1)


@dataclass(frozen=True)
class LongitudinalCalibration:
    """Constants by what the network saw; the identity where none were fitted."""

    pair: CalibrationConstants = CalibrationConstants()
    baseline_only: CalibrationConstants = CalibrationConstants()
    followup_only: CalibrationConstants = CalibrationConstants()

    def apply(self, logits: Tensor, present: Tensor) -> Tensor:
        """Calibrate each patient by its own scans.

        Parameters
        ----------
        logits : Tensor, shape (batch, 1 + K)
        present : bool Tensor, shape (batch, 2)
        """
        first, second = present[:, :1], present[:, 1:]
        lone = torch.where(first, self.baseline_only.apply(logits), self.followup_only.apply(logits))
        return torch.where(first & second, self.pair.apply(logits), lone)

    def to_json(self) -> dict[str, dict[str, float]]:
        """Plain numbers."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> LongitudinalCalibration:
        """Read what :meth:`to_json` gave.

        Raises
        ------
        ModelError
            ``LONGITUDINAL_CALIBRATION``.
        """
        try:
            parts = {key: CalibrationConstants(**{k: float(v) for k, v in content[key].items()}) for key in content}
            numbers = [value for part in parts.values() for value in asdict(part).values()]
            if not all(math.isfinite(value) for value in numbers):
                raise ValueError
            return cls(**parts)
        except (TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                "LONGITUDINAL_CALIBRATION",
                where="calibration",
                expected="finite offsets and slopes for pair, baseline_only and followup_only",
                got="something else",
                remedy="Take the calibration that was stored with the weights.",
            ) from error
