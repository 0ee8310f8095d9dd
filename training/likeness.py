"""Where two materials cannot be told apart by their two attenuations, at some pair of energies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.truth import channel_signal

Floats = npt.NDArray[np.float64]

DEPTHS = np.linspace(0.1, 7.0, 139)
"""-ln T of the high channel at which materials are compared."""


@dataclass(frozen=True)
class Likeness:
    """Two materials at the same high-energy attenuation.

    Attributes:
        first, second: names.
        depth: (D,) -ln T of the high channel.
        difference: (D,) -ln T of the low channel, first - second.
        separation: (D,) the same over its noise in one pixel.
        crossings: depths at which the difference is nil.
        alike: intervals of depth over which a patch does not part them.
    """

    first: str
    second: str
    depth: Floats
    difference: Floats
    separation: Floats
    crossings: list[float]
    alike: list[tuple[float, float]]

    @property
    def share(self) -> float:
        """Share of the depths at which they are alike."""
        step = self.depth[1] - self.depth[0]
        return min(sum(b - a + step for a, b in self.alike) / (self.depth[-1] - self.depth[0] + step), 1.0)

    def words(self) -> str:
        """Where they are alike, in words."""
        if not self.alike:
            return "told apart everywhere"
        return "-ln T " + ", ".join(f"{a:.1f} to {b:.1f}" if b > a else f"{a:.1f}" for a, b in self.alike)


def likeness(first: str, second: str, machine: Machine, patch_cm2: float, need: float) -> Likeness:
    """Compare two materials.

    At the same transmission of the high channel their low channels differ by some amount; its noise in one pixel is
    that of the low channel and, through the slope of the curve, of the high one. A patch of n pixels parts them where
    difference / noise * sqrt(n) reaches `need`.

    Args:
        first, second: names in the catalogue.
        machine: the scanner; its gains count as corrected.
        patch_cm2: area of the patch.
        need: the d' that parts them.
    """
    depth = DEPTHS
    (low, noise), (other, _) = (_curve(name, machine, depth) for name in (first, second))
    difference = low - other
    separation = np.abs(difference) / noise
    pixels = patch_cm2 * 100 / machine.pixel_mm**2
    missed = separation * np.sqrt(pixels) < need
    sign = np.flatnonzero(np.diff(np.sign(difference)) != 0)
    crossings = [
        float(depth[k] + (depth[k + 1] - depth[k]) * difference[k] / (difference[k] - difference[k + 1])) for k in sign
    ]
    # around an exact crossing there is always a depth at which no patch of this size parts them
    for crossing in crossings:
        missed[int(np.argmin(np.abs(depth - crossing)))] = True
    return Likeness(first, second, depth, difference, separation, crossings, _runs(depth, missed))


def _curve(material: str, machine: Machine, depth: Floats) -> tuple[Floats, Floats]:
    """-ln T of the low channel at depths of the high one, and the noise of its distance from the curve."""
    areal = np.geomspace(1e-4, 3e3, 4000)
    mean, variance = channel_signal(areal[None].astype(np.float32), [material], machine)
    high, low = -np.log(np.maximum(mean, 1e-9)).astype(np.float64)
    rising = np.append(True, np.diff(np.maximum.accumulate(high)) > 1e-7)  # at the end only the pedestal is left
    high, low = high[rising], low[rising]
    spread = variance.astype(np.float64)[:, rising] / np.maximum(mean[:, rising], 1e-9) ** 2
    slope = np.gradient(low, high)
    noise = np.sqrt(spread[1] + slope**2 * spread[0])
    return np.interp(depth, high, low), np.interp(depth, high, noise)


def _runs(depth: Floats, flags: npt.NDArray[np.bool_]) -> list[tuple[float, float]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [(float(depth[a]), float(depth[b - 1])) for a, b in zip(edges[::2], edges[1::2], strict=True)]
