"""What a fit minimises."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from leadline.models.outputs import Raw
from leadline.training.data import Batch
from leadline.training.targets import UNSURE

HARDEST = 192
"""Honest cells of a scan that count for as much as all of them."""


@dataclass(frozen=True)
class LossConfig:
    """Weights of the parts of the loss.

    Attributes:
        score, materials, cells, suspicion, areal, pairs, curves: weights.
        gamma: focus of the cell loss on cells that are still wrong.
        watch: weight of a watch-list family in the cell loss; the others have 1.
        margin: by how much the logit of a threat should exceed its honest twin's.
    """

    score: float = 1.0
    materials: float = 0.5
    cells: float = 2.0
    suspicion: float = 2.0
    areal: float = 1.0
    pairs: float = 0.3
    curves: float = 1.0
    gamma: float = 1.0
    watch: float = 2.0
    margin: float = 2.0


def losses(raw: Raw, batch: Batch, watched: list[int], config: LossConfig) -> dict[str, Tensor]:
    """The parts of the loss, unweighted, and their weighted sum `"loss"`.

    Args:
        raw: logits of the network.
        batch: targets.
        watched: channels of the watch list.
        config: weights.
    """
    weight = batch["weight"]
    score = functional.binary_cross_entropy_with_logits(raw.score, batch["undeclared"], reduction="none")
    parts = {
        "score": (score * weight).sum() / weight.sum().clamp(min=1),
        "materials": functional.binary_cross_entropy_with_logits(raw.materials, batch["present"]),
        "cells": cell_loss(raw.evidence, batch["cells"], watched, config),
        "suspicion": suspicion_loss(raw.suspicion, batch, watched),
        "areal": areal_loss(raw.log_areal, batch["areal"]),
        "pairs": pair_loss(raw.score, batch, config.margin),
        "curves": curve_loss(raw.curves, batch["curves"]),
    }
    parts["loss"] = sum((getattr(config, name) * part for name, part in parts.items()), torch.zeros(()))
    return parts


def cell_loss(evidence: Tensor, cells: Tensor, watched: list[int], config: LossConfig) -> Tensor:
    """Focal loss of the cells (Lin et al. 2017, arXiv:1708.02002), each family by its number of positives.

    A family that fills few cells of a batch counts as much as one that fills many; families that are
    hardly there are held down by a floor of 0.2 % of the cells.
    """
    counted = cells != UNSURE
    focal = sigmoid_focal_loss(evidence, (cells == 1).float(), alpha=-1, gamma=config.gamma) * counted
    positives = (cells == 1).sum((0, 2, 3)).float()
    floor = 0.002 * cells[:, 0].numel()
    by_family = focal.sum((0, 2, 3)) / (positives + floor)
    weight = torch.ones_like(by_family)
    weight[watched] = config.watch
    return (by_family * weight).sum() / weight.sum()


def suspicion_loss(suspicion: Tensor, batch: Batch, watched: list[int]) -> Tensor:
    """Cross-entropy of the cells' suspicion: what is there of the watch list and not declared, all families as one.

    Cells with hidden material, all others, and the `HARDEST` of the others count alike, each scan by itself: over a
    scan its few most suspicious honest cells decide.
    """
    cells = batch["cells"][:, watched]
    hidden = (batch["said"][:, watched] == 0)[:, :, None, None]
    there = ((cells == 1) & hidden).any(1)
    honest = ~there & ~((cells == UNSURE) & hidden).any(1)
    missed, accused = (functional.softplus(sign * suspicion[:, 0]) for sign in (-1, 1))
    worst = torch.topk(torch.where(honest, accused, 0).flatten(1), min(HARDEST, honest[0].numel())).values.mean(1)
    found = there.sum((1, 2))
    parts = (missed * there).sum((1, 2)) / found.clamp(min=1) + worst
    parts = parts + (accused * honest).sum((1, 2)) / honest.sum((1, 2)).clamp(min=1)
    return parts.sum() / ((found > 0).sum() + 2 * len(parts))


def areal_loss(log_areal: Tensor, areal: Tensor) -> Tensor:
    """Smooth L1 on ln(1 + g/cm2); cells with watch-list material weigh as much as all others together."""
    error = functional.smooth_l1_loss(log_areal, torch.log1p(areal), beta=0.1, reduction="none")
    there = areal[:, 1] > 0
    sparse = error[:, 1]
    share = there.sum().clamp(min=1)
    return error[:, 0].mean() + 0.5 * sparse.mean() + 0.5 * (sparse * there).sum() / (share + 0.002 * there.numel())


def curve_loss(curves: Tensor, true: Tensor) -> Tensor:
    """Smooth L1 of the scanner's curves in units of what tells the first reference material from the last."""
    apart = (true[:, :1] - true[:, -1:]).abs().mean().clamp(min=1e-3)
    return functional.smooth_l1_loss(curves / apart, true / apart, beta=0.2)


def pair_loss(score: Tensor, batch: Batch, margin: float) -> Tensor:
    """Softplus of how far a threat falls short of exceeding its honest twin by the margin.

    Counted where the labels of the two differ.
    """
    twin = batch["twin"]
    threat = torch.nonzero(twin >= 0)[:, 0]
    if not len(threat):
        return score.sum() * 0
    honest = twin[threat]
    label, weight = batch["undeclared"], batch["weight"]
    counted = (label[threat] > label[honest]).float() * weight[threat] * weight[honest]
    return pair_shortfall(score[threat] - score[honest], margin, counted)


def pair_shortfall(ahead: Tensor, margin: float, weight: Tensor | None = None) -> Tensor:
    """Mean softplus of how far `ahead` (threat minus twin, logits) falls short of the margin; 0 for no pairs."""
    counted = torch.ones_like(ahead) if weight is None else weight
    return (functional.softplus(margin - ahead) * counted).sum() / counted.sum().clamp(min=1)
