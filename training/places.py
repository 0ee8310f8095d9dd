"""From the maps of a network to a place, a family and a mass, as the evaluation counts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Place:
    """The most probable place of watch-list material.

    Attributes:
        centre: column and row of the centre of its box, pixels.
        family: channel of the family with the most evidence there.
        peak: greatest evidence, 0..1.
        mass_kg: of all places together, `None` where the pixel size is unknown.
    """

    centre: tuple[float, float]
    family: int
    peak: float
    mass_kg: float | None


def strongest_place(
    evidence: npt.NDArray[np.float32],
    areal: npt.NDArray[np.float32],
    watched: Sequence[int],
    threshold: float,
    stride: int,
    pixel_mm: float | None,
) -> Place | None:
    """The connected set of cells at or above the threshold that holds the strongest evidence.

    Args:
        evidence: (F, h, w), 0..1.
        areal: (2, h, w), g/cm2, all goods and watch-list material.
        watched: channels that count.
        threshold: least evidence of a cell.
        stride: side of a cell, pixels.
        pixel_mm: side of a pixel, mm.

    Returns:
        `None` where no cell reaches the threshold.
    """
    strongest = evidence[list(watched)].max(0)
    peak = float(strongest.max())
    if peak < threshold:
        return None
    mask = cv2.morphologyEx((strongest >= threshold).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    soft = cv2.blur(np.ascontiguousarray(strongest), (2, 2), borderType=cv2.BORDER_REPLICATE)
    label = int(labels[np.unravel_index(int(np.argmax(np.where(mask > 0, soft, -1))), labels.shape)])
    x, y, width, height = (int(v) for v in stats[label, :4])
    inside = labels == label
    family = int(list(watched)[int(np.argmax(evidence[list(watched)][:, inside].sum(1)))])
    centre = ((x + width / 2) * stride, (y + height / 2) * stride)
    return Place(centre, family, peak, _mass(areal[1], mask, stride, pixel_mm))


def _mass(areal: npt.NDArray[np.float32], mask: npt.NDArray[Any], stride: int, pixel_mm: float | None) -> float | None:
    """Mass in the marked cells and those next to them, kg."""
    if not pixel_mm:
        return None
    grown = cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0
    return float(np.maximum(areal, 0)[grown].sum()) * (stride * pixel_mm / 10) ** 2 / 1000


def inside_any(centre: tuple[float, float], boxes: Sequence[Box]) -> bool:
    """Whether a point (column, row) lies in one of the boxes (x0, y0, x1, y1)."""
    x, y = centre
    return any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in boxes)
