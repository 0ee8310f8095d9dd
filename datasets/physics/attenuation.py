"""Mass attenuation of elements, compounds and catalogue materials, 1 keV to 20 MeV.

Data: `data/attenuation.npz`, NIST XCOM (M. J. Berger, J. H. Hubbell et al., "XCOM: Photon Cross
Sections Database", NIST Standard Reference Database 8), Z = 1..100, by process, as tabulated in
the public repository plalor/semiZ (MIT licence, Peter Lalor). Every process is interpolated
log-log between neighbouring rows and never across an absorption edge, where the table has two
rows at one energy. Incoherent scatter and pair production are one column: their sum has no zeros.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from leadline.datasets.materials import Catalogue, catalogue
from leadline.datasets.scan import LeadlineError

FloatArray = npt.NDArray[np.float64]

SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr "
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu "
    "Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm"
).split()
"""Element symbols, Z = 1..100."""

# Standard atomic weights, abridged (IUPAC); for elements without one, the mass number of a long-lived isotope.
_WEIGHTS = (
    1.008, 4.0026, 6.94, 9.0122, 10.81, 12.011, 14.007, 15.999, 18.998, 20.180,
    22.990, 24.305, 26.982, 28.085, 30.974, 32.06, 35.45, 39.95, 39.098, 40.078,
    44.956, 47.867, 50.942, 51.996, 54.938, 55.845, 58.933, 58.693, 63.546, 65.38,
    69.723, 72.630, 74.922, 78.971, 79.904, 83.798, 85.468, 87.62, 88.906, 91.224,
    92.906, 95.95, 97.0, 101.07, 102.91, 106.42, 107.87, 112.41, 114.82, 118.71,
    121.76, 127.60, 126.90, 131.29, 132.91, 137.33, 138.91, 140.12, 140.91, 144.24,
    145.0, 150.36, 151.96, 157.25, 158.93, 162.50, 164.93, 167.26, 168.93, 173.05,
    174.97, 178.49, 180.95, 183.84, 186.21, 190.23, 192.22, 195.08, 196.97, 200.59,
    204.38, 207.2, 208.98, 209.0, 210.0, 222.0, 223.0, 226.0, 227.0, 232.04,
    231.04, 238.03, 237.0, 244.0, 243.0, 247.0, 247.0, 251.0, 252.0, 257.0,
)  # fmt: skip
ATOMIC_WEIGHT: Mapping[str, float] = dict(zip(SYMBOLS, _WEIGHTS, strict=True))
"""Standard atomic weight by symbol, g/mol."""

ENERGY_RANGE_MEV = (0.001, 20.0)
_TERM = re.compile(r"([A-Z][a-z]?)(\d+(?:\.\d+)?)?")


def parse_formula(formula: str) -> dict[str, float]:
    """Atoms per formula unit, such as `{"H": 2, "O": 1}` for `"H2O"`; no parentheses.

    Raises:
        LeadlineError: the text is not such a formula or names an unknown element.
    """
    atoms: dict[str, float] = {}
    position = 0
    while position < len(formula):
        term = _TERM.match(formula, position)
        if term is None or term[1] not in ATOMIC_WEIGHT:
            break
        atoms[term[1]] = atoms.get(term[1], 0.0) + float(term[2] or 1)
        position = term.end()
    if not atoms or position < len(formula):
        raise LeadlineError(
            f"formula {formula!r}: cannot be read at character {position + 1}; "
            "write element symbols and numbers without parentheses, such as Ca3Al2O6"
        )
    return atoms


def mass_fractions(composition: Mapping[str, float]) -> dict[str, float]:
    """Mass fraction of each element in a mixture.

    Args:
        composition: mass fraction of each compound by formula; scaled to sum to 1.

    Returns:
        Mass fraction by element symbol, summing to 1.
    """
    total = sum(composition.values())
    if not composition or not total > 0 or min(composition.values()) < 0:
        raise LeadlineError(f"composition {dict(composition)}: mass fractions must be positive; give at least one")
    elements: dict[str, float] = {}
    for formula, fraction in composition.items():
        masses = {symbol: n * ATOMIC_WEIGHT[symbol] for symbol, n in parse_formula(formula).items()}
        compound = sum(masses.values())
        for symbol, mass in masses.items():
            elements[symbol] = elements.get(symbol, 0.0) + fraction / total * mass / compound
    return elements


def mass_attenuation(
    composition: Mapping[str, float], energies_mev: npt.ArrayLike, *, coherent: bool = True
) -> FloatArray:
    """Narrow-beam mass attenuation coefficient of a mixture.

    Args:
        composition: mass fraction of each compound by formula.
        energies_mev: photon energies, MeV, any shape, 0.001 to 20. At an edge itself the value
            above the edge is given.
        coherent: whether coherent scatter counts as removed from the beam (the default).

    Returns:
        float64, shape of the energies, cm2/g.
    """
    energies = np.asarray(energies_mev, dtype=np.float64)
    if energies.size and not (energies.min() >= ENERGY_RANGE_MEV[0] and energies.max() <= ENERGY_RANGE_MEV[1]):
        raise ValueError(f"energies must lie in {ENERGY_RANGE_MEV} MeV")
    total = np.zeros(energies.shape)
    for symbol, fraction in mass_fractions(composition).items():
        columns = _element(symbol, energies)
        total += fraction * (columns.sum(axis=0) if coherent else columns[1:].sum(axis=0))
    return total


def mass_energy_transfer(composition: Mapping[str, float], energies_mev: npt.ArrayLike) -> FloatArray:
    """Approximate mass energy-transfer coefficient below the pair threshold, for thin detectors.

    Photoelectric absorption deposits the whole energy, incoherent scatter the mean recoil energy
    of Klein and Nishina; characteristic X-rays are taken as absorbed on the spot.

    Args:
        composition: mass fraction of each compound by formula.
        energies_mev: photon energies, MeV, any shape, 0.001 to 1.022.

    Returns:
        float64, shape of the energies, cm2/g.
    """
    energies = np.asarray(energies_mev, dtype=np.float64)
    if energies.size and energies.max() > 1.022:
        raise ValueError("mass_energy_transfer holds below the pair threshold, 1.022 MeV")
    total = np.zeros(energies.shape)
    for symbol, fraction in mass_fractions(composition).items():
        _, photoelectric, incoherent = _element(symbol, energies)
        total += fraction * (photoelectric + _recoil_fraction(energies) * incoherent)
    return total


def material_attenuation(name: str, energies_mev: npt.ArrayLike) -> FloatArray:
    """Narrow-beam mass attenuation of a catalogue material, cached by name and energies.

    Args:
        name: material of `materials.catalogue()`.
        energies_mev: photon energies, MeV, shape (E,).

    Returns:
        float64 (E,), cm2/g; read-only, since it is shared.
    """
    energies = np.ascontiguousarray(energies_mev, dtype=np.float64)
    return _material(name, energies.tobytes(), catalogue())


@lru_cache(maxsize=1024)
def _material(name: str, energies: bytes, cat: Catalogue) -> FloatArray:
    material = cat.materials.get(name)
    if material is None:
        raise LeadlineError(f"material {name!r}: not in the catalogue; see datasets/data/materials.toml")
    values = mass_attenuation(material.composition, np.frombuffer(energies))
    values.flags.writeable = False
    return values


@cache
def _table() -> dict[str, tuple[FloatArray, FloatArray]]:
    """By symbol: log energy (N,) and log of coherent, photoelectric, incoherent + pair (3, N)."""
    with (files("leadline.datasets") / "data" / "attenuation.npz").open("rb") as file, np.load(file) as packed:
        element, energy = packed["element"], packed["energy_mev"]
        columns = np.stack([packed[c] for c in ("coherent", "photoelectric", "incoherent_and_pair")]).astype(float)
    tables = {}
    for z, symbol in enumerate(SYMBOLS, start=1):
        rows = element == z
        # log(0) appears nowhere a spectrum reaches: the floor keeps hydrogen's photoelectric column finite
        tables[symbol] = (np.log(energy[rows]), np.log(np.maximum(columns[:, rows], 1e-30)))
    return tables


def _element(symbol: str, energies: FloatArray) -> FloatArray:
    """Coherent, photoelectric and incoherent + pair coefficients, cm2/g, shape (3, *energies.shape)."""
    log_energy, log_columns = _table()[symbol]
    x = np.log(energies)
    # side="right": at an edge the interval above it; the zero-width interval of the edge is never chosen
    left = np.clip(np.searchsorted(log_energy, x, side="right") - 1, 0, len(log_energy) - 2)
    weight = (x - log_energy[left]) / (log_energy[left + 1] - log_energy[left])
    return np.exp(log_columns[:, left] * (1 - weight) + log_columns[:, left + 1] * weight)


def _recoil_fraction(energies: FloatArray) -> FloatArray:
    """Mean share of the photon's energy that the electron gets in incoherent scatter (Klein-Nishina, free electron)."""
    cosine, weights = np.polynomial.legendre.leggauss(32)
    k = energies[..., None] / 0.51099895
    ratio = 1 / (1 + k * (1 - cosine))
    section = ratio**2 * (ratio + 1 / ratio - 1 + cosine**2) * weights
    return (section * (1 - ratio)).sum(axis=-1) / section.sum(axis=-1)
