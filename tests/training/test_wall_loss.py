"""The loss of the wall network, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from gastromap.training.wall_loss import WallLoss


def _batch(stomachs: int = 2, cells: int = 10, tumour: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    label = torch.zeros(stomachs, 1, cells, 1, 1)
    label[:, :, :tumour] = 1
    return torch.zeros_like(label), label


def test_of_equal_logits_the_tumour_has_its_share_of_the_cells() -> None:
    logits, label = _batch()
    without, whole = (WallLoss(highest=weight)(logits, label).item() for weight in (0.0, 3.0))
    assert whole - without == pytest.approx(3 * math.log(10 / 2))


def test_the_balanced_part_is_least_where_logits_are_those_of_the_shares_drawn() -> None:
    _, label = _batch(cells=1000, tumour=60)
    losses = {
        shift: WallLoss(highest=0.0)(torch.full_like(label, shift + math.log(60 / 940)), label).item()
        for shift in (-0.5, 0.0, 0.5)
    }
    assert min(losses, key=losses.__getitem__) == 0.0


def test_one_cell_elsewhere_above_the_tumour_costs_what_all_the_others_below_do_not() -> None:
    logits, label = _batch(stomachs=1, cells=2000, tumour=50)
    logits[label == 1] = 2.0
    logits[label == 0] = -8.0
    loss = WallLoss(highest=1.0)
    found = loss(logits, label).item()
    logits[0, 0, -1] = 8.0
    lost = loss(logits, label).item()
    # Softmax: 50 e^2 of about 50 e^2 + e^8; the two other parts change by 8 and 16 cells' worth of 2000.
    assert lost - found > math.log((50 * math.exp(2) + math.exp(8)) / (50 * math.exp(2))) - 0.05


def test_stomachs_without_tumour_have_no_highest_cell_to_find() -> None:
    logits, label = _batch()
    alone = torch.zeros_like(label)
    with_one = torch.cat([label[:1], alone[:1]])
    assert WallLoss(highest=0.0)(logits, alone).item() == pytest.approx(WallLoss(highest=5.0)(logits, alone).item())
    more = WallLoss(highest=1.0)(logits, with_one) - WallLoss(highest=0.0)(logits, with_one)
    assert more.item() == pytest.approx(math.log(10 / 2))


def test_cells_that_do_not_count_change_nothing() -> None:
    torch.manual_seed(0)
    logits, label = torch.randn(2, 1, 10, 1, 1), _batch()[1]
    more = torch.cat([logits, torch.full((2, 1, 4, 1, 1), 50.0)], dim=2)
    beside = torch.zeros(2, 2, 14, 1, 1)
    beside[:, :1, :10] = label
    beside[:, 1, :10] = 1
    assert WallLoss()(more, beside).item() == pytest.approx(WallLoss()(logits, label).item())
    beside[:, 1] = 0
    assert WallLoss()(more, beside).item() == 0


def test_gradients_are_finite_in_half_precision_logits_and_raise_the_tumour() -> None:
    logits, label = _batch()
    given = logits.to(torch.bfloat16).requires_grad_()
    WallLoss()(given, label).backward()
    assert given.grad is not None
    assert (given.grad[label == 1] < 0).all()
    assert (given.grad[label == 0] > 0).all()
