"""Pictures of single scans for reports: attenuation in grey, true boxes, and where the model looks."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.scan import Kind, LeadlineError, Scan
from leadline.datasets.simulator.simulate import simulate
from leadline.models import contract as contracts
from leadline.training.evaluate import Wanted
from leadline.training.places import Box
from leadline.training.runners import onnx_runner

WIDTH = 520
"""Greater side of a picture, pixels."""

DARKEST = 1e-3
"""Transmission that is drawn black; the scale is logarithmic."""

_TRUE, _SEEN, _PLACES = (60, 160, 30), (20, 110, 230), ((165, 95, 11), (27, 80, 196))  # blue, green, red

Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shown:
    """A scan to draw.

    Attributes:
        scan: as it is.
        boxes: where watch-list material truly is.
    """

    scan: Scan
    boxes: tuple[Box, ...]


class View(NamedTuple):
    """One picture of a scan: what it shows, in words, a `data:` URL of a JPEG, and whether it is wide and low."""

    words: str
    url: str
    wide: bool


@dataclass(frozen=True)
class Looker:
    """A model whose evidence is drawn.

    Attributes:
        words: under its pictures.
        evidence: from a scan to (h, w), greatest evidence of watch-list material in each cell, 0..1.
        threshold: evidence from which a cell counts.
    """

    words: str
    evidence: Callable[[Shown], Map]
    threshold: float


def looker(model: Path, words: str = "where the model looks") -> Looker:
    """The looks of a model file."""
    contract = contracts.read(model)
    run, network = onnx_runner(model)
    watched = [network.families.index(name) for name in network.watched]

    def evidence(shown: Shown) -> Map:
        outputs, _, _ = run(shown.scan)
        found: Map = outputs.evidence[0][watched].max(0)
        return found

    return Looker(words, evidence, contract.evidence_threshold)


def worst_pictures(
    model: Path, wanted: Wanted, worst: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, list[list[View]]]:
    """Pictures of each scan that `breakdown.worst` names, in its order; none where a file is gone."""
    kind = contracts.read(model).scanner
    lookers = [looker(model)]
    return {name: [views(brief, wanted, kind, lookers) for brief in scans] for name, scans in worst.items()}


def views(
    brief: Mapping[str, Any],
    wanted: Wanted,
    kind: Kind,
    lookers: Sequence[Looker],
    places: Sequence[tuple[float, float] | None] = (),
) -> list[View]:
    """A scan with its true boxes, and what each model looks at; empty where its file is gone.

    Args:
        brief: number of the scan (`index`) and version of the scene (`threat`).
        wanted: its set.
        kind: of scanner.
        lookers: the models.
        places: column and row of the most probable place by each of up to two models, marked in the first picture.
    """
    try:
        shown = scan_of(brief, wanted, kind)
    except LeadlineError:
        return []
    grey, scale = _grey(shown.scan.transmission)
    wide = grey.shape[1] > 1.75 * grey.shape[0]
    words = "the scan" if not shown.boxes else "green: as it lies"
    return [
        View(words, _url(_marked(grey, shown.boxes, places, scale)), wide),
        *(View(one.words, _url(_heated(grey, one.evidence(shown), one.threshold)), wide) for one in lookers),
    ]


def scan_of(brief: Mapping[str, Any], wanted: Wanted, kind: Kind) -> Shown:
    """The scan that a row was measured on: simulated again, or read again.

    Raises:
        LeadlineError: the file is gone or damaged.
    """
    if wanted.specimens:
        specimen = wanted.specimens[brief["index"]]
        scan = specimen.read(kind)
        return Shown(scan, specimen.boxes)
    sample = simulate(kind, wanted.seed, brief["index"], threat=brief["threat"], split=wanted.split)
    boxes = tuple(box for _, box, _ in sample.truth.boxes)
    return Shown(sample.scan, boxes)


def _grey(transmission: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], float]:
    """The high channel's attenuation as a small picture, dark is much, and its scale."""
    rows, columns = transmission.shape[1:]
    scale = WIDTH / max(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    high = cv2.resize(transmission[0], size, interpolation=cv2.INTER_AREA)
    grey = np.clip(1 - np.log(np.clip(high, DARKEST, 1)) / np.log(DARKEST), 0, 1)
    return cv2.cvtColor((255 * grey).astype(np.uint8), cv2.COLOR_GRAY2BGR), scale


def _marked(
    grey: npt.NDArray[np.uint8],
    boxes: Sequence[Box],
    places: Sequence[tuple[float, float] | None],
    scale: float,
) -> npt.NDArray[np.uint8]:
    """With the true boxes, and a cross at each model's most probable place."""
    picture = grey.copy()
    for x0, y0, x1, y1 in boxes:
        corners = [round(v * scale) for v in (x0, y0, x1, y1)]
        cv2.rectangle(picture, corners[:2], corners[2:], _TRUE, 2, cv2.LINE_AA)
    for place, colour, mark in zip(places, _PLACES, (cv2.MARKER_CROSS, cv2.MARKER_TILTED_CROSS), strict=False):
        if place is not None:
            at = (round(place[0] * scale), round(place[1] * scale))
            cv2.drawMarker(picture, at, (255, 255, 255), mark, 22, 5, cv2.LINE_AA)
            cv2.drawMarker(picture, at, colour, mark, 20, 2, cv2.LINE_AA)
    return picture


def _heated(grey: npt.NDArray[np.uint8], evidence: Map, threshold: float) -> npt.NDArray[np.uint8]:
    """With the evidence over it; cells that count are outlined."""
    heat = cv2.resize(evidence, grey.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    weight = 0.6 * np.clip(heat / max(2 * threshold, 1e-6), 0, 1)[..., None]
    picture = (grey * (1 - weight) + np.array(_SEEN) * weight).astype(np.uint8)
    outline, _ = cv2.findContours((heat >= threshold).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(picture, outline, -1, _SEEN, 1, cv2.LINE_AA)
    return picture


def _url(picture: npt.NDArray[np.uint8]) -> str:
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
