"""What a fitted network sees of many fresh scans, for parts of it that are fitted on that alone.

The image costs nearly all of the computation, so it is looked at once; what was seen is kept on disk as it comes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from leadline.datasets.materials import use_catalogue
from leadline.datasets.simulator.simulate import Sample, simulate_pair
from leadline.models.network import Network
from leadline.models.outputs import pool_evidence
from leadline.training.checkpoints import load_checkpoint, member_from
from leadline.training.processes import pooled
from leadline.training.saving import write_whole
from leadline.training.suspicion import Cells, cells_of, versions
from leadline.training.targets import CellRule, cell_targets, example

HEADS_SEED = 7100
"""Set of scenes, in the training split, on which heads are refitted: the fit of the network never saw them."""

SUSPICION_SEED = 7200
"""The same for the suspicion: on scenes that it learned from, heads would trust it too much."""

_PART = 50  # scenes after which what was seen is kept


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


Found = TypeVar("Found", Seen, Cells)


def look(
    checkpoint: Path,
    scenes: int,
    seed: int,
    processes: int,
    task: Callable[[int], list[Found]],
    kind: type[Found],
    folder: Path | None = None,
    tick: Callable[[int], None] = lambda done: None,
) -> list[Found]:
    """What a task finds in each of the scenes, in their order; `tick` is told of how many more are done.

    Where a folder is given, every `_PART` scenes are kept in a file of it, and those that are there are not looked at
    again.
    """
    found: list[Found] = []
    with _mapped(checkpoint, seed, processes) as mapped:
        for first in range(0, scenes, _PART):
            part = range(first, min(first + _PART, scenes))
            path = folder / f"{seed}-{part.start}-{part.stop}.pt" if folder is not None else None
            if path is not None and path.is_file():
                found += [kind(*entry) for entry in torch.load(path, weights_only=True)]
                tick(len(part))
                continue
            fresh: list[Found] = []
            for one in mapped(task, part):
                fresh += one
                tick(1)
            if path is not None:
                buffer = io.BytesIO()
                torch.save([tuple(entry) for entry in fresh], buffer)
                write_whole(path, buffer.getbuffer())
            found += fresh
    return found


@contextmanager
def _mapped(checkpoint: Path, seed: int, processes: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """`map` over scenes, in this process or in several."""
    if processes <= 1:
        _prepare(checkpoint, seed)
        yield map
        return
    with pooled(processes, "--workers and --threads", _prepare, checkpoint, seed) as pool:
        yield partial(pool.map, chunksize=4)


def _prepare(checkpoint: Path, seed: int) -> None:
    global _network, _seed
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    made = load_checkpoint(checkpoint)
    use_catalogue(made["leadline"].get("watch_list", ""))
    _network, _seed = member_from(made), seed


def seen_in(index: int) -> list[Seen]:
    return [_seen(index, sample) for sample in simulate_pair(_network.config.kind, _seed, index)]


def cells_in(index: int) -> list[Cells]:
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
