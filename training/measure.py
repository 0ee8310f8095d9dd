"""Run a network over simulated scans in worker processes, and keep of each what the figures need."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from leadline.datasets.scan import Kind
from leadline.datasets.simulator.simulate import Sample, Split, simulate_pair
from leadline.models import contract as contracts
from leadline.models.network import NetworkConfig, Outputs, config_for, halve
from leadline.training.baselines import Clues, clues
from leadline.training.fit import load_checkpoint, network_from
from leadline.training.places import Place, inside_any, strongest_place
from leadline.training.targets import CellRule, cell_targets, declared_vector

EVIDENCE_BINS = 50
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
    """

    model: Path | None
    kind: Kind
    split: Split
    seed: int
    physics: bool = False
    evidence_threshold: float = 0.5


@dataclass(frozen=True)
class Row:
    """One scan: its truth and what the network says of it.

    Attributes:
        index: number of the scene in its set; a threat and its honest twin share it.
        scenario, threat, undeclared, d_known, d_material: see `simulate.Truth`.
        mass_kg: watch-list material in the scan.
        clues: what the baselines look at.
        declared: the network's input.
        logit: of the score.
        score, materials, embedding, novelty: outputs of the network.
        material_logits: logits of `materials`.
        present: which families are there.
        place: the most probable place, if any cell reached the threshold.
        place_right: whether its centre lies in a true box.
        family_right: whether its family is the true one there.
        cells: (2, EVIDENCE_BINS) counts of watched cells by evidence, without and with the family.
        areal_error: median of |estimate - truth| / truth of all goods, over penetrated cells.
        cargo_mass: estimated over true mass of all goods in penetrated cells.
    """

    index: int
    scenario: str
    threat: bool
    undeclared: bool
    d_known: float | None
    d_material: float | None
    mass_kg: float
    clues: Clues
    declared: npt.NDArray[np.float32]
    logit: float = 0.0
    score: float = 0.0
    materials: npt.NDArray[np.float32] | None = None
    material_logits: npt.NDArray[np.float32] | None = None
    embedding: npt.NDArray[np.float32] | None = None
    novelty: float = 0.0
    present: npt.NDArray[np.bool_] | None = None
    place: Place | None = None
    place_right: bool = False
    family_right: bool = False
    cells: npt.NDArray[np.int64] | None = None
    areal_error: float = float("nan")
    cargo_mass: float = float("nan")


Runner = Callable[[npt.NDArray[np.float32], npt.NDArray[np.float32]], tuple[Any, float, npt.NDArray[np.float32]]]


def measure(task: Task, scenes: int, *, first: int = 0, processes: int = 1) -> Iterator[Row]:
    """Rows of the scans of `scenes` scenes: each scene honest and, where there is one, with its threat.

    Args:
        task: what to measure.
        scenes: how many.
        first: number of the first.
        processes: that work at it; 1 = this one.
    """
    numbers = range(first, first + scenes)
    if processes <= 1:
        _prepare(task)
        for index in numbers:
            yield from _rows(index)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _prepare, (task,)) as pool:
        for rows in pool.map(_rows, numbers, chunksize=4):
            yield from rows


_task: Task
_run: Runner | None
_network: NetworkConfig


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


def onnx_runner(path: Path) -> tuple[Runner, NetworkConfig]:
    """A released file on ONNX Runtime, one thread."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    found = contracts.read(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(t: npt.NDArray[np.float32], declared: npt.NDArray[np.float32]) -> tuple[Any, float, npt.NDArray]:
        outputs: Any = Outputs(
            *session.run(list(Outputs._fields), {"transmission": t[None], "declared": declared[None]})
        )
        return outputs, float(_logit(outputs.score)[0]), _logit(outputs.materials)[0]

    return run, config_for(found.scanner, families=found.families, watched=found.watched, pool=found.stride // 2)


def torch_runner(path: Path) -> tuple[Runner, NetworkConfig]:
    """A checkpoint in PyTorch, with logits that are not yet calibrated."""
    network = network_from(load_checkpoint(path)).eval()

    def run(t: npt.NDArray[np.float32], declared: npt.NDArray[np.float32]) -> tuple[Any, float, npt.NDArray]:
        with torch.no_grad():
            raw = network.raw(torch.from_numpy(t)[None], torch.from_numpy(declared)[None])
            novelty = torch.zeros(1)
            outputs = Outputs(
                torch.sigmoid(raw.score), torch.sigmoid(raw.materials), torch.sigmoid(raw.evidence),
                torch.expm1(raw.log_areal), raw.embedding, novelty,
            )  # fmt: skip
            return Outputs._make(o.numpy() for o in outputs), float(raw.score[0]), raw.materials[0].numpy()

    return run, network.config


def _logit(p: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    p = np.clip(p, 1e-7, 1 - 1e-7).astype(np.float64)
    return np.log(p / (1 - p)).astype(np.float32)


def _rows(index: int) -> list[Row]:
    pair = simulate_pair(_task.kind, _task.seed, index, split=_task.split, measure=_task.physics)
    return [_row(index, sample) for sample in pair]


def _row(index: int, sample: Sample) -> Row:
    truth, scan = sample.truth, sample.scan
    declared = declared_vector(scan.declaration)
    base: dict[str, Any] = {
        "index": index, "scenario": truth.scenario, "threat": truth.is_threat, "undeclared": truth.undeclared,
        "d_known": truth.d_known, "d_material": truth.d_material, "mass_kg": sum(b[2] for b in truth.boxes),
        "clues": clues(scan.transmission, _task.kind), "declared": declared,
    }  # fmt: skip
    if _run is None:
        return Row(**base)
    outputs, logit, material_logits = _run(scan.transmission, declared)
    evidence, areal = outputs.evidence[0], outputs.areal_density[0]
    watched = [_network.families.index(name) for name in _network.watched]
    pooled = halve(torch.from_numpy(truth.families)[None], _network.pool)[0]
    labels, sums = (x.numpy() for x in cell_targets(pooled, watched, CellRule.of(_task.kind)))
    place = strongest_place(evidence, areal, watched, _task.evidence_threshold, _network.stride, scan.scanner.pixel_mm)
    boxes = [b for b in truth.boxes if place is not None and inside_any(place.centre, [b[1]])]
    lit = halve(torch.from_numpy(scan.transmission)[None], _network.stride)[0].min(0).values.numpy() > _PENETRATED
    goods = lit & (sums[0] > (5.0 if _task.kind == "container" else 0.5))
    error = np.abs(areal[0] - sums[0])[goods] / sums[0][goods]
    return Row(
        **base,
        logit=logit,
        score=float(outputs.score[0]),
        materials=outputs.materials[0],
        material_logits=material_logits,
        embedding=outputs.embedding[0],
        novelty=float(outputs.novelty[0]),
        present=(labels == 1).sum((1, 2)) >= 2,
        place=place,
        place_right=bool(boxes),
        family_right=place is not None and any(b[0] == _network.families[place.family] for b in boxes),
        cells=_cell_counts(evidence[watched], labels[watched]),
        areal_error=float(np.median(error)) if goods.any() else float("nan"),
        cargo_mass=float(areal[0][lit].sum() / max(sums[0][lit].sum(), 1e-9)) if goods.any() else float("nan"),
    )


def _cell_counts(evidence: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    bins = np.minimum((evidence * EVIDENCE_BINS).astype(int), EVIDENCE_BINS - 1)
    return np.stack([np.bincount(bins[labels == value], minlength=EVIDENCE_BINS) for value in (0, 1)])
