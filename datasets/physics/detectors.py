"""What a detector makes of a spectrum: the responses of dual-energy scanners.

A `Response` weighs photon energies for the two channels of a scan. Detectors add up deposited
energy, so a photon's weight in the signal is the mean energy that it deposits, and its weight in
the noise variance the mean square of that energy (compound Poisson statistics; R. K. Swank,
J. Appl. Phys. 44, 1973).

Simplifications: characteristic X-rays of the scintillator are absorbed on the spot, light output is
proportional to energy, and each crystal stands alone (scatter between pixels is part of the blur).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from leadline.datasets.physics.attenuation import mass_attenuation, mass_energy_transfer, material_attenuation
from leadline.datasets.physics.spectra import (
    Grid,
    filter_transmission,
    linac_grid,
    linac_spectrum,
    linac_table,
    tube_grid,
    tube_spectrum,
)

FloatArray = npt.NDArray[np.float64]

SCINTILLATORS: Mapping[str, str] = {"GOS": "Gd2O2S", "CsI": "CsI", "CdWO4": "CdWO4"}
"""Scintillators by trade name, with their formulas."""

LINAC_CRYSTAL_G_CM2 = 23.7
"""Areal density that the table's linac detector is taken to have: 30 mm of CdWO4 at 7.9 g/cm3."""

# Segments of the working energies: upper end and number of Gauss nodes. Tubes: cut at the K edges (keV).
_TUBE_SEGMENTS = (
    (17.038, 1), (17.998, 1), (25.514, 2), (29.200, 1), (30.491, 1), (37.441, 2),
    (38.925, 1), (40.443, 1), (41.991, 1), (43.569, 1), (46.834, 1), (50.239, 1), (51.996, 1),
    (53.789, 1), (69.525, 3), (88.005, 3), (90.526, 1), (225.0, 5),
)  # fmt: skip
_LINAC_SEGMENTS = ((90, 1), (250, 3), (700, 3), (2000, 4), (10000, 5))


@dataclass(frozen=True, eq=False)
class Response:
    """Relative weight of each photon energy in a scan's two channels.

    Attributes:
        energies: float64 (E,), MeV: Gauss nodes between absorption edges (about 28 or 18), or the fine grid.
        weights: float32 (E, 2), share of each energy in the open-beam signal; columns are the
            high and the low channel and sum to 1.
        noise_weights: float32 (E, 2), share of each energy in the open-beam noise variance;
            columns sum to 1.
    """

    energies: FloatArray
    weights: npt.NDArray[np.float32]
    noise_weights: npt.NDArray[np.float32]

    def attenuation(self, materials: Sequence[str]) -> npt.NDArray[np.float32]:
        """Mass attenuation of catalogue materials at the energies; float32 (M, E), cm2/g."""
        if not materials:
            return np.zeros((0, len(self.energies)), np.float32)
        return np.stack([material_attenuation(name, self.energies) for name in materials]).astype(np.float32)


def dual_layer(
    kvp: float,
    filters_mm: Mapping[str, float],
    *,
    front: str = "GOS",
    front_g_cm2: float = 0.1,
    copper_mm: float = 0.6,
    back: str = "CsI",
    back_g_cm2: float = 1.8,
    fine: bool = False,
) -> Response:
    """Parcel scanner with a thin front and a thick back layer: low channel = front, high = back.

    Args:
        kvp: tube voltage, kV.
        filters_mm: extra tube filters by element, mm.
        front, back: scintillator of each layer, a name of `SCINTILLATORS`.
        front_g_cm2, back_g_cm2: areal density of each layer, g/cm2.
        copper_mm: filter between the layers, mm.
        fine: keep the fine energy bins (for checks), about eight times as many.
    """
    grid = tube_grid()
    photons = tube_spectrum(kvp, filters_mm)
    behind = photons * np.exp(-front_g_cm2 * _total("tube", front)) * filter_transmission(grid, {"Cu": copper_mm})
    high, high_noise = _tube_layer(back, back_g_cm2)
    low, low_noise = _tube_layer(front, front_g_cm2)
    return _response(
        grid, np.stack([behind * high, photons * low]), np.stack([behind * high_noise, photons * low_noise]), fine
    )


def kv_switching(
    high_kvp: float,
    low_kvp: float,
    high_filters_mm: Mapping[str, float],
    low_filters_mm: Mapping[str, float],
    *,
    scintillator: str = "CsI",
    scintillator_g_cm2: float = 1.8,
    fine: bool = False,
) -> Response:
    """Parcel scanner with one detector and a tube that switches between two voltages.

    Args:
        high_kvp, low_kvp: tube voltages, kV.
        high_filters_mm, low_filters_mm: extra tube filters by element, mm.
        scintillator: a name of `SCINTILLATORS`.
        scintillator_g_cm2: its areal density, g/cm2.
        fine: keep the fine energy bins.
    """
    photons = np.stack([tube_spectrum(high_kvp, high_filters_mm), tube_spectrum(low_kvp, low_filters_mm)])
    signal, noise = _tube_layer(scintillator, scintillator_g_cm2)
    return _response(tube_grid(), photons * signal, photons * noise, fine)


def linac(
    high_mv: float,
    low_mv: float,
    high_filters_mm: Mapping[str, float],
    low_filters_mm: Mapping[str, float],
    *,
    crystal_g_cm2: float = LINAC_CRYSTAL_G_CM2,
    fine: bool = False,
) -> Response:
    """Container scanner: a linac that alternates between two end points, and one crystal detector.

    The mean energy that a photon deposits is tabulated (`linac_table`, simulated for a cargo
    detector) and scaled with the share of photons that interact in a crystal of the given
    areal density; the interacting photon's deposit is taken to spread evenly between nothing and
    twice its mean or the photon's energy, whichever is less.

    Args:
        high_mv, low_mv: end points, MV.
        high_filters_mm, low_filters_mm: extra beam filters by element, mm.
        crystal_g_cm2: areal density of the CdWO4 crystal along the beam, g/cm2.
        fine: keep the fine energy bins.
    """
    photons = np.stack([linac_spectrum(high_mv, high_filters_mm), linac_spectrum(low_mv, low_filters_mm)])
    grid, table, crystal = linac_grid(), linac_table(), _total("linac", "CdWO4")
    tabulated = np.interp(grid.centres, table["energy_mev"], table["absorbed_mev"])
    deposit = np.minimum(tabulated / -np.expm1(-LINAC_CRYSTAL_G_CM2 * crystal), grid.centres)
    interacting = -np.expm1(-crystal_g_cm2 * crystal)
    spread = np.minimum(deposit, grid.centres - deposit) ** 2 / 3
    return _response(grid, photons * interacting * deposit, photons * interacting * (deposit**2 + spread), fine)


def _tube_layer(scintillator: str, g_cm2: float) -> tuple[FloatArray, FloatArray]:
    """Mean and mean square of the energy deposited per incident photon, MeV and MeV2, on the tube grid."""
    transfer, energy = _transfer(scintillator), tube_grid().centres
    total = _total("tube", scintillator)
    # share of photons that leave energy behind; a scattered photon's recoil is counted through `transfer`
    absorbed = -np.expm1(-g_cm2 * total) * transfer / total
    return absorbed * energy, absorbed * energy**2


@lru_cache(maxsize=16)
def _total(grid: str, scintillator: str) -> FloatArray:
    centres = (tube_grid() if grid == "tube" else linac_grid()).centres
    return mass_attenuation({SCINTILLATORS[scintillator]: 1.0}, centres)


@lru_cache(maxsize=16)
def _transfer(scintillator: str) -> FloatArray:
    return mass_energy_transfer({SCINTILLATORS[scintillator]: 1.0}, tube_grid().centres)


def _response(grid: Grid, signal: FloatArray, noise: FloatArray, fine: bool) -> Response:
    """Normalise every channel (2, E); replace the fine bins by Gauss nodes unless `fine`."""
    signal = signal / signal.sum(axis=1, keepdims=True)
    noise = noise / noise.sum(axis=1, keepdims=True)
    measures = np.concatenate([signal, noise])
    present = np.flatnonzero(signal.sum(axis=0))
    energies, measures = grid.centres[present], measures[:, present]
    if not fine:
        segments: Sequence[tuple[float, int]] = _TUBE_SEGMENTS if grid.name == "tube" else _LINAC_SEGMENTS
        shared = 1e3 * energies[measures[:2].min(axis=0) > 0].max()
        if shared < 1e3 * energies[-1]:
            segments = _cut(segments, shared)
        energies, measures = _gauss(energies, measures, segments)
    weights = measures.astype(np.float32)
    return Response(energies, np.ascontiguousarray(weights[:2].T), np.ascontiguousarray(weights[2:].T))


def _cut(segments: Sequence[tuple[float, int]], end_kev: float) -> Sequence[tuple[float, int]]:
    """Segments with one more border where the softer channel ends, lest its weights oscillate beyond."""
    result: list[tuple[float, int]] = []
    start = 0.0
    for end, count in segments:
        if start < end_kev < end and count > 1:
            result += [(end_kev * (1 + 1e-9), (count + 1) // 2), (end, (count + 2) // 2)]
        else:
            result.append((end, count))
        start = end
    return result


def _gauss(
    energies: FloatArray, measures: FloatArray, segments: Sequence[tuple[float, int]]
) -> tuple[FloatArray, FloatArray]:
    """Few energies with the same moments of log E as the fine bins, segment by segment.

    The nodes are those of the Gauss quadrature (W. Gautschi, "Orthogonal Polynomials: Computation
    and Approximation", Oxford 2004) of the two channels' mean; every measure then gets weights
    that reproduce its own first moments on those nodes.

    Args:
        energies: float64 (E,), MeV.
        measures: float64 (4, E).
        segments: upper end in keV and number of nodes of each segment.

    Returns:
        Node energies (N,), MeV, and weights (4, N).
    """
    nodes, weights = [], []
    bounds = np.searchsorted(energies, [0.0] + [end / 1e3 for end, _ in segments])
    for first, last, (_, count) in zip(bounds[:-1], bounds[1:], segments, strict=True):
        if first == last:
            continue
        x, part = np.log(energies[first:last]), measures[:, first:last]
        centre, half = (x[0] + x[-1]) / 2, max((x[-1] - x[0]) / 2, 1e-9)
        x = (x - centre) / half
        at = _gauss_nodes(x, part[:2].sum(axis=0), min(count, last - first))
        powers = np.arange(len(at))[:, None]
        moments = part @ (x**powers).T
        nodes.append(np.exp(centre + half * at))
        weights.append(np.linalg.solve(at**powers, moments.T).T)
    return np.concatenate(nodes), np.concatenate(weights, axis=1)


def _gauss_nodes(x: FloatArray, measure: FloatArray, count: int) -> FloatArray:
    """Zeros of the orthogonal polynomial of a discrete measure (Stieltjes procedure), shape (count,)."""
    before, here = np.zeros_like(x), np.ones_like(x)
    norm_before, diagonal, off_diagonal = 1.0, [], []
    for k in range(count):
        norm = (measure * here**2).sum()
        alpha, beta = (measure * x * here**2).sum() / norm, norm / norm_before if k else 0.0
        diagonal.append(alpha)
        off_diagonal.append(np.sqrt(beta))
        before, here, norm_before = here, (x - alpha) * here - beta * before, norm
    return np.linalg.eigvalsh(np.diag(diagonal) + np.diag(off_diagonal[1:], -1))
