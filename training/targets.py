"""From a simulated scan to what the network is asked to say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from leadline.datasets.appearance import appearance
from leadline.datasets.beam import beam
from leadline.datasets.declarations import expected_families, explains
from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Declaration, Kind
from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.simulate import Sample
from leadline.datasets.simulator.truth import channel_signal
from leadline.models.config import REFERENCES, NetworkConfig
from leadline.models.features import halve, pool_pixels

Array = npt.NDArray[np.float32]

UNSURE = 255
"""Cell label that no loss counts."""


@dataclass(frozen=True)
class CellRule:
    """When a cell counts as holding a family.

    Attributes:
        areal: least areal density of the family, g/cm2.
        share: least share of all goods in the cell.
    """

    areal: float
    share: float = 0.05

    @classmethod
    def of(cls, kind: Kind) -> CellRule:
        """The rule of a scanner kind; below it, noise hides the family in a cell."""
        return cls(3.0) if kind == "container" else cls(0.15)


@dataclass(frozen=True)
class Example:
    """A scan as the loader keeps it.

    Attributes:
        transmission: (2, h, w) float32, pooled as the network's first step does.
        areal: (F, h, w) float16, g/cm2 per family, on the same grid.
        declaration: as declared.
        watched: watch-list families that are there.
        threat: whether it is the threat version of a scene.
        scenario: row of the evaluation.
        curves: (R, K) float32, true contrast curves of its scanner, see `scanner_curves`.
        beam: (BEAM,) float32, its nominal energy.
    """

    transmission: Array
    areal: npt.NDArray[np.float16]
    declaration: Declaration | None
    watched: tuple[str, ...]
    threat: bool
    scenario: str
    curves: Array
    beam: Array


def example(sample: Sample, config: NetworkConfig) -> Example:
    """Reduce a simulated scan to the network's pooled grid."""
    pooled = pool_pixels(torch.from_numpy(sample.scan.transmission)[None], config)[0].numpy()
    areal = halve(torch.from_numpy(sample.truth.families)[None], config.pool)[0]
    watched = tuple(dict.fromkeys(family for family, _, _ in sample.truth.boxes))
    return Example(
        pooled,
        areal.half().numpy(),
        sample.scan.declaration,
        watched,
        sample.truth.is_threat,
        sample.truth.scenario,
        scanner_curves(sample.machine, config),
        beam(sample.scan.scanner),
    )


@lru_cache(maxsize=8)
def scanner_curves(machine: Machine, config: NetworkConfig) -> Array:
    """Energy contrast of the reference materials at each knot of high-energy attenuation, without noise.

    Returns:
        float32 (R, K), in the order of `REFERENCES` and `NetworkConfig.knots`.
    """
    knots = np.asarray(config.knots)
    curves = []
    for material in REFERENCES:
        # From thinner than the first knot to thicker than the last, whatever the material.
        areal = np.geomspace(1e-3, 4e3, 400, dtype=np.float32)[None]
        mean, _ = channel_signal(areal, [material], machine)
        high, low = -np.log(np.maximum(mean, 1e-9))
        curves.append((np.interp(knots, high, low) - knots) / (knots + config.thin))
    return np.asarray(curves, np.float32)


def typical_curves(config: NetworkConfig, machines: int = 32) -> Array:
    """Mean `scanner_curves` over machines drawn from the training's."""
    rng = np.random.default_rng(0)
    return np.mean([scanner_curves(Machine.draw(config.kind, rng), config) for _ in range(machines)], 0)


def cell_targets(areal: torch.Tensor, watched: list[int], rule: CellRule) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels and areal densities per cell.

    Args:
        areal: (F, h, w) on the pooled grid, g/cm2.
        watched: channels of the watch list.
        rule: when a cell counts.

    Returns:
        uint8 (F, h', w'): 1 there, 0 not there, `UNSURE` in between; float32 (2, h', w'): all goods and
        watch-list material, g/cm2.
    """
    cells = halve(areal[None])[0]
    total = cells.sum(0, keepdim=True)
    share = cells / total.clamp(min=1e-6)
    there = (cells >= rule.areal) & (share >= rule.share)
    maybe = (cells >= rule.areal / 3) & (share >= rule.share / 2)
    label = torch.where(there, 1, torch.where(maybe, UNSURE, 0)).to(torch.uint8)
    return label, torch.cat((total, cells[watched].sum(0, keepdim=True)))


def said_vector(declaration: Declaration | None, confessed: tuple[str, ...] = (), coarse: bool = False) -> Array:
    """What `Network.raw` is told of a declaration, (F + 1 + APPEARANCE,): `expected_families` and their look.

    Args:
        declaration: the goods, or `None`.
        confessed: families that are declared beside them.
        coarse: leave the appearance at what the families tell.
    """
    vector = expected_families(declaration)
    if confessed:
        vector[[catalogue().names.index(name) for name in confessed]] = 1
        vector[-1] = 1
    return np.concatenate([vector, appearance(declaration, also=confessed, coarse=coarse)])


def undeclared(declaration: Declaration | None, watched: tuple[str, ...]) -> bool:
    """Whether one of these watch-list families is not explained by the declaration."""
    return any(not explains(declaration, family) for family in watched)


def redeclare(
    given: Example, rng: np.random.Generator, drop: float, confess: float, coarse: float = 0.0
) -> tuple[Array, bool]:
    """The declaration as fed, and the label that follows from it.

    Args:
        given: the scan.
        rng: source of the draws.
        drop: share of scans whose declaration is withheld.
        confess: share of scans whose declaration is made to name the watch-list families that are there.
        coarse: share of scans whose goods look as their families may.

    Returns:
        `said_vector`, and whether undeclared watch-list material is present.
    """
    draw = rng.random()
    if draw < drop:
        return said_vector(None), bool(given.watched)
    wide = rng.random() < coarse
    if draw < drop + confess and given.watched:
        return said_vector(given.declaration, given.watched, wide), False
    return said_vector(given.declaration, coarse=wide), undeclared(given.declaration, given.watched)
