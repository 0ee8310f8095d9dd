"""Transmissions of one scanner carried over to the energy response of a common one (fitted in `common`).

Polynomials of a scan's attenuation and energy contrast say what has to be added to its attenuations. They are
evaluated on averages over cells and multiply the pixels of a cell by a factor, so that noise is neither cut nor biased.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.scan import Kind, Scan

ENERGY: Mapping[Kind | None, str] = {"parcel": "160 kV", "container": "6 MV"}
"""Beam of the common scanner of each kind, high channel."""

CELL = 4
"""Side of the cells, pixels."""

DEEPEST = 6.0
"""Attenuation of the high channel beyond which nothing more is added."""

DARKEST = 1e-3
"""Averages below count as this: there is no contrast to read."""

POWERS = tuple((i, j) for i in range(1, 6) for j in range(4))
"""Of attenuation and contrast."""

THIN = 0.05
"""Attenuation added below the contrast, so that air has none."""


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
        factors = np.exp(-terms(high, self._cut(a[0], a[1])) @ np.array(self.coefficients, np.float32).T)
        corrected = [
            channel * cv2.resize(np.ascontiguousarray(factors[..., k]), (columns, rows))
            for k, channel in enumerate(scan.transmission)
        ]
        scanner = replace(scan.scanner, high=ENERGY.get(scan.scanner.kind))
        return replace(scan, transmission=np.stack(corrected).astype(np.float32, copy=False), scanner=scanner)

    def _cut(self, high: npt.NDArray[np.floating], low: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        return np.clip((low - high) / (np.maximum(high, 0) + THIN), *self.contrast)

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
        if coefficients.shape != (2, len(POWERS)) or not np.isfinite(coefficients).all() or not low < high:
            raise ValueError("the correction is not one of this version")
        first, second = (tuple(c) for c in coefficients.tolist())
        return cls((first, second), (low, high), float(raw["residual"]))


def terms(high: npt.NDArray[np.floating], contrast: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Products of powers, shape (..., terms)."""
    return np.stack([(high / 3) ** i * contrast**j for i, j in POWERS], axis=-1)
