"""From the encoder's maps of two scans to the logits: exchange, pooling, fusion, one head a task."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from gastromap.models.longitudinal.burden import MASK_CELLS, TumourBurden
from gastromap.models.longitudinal.co_attention import CoAttention
from gastromap.models.longitudinal.presets import Preset

__all__ = ["LongitudinalOutput", "PaperHead", "TokenHead"]


class LongitudinalOutput(NamedTuple):
    """Logits and where they come from."""

    logits: Tensor  #: (batch, 1 + K): LNM logit, then the logits of the interval hazards
    #: (blocks, batch, heads, tokens of the first scan, tokens of the second), before any softmax; without meaning
    #: where a scan is absent
    affinity: Tensor
    #: (batch, 2, d, h, w), sums to 1 over the grid; uniform in ``paper``, which does not pool
    pooling: Tensor


class TokenHead(nn.Module):
    """Head of ``default`` and ``tiny``: tokens, co-attention, attention pooling, fusion, two linear heads.

    Parameters
    ----------
    preset : Preset
    mask_cells : bool
        Whether :data:`MASK_CELLS` channels follow those of stage 3; they join the tokens.
    """

    def __init__(self, preset: Preset, *, mask_cells: bool = False) -> None:
        super().__init__()
        width = preset.token_width
        self.fine = nn.Conv3d(preset.widths[2], width, 1)
        self.mask = nn.Conv3d(MASK_CELLS, width, 1, bias=False) if mask_cells else None
        self.burden = TumourBurden(preset.trunk, 1 + preset.intervals) if mask_cells else None
        self.cells = MASK_CELLS if mask_cells else 0
        self.coarse = nn.Conv3d(preset.widths[3], width, 1)
        self.blocks = nn.ModuleList(
            [CoAttention(width, preset.attention_heads) for _ in range(preset.attention_blocks)]
        )
        self.pool = nn.Linear(width, 1)
        self.absent_tokens = nn.Parameter(torch.randn(2, width) * 0.02)
        self.absent_vectors = nn.Parameter(torch.randn(2, width) * 0.02)
        self.joined = nn.Sequential(
            nn.LayerNorm(4 * width), nn.Dropout(preset.dropout), nn.Linear(4 * width, preset.trunk)
        )
        self.trunk = nn.Sequential(nn.GELU(), nn.Dropout(preset.dropout))
        self.lnm = nn.Linear(preset.trunk, 1)
        self.hazards = nn.Linear(preset.trunk, preset.intervals)
        # Of the order of what K intervals hold; from one half the first hundred steps would only learn the base rate.
        nn.init.constant_(self.hazards.bias, -math.log(preset.intervals))

    def forward(self, stage3: Tensor, stage4: Tensor, present: Tensor) -> LongitudinalOutput:
        """Judge pairs.

        Parameters
        ----------
        stage3, stage4 : Tensor, shape (n, channels, d, h, w)
            Maps of the n scans that are present, patient by patient, first scan before second; of ``stage3`` with the
            channels of the mask's cells behind them.
        present : bool Tensor, shape (batch, 2)
            n of it are true.
        """
        coarse = functional.interpolate(
            self.coarse(stage4), size=stage3.shape[2:], mode="trilinear", align_corners=False
        )
        cells = stage3
        if self.mask is not None:
            cells = stage3[:, stage3.shape[1] - self.cells :]
            coarse = coarse + self.mask(cells)
            stage3 = stage3[:, : stage3.shape[1] - self.cells]
        tokens = (self.fine(stage3) + coarse).flatten(2).transpose(1, 2)
        where = present.flatten().nonzero().squeeze(1)
        absent = self.absent_tokens.to(tokens.dtype).view(1, 2, 1, -1)
        filled = absent.expand(present.shape[0], 2, tokens.shape[1], tokens.shape[2]).reshape(
            -1, tokens.shape[1], tokens.shape[2]
        )
        first, second = filled.index_copy(0, where, tokens).unflatten(0, (-1, 2)).unbind(1)
        both = present.all(dim=1)
        affinities: list[Tensor] = []
        for block in self.blocks:
            first, second, affinity = block(first, second, both)
            affinities.append(affinity)
        pair = torch.stack([first, second], dim=1)
        weights = torch.softmax(self.pool(pair).squeeze(-1), dim=-1)
        z = (weights.unsqueeze(-2) @ pair).squeeze(-2)
        # The tokens of an absent scan hold no voxel: this vector is learned as a whole.
        z = torch.where(present.unsqueeze(-1), z, z + self.absent_vectors)
        z1, z2 = z.unbind(1)
        pairs = both.unsqueeze(-1)
        nothing = torch.zeros_like(z1)
        joined = [z1, z2, torch.where(pairs, z2 - z1, nothing), torch.where(pairs, z1 * z2, nothing)]
        hidden = self.joined(torch.cat(joined, dim=-1))
        direct: Tensor | None = None
        if self.burden is not None:
            fused, direct = self.burden(cells, present)
            hidden = hidden + fused
        trunk = self.trunk(hidden)
        logits = torch.cat([self.lnm(trunk), self.hazards(trunk)], dim=-1)
        if direct is not None:
            logits = logits + direct
        grid = [stage3.shape[2], stage3.shape[3], stage3.shape[4]]
        return LongitudinalOutput(logits, torch.stack(affinities), weights.unflatten(-1, grid))


class PaperHead(nn.Module):
    """Head of ``paper``: one bilinear co-attention, then convolutions with own weights for either scan.

    Parameters
    ----------
    preset : Preset

    Notes
    -----
    GroupNorm stands for the published BatchNorm, which mixes patients. An absent scan contributes zeros.
    """

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        width, trunk = preset.token_width, preset.trunk
        self.bilinear = nn.Linear(width, width, bias=False)
        self.gate = nn.Conv3d(width, 1, 1, bias=False)
        self.first = _paper_branch(width, trunk)
        self.second = _paper_branch(width, trunk)
        self.lnm = nn.Linear(2 * trunk, 1, bias=False)
        self.hazards = nn.Linear(2 * trunk, preset.intervals, bias=False)

    def forward(self, stage3: Tensor, stage4: Tensor, present: Tensor) -> LongitudinalOutput:
        """Judge pairs; as :meth:`TokenHead.forward`, with ``stage3`` unused and ``stage4`` behind the bottleneck."""
        where = present.flatten().nonzero().squeeze(1)
        shape = [present.shape[0] * 2, stage4.shape[1], stage4.shape[2], stage4.shape[3], stage4.shape[4]]
        one, two = stage4.new_zeros(shape).index_copy(0, where, stage4).unflatten(0, (-1, 2)).unbind(1)
        first, second = one.flatten(2), two.flatten(2)
        affinity = self.bilinear(first.transpose(1, 2)) @ second
        to_first = (second @ torch.softmax(affinity, dim=-1).transpose(1, 2)).view(one.shape)
        to_second = (first @ torch.softmax(affinity, dim=1)).view(two.shape)
        flows = present.all(dim=1).view(-1, 1, 1, 1, 1)
        joined = torch.cat(
            [
                _own(self.first(torch.cat([one, self._gated(to_first, flows)], dim=1)), present[:, 0]),
                _own(self.second(torch.cat([two, self._gated(to_second, flows)], dim=1)), present[:, 1]),
            ],
            dim=-1,
        )
        logits = torch.cat([self.lnm(joined), self.hazards(joined)], dim=-1)
        cells = stage4.shape[2] * stage4.shape[3] * stage4.shape[4]
        grid = [stage4.shape[2], stage4.shape[3], stage4.shape[4]]
        pooling = logits.new_full([present.shape[0], 2, cells], 1 / cells).unflatten(-1, grid)
        return LongitudinalOutput(logits, affinity[None, :, None], pooling)

    def _gated(self, message: Tensor, flows: Tensor) -> Tensor:
        taken = message * torch.sigmoid(self.gate(message))
        return torch.where(flows, taken, torch.zeros_like(taken))


def _own(vector: Tensor, present: Tensor) -> Tensor:
    # Mean over positions: there is one at 96 voxels a side, more in larger crops.
    pooled = vector.mean(dim=(2, 3, 4))
    return torch.where(present.unsqueeze(-1), pooled, torch.zeros_like(pooled))


def _paper_branch(width: int, trunk: int) -> nn.Sequential:
    convs = [
        nn.Conv3d(2 * width, width, 3, stride=2, padding=1, bias=False),
        nn.Conv3d(width, trunk, 3, bias=False),
    ]
    for conv in convs:
        nn.init.normal_(conv.weight, std=0.01)
    return nn.Sequential(convs[0], nn.GroupNorm(32, width), nn.ReLU(), convs[1], nn.ReLU())
