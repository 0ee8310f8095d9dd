"""Step wedges: the scans from which a scanner is calibrated, simulated.

A wedge is a plate of one material whose thickness rises in steps of equal width; it stands in the open beam.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Kind, Scan
from leadline.datasets.simulator.scanner import Machine

Box = tuple[int, int, int, int]

USUAL: dict[Kind, dict[str, tuple[float, ...]]] = {
    "container": {
        "polyethylene": (50, 100, 200, 350, 500, 750, 1000),
        "aluminium": (25, 50, 100, 150, 225, 300, 400),
        "steel": (10, 20, 40, 70, 110, 160, 220),
    },
    "parcel": {
        "polyethylene": (5, 10, 20, 40, 70, 110, 160),
        "aluminium": (1, 2, 4, 8, 14, 22, 32),
        "steel": (0.25, 0.5, 1, 2, 3.5, 6, 10),
    },
}
"""Thicknesses, mm, of wedges that show the whole range of a scanner of the kind."""


@dataclass(frozen=True)
class WedgeScan:
    """A simulated wedge scan and where its wedge lies.

    Attributes:
        scan: the scan.
        box: (x0, y0, x1, y1) of the wedge, pixels, rounded outwards.
        step_mm: width of a step in the plane of the cargo.
    """

    scan: Scan
    box: Box
    step_mm: float


def density_of(material: str) -> float:
    """Density of a catalogue material, g/cm3: the middle of its range."""
    low, high = catalogue().materials[material].density
    return (low + high) / 2


def wedge_scan(
    machine: Machine,
    material: str,
    thickness_mm: Sequence[float],
    rng: np.random.Generator,
    *,
    step_pixels: float = 33.3,
    height: int = 60,
    margin: int = 50,
) -> WedgeScan:
    """Scan a wedge, thinnest step to the left.

    Args:
        machine: the scanner.
        material: of the catalogue.
        thickness_mm: of each step.
        rng: source of the scan's noise.
        step_pixels: width of a step; edges need not fall on the borders of pixels.
        height: of the wedge, pixels.
        margin: of air around it, pixels.
    """
    edges = margin + step_pixels * np.arange(len(thickness_mm) + 1)
    columns = int(np.ceil(edges[-1])) + margin
    covered = np.diff(np.clip(np.arange(columns + 1)[None] - edges[:-1, None], 0, step_pixels), axis=1)
    areal = np.zeros((1, height + 2 * margin, columns), np.float32)
    profile = np.asarray(thickness_mm, float) @ covered / 10 * density_of(material)
    areal[0, margin : margin + height] = profile
    scan = Scan(machine.expose(areal, (material,), rng), machine.scanner(), path=f"wedge of {material}")
    box = (margin, margin, int(np.ceil(edges[-1])), margin + height)
    return WedgeScan(scan, box, step_pixels * machine.pixel_mm)
