"""Where a scanner lies among the machines that training drew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from leadline.datasets.physics.forward import transmission
from leadline.datasets.scan import Kind
from leadline.datasets.simulator import machines
from leadline.datasets.simulator.machines import Bands
from leadline.datasets.simulator.scanner import Machine

Floats = npt.NDArray[np.float64]

MATERIALS = ("polyethylene", "aluminium", "steel", "lead")
"""Whose curves stand for the energy response."""

DEPTHS = (1.0, 2.0, 4.0)
"""-ln T of the high channel at which the contrast is compared."""

MACHINES = 200
"""Machines of the training split that the curves are compared with."""


@dataclass(frozen=True)
class Shift:
    """How far a machine is from those of training.

    Attributes:
        properties: by name: value, training's bands as (least, greatest), and `"inside"`, `"between"` (in a gap that
            is kept for held-out scans), `"below"`, `"above"` or `"not determined"`.
        contrast: by material and depth: (a_low - a_high) / a_high of this machine, and training's 5th, 50th and 95th
            percentile.
        nearer: share of training's machines whose curves lie nearer to the middle of all than this one's.
        distance: Mahalanobis distance of the curves from the middle; of training's machines it is about
            sqrt(number of independent directions).
        ordinary: the distance below which 95 % of training's machines lie.
    """

    properties: Mapping[str, Mapping[str, Any]]
    contrast: Mapping[str, Mapping[str, float]]
    nearer: float
    distance: float
    ordinary: float


def shift_of(machine: Machine, errors: Mapping[str, float] | None = None) -> Shift:
    """Compare a machine with the bands and the curves of training.

    Args:
        machine: the machine.
        errors: standard errors of its properties by name; those that are not known to a quarter of training's range
            are told as `"not determined"`.
    """
    own, (curves, middle, whiten, distances) = contrasts(machine), _training(machine.kind)
    distance = float(np.linalg.norm((own - middle) @ whiten))
    contrast = {}
    for k, (material, depth) in enumerate((m, d) for m in MATERIALS for d in DEPTHS):
        low, median, high = np.quantile(curves[:, k], (0.05, 0.5, 0.95))
        contrast[f"{material}, -ln T {depth:g}"] = {
            "value": float(own[k]), "low": float(low), "median": float(median), "high": float(high),
        }  # fmt: skip
    return Shift(
        {name: _place(value, bands, (errors or {}).get(name, 0.0)) for name, value, bands in _properties(machine)},
        contrast,
        float(np.mean(distances < distance)),
        distance,
        float(np.quantile(distances, 0.95)),
    )


def contrasts(machine: Machine) -> Floats:
    """(a_low - a_high) / a_high of `MATERIALS` at `DEPTHS`, scatter aside, flattened."""
    areal = np.geomspace(0.01, 400, 400).astype(np.float32)
    values = []
    for material in MATERIALS:
        attenuation = machine.response.attenuation((material,))
        t = transmission(areal[None], attenuation, machine.response).astype(float)
        high, low = -np.log(np.maximum(t, 1e-12))
        values += [float(np.interp(d, high, low)) / d - 1 for d in DEPTHS]
    return np.array(values)


@cache
def _training(kind: Kind) -> tuple[Floats, Floats, Floats, Floats]:
    """Curves of training's machines, their mean, a whitening of them, and their own distances."""
    rng = np.random.default_rng(0)
    curves = np.stack([contrasts(Machine.draw(kind, rng, "train")) for _ in range(MACHINES)])
    middle = curves.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(curves.T))
    # directions in which machines differ by less than 1e-3 are none that a network could tell
    kept = values > 1e-6
    whiten = vectors[:, kept] / np.sqrt(values[kept])
    return curves, middle, whiten, np.linalg.norm((curves - middle) @ whiten, axis=1)


def _properties(machine: Machine) -> list[tuple[str, float, Bands]]:
    bands = machines.CONTAINER if machine.kind == "container" else machines.PARCEL
    filters = dict(machine.filters[1])
    values = {
        "high": machine.energies[0],
        "steel_mm": filters.get("Fe", 0.0),
        "lead_mm": filters.get("Pb", 0.0),
        "aluminium_mm": filters.get("Al", 0.0),
        "copper_mm": filters.get("Cu", 0.0),
        "crystal": machine.crystal_g_cm2,
        "quanta": machine.quanta[0],
        "quanta_share": machine.quanta[1] / machine.quanta[0],
        "blur": machine.blur_px[0],
        "scatter": machine.scatter[0],
        "pixel_mm": machine.pixel_mm,
    }
    if machine.detector != "dual_layer":
        values["low_share"] = machine.energies[1] / machine.energies[0]
    else:
        values |= {"front": machine.front_g_cm2, "between_mm": machine.between_mm}
    return [(name, values[name], bands[name]) for name in bands if name in values]


def _place(value: float, bands: Bands, error: float) -> dict[str, Any]:
    """A value, training's bands, and where it lies."""
    train = sorted(tuple(map(float, b)) for b in bands.train)
    if error > (train[-1][1] - train[0][0]) / 4:
        where = "not determined"
    elif value < train[0][0]:
        where = "below"
    elif value > train[-1][1]:
        where = "above"
    else:
        where = "inside" if any(low <= value <= high for low, high in train) else "between"
    return {"value": value, "training": [list(b) for b in train], "where": where}
