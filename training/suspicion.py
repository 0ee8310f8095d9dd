"""Refit a network's suspicion on cells of many fresh scans, each under several declarations.

What makes a cell suspicious follows from what the network already sees in it and from the declaration. While the whole
network is fitted, few scans pass and each has one declaration; here the rest of the network looks at fresh scans once,
and the small perceptron learns from a sample of their cells, over and over.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from leadline.datasets.simulator.simulate import Sample
from leadline.models.network import Network
from leadline.training.targets import UNSURE, CellRule, Example, cell_targets, example, redeclare, said_vector

SAMPLE = 192
"""Cells with hidden material, other cells at random, and the most suspicious of these that are kept of a scan as
declared; a quarter of that under other declarations."""

_HELD_BACK = 0.1  # share of the scans that choose among the passes


class Cells(NamedTuple):
    """Cells of one scan under one declaration, as the suspicion's first layer sees them.

    Attributes:
        seen: (n, C) float16, what the network says of and has measured in each cell.
        told: (T,) declaration, beam and embedding.
        hidden: (n,) whether watch-list material is there that the declaration does not explain.
    """

    seen: Tensor
    told: Tensor
    hidden: Tensor


def versions(given: Example, rng: np.random.Generator) -> list[tuple[np.ndarray, bool]]:
    """A scan's declarations, each with the label that follows: as declared; withheld; naming what is hidden."""
    return [redeclare(given, rng, 0, 0), (said_vector(None), bool(given.watched)), redeclare(given, rng, 0, 1)]


def cells_of(network: Network, sample: Sample, seed: int) -> list[Cells]:
    """Some cells of a scan under each of its `versions`, see `SAMPLE`; those of unsure label are left out."""
    config = network.config
    given = example(sample, config)
    watched = [config.families.index(name) for name in config.watched]
    areal = torch.from_numpy(given.areal.astype(np.float32))
    labels = cell_targets(areal, watched, CellRule.of(config.kind))[0][watched].flatten(1)
    rng = np.random.default_rng(seed)
    found = []
    with torch.inference_mode():
        view = network.look(torch.from_numpy(given.transmission)[None], torch.from_numpy(given.beam)[None], pooled=True)
        inside = network.in_cells(view)
        seen = inside[0].flatten(1).T.half()
        for k, (said, _) in enumerate(versions(given, rng)):
            most = SAMPLE if k == 0 else SAMPLE // 4
            unexplained = torch.from_numpy(said[watched] == 0)[:, None]
            there = ((labels == 1) & unexplained).any(0)
            sure = there | ~((labels == UNSURE) & unexplained).any(0)
            told = network.told(view, torch.from_numpy(said)[None])
            doubt = network.suspicion(inside, told).flatten()
            honest = ~there & sure
            # The most suspicious of the honest cells decide over a scan, and a random sample hardly holds them.
            hardest = torch.topk(torch.where(honest, doubt, -torch.inf), min(most, len(doubt))).indices
            hardest = hardest[honest[hardest]]
            chosen = torch.cat([_some(there & sure, most, rng), _some(honest, most, rng), hardest])
            found.append(Cells(seen[chosen].clone(), told[0].clone(), there[chosen].clone()))
    return found


def fit_suspicion(network: Network, cells: list[Cells], passes: int = 12, *, seed: int = 0) -> Network:
    """A copy of a network whose suspicion went on learning from these cells; the best pass is kept.

    Args:
        network: the rest of it stays as it is.
        cells: in the order of their scenes; the last of them are held back to choose the pass.
        passes: over all cells.
        seed: of order.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = copy.deepcopy(network)
    held = cells[-max(1, int(_HELD_BACK * len(cells))) :]
    shown = cells[: -len(held)]
    optimizer = torch.optim.AdamW(network.suspicion.parameters(), lr=1e-3, weight_decay=0.02)
    batch = 48
    steps = max(1, len(shown) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=max(2, passes * steps))
    best, kept = _loss(network, held).item(), copy.deepcopy(network.suspicion.state_dict())
    for _ in range(passes):
        order = rng.permutation(len(shown))
        for part in np.array_split(order, steps):
            optimizer.zero_grad()
            _loss(network, [shown[k] for k in part]).backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            now = _loss(network, held).item()
        if now < best:
            best, kept = now, copy.deepcopy(network.suspicion.state_dict())
    network.suspicion.load_state_dict(kept)
    return network.eval()


def _some(where: Tensor, most: int, rng: np.random.Generator) -> Tensor:
    """At most so many of the places that are set."""
    places = torch.nonzero(where)[:, 0]
    return places[torch.from_numpy(rng.permutation(len(places))[:most])]


def _loss(network: Network, cells: list[Cells]) -> Tensor:
    """Binary cross-entropy over all cells; scans without hidden material count as well."""
    seen = torch.cat([c.seen for c in cells]).float()[:, :, None, None]  # each cell a picture of its own
    told = torch.cat([c.told.expand(len(c.seen), -1) for c in cells])
    hidden = torch.cat([c.hidden for c in cells]).float()
    return functional.binary_cross_entropy_with_logits(network.suspicion(seen, told).flatten(), hidden)
