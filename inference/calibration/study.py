"""What a profile changes for one scanner: its scans, simulated with and without threats, scored both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.simulate import Split
from leadline.inference.calibration.correction import Correction
from leadline.inference.calibration.thresholds import SEED, logits, simulated
from leadline.inference.engine import Engine

Floats = npt.NDArray[np.float64]

_DRAWS = 500  # bootstrap


@dataclass(frozen=True)
class Study:
    """Scores of simulated scans of one scanner.

    Attributes:
        undeclared: bool (N,), whether watch-list material is there that the declaration does not explain.
        plain, corrected: float64 (N,), scores of the scans as they are, and after the correction.
        novelty, corrected_novelty: float64 (N,).
    """

    undeclared: npt.NDArray[np.bool_]
    plain: Floats
    corrected: Floats
    novelty: Floats
    corrected_novelty: Floats

    def gain(self) -> tuple[float, float, float]:
        """What the correction adds to the area under the ROC curve, with a 95 % interval (paired bootstrap)."""
        honest, threats = np.flatnonzero(~self.undeclared), np.flatnonzero(self.undeclared)
        if not len(honest) or not len(threats):
            return 0.0, 0.0, 0.0
        rng = np.random.default_rng(0)
        gains = []
        for _ in range(_DRAWS):
            h, t = rng.choice(honest, len(honest)), rng.choice(threats, len(threats))
            gains.append(auc(self.corrected[h], self.corrected[t]) - auc(self.plain[h], self.plain[t]))
        low, high = np.quantile(gains, (0.025, 0.975))
        value = auc(self.corrected[honest], self.corrected[threats]) - auc(self.plain[honest], self.plain[threats])
        return value, float(low), float(high)

    def figures(self, thresholds: Mapping[str, float], *, corrected: bool) -> dict[str, Any]:
        """Area under the curve, novel share, and by rate the share of false alarms and of threats found."""
        scores = self.corrected if corrected else self.plain
        honest, threats = scores[~self.undeclared], scores[self.undeclared]
        novelty = self.corrected_novelty if corrected else self.novelty
        return {
            "auc": auc(honest, threats),
            "novel": float(np.mean(novelty > 1)),
            "at": {
                rate: {
                    "threshold": value,
                    "false_alarms": float(np.mean(honest >= value)),
                    "found": float(np.mean(threats >= value)) if len(threats) else 0.0,
                }
                for rate, value in thresholds.items()
            },
        }


def study(
    engine: Engine,
    machine: Machine,
    correction: Correction | None,
    scenes: int,
    *,
    pixel_known: bool,
    seed: int = SEED,
    split: Split = "validation",
    told: Callable[[int], None] = lambda scenes: None,
) -> Study:
    """Simulate scans of a machine, honest and with threats, and score them.

    Args:
        engine: with the model.
        machine: the scanner.
        correction: what is tried; `None` tries nothing.
        scenes: how many.
        pixel_known, seed, split: see `thresholds.simulated`.
        told: called with the number of scenes done.
    """
    rows: list[tuple[bool, float, float, float, float]] = []
    done = 0
    for sample in simulated(machine, scenes, pixel_known=pixel_known, threats=True, seed=seed, split=split):
        plain = engine.score(sample.scan)
        other = plain if correction is None else engine.score(correction.onto(sample.scan))
        rows.append((sample.truth.undeclared, plain.score, other.score, plain.novelty, other.novelty))
        if not sample.truth.is_threat:
            done += 1
            told(done)
    columns = [np.array(c, float) for c in zip(*rows, strict=True)]
    return Study(columns[0] > 0, columns[1], columns[2], columns[3], columns[4])


def auc(honest: Sequence[float] | Floats, threats: Sequence[float] | Floats) -> float:
    """Area under the ROC curve: how often a threat scores above an honest scan; ties count half."""
    h, t = np.sort(logits(honest)), logits(threats)
    if not len(h) or not len(t):
        return float("nan")
    return float((np.searchsorted(h, t, "left") + np.searchsorted(h, t, "right")).mean() / (2 * len(h)))
