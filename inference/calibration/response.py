"""The energy response of a scanner from the transmissions of wedges: which machine would have measured them.

The unknowns are those of the simulator's machines (end points or tube voltage, filters, detector), so what is
fitted can be simulated. Several of them weaken the same photons and cannot be told apart by wedges alone: each is
held loosely near what training draws (a Gaussian prior), and `errors` say how much the wedges added. What counts
at screening, the transmission of any material, is known far better than its causes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from leadline.datasets.physics.forward import transmission
from leadline.datasets.physics.spectra import LINAC_MV, TUBE_KV
from leadline.datasets.scan import Kind
from leadline.datasets.simulator.machines import Filters
from leadline.datasets.simulator.scanner import Machine
from leadline.inference.calibration.least_squares import Solution, solve

Floats = npt.NDArray[np.float64]

SYSTEMATIC = 0.003
"""Relative error of a step's transmission beyond its noise: drift of the output, unevenness of the detector."""

FLOOR = 2e-5
"""The same, absolute, share of the open beam: error of the dark calibration."""

TYPICAL_PEDESTAL = 1.5e-4
"""Constant pedestal of scanners, share of the open beam; wedges in air cannot tell it from scatter."""


@dataclass(frozen=True)
class Parameter:
    """One unknown: its prior (mean, standard deviation), its bounds, and whether it is fitted in its logarithm."""

    name: str
    mean: float
    spread: float
    least: float
    most: float
    log: bool = False


CONTAINER = (
    Parameter("high", 6.5, 0.25, 3.6, 10.0, log=True),
    Parameter("low_share", 0.66, 0.08, 0.4, 0.95),
    Parameter("steel_mm", 8.0, 12.0, 0.0, 80.0),
    Parameter("lead_mm", 0.8, 3.0, 0.0, 25.0),
    Parameter("crystal", 20.0, 0.35, 4.0, 50.0, log=True),
)
DUAL_LAYER = (
    Parameter("high", 160.0, 0.15, 80.0, 225.0, log=True),
    Parameter("aluminium_mm", 2.5, 1.5, 0.0, 12.0),
    Parameter("copper_mm", 0.2, 0.25, 0.0, 3.0),
    Parameter("front", 0.15, 0.5, 0.03, 0.6, log=True),
    Parameter("between_mm", 0.6, 0.4, 0.0, 3.0),
    Parameter("crystal", 1.6, 0.35, 0.4, 4.0, log=True),
)
SWITCHING = (
    Parameter("high", 160.0, 0.15, 80.0, 225.0, log=True),
    Parameter("low_share", 0.58, 0.06, 0.4, 0.95),
    Parameter("aluminium_mm", 2.5, 1.5, 0.0, 12.0),
    Parameter("copper_mm", 0.2, 0.25, 0.0, 3.0),
    Parameter("harder_mm", 0.35, 0.25, 0.0, 2.0),
    Parameter("crystal", 1.6, 0.35, 0.4, 4.0, log=True),
)
COMMON = (
    Parameter("level_high", 1.0, 0.004, 0.97, 1.03),
    Parameter("level_low", 1.0, 0.004, 0.97, 1.03),
    Parameter("pedestal_high", 2e-3, 1.5, 1e-6, 0.1, log=True),
    Parameter("pedestal_low", 2e-3, 1.5, 1e-6, 0.1, log=True),
)


@dataclass(frozen=True)
class Reading:
    """What one step of a wedge, or many pixels of one known thickness, let through.

    Attributes:
        material: of the catalogue.
        areal: g/cm2.
        transmission: (high, low), share of the open beam.
        error: (high, low), standard error of `transmission` from noise alone.
    """

    material: str
    areal: float
    transmission: tuple[float, float]
    error: tuple[float, float]


@dataclass(frozen=True)
class Response:
    """A fitted energy response.

    Attributes:
        machine: the machine, with pedestal and scatter; noise and faults are still the defaults.
        values: fitted parameters by name; `level_*` are errors of the measured open beam, `pedestal_*` scatter and
            pedestal together.
        errors: their standard errors, priors included.
        misfit: root mean square of the residuals of the readings, in standard errors.
        worst: the greatest relative difference between a penetrated reading and the fit, and where it is.
    """

    machine: Machine
    values: dict[str, float]
    errors: dict[str, float]
    misfit: float
    worst: tuple[float, str]


def fit_response(kind: Kind, readings: Sequence[Reading], labels: tuple[str | None, str | None]) -> Response:
    """The machine that explains the readings best.

    Args:
        kind: of the scanner.
        readings: of at least two materials.
        labels: nominal energies of the channels where they are known, such as `("6 MV", "4 MV")`.
    """
    base = usual_machine(kind, labels)
    best: tuple[Solution, Machine, tuple[Parameter, ...]] | None = None
    for detector, scintillators in _designs(kind):
        candidate = replace(base, detector=detector, scintillators=scintillators)  # type: ignore[arg-type]
        parameters = parameters_of(candidate, base.labels)
        found = _fit(candidate, parameters, readings)
        if best is None or found.cost < best[0].cost:
            best = found, candidate, parameters
    if best is None:
        raise ValueError(f"no design of a scanner of kind {kind!r}")
    solution, candidate, parameters = best
    values = {p.name: _value(p, v) for p, v in zip(parameters, solution.values, strict=True)}
    errors = {
        p.name: float(e * (values[p.name] if p.log else 1.0)) for p, e in zip(parameters, solution.errors, strict=True)
    }
    machine = build(candidate, values)
    expected = _expected(candidate, values, readings)
    measured = np.array([r.transmission for r in readings]).T
    relative = np.abs(expected / np.maximum(measured, 1e-6) - 1) * (measured > 5e-3)
    channel, at = divmod(int(relative.argmax()), len(readings))
    worst = (
        float(relative[channel, at]),
        (f"{readings[at].material}, {readings[at].areal:.3g} g/cm2, {('high', 'low')[channel]} energy"),
    )
    count = 2 * len(readings)
    misfit = float(np.sqrt(np.mean(solution.residuals[:count] ** 2)))
    return Response(machine, values, errors, misfit, worst)


def predict(machine: Machine, readings: Sequence[Reading]) -> Floats:
    """Transmissions that a machine gives for the materials of readings, (2, R), without scatter and pedestal."""
    materials = sorted({r.material for r in readings})
    areal = np.zeros((len(materials), len(readings)), np.float32)
    for k, reading in enumerate(readings):
        areal[materials.index(reading.material), k] = reading.areal
    return transmission(areal, machine.response.attenuation(materials), machine.response).astype(float)


def build(base: Machine, values: dict[str, float]) -> Machine:
    """A machine from fitted parameters; what they do not name is `base`'s."""
    high = min(values["high"], LINAC_MV[1] if base.kind == "container" else TUBE_KV[1])
    pedestal = (values["pedestal_high"], values["pedestal_low"])
    common: dict[str, Any] = {
        "crystal_g_cm2": values["crystal"],
        "pedestal": tuple(min(p, TYPICAL_PEDESTAL) for p in pedestal),
        "scatter": tuple(max(p - TYPICAL_PEDESTAL, 0.0) for p in pedestal),
    }
    if base.kind == "container":
        filters: Filters = (("Fe", values["steel_mm"]), ("Pb", values["lead_mm"]))
        low = max(high * values["low_share"], LINAC_MV[0])
        return replace(base, energies=(high, low), filters=(filters, filters), **common)
    soft: Filters = (("Al", values["aluminium_mm"]), ("Cu", values["copper_mm"]))
    if base.detector == "dual_layer":
        return replace(
            base,
            energies=(high, high),
            filters=(soft, soft),
            front_g_cm2=values["front"],
            between_mm=values["between_mm"],
            **common,
        )
    hard: Filters = (("Al", values["aluminium_mm"]), ("Cu", values["copper_mm"] + values["harder_mm"]))
    low = max(high * values["low_share"], TUBE_KV[0])
    return replace(base, energies=(high, low), filters=(hard, soft), **common)


def nominal_energy(label: str | None) -> float | None:
    """The number of a label such as `"6 MV"`."""
    try:
        return float((label or "").replace(",", ".").split()[0])
    except (IndexError, ValueError):
        return None


def usual_machine(kind: Kind, labels: tuple[str | None, str | None] = (None, None)) -> Machine:
    """The machine of a kind that is taken where nothing is measured, at the energies of its labels."""
    energies = [nominal_energy(label) for label in labels]
    if kind == "container":
        named = (labels[0] or "6 MV", labels[1] or "4 MV")
        high = energies[0] if energies[0] and LINAC_MV[0] < energies[0] <= LINAC_MV[1] else 6.0
        low = energies[1] if energies[1] and LINAC_MV[0] <= energies[1] < high else max(high * 2 / 3, LINAC_MV[0])
        filters = (("Fe", 7.5), ("Pb", 0.5))
        return Machine(
            kind, "crystal", (high, low), named, (filters, filters),
            crystal_g_cm2=20.0, scatter=(1e-3, 1e-3), pedestal=(TYPICAL_PEDESTAL, TYPICAL_PEDESTAL), pixel_mm=5.0,
        )  # fmt: skip
    named = (labels[0] or "160 kV", labels[1] or labels[0] or "160 kV")
    high = energies[0] if energies[0] and TUBE_KV[0] <= energies[0] <= TUBE_KV[1] else 160.0
    filters = (("Al", 2.0), ("Cu", 0.12))
    return Machine(
        kind, "dual_layer", (high, high), named, (filters, filters), ("GOS", "CsI"),
        front_g_cm2=0.1, crystal_g_cm2=1.6, between_mm=0.5, quanta=(1e5, 6e4),
        scatter=(4e-3, 4e-3), pedestal=(TYPICAL_PEDESTAL, TYPICAL_PEDESTAL), pixel_mm=1.45,
    )  # fmt: skip


def _designs(kind: Kind) -> list[tuple[str, tuple[str, str]]]:
    """Detectors to choose from, with their scintillators."""
    if kind == "container":
        return [("crystal", ("CdWO4", "CdWO4"))]
    designs = [("dual_layer", pair) for pair in product(("GOS", "CsI"), ("CsI", "CdWO4"))]
    return designs + [("kv_switching", (one, one)) for one in ("CsI", "CdWO4")]


def parameters_of(machine: Machine, labels: tuple[str, str]) -> tuple[Parameter, ...]:
    """The unknowns of a machine; a label that names an energy moves the prior of the high one there."""
    chosen = CONTAINER if machine.kind == "container" else DUAL_LAYER if machine.detector == "dual_layer" else SWITCHING
    energy = nominal_energy(labels[0])
    if energy is not None and chosen[0].least <= energy <= chosen[0].most:
        chosen = (replace(chosen[0], mean=energy), *chosen[1:])
    return chosen + COMMON


def _fit(base: Machine, parameters: tuple[Parameter, ...], readings: Sequence[Reading]) -> Solution:
    measured = np.array([r.transmission for r in readings]).T
    noise = np.array([r.error for r in readings]).T
    scale = np.sqrt(noise**2 + (SYSTEMATIC * measured) ** 2 + FLOOR**2)
    means = np.array([np.log(p.mean) if p.log else p.mean for p in parameters])
    spreads = np.array([p.spread for p in parameters])
    low = np.array([np.log(p.least) if p.log else p.least for p in parameters])
    high = np.array([np.log(p.most) if p.log else p.most for p in parameters])

    def residuals(x: Floats) -> Floats:
        values = {p.name: _value(p, v) for p, v in zip(parameters, x, strict=True)}
        expected = _expected(base, values, readings)
        return np.concatenate([((expected - measured) / scale).ravel(), (x - means) / spreads])

    return solve(residuals, means, low, high, step=0.02 * spreads)


def _expected(base: Machine, values: dict[str, float], readings: Sequence[Reading]) -> Floats:
    """Readings (2, R) of a machine with these parameters, scatter and errors of the open beam's level included."""
    ideal = predict(build(base, values), readings)
    stray = np.array([values["pedestal_high"], values["pedestal_low"]])[:, None]
    level = np.array([values["level_high"], values["level_low"]])[:, None]
    return level * ((1 - stray) * ideal + stray)


def _value(parameter: Parameter, fitted: float) -> float:
    return float(np.exp(fitted)) if parameter.log else float(fitted)
