"""Thresholds for one scanner: its own scans, simulated or real, scored by the model on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.false_alarms import threshold_at
from leadline.datasets.scan import Scan
from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.scene import Scene
from leadline.datasets.simulator.simulate import Sample, Split, build_scene, expose
from leadline.inference.engine import Engine

Floats = npt.NDArray[np.float64]

SEED = 31007
"""Set of scenes, in the validation split, on which thresholds are derived; no fit uses it."""

LEAST = 50
"""Fewer scans give no threshold."""

_DRAWS = 400  # bootstrap


@dataclass(frozen=True)
class Threshold:
    """A threshold as score, with the 95 % interval that the number of scans leaves."""

    score: float
    low: float
    high: float


def thresholds_for(rates: Sequence[str], scores: Sequence[float]) -> dict[str, Threshold]:
    """The score that a share of honest scans reaches.

    See `datasets.false_alarms`; intervals by bootstrap over the scans.

    Args:
        rates: false-alarm rates as text.
        scores: of honest scans.
    """
    values = np.sort(logits(scores))
    rng = np.random.default_rng(0)
    drawn = np.sort(rng.choice(values, (_DRAWS, len(values))), axis=1)
    result: dict[str, Threshold] = {}
    least = 0.0
    for rate in sorted(rates, key=float, reverse=True):
        spread = np.quantile([threshold_at(float(rate), row) for row in drawn], (0.025, 0.975))
        low, score, high = (
            float(1 / (1 + np.exp(-v))) for v in (spread[0], threshold_at(float(rate), values), spread[1])
        )
        least = min(max(least, score), 1 - 1e-6)  # a rarer false alarm never has the lower threshold
        result[rate] = Threshold(least, low, high)
    return {rate: result[rate] for rate in rates}


def logits(scores: Sequence[float] | Floats) -> Floats:
    """Log-odds of probabilities."""
    p = np.clip(np.asarray(scores, float), 1e-7, 1 - 1e-7)
    return np.log(p / (1 - p))


def simulated(
    machine: Machine,
    scenes: int,
    *,
    pixel_known: bool,
    threats: bool = False,
    seed: int = SEED,
    split: Split = "validation",
) -> Iterator[Sample]:
    """Scans of one very scanner.

    Args:
        machine: the scanner.
        scenes: how many.
        pixel_known: give the scenes the machine's pixel size; otherwise each keeps the one it was built with.
        threats: also scan each scene with its threat, where it has one; otherwise honest ones alone.
        seed, split: of the scenes.
    """
    for index in range(scenes):
        scene = build_scene(machine.kind, seed, index, split)
        if pixel_known:
            scene = at_pixel(scene, machine.pixel_mm)
        own = replace(machine, pixel_mm=scene.pixel_mm)
        for threat in (True, False) if threats and scene.has_threat else (False,):
            rng = np.random.default_rng([seed, index, 0xCA1])
            yield expose(scene, own, rng, threat=threat, declaration=scene.declaration)


def score_all(engine: Engine, scans: Sequence[Scan]) -> list[float]:
    """Scores of scans, one after the other."""
    return [engine.score(scan).score for scan in scans]


def at_pixel(scene: Scene, pixel_mm: float) -> Scene:
    """A scene on another grid of pixels; areal densities are averaged over, or interpolated between, the old ones."""
    factor = scene.pixel_mm / pixel_mm
    if abs(factor - 1) < 0.02:
        return scene
    rows, columns = (max(round(n * factor), 1) for n in scene.areal.shape[1:])
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR

    def resized(layers: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.stack([cv2.resize(layer, (columns, rows), interpolation=how) for layer in layers])

    areal = resized(scene.areal)
    if not scene.has_threat:
        return replace(scene, pixel_mm=pixel_mm, areal=areal)
    change = np.maximum(resized(scene.with_threat() - scene.areal), -areal)
    return replace(scene, pixel_mm=pixel_mm, areal=areal, window=(0, rows, 0, columns), change=change)
