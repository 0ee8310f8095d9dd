"""What an ideal observer finds: detectability and least mass of a material behind a cover, for a scanner.

The observer knows the material's shape and place, the cover and the scanner's noise (signal known exactly,
background known exactly; H. H. Barrett, K. J. Myers, "Foundations of Image Science", Wiley 2004, ch. 13), or, for
the material detectability, does not know how much of the cover lies in each pixel (`simulator.truth`). No observer
of such scans does better.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import erf
from scipy.stats import norm

from leadline.datasets.fitted import fitted_scanner
from leadline.datasets.materials import catalogue
from leadline.datasets.physics.spectra import LINAC_MV, TUBE_KV
from leadline.datasets.scan import FileError, Kind, LeadlineError
from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.truth import channel_signal, pixel_detectability

Floats = npt.NDArray[np.float64]

MASSES: dict[Kind, Floats] = {"parcel": np.geomspace(1e-8, 30, 153), "container": np.geomspace(1e-5, 2e4, 150)}
"""Masses that are tried, kg."""

DEEPEST: dict[Kind, float] = {"parcel": 80.0, "container": 240.0}
"""Thickest cover that fits, cm."""

DARKEST = 8.0
"""-ln T of the high channel behind the thickest cover of a plot; beyond it nothing is left to measure."""

_ENERGIES = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:/\s*(\d+(?:\.\d+)?)\s*)?(kV|MV)\s*", re.IGNORECASE)


def nominal(
    energies: str, quanta: tuple[float, float] | None = None, pixel_mm: float | None = None
) -> tuple[str, Machine]:
    """A scanner of ordinary properties without faults.

    `6/4 MV` is a linac of two end points with 6,000 and 3,000 effective quanta in an open-beam pixel of 4.2 mm (as read
    off real scans, `docs/realism.md`); `160 kV` a tube with a dual-layer detector, `160/80 kV` one that switches,
    with 100,000 and 50,000 quanta in a pixel of 1.2 mm.

    Args:
        energies: one or two numbers and a unit.
        quanta: effective quanta of an open-beam pixel, high and low channel, in place of these.
        pixel_mm: side of a pixel in place of these.

    Returns:
        Its name and the machine.

    Raises:
        LeadlineError: no such scanner.
    """
    match = _ENERGIES.fullmatch(energies)
    advice = "write such as '6/4 MV', '160 kV' (dual-layer detector) or '160/80 kV', or give a scanner profile"
    if match is None:
        raise LeadlineError(f"scanner {energies!r}: is none; {advice}")
    high, low, unit = float(match[1]), float(match[2] or match[1]), "MV" if match[3].lower() == "mv" else "kV"
    least, most = LINAC_MV if unit == "MV" else TUBE_KV
    if not least <= low <= high <= most or (unit == "MV" and low == high):
        raise LeadlineError(f"scanner {energies!r}: needs energies of {least:g} to {most:g} {unit}; {advice}")
    name = f"{high:g}/{low:g} {unit}" if low != high else f"{high:g} {unit}"
    labels = (f"{high:g} {unit}", f"{low:g} {unit}")
    if unit == "MV":
        machine = Machine(
            "container", "crystal", (high, low), labels, pedestal=(2e-4, 2e-4), electronics=(5e-5, 5e-5), pixel_mm=4.2
        )
    else:
        soft, hard = (("Al", 2.0), ("Cu", 0.1)), (("Al", 2.0), ("Cu", 0.4))
        dual = low == high
        machine = Machine(
            "parcel", "dual_layer" if dual else "kv_switching", (high, low), labels,
            filters=(soft, soft) if dual else (hard, soft), scintillators=("GOS", "CsI") if dual else ("CsI", "CsI"),
            front_g_cm2=0.1 if dual else 0.0, crystal_g_cm2=1.8, between_mm=0.6 if dual else 0.0, quanta=(1e5, 5e4),
            pedestal=(3e-4, 3e-4), electronics=(4e-5, 4e-5), pixel_mm=1.2,
        )  # fmt: skip
    if quanta is not None:
        machine = replace(machine, quanta=quanta)
    return name, replace(machine, pixel_mm=pixel_mm) if pixel_mm is not None else machine


def scanner_of(
    words: str, quanta: tuple[float, float] | None = None, pixel_mm: float | None = None
) -> tuple[str, Machine]:
    """A scanner by its energies (`nominal`), or a real one by the profile that `leadline calibrate` has written.

    A fitted machine has the measured energy response, scatter, noise, blur and pixel size. Its vendor's smoothing takes
    noise and signal alike, so that the ideal observer loses nothing by it.

    Args:
        words: energies, or the path of a profile.
        quanta, pixel_mm: see `nominal`; in place of the fitted ones.

    Raises:
        LeadlineError: no such scanner; or its pixel size was not measured and is not given.
    """
    path = Path(words)
    if path.suffix.lower() != ".json" and not path.is_file():
        return nominal(words, quanta, pixel_mm)
    found = fitted_scanner(path)
    if not found.pixel_known and pixel_mm is None:
        raise FileError(
            path,
            "does not know the pixel size, for no wedge told it",
            "give it with --pixel, mm in the plane of the cargo",
        )
    machine = found.machine
    if quanta is not None:
        machine = replace(machine, quanta=quanta)
    high, low = machine.energies
    unit = "MV" if machine.kind == "container" else "kV"
    fitted = f"{high:.3g}/{low:.3g} {unit}" if low != high else f"{high:.3g} {unit}"
    name = f"{found.name} (fitted: {fitted})"
    return name, replace(machine, pixel_mm=pixel_mm) if pixel_mm is not None else machine


def density_of(material: str, option: str) -> float:
    """Middle of a material's range of densities, g/cm3.

    Raises:
        LeadlineError: the catalogue has no such material.
    """
    found = catalogue().materials.get(material)
    if found is None:
        words = ", ".join(sorted(catalogue().materials))
        raise LeadlineError(f"{option} {material!r}: is not in the catalogue; choose one of {words}")
    return sum(found.density) / 2


def required(false_alarms: float, found: float, places: int = 1) -> float:
    """The d' at which a share `found` is found at a false-alarm rate that `places` share.

    Both scores are normal with the same spread: d' = z(1 - rate / places) + z(found).
    """
    return float(norm.isf(false_alarms / places) + norm.ppf(found))


def seen_pixels(side_px: Floats, blur_px: float) -> Floats:
    """Sum over pixels of the squared profile of a square bump of height 1, after pixel and blur, in one direction.

    A box of width n convolved with a Gaussian of standard deviation s has the energy
    n erf(n / 2s) - 2s/sqrt(pi) (1 - exp(-n²/4s²)); the pixel itself counts as blur of variance 1/12.
    """
    s = np.sqrt(blur_px**2 + 1 / 12)
    return side_px * erf(side_px / (2 * s)) - 2 * s / np.sqrt(np.pi) * (1 - np.exp(-(side_px**2) / (4 * s**2)))


@dataclass(frozen=True)
class Threat:
    """A block of a material.

    Attributes:
        material: name in the catalogue.
        density: g/cm3.
        depth_cm: its extent along the beam; `None` = a cube.
    """

    material: str
    density: float
    depth_cm: float | None = None

    def shape(self, mass_kg: Floats) -> tuple[Floats, Floats]:
        """Side across the beam, cm, and areal density along it, g/cm2, of masses in kg."""
        volume = 1000 * mass_kg / self.density
        if self.depth_cm is None:
            side = np.cbrt(volume)
            return side, self.density * side
        return np.sqrt(volume / self.depth_cm), np.full(mass_kg.shape, self.density * self.depth_cm)


def detectabilities(threat: Threat, mass_kg: Floats, cover: str, areal: Floats, machine: Machine) -> Floats:
    """d' and d'_m of blocks behind covers.

    Args:
        threat: the block.
        mass_kg: (K,).
        cover: material that covers it.
        areal: of the cover, g/cm2, (C,).
        machine: the scanner.

    Returns:
        (2, C, K): known signal, and by material alone.
    """
    side, depth = threat.shape(mass_kg)
    names = (cover,) if cover == threat.material else (cover, threat.material)
    goods = np.zeros((len(names), len(areal), len(mass_kg)), np.float32)
    change = np.zeros_like(goods)
    goods[0], change[-1] = areal[:, None], depth
    squares = pixel_detectability(goods.reshape(len(names), -1), change.reshape(len(names), -1), names, machine)
    blur = float(np.mean(machine.blur_px))
    pixels = seen_pixels(10 * side / machine.pixel_mm, blur)
    # a block behind nothing but its like is told by its amount alone, never by material
    if len(names) == 1:
        squares = squares[0], np.zeros_like(squares[1])
    return np.stack([np.sqrt(s.reshape(len(areal), -1)) * pixels for s in squares])


def least_mass(mass_kg: Floats, d: Floats, need: float) -> tuple[float | None, list[tuple[float, float]]]:
    """The least mass from which a d' is reached, and greater masses at which it is missed again.

    Args:
        mass_kg: (K,) ascending.
        d: (K,).
        need: the d'.

    Returns:
        kg, interpolated in logarithms, `None` where no mass reaches it; intervals of kg.
    """
    reached = d >= need
    if not reached.any():
        return None, []
    first = int(np.argmax(reached))
    mass = float(mass_kg[first])
    if first:
        a, b = np.log(np.maximum(d[first - 1 : first + 1], 1e-12))
        weight = (np.log(need) - a) / max(b - a, 1e-12)
        mass = float(mass_kg[first - 1] * (mass_kg[first] / mass_kg[first - 1]) ** np.clip(weight, 0, 1))
    gaps: list[tuple[float, float]] = []
    for k in range(first, len(d)):
        if not reached[k]:
            start = gaps.pop()[0] if gaps and not reached[k - 1] else float(mass_kg[k])
            gaps.append((start, float(mass_kg[k])))
    return mass, gaps


def cover_steps(cover: str, density: float, machine: Machine, steps: int) -> Floats:
    """Thicknesses, cm, from nothing to where the high channel has -ln T = 8, or to what fits."""
    thickest = DEEPEST[machine.kind]
    thickness = np.linspace(0, thickest, 2000)
    signal, _ = channel_signal((density * thickness)[None].astype(np.float32), [cover], machine)
    # the pedestal is no transmission of the goods
    share = machine.pedestal[0]
    bare = np.maximum((signal[0] - share) / (1 - share), 1e-12)
    dark = np.flatnonzero(-np.log(bare) >= DARKEST)
    return np.linspace(0, thickness[dark[0]] if len(dark) else thickest, steps)


def attenuation(cover: str, areal: Floats, machine: Machine) -> Floats:
    """-ln T of the high channel behind a cover, (C,)."""
    signal, _ = channel_signal(areal[None].astype(np.float32), [cover], machine)
    found: Floats = -np.log(np.clip(signal[0], 1e-12, 1.0)).astype(np.float64)
    return found + 0.0  # no negative zero


def materials_of_other_families(material: str) -> Sequence[str]:
    """Names of all materials that are of another family."""
    cat = catalogue()
    own = cat.materials[material].family
    return [m.name for m in cat.materials.values() if m.family != own]
