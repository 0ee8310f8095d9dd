"""Photon spectra of X-ray tubes (50 to 225 kV) and linacs (3 to 10 MV), behind filters.

Tubes: `data/tube_spectra.npz`, computed with spekpy (G. Poludniowski et al., Med. Phys. 48, 2021)
by `scripts/make_tube_spectra.py`: tungsten anode, 20 degree target, 0.8 mm of inherent aluminium.

Linacs: `data/linac_spectra.npz`, simulated 6 MV and 9 MV cargo linacs of the public repository
plalor/semiZ (MIT licence, Peter Lalor). Divided by Kramers' thick-target shape E0/E - 1, both leave
a slowly varying factor: the low-energy cut-off and the annihilation line stand at fixed energies,
the rest scales with the end point. Other end points interpolate (or extrapolate) the logarithm of
that factor.

Every spectrum lives on a fixed fine grid (`tube_grid`, `linac_grid`): bins of 1 keV cut at the K
edges that matter for tubes, of 10 keV for linacs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from leadline.datasets.physics.attenuation import mass_attenuation

FloatArray = npt.NDArray[np.float64]

TUBE_KV = (50.0, 225.0)
LINAC_MV = (3.0, 10.0)

# K edges, keV: Ag, Cd, Sn, Sb, I, Cs, Ba, La, Ce, Pr, Nd, Sm, Gd, Tb, Dy, W, Pb, Bi
K_EDGES_KEV = (
    25.514, 26.711, 29.200, 30.491, 33.169, 35.985, 37.441, 38.925, 40.443, 41.991,
    43.569, 46.834, 50.239, 51.996, 53.789, 69.525, 88.005, 90.526,
)  # fmt: skip

FILTER_DENSITY: Mapping[str, float] = {"Al": 2.70, "Cu": 8.96, "Fe": 7.87, "Sn": 7.31, "W": 19.3, "Pb": 11.35, "C": 1.7}
"""Filter materials and their densities, g/cm3."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Fine energy bins.

    Attributes:
        name: `"tube"` or `"linac"`.
        edges: float64 (E + 1,), MeV.
        centres: float64 (E,), MeV.
    """

    name: str
    edges: FloatArray
    centres: FloatArray


@cache
def tube_grid() -> Grid:
    """Bins of 1 keV from 8 to 225 keV, cut at the K edges."""
    return _grid("tube", np.union1d(np.arange(8.0, 226.0), K_EDGES_KEV) / 1e3)


@cache
def linac_grid() -> Grid:
    """Bins of 10 keV from 0.04 to 10 MeV."""
    return _grid("linac", np.arange(4, 1001) / 100)


def tube_spectrum(kvp: float, filters_mm: Mapping[str, float] | None = None) -> FloatArray:
    """Relative number of photons behind the filters, per bin of `tube_grid`.

    Args:
        kvp: tube voltage, kV, 50 to 225.
        filters_mm: thickness of each filter by element, mm; beyond the inherent 0.8 mm of aluminium.

    Returns:
        float64 (E,), summing to 1.
    """
    if not TUBE_KV[0] <= kvp <= TUBE_KV[1]:
        raise ValueError(f"tube voltage must lie in {TUBE_KV} kV, got {kvp}")
    voltages, table = _tube_table()
    left = min(int(np.searchsorted(voltages, kvp, side="right")) - 1, len(voltages) - 2)
    weight = (kvp - voltages[left]) / (voltages[left + 1] - voltages[left])
    grid = tube_grid()
    photons = (1 - weight) * table[left] + weight * table[left + 1]
    photons = np.where(grid.edges[:-1] * 1e3 < kvp, photons, 0.0) * filter_transmission(grid, filters_mm)
    return photons / photons.sum()


def linac_spectrum(end_point_mv: float, filters_mm: Mapping[str, float] | None = None) -> FloatArray:
    """Relative number of photons behind the filters, per bin of `linac_grid`.

    Args:
        end_point_mv: end point, MV, 3 to 10.
        filters_mm: thickness of each filter by element, mm; beyond what the tables contain.

    Returns:
        float64 (E,), summing to 1.
    """
    if not LINAC_MV[0] <= end_point_mv <= LINAC_MV[1]:
        raise ValueError(f"end point must lie in {LINAC_MV} MV, got {end_point_mv}")
    grid = linac_grid()
    energy = grid.centres
    # fixed energies below 0.7 MeV (cut-off, annihilation line), scaled ones above 2 MeV
    scaled = np.clip(np.log(energy / 0.7) / np.log(2.0 / 0.7), 0, 1)
    scaled = scaled**2 * (3 - 2 * scaled)
    blend = (end_point_mv - 6) / 3
    log_factor = np.zeros(energy.shape)
    for end_point, share, (reference, log_values) in zip((6.0, 9.0), (1 - blend, blend), _linac_tables(), strict=True):
        at = energy * (1 + (end_point / end_point_mv - 1) * scaled)
        log_factor += share * np.interp(at, reference, log_values)
    kramers = np.maximum(end_point_mv / energy - 1, 0)
    photons = kramers * np.exp(log_factor) * filter_transmission(grid, filters_mm)
    return photons / photons.sum()


def filter_transmission(grid: Grid, filters_mm: Mapping[str, float] | None) -> FloatArray:
    """Narrow-beam transmission of a stack of filters at the grid's energies, float64 (E,)."""
    exponent = np.zeros(grid.centres.shape)
    for element, thickness in (filters_mm or {}).items():
        exponent += 0.1 * thickness * FILTER_DENSITY[element] * _filter_attenuation(grid.name, element)
    return np.exp(-exponent)


@lru_cache(maxsize=64)
def _filter_attenuation(grid: str, element: str) -> FloatArray:
    return mass_attenuation({element: 1.0}, (tube_grid() if grid == "tube" else linac_grid()).centres)


def _grid(name: str, edges: FloatArray) -> Grid:
    return Grid(name, edges, (edges[:-1] + edges[1:]) / 2)


@cache
def _tube_table() -> tuple[FloatArray, FloatArray]:
    """Tube voltages (V,) and relative photons per bin of the fine grid (V, E)."""
    with (files("leadline.datasets") / "data" / "tube_spectra.npz").open("rb") as file, np.load(file) as packed:
        voltages, photons = packed["kvp"].astype(float), packed["photons"].astype(float)
    edges = tube_grid().edges * 1e3
    return voltages, photons[:, np.floor(edges[:-1]).astype(int)] * np.diff(edges)


@cache
def linac_table() -> dict[str, FloatArray]:
    """The packed table: `energy_mev`, `photons_6mv`, `photons_9mv`, `absorbed_mev`, each float64 (900,)."""
    with (files("leadline.datasets") / "data" / "linac_spectra.npz").open("rb") as file, np.load(file) as packed:
        return {name: packed[name].astype(float) for name in packed.files}


@cache
def _linac_tables() -> tuple[tuple[FloatArray, FloatArray], ...]:
    """For 6 and 9 MV: energies and log of photons / (E0 / E - 1), where there are photons."""
    table = linac_table()
    result = []
    for end_point, column in ((6.0, "photons_6mv"), (9.0, "photons_9mv")):
        present = table[column] > 0
        energy = table["energy_mev"][present]
        result.append((energy, np.log(table[column][present] / (end_point / energy - 1))))
    return tuple(result)
