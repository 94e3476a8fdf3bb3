"""CTSMamba for pairs of CT crops: lymph-node metastasis and overall survival, before and after treatment.

Written from the published description. ``paper`` is a re-implementation of it; ``default`` is smaller and built for
voxels of 2 x 1 x 1 mm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from gastromap.errors import ModelError, UsageError
from gastromap.models.longitudinal.burden import MASK_CELLS
from gastromap.models.longitudinal.encoder import Encoder
from gastromap.models.longitudinal.heads import LongitudinalOutput, PaperHead, TokenHead
from gastromap.models.longitudinal.presets import Preset, preset_named
from gastromap.models.longitudinal.segmentation import bottleneck, check_divisible, without_meta

__all__ = ["LongitudinalNet"]

#: Prefixes of the weights that segmentation and longitudinal network share.
_SHARED = ("encoder.", "bottleneck.")


class LongitudinalNet(nn.Module):
    """Network for two scans of a patient, either of which may be missing.

    Parameters
    ----------
    preset : str or Preset
        ``default``, ``paper`` or ``tiny``.
    mask_channel : bool
        Whether the encoder reads a tumour mask (1 tumour, 0 none, -1 not given) beside the image.
    intervals : int, optional
        K, where the breaks of the training make fewer than the preset's.
    missing : {"learned", "duplicate"}
        ``duplicate``, for ``paper`` only and for comparison only, shows a lone scan as its own follow-up, as the
        authors do.

    Notes
    -----
    A scan that is absent never reaches the encoder: whatever stands in its place, NaN too, the output is the same bit
    for bit. No layer mixes patients.
    """

    def __init__(
        self,
        preset: str | Preset = "default",
        *,
        mask_channel: bool = False,
        intervals: int | None = None,
        missing: Literal["learned", "duplicate"] = "learned",
    ) -> None:
        super().__init__()
        self.preset = preset_named(preset)
        if intervals is not None:
            self.preset = replace(self.preset, intervals=intervals)
        if missing not in ("learned", "duplicate") or (missing == "duplicate" and self.preset.style != "paper"):
            raise UsageError(
                "MISSING_SCAN",
                where="network",
                expected="missing='learned', or 'duplicate' with the preset paper",
                got=f"{missing!r} with {self.preset.name}",
                remedy="Correct the configuration.",
            )
        #: Name used in results. An attribute: TorchScript compiles properties.
        self.name = f"LongitudinalNet-{self.preset.name}"
        self.mask_channel = mask_channel
        #: In the mask channel where no mask was given. An empty mask (all 0) is a finding: nothing left to see.
        self.no_mask = -1.0
        self.duplicates = missing == "duplicate"
        self.encoder = Encoder(self.preset, in_channels=2 if mask_channel else 1)
        self.bottleneck = bottleneck(self.preset)
        cells = mask_channel and self.preset.style == "default"
        self.head = (
            TokenHead(self.preset, mask_cells=cells) if self.preset.style == "default" else PaperHead(self.preset)
        )
        #: Channels of :meth:`read` behind those of stage 3.
        self.cells = MASK_CELLS if cells else 0

    def forward(self, image: Tensor, present: Tensor | None = None, masks: Tensor | None = None) -> Tensor:
        """Logits of pairs.

        Parameters
        ----------
        image : Tensor, shape (batch, 2, D, H, W)
            Before and after treatment as channels; HU scaled to 0...1, slices along D.
        present : bool Tensor, shape (batch, 2), optional
            Which scans there are; default both.
        masks : Tensor, shape (batch, 2, D, H, W), optional
            Tumour masks; needs ``mask_channel``. Default -1 everywhere: not given.

        Returns
        -------
        Tensor, shape (batch, 1 + K)
            LNM logit, then the logits of the interval hazards.

        Raises
        ------
        UsageError
            ``INPUT_SHAPE``, ``NO_SCAN`` or ``NO_MASK_CHANNEL``.
        """
        return self.detailed(image, present, masks).logits

    def detailed(self, image: Tensor, present: Tensor | None = None, masks: Tensor | None = None) -> LongitudinalOutput:
        """Logits with affinities and pooling weights; arguments and errors as :meth:`forward`."""
        scans, given = self.scans(image, present, masks)
        return self.judge(self.read(scans), given)

    def scans(self, image: Tensor, present: Tensor | None, masks: Tensor | None) -> tuple[Tensor, Tensor]:
        """Scans that are present, as the encoder takes them.

        Returns
        -------
        scans : Tensor, shape (n, 1 or 2, D, H, W)
        present : bool Tensor, shape (batch, 2)
            n of it are true.
        """
        if not torch.jit.is_scripting():
            image = without_meta(image)
            masks = None if masks is None else without_meta(masks)
        given = torch.ones(image.shape[0], 2, dtype=torch.bool, device=image.device)
        if present is not None:
            given = present.to(device=image.device, dtype=torch.bool)
        if torch.jit.is_scripting():
            assert bool(given.any(dim=1).all()), "expected one scan at least a patient"  # noqa: S101
        else:
            self._check(image, given, masks)
        pair = image
        channel = torch.full_like(image, self.no_mask) if masks is None else masks.to(image.dtype)
        if self.duplicates:
            kept = given.view(-1, 2, 1, 1, 1)
            pair, channel = torch.where(kept, pair, pair.flip(1)), torch.where(kept, channel, channel.flip(1))
            given = torch.ones_like(given)
        where = given.flatten().nonzero().squeeze(1)
        scans = pair.flatten(0, 1)[where].unsqueeze(1)
        if self.mask_channel:
            scans = torch.cat([scans, channel.flatten(0, 1)[where].unsqueeze(1)], dim=1)
        return scans, given

    def read(self, scans: Tensor) -> Tensor:
        """Maps of stage 3 of the scans of :meth:`scans`; with a mask channel, how the mask fills each cell behind them.

        Returns
        -------
        Tensor, shape (n, channels + 2, d, h, w)
            The last two (``default`` and ``tiny`` with a mask channel): share of the cell that is tumour, 0 to 1, and
            whether a mask was given, 0 or 1 everywhere.

        Notes
        -----
        Norms over a scan take away what is the same everywhere in it: for the encoder an empty mask, a complete
        response, is the same as no mask, and the size of a tumour hardly reaches its deep maps.
        """
        stage3 = self.encoder.until_stage3(scans)
        if self.cells == 0:
            return stage3
        mask = scans[:, 1:2].to(stage3.dtype)
        grid = (stage3.shape[2], stage3.shape[3], stage3.shape[4])
        share = functional.adaptive_avg_pool3d(mask.clamp(min=0.0), grid)
        given = (mask.amax(dim=(2, 3, 4), keepdim=True) >= 0).to(stage3.dtype)
        return torch.cat([stage3, share, given.expand_as(share)], dim=1)

    def judge(self, maps: Tensor, present: Tensor) -> LongitudinalOutput:
        """Output from what :meth:`read` gives for the scans that are present."""
        return self.judge_deep(maps, self.encoder.until_stage4(self.features(maps)), present)

    def judge_deep(self, maps: Tensor, stage4: Tensor, present: Tensor) -> LongitudinalOutput:
        """Output from what :meth:`read` gives and the maps of stage 4."""
        out: LongitudinalOutput = self.head(maps, self.bottleneck(stage4), present)
        return out

    def features(self, maps: Tensor) -> Tensor:
        """Maps of stage 3 alone, of what :meth:`read` gives."""
        return maps[:, : maps.shape[1] - self.cells]

    @torch.jit.unused
    def predict(
        self,
        x1: Tensor | None,
        x2: Tensor | None = None,
        mask1: Tensor | None = None,
        mask2: Tensor | None = None,
    ) -> Tensor:
        """Logits without gradients, in evaluation mode.

        Parameters
        ----------
        x1, x2 : Tensor, shape (batch, 1, D, H, W), or None
            Scans before and after treatment; one of them may be absent.
        mask1, mask2 : Tensor, shape (batch, 1, D, H, W), or None

        Returns
        -------
        Tensor, shape (batch, 1 + K)

        Raises
        ------
        UsageError
            As :meth:`forward`; ``NO_SCAN`` where both are absent.
        """
        some = x1 if x1 is not None else x2
        if some is None:
            raise _no_scan()
        image = torch.cat([torch.zeros_like(some) if x is None else x for x in (x1, x2)], dim=1)
        present = torch.tensor([[x1 is not None, x2 is not None]], device=some.device).expand(some.shape[0], 2)
        masks = None
        if mask1 is not None or mask2 is not None:
            masks = torch.cat([torch.full_like(some, self.no_mask) if m is None else m for m in (mask1, mask2)], dim=1)
        was_training = self.training
        self.eval()
        try:
            with torch.inference_mode():
                return self(image, present, masks)
        finally:
            self.train(was_training)

    @torch.jit.unused
    def load_shared(self, state: Mapping[str, Tensor]) -> None:
        """Take the encoder from the weights of a :class:`SegmentationNet` of the same preset.

        A mask channel, which the segmentation does not have, starts at zero.

        Raises
        ------
        ModelError
            ``ENCODER_WEIGHTS``: a weight is missing, unknown or of another shape.
        """
        shared = {key: value for key, value in state.items() if key.startswith(_SHARED)}
        wanted = {key: value for key, value in self.state_dict().items() if key.startswith(_SHARED)}
        entry = next(iter(wanted))
        if self.mask_channel and entry in shared and shared[entry].shape[1] == 1:
            shared[entry] = torch.cat([shared[entry], torch.zeros_like(shared[entry])], dim=1)
        wrong = sorted(k for k in shared.keys() | wanted.keys() if k not in shared or k not in wanted)
        wrong += sorted(k for k in shared.keys() & wanted.keys() if shared[k].shape != wanted[k].shape)
        if wrong:
            raise ModelError(
                "ENCODER_WEIGHTS",
                where="segmentation weights",
                expected=f"the encoder of {self.preset.name}, {len(wanted)} tensors",
                got=f"{len(wrong)} missing, unknown or of another shape, {wrong[0]} first",
                remedy="Name weights of a segmentation network of the same preset.",
            )
        self.load_state_dict(shared, strict=False)

    @torch.jit.unused
    def _check(self, image: Tensor, present: Tensor, masks: Tensor | None) -> None:
        check_divisible(image, self.preset)
        if (
            image.shape[1] != 2
            or present.shape != image.shape[:2]
            or (masks is not None and masks.shape != image.shape)
        ):
            raise UsageError(
                "INPUT_SHAPE",
                where="network input",
                expected="image and masks (batch, 2, D, H, W), present (batch, 2)",
                got=f"{tuple(image.shape)}, {None if masks is None else tuple(masks.shape)}, {tuple(present.shape)}",
                remedy="Stack the scans before and after treatment as channels.",
            )
        if masks is not None and not self.mask_channel:
            raise UsageError(
                "NO_MASK_CHANNEL",
                where="network input",
                expected="no masks: this network was made without a mask channel",
                got="masks",
                remedy="Leave the masks out, or train with mask_channel.",
            )
        if not bool(present.any(dim=1).all()):
            raise _no_scan()


def _no_scan() -> UsageError:
    return UsageError(
        "NO_SCAN",
        where="network input",
        expected="one scan at least a patient",
        got="none",
        remedy="Leave out patients without a scan.",
    )
