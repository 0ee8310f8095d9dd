import math

import pytest
import torch

from leadline.models.outputs import Raw
from leadline.training.data import Batch
from leadline.training.losses import (
    HARDEST,
    LossConfig,
    areal_loss,
    cell_loss,
    curve_loss,
    losses,
    pair_loss,
    suspicion_loss,
)
from leadline.training.targets import UNSURE


def batch(**changes: torch.Tensor) -> Batch:
    base = {
        "transmission": torch.ones(2, 2, 4, 4),
        "said": torch.zeros(2, 4),
        "undeclared": torch.tensor([1.0, 0.0]),
        "weight": torch.ones(2),
        "present": torch.zeros(2, 3),
        "cells": torch.zeros(2, 3, 2, 2, dtype=torch.uint8),
        "areal": torch.zeros(2, 2, 2, 2),
        "twin": torch.tensor([1, -1]),
        "curves": torch.full((2, 4, 3), 0.5),
    }
    return Batch(**(base | changes))  # type: ignore[typeddict-item]


def test_pair_loss_by_hand() -> None:
    score = torch.tensor([3.0, 2.0])
    assert pair_loss(score, batch(), 2.0).item() == pytest.approx(math.log1p(math.exp(1.0)))
    declared = batch(undeclared=torch.zeros(2))  # the threat is declared: nothing to rank
    assert pair_loss(score, declared, 2.0).item() == 0
    assert pair_loss(score, batch(twin=torch.tensor([-1, -1])), 2.0).item() == 0


def test_doubtful_scans_do_not_count() -> None:
    raw = Raw(
        torch.tensor([9.0, -9.0]),
        torch.zeros(2, 3),
        torch.zeros(2, 3, 2, 2),
        torch.zeros(2, 2, 2, 2),
        torch.zeros(2, 5),
        torch.zeros(2, 1, 2, 2),
        torch.zeros(2, 4, 3),
    )
    wrong = batch(undeclared=torch.tensor([0.0, 0.0]))
    assert losses(raw, wrong, [2], LossConfig())["score"].item() == pytest.approx(4.5, abs=1e-3)
    left_out = batch(undeclared=torch.tensor([0.0, 0.0]), weight=torch.tensor([0.0, 1.0]))
    assert losses(raw, left_out, [2], LossConfig())["score"].item() == pytest.approx(0.0, abs=1e-3)


def test_unsure_cells_do_not_count() -> None:
    evidence = torch.zeros(2, 3, 2, 2)
    cells = torch.zeros(2, 3, 2, 2, dtype=torch.uint8)
    without = cell_loss(evidence, cells, [2], LossConfig())
    cells[:, :, 0] = UNSURE
    assert cell_loss(evidence, cells, [2], LossConfig()).item() == pytest.approx(without.item() / 2)


def test_rare_families_count_as_much_as_common_ones() -> None:
    cells = torch.zeros(1, 2, 20, 20, dtype=torch.uint8)
    cells[0, 0, :, :] = 1
    cells[0, 1, :2, :2] = 1
    miss_common = torch.where(cells == 1, torch.tensor([5.0, 5.0]).reshape(1, 2, 1, 1), -9.0)
    miss_rare = miss_common.clone()
    miss_common[0, 0] = -5.0
    miss_rare[0, 1] = -5.0
    config = LossConfig(watch=1.0)
    a, b = cell_loss(miss_common, cells, [], config).item(), cell_loss(miss_rare, cells, [], config).item()
    assert a > 1 and b > 1 and a / b < 2


def test_suspicion_is_of_what_nobody_declared() -> None:
    cells = torch.zeros(2, 3, 2, 2, dtype=torch.uint8)
    cells[:, 2, 0, 0], cells[:, 2, 1, 1], cells[:, 0, 0, 1] = 1, UNSURE, 1
    declared = torch.zeros(2, 4)
    declared[1, 2] = 1  # the second scan names what is there
    suspicion = torch.full((2, 1, 2, 2), -9.0)
    suspicion[0, 0, 0, 0] = 9.0
    suspicion[0, 0, 1, 1] = 9.0  # may or may not be: no loss
    right = suspicion_loss(suspicion, batch(cells=cells, said=declared), [2])
    assert right.item() == pytest.approx(0, abs=1e-3)
    suspicion[1, 0, 0, 0] = 9.0
    accused = suspicion_loss(suspicion, batch(cells=cells, said=declared), [2])
    suspicion[1, 0, 0, 0], suspicion[0, 0, 0, 0] = -9.0, -9.0
    missed = suspicion_loss(suspicion, batch(cells=cells, said=declared), [2])
    assert accused.item() > 0.5 and missed.item() > 1.5


def test_the_worst_honest_cells_count_as_much_as_all() -> None:
    cells = torch.zeros(1, 3, 40, 40, dtype=torch.uint8)
    few = torch.full((1, 1, 40, 40), -30.0)
    few.flatten()[:HARDEST] = 2.0
    loss = suspicion_loss(few, batch(cells=cells, said=torch.zeros(1, 4)), [2]).item()
    one = math.log1p(math.exp(2.0))
    assert loss == pytest.approx((one + one * HARDEST / 1600) / 2, rel=1e-4)


def test_areal_loss_is_nothing_where_all_is_right() -> None:
    areal = torch.tensor([[[[0.0, 10.0]], [[0.0, 4.0]]]])
    assert areal_loss(torch.log1p(areal), areal).item() == pytest.approx(0)
    assert areal_loss(torch.log1p(areal) + 0.3, areal).item() > 0.2


def test_curves_are_wrong_in_units_of_what_tells_materials_apart() -> None:
    true = torch.tensor([[[0.3, 0.4], [0.2, 0.2]]])  # first and last reference 0.15 apart
    assert curve_loss(true, true).item() == 0
    assert curve_loss(true + 0.15, true).item() == pytest.approx(0.9)  # 1 - beta / 2, beta = 0.2
    wide = 10 * true
    assert curve_loss(wide + 1.5, wide).item() == pytest.approx(0.9)


def test_parts_add_up_by_their_weights() -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 2, 2), torch.rand(2, 2, 2, 2)
    raw = Raw(torch.randn(2), torch.randn(2, 3), *maps, torch.zeros(2, 5), torch.randn(2, 1, 2, 2), torch.rand(2, 4, 3))
    config = LossConfig()
    parts = losses(raw, batch(), [2], config)
    total = sum(getattr(config, k) * v for k, v in parts.items() if k != "loss")
    assert parts["loss"].item() == pytest.approx(float(total))
