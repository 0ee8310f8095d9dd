"""The noise of a scanner against its transmission: effective quanta, dark noise, stripes, smoothing.

A pixel's variance is the second moment of the deposited energy, relative to the open beam's, over the effective
quanta of an open-beam pixel, plus what is there in the dark (`simulator.scanner`). Stripes of lines and elements are
taken off before it is measured, and a vendor's smoothing is read off the correlation between neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from leadline.datasets.physics.forward import transmission_and_noise
from leadline.datasets.simulator.scanner import SCATTER_NOISE, Machine

Floats = npt.NDArray[np.float64]

DARKEST = 3.0
"""Patches whose mean is below so many standard deviations of a pixel are cut at 0 and say nothing of the noise."""

CUT = 0.005
"""Share of pixels at the scan's greatest value above which a patch's noise counts as cut off."""

MOST_CUT = 0.9
"""Share beyond which nothing can be said of the noise."""

BRIGHT = 0.2
"""Patches of a greater transmission tell the gains of lines and elements, and dead pixels."""


@dataclass(frozen=True)
class Patch:
    """Pixels of one thickness. Pairs are (high, low), shares of the open beam.

    Attributes:
        mean: transmission.
        variance: of a pixel about its row's and column's means, which have taken a part of the noise with them; where
            the noise is cut off, of the whole noise, from the half that is left.
        neighbour: correlation of a pixel's noise with the next one's in its row.
        line, element: standard deviation of the gains of columns and of rows, noise taken off.
        shape: rows and columns.
        cut: share of pixels that stand at the greatest value of the scan, whose noise is cut off there.
        dead: share of pixels that read 0 among lit ones.
        areal: g/cm2; 0 is air.
        material: of the catalogue; empty for air.
    """

    mean: tuple[float, float]
    variance: tuple[float, float]
    neighbour: tuple[float, float]
    line: tuple[float, float]
    element: tuple[float, float]
    shape: tuple[int, int]
    cut: float
    dead: float
    areal: float = 0.0
    material: str = ""

    @property
    def pixels(self) -> int:
        """How many."""
        return self.shape[0] * self.shape[1]

    def own_variance(self, kept: float = 1.0) -> tuple[float, float]:
        """Variance of a pixel; of noise that smoothing left the share `kept`, means over n take kept^-1/2 / n."""
        share = (1 - kept**-0.5 / self.shape[0]) * (1 - kept**-0.5 / self.shape[1])
        return self.variance[0] / share, self.variance[1] / share


@dataclass(frozen=True)
class Noise:
    """What the patches say, as entries of `Machine`; `errors` are relative, of `quanta`."""

    quanta: tuple[float, float]
    errors: tuple[float, float]
    electronics: tuple[float, float]
    smoothing_px: float
    line_gain: tuple[float, float]
    element_gain: tuple[float, float]
    dead_pixels: float

    def onto(self, machine: Machine) -> Machine:
        """The machine with this noise."""
        return replace(
            machine,
            quanta=self.quanta,
            electronics=self.electronics,
            smoothing_px=self.smoothing_px,
            line_gain=self.line_gain,
            element_gain=self.element_gain,
            dead_pixels=self.dead_pixels,
        )


def measure_patch(
    pixels: Floats, top: tuple[float, float], areal: float = 0.0, material: str = "", turned: bool = False
) -> Patch:
    """Mean and noise of a patch.

    Args:
        pixels: (2, rows, columns), share of the open beam; dead pixels (0 where the patch is lit) are left out.
        top: greatest value of the scan, (high, low), in the same units.
        areal, material: what lies there.
        turned: rows are the scan's columns.
    """
    _, rows, columns = pixels.shape
    found: list[list[float]] = []
    cut = dead = 0.0
    for channel, most in zip(pixels, top, strict=True):
        middle = float(np.median(channel))
        alive = (channel > 0) | (middle < 5e-3)
        dead += float(1 - alive.mean()) / 2
        filled = np.where(alive, channel, middle)
        mean, spread, share = uncut(channel[alive], most)
        by_row, by_column = filled.mean(axis=1), filled.mean(axis=0)
        left = filled - by_row[:, None] - by_column[None] + filled.mean()
        cut = max(cut, share)
        variance = float((left**2)[alive].mean()) if share < CUT else spread**2
        beside = float((left[:, 1:] * left[:, :-1]).mean() / max((left**2).mean(), 1e-30))
        stripes = max(float(by_column.var(ddof=1)) - variance / rows, 0.0) ** 0.5 / max(mean, 1e-9)
        uneven = max(float(by_row.var(ddof=1)) - variance / columns, 0.0) ** 0.5 / max(mean, 1e-9)
        found.append([mean, variance, beside + 1 / columns, *((uneven, stripes) if turned else (stripes, uneven))])
    pairs = [(a, b) for a, b in zip(*found, strict=True)]
    return Patch(pairs[0], pairs[1], pairs[2], pairs[3], pairs[4], (rows, columns), cut, dead, areal, material)


def uncut(values: Floats, top: float) -> tuple[float, float, float]:
    """Mean and standard deviation of normal noise of which all above `top` stands there, and the share that does.

    Many scanners cut the open beam's noise off at 1. Two quantiles of what lies below then tell the whole.
    """
    share = float((values >= top * (1 - 1e-6)).mean())
    if share < CUT:
        return float(values.mean()), float(values.std()), share
    if share > MOST_CUT:
        return top, 0.0, share
    lower, upper = (1 - share) * 0.25, (1 - share) * 0.75
    a, b = np.quantile(values, (lower, upper))
    z = [NormalDist().inv_cdf(p) for p in (lower, upper)]
    sigma = float((b - a) / (z[1] - z[0]))
    return float(b - z[1] * sigma), sigma, share


def fit_noise(patches: Sequence[Patch], machine: Machine) -> Noise:
    """Quanta and dark noise that explain the variances of the patches.

    Args:
        patches: of several thicknesses, or of air alone; those that are cut off at the scan's greatest value are
            left out, as far as there are others.
        machine: with the fitted energy response, scatter and pedestal.
    """
    whole = [p for p in patches if p.cut < CUT] or [p for p in patches if p.cut < MOST_CUT] or list(patches)
    bright = [p for p in whole if min(p.mean) > BRIGHT] or whole
    weights = np.array([p.pixels for p in bright], float)
    weights /= weights.sum()

    def mean_of(name: str) -> tuple[float, float]:
        values = weights @ np.array([getattr(p, name) for p in bright])
        return float(values[0]), float(values[1])

    correlation = float(np.mean(mean_of("neighbour")))
    smoothing, kept = _smoothing(correlation)
    moments = _moments(whole, machine)
    step = machine.saturation / (2**machine.bits - 1)
    quanta, errors, electronics = [], [], []
    for channel in range(2):
        rows, targets = [], []
        for k, patch in enumerate(whole):
            variance = patch.own_variance(kept)[channel]
            if patch.mean[channel] < DARKEST * np.sqrt(variance):
                continue
            error = variance * np.sqrt(2 / patch.pixels) / kept + 1e-12
            rows.append([moments[channel, k] / error, 1 / error])
            targets.append(variance / kept / error)
        inverse, floor = _non_negative(np.array(rows), np.array(targets))
        quanta.append(1 / max(inverse, 1e-9))
        information = float(np.sum(np.array(rows)[:, 0] ** 2))
        errors.append(float(1 / np.sqrt(information) / max(inverse, 1e-12)))
        electronics.append(float(np.sqrt(max(floor - step**2 / 12, 0.0))))
    return Noise(
        (quanta[0], quanta[1]),
        (errors[0], errors[1]),
        (electronics[0], electronics[1]),
        smoothing,
        mean_of("line"),
        mean_of("element"),
        float(weights @ [p.dead for p in bright]),
    )


def _moments(patches: Sequence[Patch], machine: Machine) -> Floats:
    """Noise variance of each patch in units of 1 / quanta, (2, P): second moments with scatter's share."""
    materials = sorted({p.material for p in patches if p.areal})
    areal = np.zeros((len(materials), len(patches)), np.float32)
    for k, patch in enumerate(patches):
        if patch.areal:
            areal[materials.index(patch.material), k] = patch.areal
    moment = transmission_and_noise(areal, machine.response.attenuation(materials), machine.response)[1].astype(float)
    stray = (np.array(machine.scatter) + np.array(machine.pedestal))[:, None]
    return (1 - stray) * moment + SCATTER_NOISE * stray


def _non_negative(rows: Floats, targets: Floats) -> tuple[float, float]:
    """Least squares for 1 / quanta and the dark variance, which is 0 unless it stands two standard errors above."""
    moments = rows[:, 0] / rows[:, 1]
    if moments.max() > 1.5 * moments.min():  # patches of one brightness cannot tell the two apart
        inverse, floor = np.linalg.lstsq(rows, targets, rcond=None)[0]
        error = float(np.sqrt(np.linalg.pinv(rows.T @ rows)[1, 1]))
        if inverse > 0 and floor > 2 * error:
            return float(inverse), float(floor)
    return float(rows[:, 0] @ targets / (rows[:, 0] @ rows[:, 0])), 0.0


def _smoothing(correlation: float) -> tuple[float, float]:
    """Width of the smoothing that gives neighbours this correlation, and the share of variance that it leaves."""
    widths, correlations, kept = _smoothing_table()
    if correlation < 0.02:
        return 0.0, 1.0
    return float(np.interp(correlation, correlations, widths)), float(np.interp(correlation, correlations, kept))


@cache
def _smoothing_table() -> tuple[Floats, Floats, Floats]:
    """Widths, and what a machine that smooths so makes of white noise."""
    widths = np.array([0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3])
    shape = (2, 128, 256)
    found = []
    for width in widths:
        machine = Machine("container", "crystal", (6.0, 4.0), ("", ""), smoothing_px=float(width), quanta=(1e9, 1e9))
        image = machine.measure(
            np.full(shape, 0.5, np.float32), np.full(shape, 1e-4, np.float32), np.random.default_rng(0)
        )
        patch = measure_patch(image.astype(float), (1.0, 1.0))
        found.append((patch.neighbour[0], patch.own_variance()[0] / 1e-4))
    table = np.array(found)
    table[0] = 0.0, 1.0
    return widths, np.maximum.accumulate(table[:, 0]), table[:, 1]
