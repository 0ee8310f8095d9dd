"""Refit suspicion and scan-level heads of a fitted network: many scans, each under many declarations.

What a declaration means for a scan (lead under "lead", a black tub under "protein powder") is learned from pairs of
scan and declaration. The image costs nearly all of the computation and does not depend on the declaration, so the
rest of the network looks at fresh scans once, and the two small heads are fitted on what it saw, over and over.
"""

from __future__ import annotations

import copy
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from leadline.datasets.materials import use_catalogue
from leadline.datasets.simulator.simulate import Sample, simulate_pair
from leadline.models.network import Network
from leadline.models.outputs import Summary, pool_evidence
from leadline.training.checkpoints import load_checkpoint, network_from
from leadline.training.losses import pair_shortfall
from leadline.training.progress import Progress
from leadline.training.suspicion import Cells, cells_of, fit_suspicion, versions
from leadline.training.targets import CellRule, cell_targets, example

HEADS_SEED = 7100
"""Set of scenes, in the training split, on which heads are refitted: the fit of the network never saw them."""

SUSPICION_SEED = 7200
"""The same for the suspicion: on scenes that it learned from, heads would trust it too much."""

_HELD_BACK = 0.15  # share of the scenes that choose the epoch


class Seen(NamedTuple):
    """One scan as the heads see it, under each of its `versions`.

    Attributes:
        pooled, amounts, embedding: one row of `Summary`.
        said: (V, F + 1 + APPEARANCE), see `targets.said_vector`.
        suspected: (V, POOLED) pooled suspicion of the cells under each.
        label: (V,) whether something is there that this declaration does not explain.
        present: (F,) families that are there.
        scene: number of the scene; twins share it.
        threat: whether it is the threat version.
    """

    pooled: Tensor
    amounts: Tensor
    embedding: Tensor
    said: Tensor
    suspected: Tensor
    label: Tensor
    present: Tensor
    scene: Tensor
    threat: Tensor


_network: Network
_seed: int


Found = TypeVar("Found", "Seen", Cells)


def look(checkpoint: Path, scenes: int, *, seed: int = HEADS_SEED, processes: int = 1) -> list[Seen]:
    """Let a network look at the scans of `scenes` fresh scenes.

    Args:
        checkpoint: of the network.
        scenes: how many; each honest and, where there is one, with its threat.
        seed: of the set.
        processes: that simulate and look; 1 = this one.
    """
    return _look(checkpoint, scenes, seed, processes, _seen_in)


def _look(
    checkpoint: Path,
    scenes: int,
    seed: int,
    processes: int,
    task: Callable[[int], list[Found]],
    tick: Callable[[], None] = lambda: None,
) -> list[Found]:
    """What a task finds in each of the scenes, in their order; `tick` is called after each."""
    found: list[Found] = []
    if processes <= 1:
        _prepare(checkpoint, seed)
        for index in range(scenes):
            found += task(index)
            tick()
        return found
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _prepare, (checkpoint, seed)) as pool:
        for part in pool.map(task, range(scenes), chunksize=4):
            found += part
            tick()
    return found


def _prepare(checkpoint: Path, seed: int) -> None:
    global _network, _seed
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    made = load_checkpoint(checkpoint)
    use_catalogue(made["leadline"].get("watch_list", ""))
    _network, _seed = network_from(made), seed


def _seen_in(index: int) -> list[Seen]:
    return [_seen(index, sample) for sample in simulate_pair(_network.config.kind, _seed, index)]


def _cells_in(index: int) -> list[Cells]:
    samples = simulate_pair(_network.config.kind, _seed, index)
    return [cells for sample in samples for cells in cells_of(_network, sample, index)]


def _seen(index: int, sample: Sample) -> Seen:
    config = _network.config
    given = example(sample, config)
    watched = [config.families.index(name) for name in config.watched]
    cells, _ = cell_targets(torch.from_numpy(given.areal.astype(np.float32)), watched, CellRule.of(config.kind))
    told = versions(given, np.random.default_rng(index))
    said = torch.from_numpy(np.stack([vector for vector, _ in told]))
    with torch.inference_mode():
        view = _network.look(
            torch.from_numpy(given.transmission)[None], torch.from_numpy(given.beam)[None], pooled=True
        )
        suspected = [pool_evidence(_network.suspect(view, known[None])).flatten() for known in said]
    pooled, amounts, embedding = (part[0].clone() for part in view.summary)
    return Seen(
        pooled,
        amounts,
        embedding,
        said,
        torch.stack(suspected).clone(),
        torch.tensor([float(label) for _, label in told]),
        ((cells == 1).sum((1, 2)) >= 2).float(),
        torch.tensor(index),
        torch.tensor(given.threat),
    )


def refit(
    checkpoint: Path, target: Path, *, scenes: int, processes: int = 1, epochs: int = 60, progress: bool = False
) -> Path:
    """Let the suspicion of a checkpoint's network learn on, fit new heads for it, and write it with them.

    Args:
        checkpoint: of `leadline train`.
        target: checkpoint to write.
        scenes: fresh scenes to fit heads on; half as many others serve the suspicion.
        processes: that simulate.
        epochs: at most; the best on scenes held back is kept.
        progress: show how many scenes have been looked at.

    Returns:
        `target`.
    """
    made = load_checkpoint(checkpoint)
    made["leadline"] |= {"head_scenes": scenes}
    scenes = max(2, scenes)  # one to fit on, one to hold back
    others = scenes // 2
    interim = target.with_name("suspicion.ckpt")  # `target` appears only with its heads
    with Progress("looking at scenes for suspicion and heads") as shown:

        def tick() -> None:
            if progress:
                shown.told(shown.done + 1, others + scenes)

        cells = _look(checkpoint, others, SUSPICION_SEED, processes, _cells_in, tick)
        network = fit_suspicion(network_from(made), cells)
        _write(made, network, interim)
        seen = _look(interim, scenes, HEADS_SEED, processes, _seen_in, tick)
    _write(made, fit_heads(network, seen, epochs), target)
    interim.unlink()
    return target


def _write(made: dict[str, Any], network: Network, target: Path) -> None:
    """The checkpoint `made` with the network's weights; whole or not at all."""
    kept = {key: made[key] for key in ("leadline", "global_step") if key in made}
    part = target.with_name(target.name + ".part")
    torch.save(kept | {"state_dict": {f"network.{k}": v for k, v in network.state_dict().items()}}, part)
    part.replace(target)


def fit_heads(network: Network, seen: list[Seen], epochs: int, *, seed: int = 0) -> Network:
    """A copy of a network with heads fitted on what it has seen."""
    torch.manual_seed(seed)
    network = copy.deepcopy(network)
    heads = torch.nn.ModuleList([network.score_head, network.family_head])
    for module in heads.modules():
        if isinstance(module, torch.nn.Linear):
            module.reset_parameters()
    rows = Seen(*(torch.stack(part) for part in zip(*seen, strict=True)))
    scenes = torch.unique(rows.scene)
    held = torch.isin(rows.scene, scenes[-max(1, int(_HELD_BACK * len(scenes))) :])
    batches = DataLoader(TensorDataset(*(part[~held] for part in rows)), batch_size=256, shuffle=True)
    optimizer = torch.optim.AdamW(heads.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=max(epochs * len(batches), 2))
    best, kept = float("inf"), copy.deepcopy(heads.state_dict())
    for _ in range(epochs):
        heads.train()
        for batch in batches:
            optimizer.zero_grad()
            loss = _loss(network, Seen(*batch))
            loss.backward()
            optimizer.step()
            schedule.step()
        heads.eval()
        with torch.inference_mode():
            now = float(_loss(network, Seen(*(part[held] for part in rows))))
        if now < best:
            best, kept = now, copy.deepcopy(heads.state_dict())
    heads.load_state_dict(kept)
    return network.eval()


def _loss(network: Network, rows: Seen) -> Tensor:
    """As declared counts most; withheld and confessed declarations a little; twins should come apart."""
    summary = Summary(rows.pooled, rows.amounts, rows.embedding)
    total = torch.zeros(())
    for version, weight in enumerate((0.8, 0.1, 0.1)):
        score, materials = network.judge(summary, rows.said[:, version], rows.suspected[:, version])
        total = total + weight * functional.binary_cross_entropy_with_logits(score, rows.label[:, version])
        if version == 0:
            total = total + 0.2 * functional.binary_cross_entropy_with_logits(materials, rows.present)
            same = rows.scene[:, None] == rows.scene[None, :]
            ranked = same & (rows.label[:, 0][:, None] > rows.label[:, 0][None, :])
            threat, honest = torch.nonzero(ranked, as_tuple=True)
            total = total + 0.1 * pair_shortfall(score[threat] - score[honest], margin=2.0)
    return total
