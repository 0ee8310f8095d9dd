"""Measuring a wedge scan: where the steps lie, what each lets through, and the noise of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.datasets.scan import LeadlineError, Scan
from leadline.inference.calibration.least_squares import solve
from leadline.inference.calibration.noise import Patch, measure_patch, uncut
from leadline.inference.calibration.response import Reading
from leadline.inference.calibration.table import LEAST_STEPS, Wedge
from leadline.inference.quality import OPAQUE_BELOW

Floats = npt.NDArray[np.float64]

NARROWEST = 6
"""Least width of a step, pixels: narrower ones are all edge."""

AIR_ABOVE = 0.9
"""Transmission of pixels that are taken for open beam."""

STRAY = 0.04
"""Root mean square difference between a wedge and its best fit of steps, share of its contrast, above which it does
not fit its table."""


class WedgeError(LeadlineError):
    """A wedge that does not show what its table says."""


@dataclass(frozen=True)
class Measured:
    """A wedge scan, measured.

    Attributes:
        readings: of all steps, for the energy response.
        patches: steps and air, for the noise.
        level: (high, low), what the open beam reads in the file.
        step_pixels: width of a step.
        shift: how far the low channel lies along the wedge from the high one, pixels.
        blur: (high, low) standard deviation of the edges' blur, pixels.
        dark_steps: steps that nothing measurable penetrates.
    """

    readings: tuple[Reading, ...]
    patches: tuple[Patch, ...]
    level: tuple[float, float]
    step_pixels: float
    shift: float
    blur: tuple[float, float]
    dark_steps: int


def measure_wedge(wedge: Wedge, scan: Scan) -> Measured:
    """Find the steps of a wedge and measure them.

    Raises:
        WedgeError: the box lies outside the scan, there is no air beside it, or the steps are not those of the table,
            too narrow, clipped, or too few of them penetrated.
    """
    said = f"{wedge.scan}: wedge of {wedge.material}"
    image = scan.transmission if wedge.along == "x" else scan.transmission.transpose(0, 2, 1)
    x0, y0, x1, y1 = wedge.box if wedge.along == "x" else _turned(wedge.box)
    rows, columns = image.shape[1:]
    if x1 > columns or y1 > rows:
        raise WedgeError(
            f"{said}: the box {list(wedge.box)} does not lie in the scan of {scan.shape[1]} x {scan.shape[0]} pixels; "
            "correct the box"
        )
    count = len(wedge.thickness_mm)
    pitch = (x1 - x0) / count
    inset = max(2, round(0.15 * (y1 - y0)))
    if pitch < NARROWEST or y1 - y0 - 2 * inset < NARROWEST:
        raise WedgeError(
            f"{said}: steps of {pitch:.1f} x {y1 - y0} pixels in the box are too small to measure; at least "
            f"{NARROWEST + 2} each way are needed: bring the wedge nearer to the detector, or use a larger one"
        )
    strip = _alive(image[:, y0 + inset : y1 - inset].astype(float))
    top = (float(scan.transmission[0].max()), float(scan.transmission[1].max()))
    level, air = _air(strip, top, x0 - pitch / 2, x1 + pitch / 2, said)
    strip = strip / np.array(level)[:, None, None]
    _check_clipping(strip[:, :, x0:x1], said)
    profile = strip.mean(axis=1)
    places = [_locate(profile[c], x0, pitch, count) for c in range(2)]
    start, step, _, stray = places[0]
    contrast = float(np.ptp(profile[0, x0:x1]))
    if stray > STRAY * max(contrast, 0.05):
        raise WedgeError(
            f"{said}: no {count} steps of equal width are found in the box (what is there differs from them by "
            f"{stray:.3f}); correct box, along or thickness_mm"
        )
    margin = max(1.5, 3 * max(places[0][2], places[1][2]))
    ends = ((start - step / 2, start - margin), (start + count * step + margin, start + (count + 0.5) * step))
    for left, right in ends:
        beside = profile[:, max(round(left), 0) : max(round(right), 0)]
        if beside.size and beside.mean() < 0.97:
            raise WedgeError(
                f"{said}: the box does not begin and end with the wedge (beside it the beam is weakened to "
                f"{beside.mean():.2f}); correct box or thickness_mm, and leave air on both sides"
            )
    patches = [air]
    for k, thickness in enumerate(wedge.thickness_mm):
        left, right = int(np.ceil(start + k * step + margin)), int(np.floor(start + (k + 1) * step - margin))
        if right - left < 3:
            raise WedgeError(f"{said}: the steps are too narrow for the blur of the scanner; use a larger wedge")
        areal = thickness / 10 * wedge.density
        scaled = (top[0] / level[0], top[1] / level[1])
        patches.append(measure_patch(strip[:, :, left:right], scaled, areal, wedge.material, wedge.along == "y"))
    _check_order(patches[1:], wedge, said)
    readings = tuple(_reading(p, air, step - 2 * margin) for p in patches[1:])
    dark = sum(r.transmission[0] < OPAQUE_BELOW[scan.scanner.kind] for r in readings)
    if count - dark < LEAST_STEPS:
        raise WedgeError(
            f"{said}: {dark} of {count} steps let nothing measurable through, and {LEAST_STEPS} that do are needed; "
            "use thinner steps"
        )
    blur = (_own(places[0][2]), _own(places[1][2]))
    return Measured(readings, tuple(patches), level, step, places[1][0] - places[0][0], blur, int(dark))


def _turned(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return box[1], box[0], box[3], box[2]


def _alive(strip: Floats) -> Floats:
    """The strip without rows that read 0 all along (dead elements); a lone such column is as the one before it."""
    living = (strip > 0).any(axis=(0, 2))
    strip = strip[:, living] if living.any() else strip
    seen = np.atleast_1d((strip > 0).any(axis=(0, 1)))
    lone = 1 + np.flatnonzero(~seen[1:-1] & seen[:-2] & seen[2:])
    if len(lone):
        strip = strip.copy()
        strip[:, :, lone] = strip[:, :, lone - 1]
    return strip


def _air(
    strip: Floats, top: tuple[float, float], left: float, right: float, said: str
) -> tuple[tuple[float, float], Patch]:
    """Level of the open beam in the wedge's own rows, and a patch of it."""
    columns = np.arange(strip.shape[2])
    outside = (columns < left) | (columns > right)
    means = strip.mean(axis=1)
    lit = outside & (means > AIR_ABOVE).all(axis=0)
    runs = np.split(columns[lit], np.flatnonzero(np.diff(columns[lit]) > 1) + 1)
    run = max(runs, key=len)
    if len(run) < 8:
        raise WedgeError(f"{said}: no open beam beside the wedge, in its own rows; scan it with air on one side")
    pixels = strip[:, :, run]
    level = (_level(pixels[0], top[0]), _level(pixels[1], top[1]))
    scaled = (top[0] / level[0], top[1] / level[1])
    return level, measure_patch(pixels / np.array(level)[:, None, None], scaled)


def _level(air: Floats, top: float) -> float:
    """Level of the open beam, dead pixels left out."""
    return uncut(air[air > 0], top)[0]


def _check_clipping(steps: Floats, said: str) -> None:
    for channel, name in enumerate(("high", "low")):
        top = steps[channel].max()
        if top < 0.97 and np.mean(steps[channel] >= top) > 0.05:
            raise WedgeError(
                f"{said}: the {name} channel is clipped at {top:.2f} of the open beam; "
                "lower the gain, or export the scan without cutting it"
            )


def _check_order(steps: list[Patch], wedge: Wedge, said: str) -> None:
    """Thicker steps must let less through, beyond the noise."""
    order = np.argsort(wedge.thickness_mm)
    high = np.array([steps[k].mean[0] for k in order])
    slack = np.array([3 * np.sqrt(steps[k].variance[0] / steps[k].pixels) + 2e-4 for k in order])
    wrong = np.flatnonzero(np.diff(high) > slack[1:] + slack[:-1])
    if len(wrong):
        thin, thick = (wedge.thickness_mm[order[k]] for k in (wrong[0], wrong[0] + 1))
        raise WedgeError(
            f"{said}: {thick:g} mm let more through than {thin:g} mm; list thickness_mm in the order in which the "
            'steps lie, from left to right (along = "x") or from top to bottom ("y")'
        )


def _locate(profile: Floats, x0: int, pitch: float, count: int) -> tuple[float, float, float, float]:
    """Start, width and blur of `count` equal steps in a profile, pixels, and what remains (root mean square).

    Levels follow by linear least squares; a pixel averages the step function over its width and the blur.
    """
    first = max(int(x0 - pitch / 2), 0)
    last = min(int(np.ceil(x0 + (count + 0.5) * pitch)), len(profile))
    x, y = np.arange(first, last) + 0.5, profile[first:last]

    def remaining(p: Floats) -> Floats:
        edges = p[0] + p[1] * np.arange(count + 1)
        share = np.stack([_pixel_step(x - e, p[2]) for e in edges], axis=1)
        inside = np.column_stack([1 - share[:, 0], share[:, :-1] - share[:, 1:], share[:, -1]])
        levels = np.linalg.lstsq(inside, y, rcond=None)[0]
        return y - inside @ levels

    best = min(
        (
            np.array([x0 + s * pitch, pitch * w, 0.7])
            for s in np.linspace(-0.35, 0.35, 15)
            for w in np.linspace(0.94, 1.06, 7)
        ),
        key=lambda p: float(np.sum(remaining(p) ** 2)),
    )
    reach = np.array([pitch / 8, pitch / 20, 3.0])
    found = solve(remaining, best, best - np.minimum(reach, [np.inf, np.inf, 0.69]), best + reach, step=[0.01] * 3)
    start, width, blur = found.values
    return float(start), float(width), float(blur), float(np.sqrt(np.mean(found.residuals**2)))


def _own(blur: float) -> float:
    """Blur of a scanner from that of an edge: linear interpolation between pixels adds 1/6 to its variance."""
    return float(np.sqrt(max(blur**2 - 1 / 6, 0.0)))


def _pixel_step(x: Floats, sigma: float) -> Floats:
    """A unit step at 0, blurred by a Gaussian and averaged over pixels of width 1 centred at x."""

    def ramp(z: Floats) -> Floats:  # integral of the normal distribution function
        z = z / sigma
        return sigma * (z * _normal(z) + np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))

    return ramp(x + 0.5) - ramp(x - 0.5)


def _normal(z: Floats) -> Floats:
    """Normal distribution function, from a table fine enough for edges."""
    return np.interp(z, _Z, _PHI)


_Z = np.linspace(-6, 6, 4801)
_PHI = np.cumsum(np.exp(-(_Z**2) / 2))
_PHI = (_PHI - np.exp(-(_Z**2) / 2) / 2) / _PHI[-1]


def _reading(step: Patch, air: Patch, width: float) -> Reading:
    """A step as share of the open beam, with its standard error."""
    error = [
        float(np.sqrt(step.variance[c] / step.pixels + step.mean[c] ** 2 * air.variance[c] / air.pixels))
        for c in range(2)
    ]
    return Reading(step.material, step.areal, step.mean, (error[0], error[1]))
