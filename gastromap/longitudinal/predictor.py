"""Predict node metastasis and survival from one or two CT examinations."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gastromap.errors import UsageError
from gastromap.explain_3d import co_attention_maps, grad_cam_3d
from gastromap.longitudinal.bundle import LongitudinalBundle
from gastromap.longitudinal.outcome import FollowupContribution, Outcome, outcomes
from gastromap.longitudinal.visual import LongitudinalMaps
from gastromap.preprocessing.pair import CtScan, PairCrop, crop_scan
from gastromap.preprocessing.pair_transforms import assembled
from gastromap.preprocessing.volume_transforms import FROM_BYTES
from gastromap.results import ModelIdentity
from gastromap.staging import best_device

__all__ = ["LongitudinalPredictor", "LongitudinalResult"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LongitudinalResult:
    """What is said of one patient.

    Attributes
    ----------
    outcome : Outcome
        From all scans that were given.
    baseline_only : Outcome, optional
        From the first scan alone; only for a pair.
    contribution : FollowupContribution, optional
        Pair minus baseline only.
    present, masks : (bool, bool)
        Which scans and which masks were given, before and after treatment. A model without a mask channel has none.
    breaks_months : tuple of float
        Of the survival intervals; the last one ends ``rmst_months``.
    model : ModelIdentity
    maps : LongitudinalMaps, optional
        Only when asked for; not part of the JSON.
    """

    outcome: Outcome
    baseline_only: Outcome | None
    contribution: FollowupContribution | None
    present: tuple[bool, bool]
    masks: tuple[bool, bool]
    breaks_months: tuple[float, ...]
    model: ModelIdentity
    maps: LongitudinalMaps | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Plain values without the maps."""
        return {
            **self.outcome.to_json(),
            "baseline_only": None if self.baseline_only is None else self.baseline_only.to_json(),
            "contribution_of_followup": None if self.contribution is None else self.contribution.to_json(),
            "present": dict(zip(("baseline", "followup"), self.present, strict=True)),
            "masks": dict(zip(("baseline", "followup"), self.masks, strict=True)),
            "breaks_months": list(self.breaks_months),
            "model": asdict(self.model),
        }


class LongitudinalPredictor:
    """The published longitudinal model.

    Parameters
    ----------
    bundle : LongitudinalBundle
    device : torch.device, optional
        Default: a CUDA GPU when there is one.
    """

    def __init__(self, bundle: LongitudinalBundle, *, device: torch.device | None = None) -> None:
        self.bundle = bundle
        self.device = device or best_device()
        self.network = bundle.load_network().to(self.device)
        self.profile = bundle.card.volume_profile()
        _log.info("longitudinal model on %s", self.device)

    @classmethod
    def load(cls, models: Path, *, device: torch.device | None = None) -> LongitudinalPredictor:
        """Read the bundle below ``models``, or ``models`` itself if it is the bundle.

        Raises
        ------
        ModelError
            If anything is missing, damaged or does not belong together.
        """
        return cls(LongitudinalBundle.find(models), device=device)

    def __call__(
        self, baseline: CtScan | None, followup: CtScan | None = None, *, explain: bool = False
    ) -> LongitudinalResult:
        """Predict one patient.

        Parameters
        ----------
        baseline, followup : CtScan or None
            Examinations before and after treatment; one of them may be absent. Without a centre the crop lies round
            the mask; see :func:`gastromap.preprocessing.pair.crop_centre`.
        explain : bool
            Whether to make the maps, which takes about twice as long.

        Returns
        -------
        LongitudinalResult

        Raises
        ------
        UsageError
            ``NO_SCAN`` where both are absent, ``CROP_CENTRE``, ``MASK_GRID``.
        """
        scans = (baseline, followup)
        if baseline is None and followup is None:
            raise UsageError(
                "NO_SCAN",
                where="input",
                expected="one scan at least",
                got="none",
                remedy="Give the CT before or after treatment.",
            )
        crops = [None if scan is None else crop_scan(scan, self.profile) for scan in scans]
        image, present, masks = self._batch(crops)
        with torch.inference_mode():
            given, there = self.network.scans(image, present, masks)
            maps = self.network.read(given)
            outcome = self._outcome(maps, there)
            alone = self._outcome(maps[:1], there & ~there.new_tensor([[False, True]])) if bool(there.all()) else None
        return LongitudinalResult(
            outcome=outcome,
            baseline_only=alone,
            contribution=None if alone is None else FollowupContribution.between(outcome, alone),
            present=(crops[0] is not None, crops[1] is not None),
            masks=(_masked(crops[0], masks), _masked(crops[1], masks)),
            breaks_months=self.bundle.constants.breaks_months,
            model=self.bundle.identity,
            maps=self._maps(crops, image, present, masks) if explain else None,
        )

    def _batch(self, crops: list[PairCrop | None]) -> tuple[Tensor, Tensor, Tensor | None]:
        item = assembled(
            {"label": (float("nan"),) * 3, "patient_id": ""},
            [None if crop is None else torch.from_numpy(crop.image).float() * FROM_BYTES for crop in crops],
            [None if crop is None or crop.mask is None else torch.from_numpy(crop.mask).float() for crop in crops],
            self.profile.patch,
        )
        masks = item["masks"][None].to(self.device) if self.network.mask_channel else None
        return item["image"][None].to(self.device), item["present"][None].to(self.device), masks

    def _outcome(self, maps: Tensor, present: Tensor) -> Outcome:
        logits = self.network.judge(maps, present).logits
        return outcomes(logits, present, self.bundle.constants)[0]

    def _maps(
        self, crops: list[PairCrop | None], image: Tensor, present: Tensor, masks: Tensor | None
    ) -> LongitudinalMaps:
        options: dict[str, Any] = {"present": present, "masks": masks}
        breaks = self.bundle.constants.breaks_months
        grids = [None if crop is None else crop.grid for crop in crops]
        pair = bool(present.all())
        return LongitudinalMaps(
            lnm=grad_cam_3d(self.network, image, target="lnm", **options)[0],
            os_risk=grad_cam_3d(self.network, image, target="os_risk", breaks_months=breaks, **options)[0],
            co_attention=co_attention_maps(self.network, image, masks=masks) if pair else None,
            grids=(grids[0], grids[1]),
        )


def _masked(crop: PairCrop | None, masks: Tensor | None) -> bool:
    return crop is not None and crop.mask is not None and masks is not None
