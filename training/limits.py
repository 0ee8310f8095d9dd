"""What physics allows: detectability and least mass over the thickness of a cover, look-alikes, efficiency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from leadline.datasets.scan import Declaration, Kind
from leadline.datasets.simulator.scanner import Machine
from leadline.training.efficiency import Level, fits, levels
from leadline.training.ideal import (
    MASSES,
    Floats,
    Threat,
    attenuation,
    cover_steps,
    density_of,
    detectabilities,
    least_mass,
    materials_of_other_families,
    nominal,
    required,
    scanner_of,
)
from leadline.training.likeness import Likeness, likeness

PAIRS: dict[Kind, tuple[str, ...]] = {
    "container": ("6/3.5 MV", "6/4 MV", "6/4.5 MV", "9/4 MV", "9/6 MV"),
    "parcel": ("140 kV", "160 kV", "180 kV", "160/80 kV", "180/100 kV"),
}
"""Energies that are compared beside the chosen ones."""

PATCH_CM2: dict[Kind, float] = {"container": 100.0, "parcel": 1.0}
"""Patch by which look-alikes are told apart, or not."""

STEPS = 25
_FACTORS = tuple(8.0**k for k in range(1, 8))  # masses at which a model is measured, over the ideal's least
_COVERS = 4  # thicknesses at which it is


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        material: that is looked for.
        cover: material that covers it.
        scanner: energies, or the path of a profile, see `ideal.scanner_of`.
        false_alarms: rate.
        found: share that is to be found.
        places: places among which it may lie, which share the false alarms; 1 = the place is known.
        mass_kg: of the block whose d' is told; `None` = 1 kg in a container, 10 g in a parcel.
        depth_cm: of the block along the beam; `None` = a cube.
        thickness_mm: of the cover; empty = from nothing to -ln T = 8.
        quanta, pixel_mm: of the scanner in place of its own.
    """

    material: str
    cover: str
    scanner: str = "6/4 MV"
    false_alarms: float = 0.01
    found: float = 0.9
    places: int = 1
    mass_kg: float | None = None
    depth_cm: float | None = None
    thickness_mm: tuple[float, ...] = ()
    quanta: tuple[float, float] | None = None
    pixel_mm: float | None = None

    @property
    def need(self) -> float:
        """The d' that is needed."""
        return required(self.false_alarms, self.found, self.places)


@dataclass(frozen=True)
class Step:
    """One thickness of the cover.

    Attributes:
        cover_mm: thickness.
        areal: of the cover, g/cm2.
        attenuation: -ln T of the high channel.
        d_known, d_material: of the block of the asked mass.
        least_known, least_material: kg from which the block is found; `None` = at no mass that was tried.
        gaps: greater masses, kg, at which the material cannot be told after all.
    """

    cover_mm: float
    areal: float
    attenuation: float
    d_known: float
    d_material: float
    least_known: float | None
    least_material: float | None
    gaps: list[tuple[float, float]]


@dataclass(frozen=True)
class Limits:
    """The answer.

    Attributes:
        question: what was asked.
        name: of the scanner.
        machine: the scanner.
        threat: the block.
        cover_density: g/cm3.
        mass_kg: whose d' is told.
        steps: by thickness of the cover.
        pairs: material and cover at several pairs of energies, by name.
        alike: materials of other families that look like this one to the chosen scanner, the most alike first.
        levels: of a model.
        model: its name.
    """

    question: Question
    name: str
    machine: Machine
    threat: Threat
    cover_density: float
    mass_kg: float
    steps: list[Step]
    pairs: dict[str, Likeness]
    alike: list[Likeness]
    levels: list[Level] = field(default_factory=list)
    model: str = ""


def limits(question: Question) -> Limits:
    """What physics allows.

    Raises:
        LeadlineError: an unknown material or scanner, or a profile that cannot be used.
    """
    name, machine = scanner_of(question.scanner, question.quanta, question.pixel_mm)
    threat = Threat(question.material, density_of(question.material, "material"), question.depth_cm)
    density = density_of(question.cover, "--cover")
    mass = question.mass_kg or (1.0 if machine.kind == "container" else 0.01)
    if question.thickness_mm:
        thickness = np.array(question.thickness_mm, float) / 10
    else:
        thickness = cover_steps(question.cover, density, machine, STEPS)
    areal: Floats = thickness * density
    grid = MASSES[machine.kind]
    known, material = detectabilities(threat, np.append(grid, mass), question.cover, areal, machine)
    steps = []
    for k, (cm, grams, depth) in enumerate(
        zip(thickness, areal, attenuation(question.cover, areal, machine), strict=True)
    ):
        least, _ = least_mass(grid, known[k, :-1], question.need)
        told, gaps = least_mass(grid, material[k, :-1], question.need)
        steps.append(
            Step(10 * float(cm), float(grams), float(depth), float(known[k, -1]), float(material[k, -1]), least, told,
                 gaps)
        )  # fmt: skip
    patch = PATCH_CM2[machine.kind]
    pairs = {}
    if question.cover != question.material:
        for pair in dict.fromkeys((name, *PAIRS[machine.kind])):
            other = machine if pair == name else nominal(pair, question.quanta, question.pixel_mm)[1]
            pairs[pair] = likeness(question.material, question.cover, other, patch, question.need)
    others = (
        likeness(question.material, other, machine, patch, question.need)
        for other in materials_of_other_families(question.material)
    )
    alike = sorted((found for found in others if found.alike), key=lambda found: -found.share)
    return Limits(question, name, machine, threat, density, mass, steps, pairs, alike)


def measure_model(
    found: Limits,
    model: Path,
    *,
    scans: int = 24,
    declaration: Declaration | None = None,
    told: Callable[[int, int], None] | None = None,
) -> list[Level]:
    """A model at some covers, as thick as the ideal observer still tells the material, and masses from its least up.

    Args:
        found: what physics allows.
        model: ONNX file.
        scans: noise draws with and without the block.
        declaration: what is declared.
        told: is told of the progress.
    """
    usable = [s for s in found.steps if s.least_material]
    chosen = [usable[k] for k in np.unique(np.linspace(0, len(usable) - 1, _COVERS).astype(int))] if usable else []
    steps = [
        (s.cover_mm / 10, factor * s.least_known)
        for s in chosen
        for factor in _FACTORS
        if s.least_known and fits(found.threat, factor * s.least_known, found.machine)
    ]
    made = levels(
        model, found.threat, found.question.cover, found.cover_density, steps, found.machine,
        scans=scans, declaration=declaration,
    )  # fmt: skip
    result = []
    if told is not None:
        told(0, len(steps))
    for level in made:
        result.append(level)
        if told is not None:
            told(len(result), len(steps))
    return result


def found_from(found: Limits) -> list[tuple[float, float | None]]:
    """For each cover (mm) at which a model was measured, the least mass (kg) at which its d' is the needed one."""
    result = []
    for cover in dict.fromkeys(level.cover_cm for level in found.levels):
        own = [level for level in found.levels if level.cover_cm == cover]
        mass = np.array([level.mass_kg for level in own])
        least, _ = least_mass(mass, np.array([level.d_model for level in own]), found.question.need)
        result.append((10 * cover, least))
    return result


def as_record(found: Limits) -> dict[str, Any]:
    """The answer ready for JSON."""
    return {
        "question": asdict(found.question) | {"need": found.question.need, "mass_kg": found.mass_kg},
        "scanner": {"name": found.name, "kind": found.machine.kind, "quanta": found.machine.quanta,
                    "pixel_mm": found.machine.pixel_mm, "energies": found.machine.energies},
        "densities": {found.question.material: found.threat.density, found.question.cover: found.cover_density},
        "steps": [asdict(s) for s in found.steps],
        "patch_cm2": PATCH_CM2[found.machine.kind],
        "energy_pairs": {
            pair: {"crossings": like.crossings, "alike": like.alike} for pair, like in found.pairs.items()
        },
        "look_alikes": {like.second: {"crossings": like.crossings, "alike": like.alike} for like in found.alike},
        "model": found.model,
        "model_found_from": found_from(found),
        "levels": [asdict(level) | {"efficiency": level.efficiency} for level in found.levels],
    }  # fmt: skip
