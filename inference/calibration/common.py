"""The common scanner, and the correction that carries a machine's scans over to it.

Attenuations of mixtures of many goods are computed for both machines; polynomials of the own machine's attenuation
and energy contrast are fitted to what has to be added.
"""

from __future__ import annotations

import numpy as np

from leadline.datasets.physics.forward import transmission
from leadline.datasets.simulator.scanner import Machine
from leadline.inference.calibration.correction import DEEPEST, THIN, Correction, terms

GOODS = ("polyethylene", "water", "aluminium", "steel", "antimony", "lead")
"""Materials whose mixtures stand for all goods."""

_MIXTURES = 6000


def common_machine(own: Machine) -> Machine:
    """The middle of the machines that training draws, with the own machine's kind of detector."""
    if own.kind == "container":
        filters = (("Fe", 7.5), ("Pb", 0.5))
        return Machine("container", "crystal", (6.0, 4.0), ("6 MV", "4 MV"), (filters, filters), crystal_g_cm2=20.0)
    soft, hard = (("Al", 2.0), ("Cu", 0.12)), (("Al", 2.0), ("Cu", 0.5))
    if own.detector == "dual_layer":
        return Machine(
            "parcel", "dual_layer", (160.0, 160.0), ("160 kV", "160 kV"), (soft, soft), ("GOS", "CsI"),
            front_g_cm2=0.1, crystal_g_cm2=1.6, between_mm=0.5,
        )  # fmt: skip
    return Machine(
        "parcel", "kv_switching", (160.0, 93.0), ("160 kV", "95 kV"), (hard, soft), ("CsI", "CsI"), crystal_g_cm2=1.6
    )


def fit_correction(own: Machine, common: Machine) -> Correction:
    """The correction that carries scans of one machine over to another; scatter and noise stay as they are."""
    rng = np.random.default_rng(0)
    share = rng.dirichlet(np.full(len(GOODS), 0.35), _MIXTURES).T
    attenuation = own.response.attenuation(GOODS)
    depth = rng.uniform(0, 1.6 * DEEPEST, _MIXTURES)  # before the beam hardens
    areal = (share * depth / (attenuation @ own.response.weights[:, 0])[:, None]).astype(np.float32)
    before, after = (
        -np.log(np.maximum(transmission(areal, m.response.attenuation(GOODS), m.response), 1e-9)).astype(float)
        for m in (own, common)
    )
    seen = before[0] < DEEPEST
    before, after = before[:, seen], after[:, seen]
    contrast = (before[1] - before[0]) / (before[0] + THIN)
    low, high = (float(v) for v in np.quantile(contrast, (0.005, 0.995)))
    features = terms(before[0], np.clip(contrast, low, high))
    coefficients = np.linalg.lstsq(features, (after - before).T, rcond=1e-10)[0].T
    left = (after - before).T - features @ coefficients.T
    first, second = (tuple(c) for c in coefficients.tolist())
    return Correction((first, second), (low, high), float(np.sqrt(np.mean(left**2))))
