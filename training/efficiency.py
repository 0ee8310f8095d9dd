"""How much of what physics offers a model uses: its d' over the ideal observer's, on the same scenes.

The scene is the ideal observer's own: a slab of the cover with open beam around it, with a block of the material
behind its middle or without. Model and ideal observer see the same scanner and the same noise; each noise draw is
used for both versions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from leadline.datasets.scan import Declaration, Kind, LeadlineError, Scan
from leadline.datasets.simulator.scanner import Machine
from leadline.models import contract as contracts
from leadline.training.ideal import Floats, Threat, detectabilities
from leadline.training.runners import onnx_runner

CANVAS: dict[Kind, tuple[int, int]] = {"parcel": (288, 384), "container": (416, 640)}
"""Rows and columns of a scene, pixels."""

_SLAB = 0.7  # share of either side of the canvas that the cover fills


@dataclass(frozen=True)
class Level:
    """A model on scenes of one cover and one mass.

    Attributes:
        cover_cm: thickness of the cover.
        mass_kg: of the block.
        d_known, d_material: of the ideal observer, see `ideal.detectabilities`.
        d_model: (mean logit with the block - mean without) / root of the mean variance, over noise.
        low, high: its 95 % interval (L. V. Hedges, J. Educ. Stat. 6 (1981) 107).
        alarms: share of the scans with the block that reach the stored threshold.
        alarms_without: the same of those without it.
        scans: of either kind.
    """

    cover_cm: float
    mass_kg: float
    d_known: float
    d_material: float
    d_model: float
    low: float
    high: float
    alarms: float
    alarms_without: float
    scans: int

    @property
    def efficiency(self) -> tuple[float, float, float]:
        """(d' of the model / d' of the ideal observer)², with its interval; a negative d' is none."""
        return tuple(max(d, 0.0) ** 2 / self.d_known**2 for d in (self.d_model, self.low, self.high))  # type: ignore[return-value]


def scene(cover_areal: float, threat_areal: float, side_px: float, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Areal densities of cover and block, g/cm2, (2, rows, columns); pixels at the block's edge hold their share."""
    rows, columns = shape
    areal = np.zeros((2, rows, columns), np.float32)
    y, x = round(rows * (1 - _SLAB) / 2), round(columns * (1 - _SLAB) / 2)
    areal[0, y : rows - y, x : columns - x] = cover_areal
    parts = [
        np.clip(np.minimum(at + 1, n / 2 + side_px / 2) - np.maximum(at, n / 2 - side_px / 2), 0, 1)
        for n, at in ((rows, np.arange(rows)), (columns, np.arange(columns)))
    ]
    areal[1] = threat_areal * parts[0][:, None] * parts[1]
    return areal


def levels(
    model: Path,
    threat: Threat,
    cover: str,
    cover_density: float,
    steps: list[tuple[float, float]],
    machine: Machine,
    *,
    scans: int = 24,
    declaration: Declaration | None = None,
    seed: int = 0,
) -> Iterator[Level]:
    """Measure a model at covers (cm) and masses (kg).

    Args:
        model: ONNX file.
        threat: the block.
        cover: material that covers it.
        cover_density: g/cm3.
        steps: pairs of cover in cm and mass in kg.
        machine: the scanner.
        scans: noise draws of each version.
        declaration: what is declared.
        seed: of the noise.

    Raises:
        LeadlineError: the model is for another kind of scanner.
    """
    contract = contracts.read(model)
    if contract.scanner != machine.kind:
        raise LeadlineError(
            f"{model}: reads {contract.scanner} scans, and the scanner is one for {machine.kind}s; "
            "give another --scanner or --model"
        )
    run, _ = onnx_runner(model)
    names = (cover, threat.material)
    for cover_cm, mass in steps:
        side, depth = (float(v[0]) for v in threat.shape(np.array([mass])))
        areal = scene(cover_cm * cover_density, depth, 10 * side / machine.pixel_mm, CANVAS[machine.kind])
        logits: Floats = np.zeros((2, scans))
        scores: Floats = np.zeros((2, scans))
        for version, goods in enumerate((areal * np.array([1, 0], np.float32)[:, None, None], areal)):
            mean, variance = machine.mean(goods, names)
            for k in range(scans):
                exposure = machine.measure(mean, variance, np.random.default_rng([seed, k]))
                outputs, logits[version, k], _ = run(Scan(exposure, machine.scanner(), declaration))
                scores[version, k] = float(outputs.score[0])
        d, low, high = observed(logits[1], logits[0])
        covers = np.array([cover_cm * cover_density])
        known, material = detectabilities(threat, np.array([mass]), cover, covers, machine)
        reached = (scores >= contract.threshold).mean(1)
        yield Level(
            cover_cm, mass, float(known[0, 0]), float(material[0, 0]), d, low, high, float(reached[1]),
            float(reached[0]), scans,
        )  # fmt: skip


def observed(present: Floats, absent: Floats) -> tuple[float, float, float]:
    """d' of scores, (n,) with and without, corrected for their small number, with its 95 % interval."""
    n = len(present)
    spread = float(np.sqrt((present.var(ddof=1) + absent.var(ddof=1)) / 2))
    d = float(present.mean() - absent.mean()) / max(spread, 1e-9)
    d *= 1 - 3 / (8 * n - 9)
    reach = 1.96 * float(np.sqrt(2 / n + d**2 / (4 * n)))
    return d, d - reach, d + reach


def fits(threat: Threat, mass_kg: float, machine: Machine) -> bool:
    """Whether a block lies well inside the slab."""
    side = float(threat.shape(np.array([mass_kg]))[0][0])
    return 10 * side / machine.pixel_mm < 0.8 * _SLAB * min(CANVAS[machine.kind])
