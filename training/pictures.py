"""Pictures of single scans for reports: attenuation in grey, true boxes, and where the model looks."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.scan import Kind, LeadlineError
from leadline.datasets.simulator.simulate import simulate
from leadline.models import contract as contracts
from leadline.training.evaluate import Wanted
from leadline.training.places import Box
from leadline.training.runners import onnx_runner
from leadline.training.targets import declared_vector

WIDTH = 460
"""Of a picture, pixels; higher scans than wide are as high as that."""

DARKEST = 1e-3
"""Transmission that is drawn black; the scale is logarithmic."""

_TRUE, _SEEN = (60, 160, 30), (20, 110, 230)  # blue, green, red


@dataclass(frozen=True)
class Shown:
    """A scan to draw.

    Attributes:
        transmission: (2, rows, columns).
        boxes: where watch-list material truly is.
        declared: the network's input.
    """

    transmission: npt.NDArray[np.float32]
    boxes: tuple[Box, ...]
    declared: npt.NDArray[np.float32]


def worst_pictures(
    model: Path, wanted: Wanted, worst: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, list[str]]:
    """A `data:` URL for each scan that `breakdown.worst` names, in its order; empty where a file is gone."""
    contract = contracts.read(model)
    run, network = onnx_runner(model)
    watched = [network.families.index(name) for name in network.watched]
    found: dict[str, list[str]] = {}
    for name, scans in worst.items():
        found[name] = []
        for brief in scans:
            try:
                shown = scan_of(brief, wanted, contract.scanner)
            except LeadlineError:
                found[name].append("")
                continue
            outputs, _, _ = run(shown.transmission, shown.declared)
            evidence = outputs.evidence[0][watched].max(0)
            found[name].append(draw(shown, evidence, contract.evidence_threshold))
    return found


def scan_of(brief: Mapping[str, Any], wanted: Wanted, kind: Kind) -> Shown:
    """The scan that a row was measured on: simulated again, or read again.

    Raises:
        LeadlineError: the file is gone or damaged.
    """
    if wanted.specimens:
        specimen = wanted.specimens[brief["index"]]
        scan = specimen.read(kind)
        return Shown(scan.transmission, specimen.boxes, declared_vector(scan.declaration))
    sample = simulate(kind, wanted.seed, brief["index"], threat=brief["threat"], split=wanted.split)
    boxes = tuple(box for _, box, _ in sample.truth.boxes)
    return Shown(sample.scan.transmission, boxes, declared_vector(sample.scan.declaration))


def draw(shown: Shown, evidence: npt.NDArray[np.float32], threshold: float) -> str:
    """The scan twice, side by side: with the true boxes, and with the model's evidence.

    Args:
        shown: the scan.
        evidence: (h, w), greatest evidence of watch-list material in each cell, 0..1.
        threshold: evidence from which a cell counts.

    Returns:
        A `data:` URL of a JPEG.
    """
    rows, columns = shown.transmission.shape[1:]
    scale = WIDTH / max(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    high = cv2.resize(shown.transmission[0], size, interpolation=cv2.INTER_AREA)
    grey = np.clip(1 - np.log(np.clip(high, DARKEST, 1)) / np.log(DARKEST), 0, 1)
    left = cv2.cvtColor((255 * grey).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    right = left.copy()
    for x0, y0, x1, y1 in shown.boxes:
        corners = [round(v * scale) for v in (x0, y0, x1, y1)]
        cv2.rectangle(left, corners[:2], corners[2:], _TRUE, 1, cv2.LINE_AA)
    heat = cv2.resize(evidence, size, interpolation=cv2.INTER_LINEAR)
    weight = 0.6 * np.clip(heat / max(2 * threshold, 1e-6), 0, 1)[..., None]
    right = (right * (1 - weight) + np.array(_SEEN) * weight).astype(np.uint8)
    outline, _ = cv2.findContours((heat >= threshold).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(right, outline, -1, _SEEN, 1, cv2.LINE_AA)
    wide = size[0] > 1.5 * size[1]  # one above the other
    gap = np.full((6, size[0], 3) if wide else (size[1], 6, 3), 255, np.uint8)
    joined = np.concatenate([left, gap, right], axis=0 if wide else 1)
    _, data = cv2.imencode(".jpg", joined, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
