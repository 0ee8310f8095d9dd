"""From maps to places: boxes with a family, a probability and a mass; and places nothing penetrates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.scan import Scan
from leadline.inference.engine import Scores
from leadline.inference.quality import Quality

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels of the scan as read; x1 and y1 lie just outside."""

MOST_REGIONS = 8
"""More places than this help nobody: the most probable are kept."""


@dataclass(frozen=True)
class Region:
    """A place where watch-list material seems to lie.

    Attributes:
        box: x0, y0, x1, y1, pixels of the scan as read.
        family: name of the watch-list family.
        probability: greatest evidence for it in the region, averaged over 2 x 2 cells.
        mass_kg: least and greatest mass (80 % interval), `None` where the pixel size is unknown.
        area_cm2: area in the plane of the cargo, `None` where the pixel size is unknown.
    """

    box: Box
    family: str
    probability: float
    mass_kg: tuple[float, float] | None
    area_cm2: float | None


@dataclass(frozen=True)
class Opaque:
    """A place that nothing penetrates.

    Attributes:
        box: x0, y0, x1, y1, pixels of the scan as read.
        pixels: its area in pixels of the scan.
        area_cm2: its area in the plane of the cargo, `None` where the pixel size is unknown.
    """

    box: Box
    pixels: int
    area_cm2: float | None


def find_regions(scores: Scores, scan: Scan, families: Sequence[str], always: bool = False) -> list[Region]:
    """Places of watch-list material, most probable first.

    A region is a connected set of cells (gaps of one or two cells are closed) in which the evidence for one of
    the families reaches the model's `evidence_threshold`. It carries the family with the most evidence
    in it: one place, one family, even where neighbouring families compete cell by cell.

    Args:
        scores: the model's maps.
        scan: the scan they belong to, for its size and pixel size.
        families: watched families to look for.
        always: whether to report the place of the strongest evidence even where none reaches the
            threshold, for an alarm must name a place.
    """
    if not families:
        return []
    names = scores.model.contract.families
    evidence = scores.evidence[[names.index(f) for f in families]]
    strongest = evidence.max(axis=0)
    threshold = max(scores.model.contract.evidence_threshold, 1e-9)
    peak = float(strongest.max())
    if peak < threshold:
        if not always or not peak > 0:
            return []
        threshold = peak / 2
    mask = (strongest >= threshold).astype(np.uint8)
    joined = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    found = []
    for label, (x, y, width, height, _) in enumerate(stats[1:count].tolist(), 1):
        window = (slice(max(0, y - 1), y + height + 1), slice(max(0, x - 1), x + width + 1))
        region = _region(
            scores, scan, families, evidence, (x, y, x + width, y + height), window, labels[window] == label
        )
        if region:
            found.append(region)
    found.sort(key=lambda r: -r.probability)
    sure = [r for r in found if r.probability >= threshold]  # a single cell among empty ones is no place
    if not sure and always:
        return found[:1]
    return sure[:MOST_REGIONS] if peak >= scores.model.contract.evidence_threshold else sure[:1]


def find_opaque(quality: Quality, scan: Scan, least_cm2: float, least_pixels: int) -> list[Opaque]:
    """Places that nothing penetrates and that are large enough to hide something, largest first.

    Thin things (frames, bolts, shelf edges) are opened away: what stays is at least three cells wide. Where
    places of a quarter of the smallest area add up to three times that area (a row of drums with opaque
    cores), they are all reported.

    Args:
        quality: of the scan.
        scan: for its size and pixel size.
        least_cm2: smallest area that is reported, where the pixel size is known.
        least_pixels: smallest area in pixels where it is not.
    """
    if not quality.opaque.any():
        return []
    mask = cv2.morphologyEx(quality.opaque.view(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    if not mask.any():
        return []
    rows, columns = scan.shape
    cell = rows // mask.shape[0], columns // mask.shape[1]
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    one = _area(1, scan)
    least = least_pixels if one is None else least_cm2 / one
    found = []
    for x, y, width, height, cells in stats[1:count].tolist():
        pixels = cells * cell[0] * cell[1]
        if pixels >= least / 4:
            box = (x * cell[1], y * cell[0], (x + width) * cell[1], (y + height) * cell[0])
            found.append(Opaque(box, pixels, _area(pixels, scan)))
    if sum(o.pixels for o in found) < 3 * least:
        found = [o for o in found if o.pixels >= least]
    return sorted(found, key=lambda o: -o.pixels)


def _region(
    scores: Scores,
    scan: Scan,
    families: Sequence[str],
    evidence: npt.NDArray[np.float32],
    cells: Box,
    window: tuple[slice, slice],
    inside: npt.NDArray[np.bool_],
) -> Region | None:
    """One connected set of cells as a region; `None` if it lies in padding beyond the image."""
    rows, columns = scan.shape
    x0, y0, x1, y1 = cells
    box = (
        int(x0 * scores.stride),
        int(y0 * scores.stride),
        min(columns, int(np.ceil(x1 * scores.stride))),
        min(rows, int(np.ceil(y1 * scores.stride))),
    )
    if box[0] >= box[2] or box[1] >= box[3]:
        return None
    part = evidence[(slice(None), *window)]
    best = int(np.argmax(part[:, inside].sum(axis=1)))
    smooth = cv2.blur(np.ascontiguousarray(part[best]), (2, 2), borderType=cv2.BORDER_REPLICATE)
    probability = min(float(smooth[inside].max()), float(part[best][inside].max()))
    mass = region_mass(scores, scan, window, inside)
    return Region(
        box, families[best], probability, mass, _area(float(np.count_nonzero(inside)) * scores.stride**2, scan)
    )


def region_mass(
    scores: Scores, scan: Scan, window: tuple[slice, slice], inside: npt.NDArray[np.bool_]
) -> tuple[float, float] | None:
    """80 % interval of the mass of watch-list material in a region, kg.

    The areal density (g/cm2) of watch-list material, summed over the region and a margin of one cell
    (the evidence ends before the goods do), times the area of a cell, times the contract's factors.

    Args:
        scores: the model's maps.
        scan: for the pixel size.
        window: rows and columns of the cells around the region, margin included.
        inside: bool, shape of the window, cells of the region.
    """
    if not scan.scanner.pixel_mm:
        return None
    grown = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    cell_cm2 = (scores.stride * scan.scanner.pixel_mm / 10) ** 2
    kilograms = float(np.maximum(scores.areal_density[1][window], 0)[grown].sum()) * cell_cm2 / 1000
    low, high = scores.model.contract.mass_factor
    loose = _looseness(scores, scan, window)
    return kilograms * low / loose, kilograms * high * loose


def _looseness(scores: Scores, scan: Scan, window: tuple[slice, slice]) -> float:
    """Factor by which colours leave a mass open beyond the model's own factors: 80 % of a log-normal spread."""
    if scan.uncertainty is None:
        return 1.0
    y, x = (slice(max(0, s.start) * scores.stride, s.stop * scores.stride) for s in window)
    depth = -np.log(np.maximum(scan.transmission[0][y, x], 1e-4))
    goods = depth > 0.1
    if not goods.any():
        return 1.0
    share = float(np.median(scan.uncertainty.attenuation[y, x][goods] / depth[goods]))
    return float(np.exp(1.28 * min(share, 1.0)))


def _area(pixels: float, scan: Scan) -> float | None:
    """Area of pixels in cm2, `None` where the pixel size is unknown."""
    return pixels * (scan.scanner.pixel_mm / 10) ** 2 if scan.scanner.pixel_mm else None
