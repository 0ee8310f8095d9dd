"""Threat image projection: a simulated threat multiplied into a real or simulated scan.

Along a ray that carries goods of optical depth tau(E), a threat that adds delta(E) changes the
transmission by the factor

    k = sum_E w(E) exp(-tau - delta) / sum_E w(E) exp(-tau),

which depends on the goods: they have hardened the beam already. tau is estimated from the scan
(`goods_depth`), delta is known. The measured values are multiplied by k, blurred as the scan is, so
their own noise, stripes and dead pixels stay; what is missing of the noise of the darker pixels is
added. With M the second moment of the deposited energy and n the quanta of the open beam, the pixel had
the variance M0 / n and should have M1 / n, of which k^2 M0 / n is there. Where few quanta arrive, they are
thinned one by one instead (a Poisson number thinned at random is one again).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from leadline.datasets.declarations import explains
from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Scan
from leadline.datasets.simulator.background import Background
from leadline.datasets.simulator.geometry import Window
from leadline.datasets.simulator.goods_depth import depth_of, smoothed, through
from leadline.datasets.simulator.open_beam import levelled, step_of
from leadline.datasets.simulator.scanner import SCATTER_NOISE
from leadline.datasets.simulator.simulate import Truth, find_boxes
from leadline.datasets.simulator.truth import family_maps

Float32Array = npt.NDArray[np.float32]

_FEW_QUANTA = 12.0


@dataclass(frozen=True)
class Threat:
    """A threat by itself, at the pixel size of the scan that it goes into.

    Attributes:
        materials: names in the catalogue, M of them.
        areal: float32 (M, rows, columns), what it adds, g/cm2; where negative, goods that give way.
        displaced: float32 (rows, columns), share of the goods on each ray that gives way, 0 to 1; where the
            goods that give way are known, they are negative in `areal` and this is 0.
        scenario: row of the evaluation.
    """

    materials: tuple[str, ...]
    areal: Float32Array
    displaced: Float32Array
    scenario: str

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.areal.shape[1], self.areal.shape[2]

    @property
    def footprint(self) -> npt.NDArray[np.bool_]:
        """Where it changes anything, (rows, columns)."""
        return (np.abs(self.areal).sum(axis=0) > 0) | (self.displaced > 0)

    def within(self, mask: npt.NDArray[np.bool_]) -> Threat:
        """The part of it that lies in a mask of its own shape."""
        return replace(self, areal=self.areal * mask, displaced=self.displaced * mask)


@dataclass(frozen=True)
class Projection:
    """A scan with a projected threat.

    Attributes:
        scan: as the background's, with the threat in it.
        truth: families of the projected material alone, boxes with kg, detectability `d_known` of the
            change against the noise (blur left out); `undeclared` by the scan's declaration.
        window: rows and columns that were changed.
        factor: float32 (2, y1 - y0, x1 - x0), by how much the light through the goods was multiplied.
        mass_kg: mass of each projected material, kg; for the kind's common pixel size where the scan's is unknown.
    """

    scan: Scan
    truth: Truth
    window: Window
    factor: Float32Array
    mass_kg: dict[str, float]


def project(
    background: Background, threat: Threat, at: tuple[int, int], rng: np.random.Generator, *, clip: bool = False
) -> Projection:
    """Project a threat into a scan.

    Args:
        background: the measured scan.
        threat: at the scan's pixel size.
        at: row and column of the scan at which the threat's upper left corner comes to lie; what
            lies outside the picture is cut off.
        rng: source of the added noise.
        clip: keep only what lies in the mask of goods.

    Raises:
        ValueError: nothing of the threat lies in the picture (or among the goods).
    """
    scan = background.scan
    threat, window = cut(threat, at, scan.shape)
    y0, y1, x0, x1 = window
    if clip:
        threat = threat.within(background.goods[y0:y1, x0:x1])
    if not threat.footprint.any():
        raise ValueError(f"nothing of the threat lies in the scan at row {at[0]}, column {at[1]}")
    threat, window = _with_margin(threat, window, scan.shape)
    step = step_of(background)
    background, gains = levelled(background)
    factor, moments = _factors(background, threat, window)
    transmission = scan.transmission.copy()
    y0, y1, x0, x1 = window
    for channel in range(2):
        out, gain = transmission[channel], gains[channel]
        here = out[y0:y1, x0:x1]
        result = _multiply(background, channel, window, factor, moments, step, rng) * gain[y0:y1, x0:x1]
        result = np.clip(result, 0, max(float(scan.transmission.max()), 1.0))
        untouched = (here <= 0) | (np.abs(factor[channel] - 1) < 1e-6)  # dead pixels stay dead
        out[y0:y1, x0:x1] = np.where(untouched, here, result)
        darker = background.darker_around(channel, window, factor[channel])
        if darker is not None:  # less light, less scatter, beyond the threat too
            out += np.where(out > 0, gain * background.level[channel] * darker, np.float32(0))
            np.maximum(out, 0, out=out)
        if step:
            out[:] = np.rint(out / step) * step
    projected = replace(scan, transmission=transmission, sha256="")
    d_known = _detectability(background, window, factor, moments)
    pixel = scan.scanner.pixel_mm or background.machine.pixel_mm
    grams = np.maximum(threat.areal, 0).sum(axis=(1, 2)) * (pixel / 10) ** 2
    masses = {name: float(g) / 1000 for name, g in zip(threat.materials, grams, strict=True) if g > 0}
    return Projection(projected, _truth(scan, threat, window, d_known, pixel), window, factor, masses)


def cut(threat: Threat, at: tuple[int, int], shape: tuple[int, int]) -> tuple[Threat, Window]:
    """What of a threat lies in a picture, and where."""
    (row, column), (rows, columns) = at, threat.shape
    y0, y1, x0, x1 = max(0, row), min(shape[0], row + rows), max(0, column), min(shape[1], column + columns)
    if y0 >= y1 or x0 >= x1:
        raise ValueError(f"the threat at row {row}, column {column} lies outside the scan of {shape[0]} x {shape[1]}")
    inner = (slice(y0 - row, y1 - row), slice(x0 - column, x1 - column))
    part = replace(threat, areal=threat.areal[:, *inner], displaced=threat.displaced[inner])
    return part, (y0, y1, x0, x1)


def _with_margin(threat: Threat, window: Window, shape: tuple[int, int], margin: int = 6) -> tuple[Threat, Window]:
    """Room for the blur around it."""
    y0, y1, x0, x1 = window
    top, bottom = min(margin, y0), min(margin, shape[0] - y1)
    left, right = min(margin, x0), min(margin, shape[1] - x1)
    pad = ((top, bottom), (left, right))
    padded = replace(threat, areal=np.pad(threat.areal, ((0, 0), *pad)), displaced=np.pad(threat.displaced, pad))
    return padded, (y0 - top, y1 + bottom, x0 - left, x1 + right)


def _factors(background: Background, threat: Threat, window: Window) -> tuple[Float32Array, Float32Array]:
    """Factor on the light through the goods, and the noise moments without and with the threat.

    Returns:
        float32 (2, h, w), and float32 (2, 2, h, w): first index without, with; second the channel.
    """
    response = background.machine.response
    depth = depth_of(background, window)
    shape = depth.shape[1:]
    change = np.tensordot(response.attenuation(threat.materials).T, threat.areal, axes=1)
    behind = np.maximum(depth * (1 - threat.displaced) + change, 0)
    weights = np.concatenate([response.weights, response.noise_weights], axis=1).T
    light = [np.tensordot(weights, np.exp(-d), axes=1).astype(np.float32) for d in (depth, behind)]
    # the goods' own image is blurred and displaced already: only the factor is
    ratio = np.empty_like(light[0])
    for k in range(4):
        soft = [through(background, k % 2, light[i][k]) for i in range(2)]
        ratio[k] = soft[1] / np.maximum(soft[0], 1e-9)
    return ratio[:2].reshape(2, *shape), np.stack([light[0][2:], light[0][2:] * ratio[2:]])


def _multiply(
    background: Background,
    channel: int,
    window: Window,
    factors: Float32Array,
    moments: Float32Array,
    step: float,
    rng: np.random.Generator,
) -> Float32Array:
    """The window of a channel with the threat: multiplied, and the missing noise added, but for that of a converter."""
    y0, y1, x0, x1 = window
    here = (slice(y0, y1), slice(x0, x1))
    measured = background.scan.transmission[channel][here]
    level, quanta = np.float32(background.level[channel]), np.float32(background.quanta[channel])
    around = background.around[channel][here]
    factor, (without, behind) = factors[channel], moments[:, channel]
    light = measured / level - around
    share = 1 - around
    # scattered light and electronics keep their noise, though the light through the goods gets less
    floor = max(background.floor_variance(channel) - step**2 / 12, 0.0)  # rounding brings its own
    still = (SCATTER_NOISE * around / quanta + floor) * np.maximum(1 - factor**2, 0)
    missing = np.maximum(behind - factor**2 * without, 0) * share / quanta + still
    noise = smoothed(rng.standard_normal(light.shape, dtype=np.float32) * np.sqrt(missing), background)
    expected = background.light(channel, window) * share
    unit = np.maximum(without * share / quanta, 1e-12) / np.maximum(expected, 1e-7)  # signal of one quantum
    few = (expected < _FEW_QUANTA * unit) & (factor < 1) & (not background.smoothing_px)
    if few.any():
        kept = np.maximum(light, 0)[few] / unit[few]
        whole = np.floor(kept + rng.random(kept.shape, dtype=np.float32)).astype(np.int64)
        later = np.maximum((behind * share)[few] / quanta, 1e-12) / np.maximum((expected * factor)[few], 1e-9)
        chance = np.clip(factor[few] * unit[few] / later, 0, 1)
        thinned = rng.binomial(np.minimum(whole, 1000), np.nan_to_num(chance)) * later
        rest = np.sqrt(still[few]) * rng.standard_normal(kept.shape, dtype=np.float32)
        noise[few] = thinned - (factor * light)[few] + rest
    return np.asarray(level * (factor * light + noise + around), np.float32)


def _detectability(background: Background, window: Window, factors: Float32Array, moments: Float32Array) -> float:
    """d' of the change for one who knows it, as in `truth.detectability`."""
    total = 0.0
    for channel in range(2):
        around = background.around[channel][window[0] : window[1], window[2] : window[3]]
        change = background.light(channel, window) * (factors[channel] - 1) * (1 - around)
        variance = ((1 - around) * moments[1, channel] + SCATTER_NOISE * around) / background.quanta[channel]
        variance = np.maximum(variance + background.floor_variance(channel), 1e-12)
        total += float((change.astype(np.float64) ** 2 / variance).sum())
    return float(np.sqrt(total))


def _truth(scan: Scan, threat: Threat, window: Window, d_known: float, pixel_mm: float) -> Truth:
    """Truth of the projected material alone; what the background held is unknown."""
    y0, y1, x0, x1 = window
    families = np.zeros((len(catalogue().names), *scan.shape), np.float32)
    families[:, y0:y1, x0:x1] = np.maximum(family_maps(threat.materials, np.maximum(threat.areal, 0)), 0)
    boxes = find_boxes(families, pixel_mm)
    undeclared = any(not explains(scan.declaration, family) for family, _, _ in boxes)
    return Truth(families, undeclared, threat.scenario, True, boxes, d_known)
