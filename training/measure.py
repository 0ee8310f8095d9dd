"""Run a network over scans, simulated or read, in worker processes, and keep of each what the figures need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from leadline.datasets.declarations import expected_families
from leadline.datasets.materials import catalogue, use_catalogue
from leadline.datasets.scan import Kind, LeadlineError, Scan
from leadline.datasets.simulator.simulate import Sample, Split, simulate_pair
from leadline.models.config import NetworkConfig, config_for
from leadline.models.features import halve
from leadline.training.baselines import clues
from leadline.training.facts import declared_goods, facts, scanner_words
from leadline.training.labelled import Specimen
from leadline.training.places import inside_any, strongest_place
from leadline.training.processes import pooled
from leadline.training.rows import EVIDENCE_BINS, Row, Unread
from leadline.training.runners import Runner, onnx_runner, torch_runner
from leadline.training.targets import CellRule, cell_targets

__all__ = ["EVIDENCE_BINS", "Row", "Task", "Unread", "measure_groups"]

_PENETRATED = 0.003  # transmission below which total areal density is not compared


@dataclass(frozen=True)
class Task:
    """Scans to measure.

    Attributes:
        model: ONNX file, checkpoint, or `None` for the baselines' clues alone.
        kind: of scanner.
        split: of scenes and scanners.
        seed: names the set.
        physics: also compute the detectabilities.
        evidence_threshold: least evidence of a cell of a place.
        specimens: labelled scans to read in place of simulated ones; split and seed then mean nothing.
        watch_list: the user's part of the catalogue in use, which worker processes take over.
    """

    model: Path | None
    kind: Kind
    split: Split
    seed: int
    physics: bool = False
    evidence_threshold: float = 0.5
    specimens: tuple[Specimen, ...] = ()
    watch_list: str = field(default_factory=lambda: catalogue().text)


def measure_groups(task: Task, numbers: Sequence[int], processes: int = 1) -> Iterator[list[Row | Unread]]:
    """The rows of each numbered scene (or labelled scan), in the order of the numbers.

    Raises:
        LeadlineError: a process was ended from outside.
    """
    if processes <= 1 or len(numbers) <= 1:
        _prepare(task)
        yield from map(_rows, numbers)
        return
    with pooled(min(processes, len(numbers)), "--processes", _prepare_worker, task) as pool:
        yield from pool.map(_rows, numbers, chunksize=2)


_task: Task
_run: Runner | None
_network: NetworkConfig


def _prepare_worker(task: Task) -> None:
    """In a process of its own, which has no watch list in use yet."""
    use_catalogue(task.watch_list)
    _prepare(task)


def _prepare(task: Task) -> None:
    """Load the network once in each process."""
    global _task, _run, _network
    _task, _run = task, None
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if task.model is None:
        _network = config_for(task.kind)
    elif task.model.suffix == ".onnx":
        _run, _network = onnx_runner(task.model)
    else:
        _run, _network = torch_runner(task.model)


def _rows(index: int) -> list[Row | Unread]:
    if _task.specimens:
        return [_labelled_row(index, _task.specimens[index])]
    pair = simulate_pair(_task.kind, _task.seed, index, split=_task.split, measure=_task.physics)
    return [_row(index, sample) for sample in pair]


def _row(index: int, sample: Sample) -> Row:
    truth, scan = sample.truth, sample.scan
    base: dict[str, Any] = {
        "index": index, "scenario": truth.scenario, "threat": truth.is_threat, "undeclared": truth.undeclared,
        "d_known": truth.d_known, "d_material": truth.d_material, "mass_kg": sum(b[2] for b in truth.boxes),
        "clues": clues(scan.transmission, _task.kind), "declared": expected_families(scan.declaration), **facts(sample),
    }  # fmt: skip
    if _run is None:
        return Row(**base)
    outputs, said = _said(scan)
    evidence, areal, place = outputs.evidence[0], outputs.areal_density[0], said["place"]
    watched = [_network.families.index(name) for name in _network.watched]
    pooled = halve(torch.from_numpy(truth.families)[None], _network.pool)[0]
    labels, sums = (x.numpy() for x in cell_targets(pooled, watched, CellRule.of(_task.kind)))
    boxes = [b for b in truth.boxes if place is not None and inside_any(place.centre, [b[1]])]
    lit = halve(torch.from_numpy(scan.transmission)[None], _network.stride)[0].min(0).values.numpy() > _PENETRATED
    goods = lit & (sums[0] > (5.0 if _task.kind == "container" else 0.5))
    error = np.abs(areal[0] - sums[0])[goods] / sums[0][goods]
    return Row(
        **base,
        **said,
        present=(labels == 1).sum((1, 2)) >= 2,
        place_right=bool(boxes),
        family_right=place is not None and any(b[0] == _network.families[place.family] for b in boxes),
        cells=_cell_counts(evidence[watched], labels[watched]),
        areal_error=float(np.median(error)) if goods.any() else float("nan"),
        cargo_mass=float(areal[0][lit].sum() / max(sums[0][lit].sum(), 1e-9)) if goods.any() else float("nan"),
    )


def _said(scan: Scan) -> tuple[Any, dict[str, Any]]:
    """The network's outputs, and those of them that are arguments of `Row`."""
    if _run is None:
        raise ValueError("a task without a model says nothing")
    outputs, logit, material_logits = _run(scan)
    watched = [_network.families.index(name) for name in _network.watched]
    place = strongest_place(
        outputs.evidence[0],
        outputs.areal_density[0],
        watched,
        _task.evidence_threshold,
        _network.stride,
        scan.scanner.pixel_mm,
    )
    return outputs, {
        "logit": logit, "score": float(outputs.score[0]), "materials": outputs.materials[0],
        "material_logits": material_logits, "embedding": outputs.embedding[0], "novelty": float(outputs.novelty[0]),
        "place": place,
    }  # fmt: skip


def _labelled_row(index: int, specimen: Specimen) -> Row | Unread:
    """The row of a scan on disk; one that cannot be read becomes a row that says why."""
    try:
        scan = specimen.read(_task.kind)
    except LeadlineError as error:
        return Unread(index, str(specimen.path), str(error))
    _, said = _said(scan)
    place = said["place"]
    right = place is not None and inside_any(place.centre, specimen.boxes)
    return Row(
        index, "labelled", specimen.positive, specimen.positive, None, None, specimen.mass_kg,
        clues(scan.transmission, _task.kind), expected_families(scan.declaration), **said, place_right=right,
        family_right=right and place is not None and _network.families[place.family] == specimen.family,
        name=str(specimen.path), family=specimen.family, goods=declared_goods(scan.declaration),
        scanner=scanner_words(scan.scanner), placed=bool(specimen.boxes), sha256=specimen.sha256(),
    )  # fmt: skip


def _cell_counts(evidence: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    bins = np.minimum((evidence * EVIDENCE_BINS).astype(int), EVIDENCE_BINS - 1)
    return np.stack([np.bincount(bins[labels == value], minlength=EVIDENCE_BINS) for value in (0, 1)])
