"""What a common scanner would have read: transmissions of one machine carried over to another's energy response.

Attenuations of many goods are computed for both machines. Polynomials of the own machine's attenuation and energy
contrast, fitted to them, then say what has to be added. They are evaluated on averages over cells and multiply the
pixels of a cell by a factor, so that noise is neither cut nor biased.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.physics.forward import transmission
from leadline.datasets.scan import Scan
from leadline.datasets.simulator.scanner import Machine

Floats = npt.NDArray[np.float64]

GOODS = ("polyethylene", "water", "aluminium", "steel", "antimony", "lead")
"""Materials whose mixtures stand for all goods."""

CELL = 4
"""Side of the cells, pixels."""

DEEPEST = 6.0
"""Attenuation of the high channel beyond which nothing more is added."""

DARKEST = 1e-3
"""Averages below count as this: there is no contrast to read."""

_POWERS = tuple((i, j) for i in range(1, 6) for j in range(4))  # of attenuation and contrast
_THIN = 0.05  # attenuation added below the contrast, so that air has none
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


@dataclass(frozen=True)
class Correction:
    """What has to be added to the attenuations of a scanner.

    Attributes:
        coefficients: (2, 20), per channel, of the products a^i c^j, i = 1..5, j = 0..3, with a the attenuation of the
            high channel over 3 and c the contrast (a_low - a_high) / (a_high + 0.05).
        contrast: (least, greatest) contrast that goods have; others are cut there.
        residual: root mean square of what the polynomials leave, in attenuation.
    """

    coefficients: tuple[tuple[float, ...], tuple[float, ...]]
    contrast: tuple[float, float]
    residual: float = 0.0

    def onto(self, scan: Scan) -> Scan:
        """The scan as the common scanner would have read it."""
        rows, columns = scan.shape
        size = (-(-columns // CELL), -(-rows // CELL))
        a = [
            -np.log(np.maximum(cv2.resize(channel, size, interpolation=cv2.INTER_AREA), DARKEST))
            for channel in scan.transmission
        ]
        high = np.clip(a[0], 0, DEEPEST)
        factors = np.exp(-_terms(high, self._cut(a[0], a[1])) @ np.array(self.coefficients, np.float32).T)
        corrected = [
            channel * cv2.resize(np.ascontiguousarray(factors[..., k]), (columns, rows))
            for k, channel in enumerate(scan.transmission)
        ]
        return replace(scan, transmission=np.stack(corrected).astype(np.float32, copy=False))

    def _cut(self, high: npt.NDArray[np.floating], low: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        return np.clip((low - high) / (np.maximum(high, 0) + _THIN), *self.contrast)

    def as_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "coefficients": [list(c) for c in self.coefficients],
            "contrast": list(self.contrast),
            "residual": self.residual,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Correction:
        """The reverse of `as_dict`.

        Raises:
            KeyError, TypeError, ValueError: an entry is missing, or is not what it should be.
        """
        coefficients = np.array(raw["coefficients"], float)
        low, high = (float(v) for v in raw["contrast"])
        if coefficients.shape != (2, len(_POWERS)) or not np.isfinite(coefficients).all() or not low < high:
            raise ValueError("the correction is not one of this version")
        first, second = (tuple(c) for c in coefficients.tolist())
        return cls((first, second), (low, high), float(raw["residual"]))


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
    contrast = (before[1] - before[0]) / (before[0] + _THIN)
    low, high = (float(v) for v in np.quantile(contrast, (0.005, 0.995)))
    terms = _terms(before[0], np.clip(contrast, low, high))
    coefficients = np.linalg.lstsq(terms, (after - before).T, rcond=1e-10)[0].T
    left = (after - before).T - terms @ coefficients.T
    first, second = (tuple(c) for c in coefficients.tolist())
    return Correction((first, second), (low, high), float(np.sqrt(np.mean(left**2))))


def _terms(high: npt.NDArray[np.floating], contrast: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Products of powers, shape (..., terms)."""
    return np.stack([(high / 3) ** i * contrast**j for i, j in _POWERS], axis=-1)
