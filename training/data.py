"""Simulated scans as batches: made in worker processes, kept for a few augmentations, fed in pairs.

A scene with a threat is scanned twice with the same scanner, with the threat and with the honest goods
in its place, and both go into the same batch: what tells them apart is the threat and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from leadline.datasets.materials import catalogue, use_catalogue
from leadline.datasets.scan import Kind
from leadline.datasets.simulator.cache import SceneCache
from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.simulate import Split, build_scene, expose, machine_split
from leadline.models.config import NetworkConfig
from leadline.training.augment import Augment, augment_config, fit_canvas
from leadline.training.targets import CellRule, Example, cell_targets, example, redeclare

CANVAS: dict[Kind, tuple[int, int]] = {"parcel": (400, 512), "container": (672, 1312)}
"""Rows and columns, pixels, that scans are cut or padded to while a network is fitted."""


class Batch(TypedDict):
    """A batch; N scans on one canvas, pooled to (h, w), of (h', w') cells.

    Attributes:
        transmission: (N, 2, h, w) float32, pooled.
        said: (N, F + 1 + APPEARANCE) float32, the declaration, see `targets.said_vector`.
        undeclared: (N,) float32, label of the score.
        weight: (N,) float32, of the scan-level losses; 0 where cutting made the label doubtful.
        present: (N, F) float32, families that are there.
        cells: (N, F, h', w') uint8, see `targets.cell_targets`.
        areal: (N, 2, h', w') float32, g/cm2.
        twin: (N,) int64, place of a threat's honest twin in the batch, -1 for none.
        curves: (N, R, K) float32, contrast curves of the scanner.
        beam: (N, BEAM) float32, its nominal energy.
    """

    transmission: Tensor
    said: Tensor
    undeclared: Tensor
    weight: Tensor
    present: Tensor
    cells: Tensor
    areal: Tensor
    twin: Tensor
    curves: Tensor
    beam: Tensor


@dataclass(frozen=True)
class StreamConfig:
    """What the loader makes.

    Attributes:
        network: whose input is made.
        seed: names the endless set of scenes.
        split: of scenes and scanners.
        scenes: number of different scenes, kept on disk and scanned anew each time; 0 = endless, none kept.
        folder: where they are kept.
        first: number of the first scene, so that a resumed run goes on with new ones.
        batch: scans in a batch.
        reuse: how often a scan is fed, on average, each time augmented otherwise.
        keep: groups (a pair or a single scan) that a worker holds to draw from.
        canvas: rows and columns, pixels.
        drop: share of scans whose declaration is withheld, and of groups whose beam is not told.
        confess: share of scans whose declaration names what is hidden.
        coarse: share of scans whose goods look as their families may.
        rank, ranks: which of how many processes that fit together this one is; each makes its own scenes.
        watch_list: the user's part of the catalogue in use, which worker processes take over.
    """

    network: NetworkConfig
    seed: int = 0
    split: Split = "train"
    scenes: int = 0
    folder: Path | None = None
    first: int = 0
    batch: int = 16
    reuse: float = 2.0
    keep: int = 96
    canvas: tuple[int, int] = (0, 0)
    drop: float = 0.08
    confess: float = 0.04
    coarse: float = 0.15
    rank: int = 0
    ranks: int = 1
    watch_list: str = field(default_factory=lambda: catalogue().text)

    @property
    def pooled_canvas(self) -> tuple[int, int]:
        """The canvas in pooled pixels."""
        rows, columns = self.canvas if self.canvas[0] else CANVAS[self.network.kind]
        return -(-rows // self.network.pool), -(-columns // self.network.pool)


class Scans:
    """Groups of scans by number: a threat and its honest twin, or one benign scan."""

    def __init__(self, config: StreamConfig) -> None:
        self.config = config
        kind = config.network.kind
        kept = config.scenes and config.folder is not None
        self.cache = SceneCache(config.folder, kind, config.seed, config.split) if kept and config.folder else None

    def __getitem__(self, index: int) -> list[Example]:
        """Group number `index`: scene `index % scenes`, scanned by a scanner of its own number."""
        c = self.config
        number = index % c.scenes if c.scenes else index
        kind = c.network.kind
        scene = self.cache[number] if self.cache is not None else build_scene(kind, c.seed, number, c.split)
        drawn = np.random.default_rng([c.seed, index, 0x5CA7])
        machine = Machine.draw(kind, drawn, machine_split(c.split), pixel_mm=scene.pixel_mm)
        samples = [
            # From the same state of the generator: both have the scanner's faults of the moment in common.
            expose(
                scene,
                machine,
                np.random.default_rng([c.seed, index, 0x5CA8]),
                threat=threat,
                declaration=scene.declaration,
            )
            for threat in ((True, False) if scene.has_threat else (False,))
        ]
        return [example(sample, c.network) for sample in samples]


class Stream(IterableDataset[Batch]):
    """Endless batches. Each worker makes its own share of the scenes and keeps its own buffer."""

    def __init__(self, config: StreamConfig) -> None:
        self.config = config

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(1)
        c = self.config
        use_catalogue(c.watch_list)
        info = get_worker_info()
        own, each = (info.id, info.num_workers) if info else (0, 1)
        worker, workers = c.rank * each + own, c.ranks * each
        scans = Scans(c)
        rng = np.random.default_rng([c.seed, c.first, worker, 0xBA7C])
        augment = Augment(augment_config(c.network.kind, c.pooled_canvas), int(rng.integers(1 << 31)))
        index = c.first + worker
        held: list[list[Example]] = []
        made = 0.0
        while True:
            groups: list[list[Example]] = []
            while sum(map(len, groups)) < c.batch:
                made += 1 / c.reuse
                while made > 0 or len(held) < 1:
                    held.append(scans[index])
                    index += workers
                    made -= 1
                groups.append(held[int(rng.integers(len(held)))])
            del held[: max(len(held) - c.keep, 0)]
            yield collate(_cut(groups, c.batch, rng), c, rng, augment)


def _cut(groups: list[list[Example]], size: int, rng: np.random.Generator) -> list[list[Example]]:
    """Exactly `size` scans: one of the last pair goes where it is too much."""
    if sum(map(len, groups)) > size:
        groups = [*groups[:-1], [groups[-1][int(rng.integers(len(groups[-1])))]]]
    return groups


def collate(
    groups: list[list[Example]], config: StreamConfig, rng: np.random.Generator, augment: Augment | None
) -> Batch:
    """Augment groups of scans and make a batch of them.

    Args:
        groups: pairs (threat, honest twin) or single scans.
        config: canvas, network, shares.
        rng: source of the draws.
        augment: `None` = cut or pad to the canvas only, declarations as they are.
    """
    network = config.network
    watched = [network.families.index(name) for name in network.watched]
    rule = CellRule.of(network.kind)
    rows: list[dict[str, Tensor]] = []
    for group in groups:
        paired = len(group) == 2
        told = 0.0 if augment and rng.random() < config.drop else 1.0
        for k, given in enumerate(group):
            areal = given.areal.astype(np.float32)
            t, mask = (
                augment(given.transmission, areal)
                if augment
                else fit_canvas(given.transmission, areal, config.pooled_canvas)
            )
            shares = (config.drop, config.confess, config.coarse) if augment else (0.0, 0.0)
            said, label = redeclare(given, rng, *shares)
            left = float(mask[watched].sum()) / max(float(areal[watched].sum()), 1e-6)
            if label and left < 0.01:
                label, left = False, 1.0
            cells, sums = cell_targets(torch.from_numpy(mask), watched, rule)
            rows.append(
                {
                    "transmission": torch.from_numpy(t),
                    "said": torch.from_numpy(said),
                    "undeclared": torch.tensor(float(label)),
                    "weight": torch.tensor(0.0 if label and left < 0.25 else 1.0),
                    "present": ((cells == 1).sum((1, 2)) >= 2).float(),
                    "cells": cells,
                    "areal": sums,
                    "twin": torch.tensor(len(rows) + 1 if paired and k == 0 else -1),
                    "curves": torch.from_numpy(given.curves),
                    "beam": torch.from_numpy(told * given.beam).float(),
                }
            )
    return Batch(**{key: torch.stack([row[key] for row in rows]) for key in rows[0]})  # type: ignore[typeddict-item]


def loader(config: StreamConfig, workers: int) -> DataLoader:
    """Batches from worker processes (0 = in this one)."""
    return DataLoader(
        Stream(config),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=3 if workers else None,
        persistent_workers=workers > 0,
        # A forked child of a process that has used OpenMP threads can hang; a spawned one cannot.
        multiprocessing_context="spawn" if workers else None,
    )


def fixed_batches(config: StreamConfig, scans: int) -> list[Batch]:
    """Batches for validation: the first groups of a set, unaugmented, declarations as they are."""
    source, rng = Scans(config), np.random.default_rng(config.seed)
    groups: list[list[Example]] = []
    while sum(map(len, groups)) < scans:
        groups.append(source[config.first + len(groups)])
    batches: list[Batch] = []
    pending: list[list[Example]] = []
    for group in groups:
        pending.append(group)
        if sum(map(len, pending)) >= config.batch:
            batches.append(collate(pending, config, rng, None))
            pending = []
    if pending:
        batches.append(collate(pending, config, rng, None))
    return batches
