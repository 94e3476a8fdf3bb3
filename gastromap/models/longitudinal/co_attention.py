"""Exact attention between the tokens of two scans, both ways from one affinity."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["CoAttention"]


class CoAttention(nn.Module):
    """Block that lets every token of one scan read the other scan.

    Parameters
    ----------
    width : int
        Of a token.
    heads : int

    Notes
    -----
    The affinity S of the tokens of either scan serves both directions: softmax over the second scan for messages to
    the first, over the first for messages to the second (idea of COSNet, arXiv 2001.06810). Gates decide how much of
    a message is taken. Both scans share the weights.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = 1 / math.sqrt(width // heads)
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.gate = nn.Linear(2 * width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, first: Tensor, second: Tensor, both: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Exchange messages.

        Parameters
        ----------
        first, second : Tensor, shape (batch, tokens, width)
        both : bool Tensor, shape (batch,)
            Where it is false no message flows either way.

        Returns
        -------
        first, second : Tensor, shape (batch, tokens, width)
        affinity : Tensor, shape (batch, heads, tokens of first, tokens of second)
            Before any softmax.
        """
        one, two = self.norm(first), self.norm(second)
        affinity = self._split(self.query(one)) @ self._split(self.key(two)).transpose(-1, -2) * self.scale
        to_first = torch.softmax(affinity, dim=-1) @ self._split(self.value(two))
        to_second = torch.softmax(affinity.transpose(-1, -2), dim=-1) @ self._split(self.value(one))
        flows = both.view(-1, 1, 1)
        return self._take(first, to_first, flows), self._take(second, to_second, flows), affinity

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _take(self, x: Tensor, message: Tensor, flows: Tensor) -> Tensor:
        m = self.out(message.transpose(1, 2).flatten(2))
        taken = torch.sigmoid(self.gate(torch.cat([x, m], dim=-1))) * m
        x = x + torch.where(flows, taken, torch.zeros_like(taken))
        out: Tensor = x + self.mlp(x)
        return out
