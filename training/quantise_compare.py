"""A quantised model beside the float one: what it finds on the same held-out scans, its speed, its size."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from leadline.datasets.scan import Kind, LeadlineError, Scan
from leadline.datasets.simulator.simulate import Sample, simulate_pair
from leadline.models.contract import ModelContract
from leadline.training.record import Told
from leadline.training.runners import onnx_runner
from leadline.training.statistics import Floats, resampled, spread, weighted_auc

MOST_LOST = 0.002
"""Fall of the area under the ROC curve from which a quantised model is refused."""

MOVED = 0.1
"""Difference of a score above which a scan is listed, whatever its verdict."""

TIMED: dict[Kind, tuple[int, int]] = {"parcel": (400, 500), "container": (700, 1400)}
"""Rows and columns of the scan on which the two are timed."""

_Said = tuple[float, float, float]  # score, novelty, logit

_DRAWS = 500  # bootstrap


@dataclass(frozen=True)
class Change:
    """A held-out scan on which the two models disagree."""

    index: int
    scenario: str
    threat: bool
    undeclared: bool
    score: float
    quantised_score: float
    verdict: str
    quantised_verdict: str


@dataclass(frozen=True)
class Comparison:
    """A quantised model beside the float one.

    Attributes:
        auc, quantised_auc: on the same held-out scans.
        fall: of the area, with its 95 % interval (paired bootstrap).
        flips: scans whose verdict differs at the default threshold.
        moved: scans whose score differs by more than `MOVED`.
        scans, undeclared: how many, and how many of them hold undeclared watch-list material.
        greatest: greatest difference of a score.
        milliseconds, quantised_milliseconds: medians of one inference, one thread.
        bytes, quantised_bytes: sizes of the files.
        convolutions: (quantised, all).
    """

    auc: float
    quantised_auc: float
    fall: tuple[float, float, float]
    flips: tuple[Change, ...]
    moved: tuple[Change, ...]
    scans: int
    undeclared: int
    greatest: float
    milliseconds: float
    quantised_milliseconds: float
    bytes: int
    quantised_bytes: int
    convolutions: tuple[int, int]

    @property
    def accepted(self) -> bool:
        """Whether the area falls by less than `MOST_LOST`."""
        return self.fall[0] < MOST_LOST

    @property
    def shown(self) -> bool:
        """Whether these scans show it: the whole interval of the fall lies below `MOST_LOST`."""
        return self.fall[2] < MOST_LOST


def compare(
    model: Path, quantised: Path, contract: ModelContract, scenes: int, seed: int, counted: tuple[int, int], told: Told
) -> Comparison:
    """Score held-out simulated scans with both files, and time both."""
    runners = [onnx_runner(path)[0] for path in (model, quantised)]
    rows: list[tuple[Sample, int, _Said, _Said]] = []
    for index in range(scenes):
        told(index, scenes)
        for sample in simulate_pair(contract.scanner, seed, index, split="heldout"):
            outputs = [run(sample.scan)[:2] for run in runners]
            kept = replace(sample, scan=replace(sample.scan, transmission=np.zeros((2, 1, 1), np.float32)))
            first, second = ((float(o.score[0]), float(o.novelty[0]), logit) for o, logit in outputs)
            rows.append((kept, index, first, second))
    labels = np.array([s.truth.undeclared for s, *_ in rows])
    if labels.all() or not labels.any():
        raise LeadlineError(f"--scenes {scenes}: scans with and without threats are needed; give more")
    numbers = np.array([index for _, index, _, _ in rows])
    logits = np.array([[a[2], b[2]] for _, _, a, b in rows], float)
    scores = np.array([[a[0], b[0]] for _, _, a, b in rows], float)
    changes = [
        Change(
            index, s.truth.scenario, s.truth.is_threat, bool(s.truth.undeclared), a[0], b[0],
            _verdict(a, contract), _verdict(b, contract),
        )
        for s, index, a, b in rows
    ]  # fmt: skip
    flips = tuple(c for c in changes if c.verdict != c.quantised_verdict)
    moved = tuple(c for c in changes if abs(c.score - c.quantised_score) > MOVED)
    areas = [float(roc_auc_score(labels, logits[:, k])) for k in range(2)]
    times = _times(runners, contract)
    return Comparison(
        areas[0], areas[1], _fall(labels, logits, numbers), flips, moved, len(rows), int(labels.sum()),
        float(np.abs(scores[:, 0] - scores[:, 1]).max()), times[0], times[1],
        model.stat().st_size, quantised.stat().st_size, counted,
    )  # fmt: skip


def _verdict(outputs: _Said, contract: ModelContract) -> str:
    """What score and novelty alone would say."""
    score, novelty, _ = outputs
    return "inspect" if score >= contract.threshold else "rescan" if novelty > 1 else "clear"


def _fall(labels: npt.NDArray[np.bool_], logits: Floats, scenes: npt.NDArray[np.int64]) -> tuple[float, float, float]:
    """Fall of the area under the curve, with a 95 % interval over drawn scenes, the same for both models."""

    def fall(weights: Floats) -> Floats:
        before, after = (weighted_auc(logits[:, k], labels, weights) for k in range(2))
        return before - after

    return float(fall(np.ones((1, len(labels))))[0]), *spread(fall(resampled(scenes, _DRAWS)))


def _times(runners: list[Any], contract: ModelContract, rounds: int = 15) -> list[float]:
    """Median milliseconds of one inference of each, in turns, so that both meet the same load."""
    scan = Scan(np.random.default_rng(0).random((2, *TIMED[contract.scanner]), np.float32))
    taken: list[list[float]] = [[] for _ in runners]
    for _ in range(rounds):
        for k, run in enumerate(runners):
            started = time.perf_counter()
            run(scan)
            taken[k].append(1000 * (time.perf_counter() - started))
    return [statistics.median(t[1:]) for t in taken]
